"""A server doesn't start with a store that is wrongly configured; manage.py lists what is wrong."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from django.core.cache import caches
from django.test import override_settings

from django_multistore.stores import stores

SETTINGS = """
    SECRET_KEY = "not a secret"
    ALLOWED_HOSTS = ["*"]
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
    INSTALLED_APPS = ["early", "django.contrib.auth", "django.contrib.contenttypes",
        "django_multistore"]
    SESSION_ENGINE = "django_multistore.engine"
    MIDDLEWARE = ["django_multistore.middleware.SessionMiddleware"]
    ROOT_URLCONF = "site_urls"
"""
REDIS = "django_multistore.stores.redis.RedisStore"
WRONG = f'{{"default": {{"BACKEND": "{REDIS}", "OPTIONS": {{"URI": "redis://127.0.0.1"}}}}}}'
SERVERS = {
    "wsgi": "from django.core.wsgi import get_wsgi_application as a; a(); print('started')",
    "asgi": "from django.core.asgi import get_asgi_application as a; a(); print('started')",
}


def make_site(directory: Path, stores: str) -> None:
    settings = textwrap.dedent(SETTINGS) + f"SESSION_STORES = {stores}\n"
    (directory / "site_settings.py").write_text(settings)
    (directory / "site_urls.py").write_text("urlpatterns = []\n")
    # Its models are loaded before the apps are ready.
    (directory / "early").mkdir()
    (directory / "early" / "__init__.py").touch()
    (directory / "early" / "models.py").write_text("import django_multistore.engine\n")
    (directory / "app.py").write_text(
        "from django.core.asgi import get_asgi_application\napplication = get_asgi_application()\n"
    )


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(directory), *sys.path])
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "site_settings"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_with_a_wrong_option_does_not_start(kind: str, tmp_path: Path) -> None:
    make_site(tmp_path, WRONG)
    done = run(tmp_path, "-c", SERVERS[kind])
    assert (done.returncode, done.stdout) == (1, "")
    last = done.stderr.strip().splitlines()[-1]
    assert "SESSION_STORES['default']['OPTIONS'] has 'URI'" in last
    assert "Did you mean 'URL'?" in last


def test_uvicorn_does_not_start_either(tmp_path: Path) -> None:
    pytest.importorskip("uvicorn")
    make_site(tmp_path, WRONG)
    done = run(tmp_path, "-m", "uvicorn", "app:application", "--port", "0")
    assert done.returncode != 0
    assert "Did you mean 'URL'?" in done.stderr


def test_manage_py_lists_it_and_other_commands_work(tmp_path: Path) -> None:
    make_site(tmp_path, WRONG)
    done = run(tmp_path, "-m", "django", "check")
    assert "(django_multistore.E001)" in done.stderr
    assert "Traceback" not in done.stderr
    assert run(tmp_path, "-m", "django", "migrate", "--skip-checks").returncode == 0
    assert run(tmp_path, "-m", "django", "shell", "-c", "print(1)").stdout.endswith("1\n")


@pytest.mark.parametrize("kind", SERVERS)
def test_a_store_is_built_without_a_connection(kind: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        make_site(
            tmp_path, f'{{"default": {{"BACKEND": "{REDIS}", "OPTIONS": {{"URL": "{url}"}}}}}}'
        )
        done = run(tmp_path, "-c", SERVERS[kind])
        assert done.stdout == "started\n", done.stderr
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert not (tmp_path / "db.sqlite3").exists()


def test_a_cache_that_is_met_at_the_start_is_none_of_the_requests() -> None:
    """Under ASGI all of them would inherit its client, which isn't for several threads."""
    locmem = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    with override_settings(
        CACHES={"default": locmem}, SESSION_STORES={"default": {"BACKEND": CACHE}}
    ):
        stores.build_all()
        assert caches.all(initialized_only=True) == []


HIDDEN = "import sys; sys.modules.update(dict.fromkeys(sys.argv[1].split(','))); "
# Django's own check of CACHES raises for a backend whose package is missing.
CHECK = (
    "import django; django.setup(); from django.core.management import call_command; "
    "call_command('check', tags=['sessions'])"
)
CACHE = "django_multistore.stores.cache.CacheStore"


@pytest.mark.parametrize(
    ("hidden", "store", "cache", "remedy"),
    [
        ("redis,django_redis", REDIS, None, "'django-multistore[redis]'"),
        ("django_redis", REDIS, "django_redis.cache.RedisCache", "'django-multistore[redis]'"),
        ("redis", CACHE, "django.core.cache.backends.redis.RedisCache", "-multistore[redis]'"),
        ("pymemcache", CACHE, "django.core.cache.backends.memcached.PyMemcacheCache", "pymemcache"),
    ],
)
def test_a_package_that_is_missing_is_named(
    hidden: str, store: str, cache: str | None, remedy: str, tmp_path: Path
) -> None:
    options = "{}" if cache else '{"URL": "redis://127.0.0.1:1"}'
    make_site(tmp_path, f'{{"default": {{"BACKEND": "{store}", "OPTIONS": {options}}}}}')
    if cache:
        with (tmp_path / "site_settings.py").open("a") as settings:
            settings.write(f'CACHES = {{"default": {{"BACKEND": "{cache}", "LOCATION": "a:1"}}}}')
    done = run(tmp_path, "-c", HIDDEN + CHECK, hidden)
    assert "(django_multistore.E001)" in done.stderr, done.stderr
    assert "SESSION_STORES['default']" in done.stderr
    assert "isn't installed. Run: python -m pip install" in done.stderr
    assert remedy in done.stderr
