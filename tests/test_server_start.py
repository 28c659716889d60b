"""A server doesn't start with a store that is wrongly configured; manage.py lists what is wrong."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from django.core.cache import caches
from django.test import override_settings

from django_multistore.stores import stores
from tests.support.server_start import REDIS, SERVERS, WRONG, make_site, run


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
PYMEMCACHE = "django.core.cache.backends.memcached.PyMemcacheCache"
MEMCACHED = "django_multistore.stores.memcached.MemcachedStore"


@pytest.mark.parametrize(
    ("hidden", "store", "cache", "remedy"),
    [
        ("redis,django_redis", REDIS, None, "'django-multistore[redis]'"),
        ("django_redis", REDIS, "django_redis.cache.RedisCache", "'django-multistore[redis]'"),
        ("redis", CACHE, "django.core.cache.backends.redis.RedisCache", "-multistore[redis]'"),
        ("pymemcache", CACHE, PYMEMCACHE, "'django-multistore[memcached]'"),
        ("pymemcache", MEMCACHED, None, "'django-multistore[memcached]'"),
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
