"""A site's own tests begin with empty stores, and leave alone what they share a server with."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import redis
from django.test import SimpleTestCase, override_settings

from django_multistore.engine import SessionStore
from django_multistore.stores import stores
from django_multistore.testing import isolate, isolated_stores
from tests import servers
from tests.settings import OWN_PREFIX
from tests.support.paths import CHECKOUT
from tests.support.stores import MEMORY, ON_A_CACHE, ON_REDIS

pytestmark = pytest.mark.elsewhere

PREFIX = f"{OWN_PREFIX}[own]*:"  # With what means something in a pattern of Redis.
DATABASE = 9
SETTINGS = f"""
import os

SECRET_KEY = "of a test"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django_multistore"]
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "db"}}}}
SESSION_ENGINE = os.environ.get("ENGINE", "django_multistore.engine")
SESSION_STORES = {{
    "default": {{
        "BACKEND": "django_multistore.stores.redis.RedisStore",
        "OPTIONS": {{"URL": os.environ["REDIS_URL"], "KEY_PREFIX": {PREFIX!r}}},
    }},
    "memory": {{"BACKEND": "django_multistore.stores.memory.MemoryStore"}},
}}
"""
TESTS = """
from datetime import timedelta

import pytest
from django.conf import settings
from django_multistore.stores import stores
from django_multistore.testing import make_record


@pytest.fixture(scope="module", params=["default", "memory"])
def alias(request):
    store = stores[request.param]
    assert store.sessions_for_user("1") == []
    store.create(make_record(user_id="1"))
    return request.param


@pytest.mark.parametrize("number", range(10))
def test_it_is_empty(alias, number):
    assert stores[alias].sessions_for_user("1") == []
    stores[alias].create(make_record(user_id="1"))
    assert len(stores[alias].sessions_for_user("1")) == 1
    options = settings.SESSION_STORES["default"]["OPTIONS"]
    print("NAMES", options["KEY_PREFIX"].encode().hex())
"""
DJANGO_TESTS = """
from django.conf import settings
from django.test import SimpleTestCase, TestCase
from django_multistore.stores import stores
from django_multistore.testing import IsolatedStoresMixin, make_record


class Base(IsolatedStoresMixin):
    def look(self):
        for alias in stores:
            self.assertEqual(stores[alias].sessions_for_user("1"), [])
            stores[alias].create(make_record(user_id="1"))

    def test_one(self):
        self.look()

    def test_two(self):
        self.look()


class FirstTests(Base, TestCase):
    pass


class SecondTests(Base, SimpleTestCase):
    pass
"""
OUTSIDE = """
def test_without_django():
    import sys
    assert "django" not in sys.modules
    assert "django_multistore.pytest_plugin" in sys.modules
"""
BESIDE = """
from django.conf import settings


def test_nothing_was_changed():
    assert "KEY_PREFIX" in settings.SESSION_STORES["default"]["OPTIONS"]
    import sys
    import os
    assert settings.SESSION_STORES["default"]["OPTIONS"]["KEY_PREFIX"] == os.environ["EXPECTED"]
    assert "django_multistore.testing.isolation" not in sys.modules or os.environ.get("ENGINE")
"""
PLUGIN = (
    []
    if any(entry.name == "django_multistore" for entry in entry_points(group="pytest11"))
    else ["-p", "django_multistore.pytest_plugin"]
)


def make_project(folder: Path, tests: str, *, has_settings: bool = True) -> None:
    name = "DJANGO_SETTINGS_MODULE = site_settings" if has_settings else ""
    (folder / "pytest.ini").write_text(f"[pytest]\npythonpath = .\n{name}\n")
    if has_settings:
        (folder / "site_settings.py").write_text(SETTINGS)
    (folder / "test_site.py").write_text(tests)


def run_in(folder: Path, *arguments: str, **environment: str) -> str:
    # A test run within one of pytest-xdist must not take itself for a worker of that.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    clean.pop("DJANGO_SETTINGS_MODULE", None)
    # Under tox the installed package is to be met.
    paths = [str(folder)] if "TOX_PACKAGE" in os.environ else [str(CHECKOUT), str(folder)]
    ended = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder,
        env=clean | {"PYTHONPATH": os.pathsep.join(paths)} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def run_pytest(folder: Path, *arguments: str, **environment: str) -> str:
    plugins = ["-p", "no:cacheprovider", *PLUGIN]
    return run_in(folder, "-m", "pytest", "-q", "-rP", *plugins, *arguments, **environment)


@pytest.fixture
def server() -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(url())
    client.set(f"{PREFIX}s:of the developer", b"1")
    # A name that only a pattern that isn't escaped would meet.
    client.set(f"{OWN_PREFIX}oXXX:t.", b"1")
    before = names(client)
    yield client
    after = names(client)
    client.delete(*after)
    client.close()
    assert after == before


def url() -> str:
    return f"redis://{servers.require('redis')}/{DATABASE}"


def names(client: redis.Redis) -> set[bytes]:
    return set(client.scan_iter(match=f"{OWN_PREFIX}*"))


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["one process", "xdist"])
def test_each_test_begins_with_empty_stores(
    server: redis.Redis, tmp_path: Path, workers: list[str]
) -> None:
    make_project(tmp_path, TESTS)
    answer = run_pytest(tmp_path, *workers, REDIS_URL=url())
    assert "20 passed" in answer
    prefixes = set(re.findall(r"^NAMES (\w+)$", answer, re.MULTILINE))
    assert len(prefixes) == 20
    assert all(bytes.fromhex(prefix).startswith(PREFIX.encode()) for prefix in prefixes)


def test_with_django_s_own_runner_and_its_workers(server: redis.Redis, tmp_path: Path) -> None:
    make_project(tmp_path, DJANGO_TESTS)
    run_in(
        tmp_path,
        *["-m", "django", "test", "--parallel=2"],
        REDIS_URL=url(),
        DJANGO_SETTINGS_MODULE="site_settings",
    )


def test_in_the_settings_a_process_has_names_of_its_own(
    server: redis.Redis, tmp_path: Path
) -> None:
    make_project(tmp_path, TESTS)
    shared = (
        "from django_multistore.testing import isolate\nSESSION_STORES = isolate(SESSION_STORES)"
    )
    (tmp_path / "site_settings.py").write_text(f"{SETTINGS}\n{shared}\n")
    assert "20 passed" in run_pytest(tmp_path, REDIS_URL=url())


@pytest.mark.skipif("TOX_PACKAGE" not in os.environ, reason="tox installs the package")
def test_pytest_finds_the_plugin_by_itself() -> None:
    assert PLUGIN == []


def test_without_django_it_imports_nothing(tmp_path: Path) -> None:
    make_project(tmp_path, OUTSIDE, has_settings=False)
    run_pytest(tmp_path, "-p", "no:django")


@pytest.mark.parametrize("engine", ["django.contrib.sessions.backends.db", "not.there"])
def test_with_another_engine_it_does_nothing(tmp_path: Path, engine: str) -> None:
    make_project(tmp_path, BESIDE)
    run_pytest(tmp_path, REDIS_URL="redis://nowhere.invalid", ENGINE=engine, EXPECTED=PREFIX)


def test_a_redis_that_is_down_fails_no_test_that_needs_none(tmp_path: Path) -> None:
    make_project(tmp_path, "def test_nothing(): pass\n")
    run_pytest(tmp_path, REDIS_URL="redis://nowhere.invalid")


class OverriddenTests(SimpleTestCase):
    """What a class or a test overrides is isolated as well, or left as it is."""

    @ON_A_CACHE
    def test_a_cache(self) -> None:
        with isolated_stores():
            session = SessionStore()
            session.create()
            self.assertTrue(session.exists(session.session_key))
        with isolated_stores():
            self.assertFalse(session.exists(session.session_key))
        self.assertFalse(session.exists(session.session_key))

    def test_what_is_not_understood_stays(self) -> None:
        for strange in (
            None,
            "text",
            {"default": None},
            {"default": {}},
            {"default": {"BACKEND": 7}},
            {"default": {"BACKEND": "not.there"}},
            {"default": {"BACKEND": "django_multistore.stores.redis.RedisStore", "OPTIONS": 7}},
            {
                "default": {
                    "BACKEND": "django_multistore.stores.redis.RedisStore",
                    "OPTIONS": {"KEY_PREFIX": b"bytes"},
                }
            },
        ):
            with self.subTest(strange=strange):
                self.assertEqual(isolate(strange), strange)
                with override_settings(SESSION_STORES=strange), isolated_stores():
                    pass

    def test_stores_in_the_database_alone_are_not_built_again(self) -> None:
        store = stores["default"]
        with isolated_stores():
            self.assertIs(stores["default"], store)

    @override_settings(SESSION_STORES=MEMORY)
    def test_memory(self) -> None:
        with isolated_stores():
            session = SessionStore()
            session.create()
        with isolated_stores():
            self.assertFalse(session.exists(session.session_key))

    @ON_REDIS
    def test_an_error_in_a_test_is_that_error(self) -> None:
        before = stores["default"].options
        with self.assertRaises(ZeroDivisionError), isolated_stores():
            raise ZeroDivisionError
        self.assertEqual(stores["default"].options, before)
