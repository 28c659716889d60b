"""Settings that are wrong say so: which alias, which option, and what to do."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.conf import settings
from django.core import checks
from django.core.checks.registry import registry
from django.db import connections
from django.test import SimpleTestCase, TestCase, override_settings

from django_multistore.addresses import TrustedProxies, remote_address
from django_multistore.exceptions import InvalidStore, MultistoreError
from django_multistore.middleware import SessionMiddleware
from django_multistore.session import compression
from django_multistore.stores import stores
from django_multistore.stores.handler import StoreHandler
from django_multistore.stores.orm import OrmStore
from django_multistore.system_checks.site import check_proxies

ORM = "django_multistore.stores.orm.OrmStore"
MEMORY = "django_multistore.stores.memory.MemoryStore"


class HandlerTests(SimpleTestCase):
    def test_the_default_is_the_orm_store(self) -> None:
        assert type(StoreHandler()["default"]) is OrmStore
        assert list(StoreHandler()) == ["default"]

    @override_settings(
        SESSION_STORES={"default": {"BACKEND": MEMORY}, "other": {"BACKEND": MEMORY}}
    )
    def test_one_store_for_each_alias_and_process(self) -> None:
        seen = []
        threads = [threading.Thread(target=lambda: seen.append(stores["other"])) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({id(store) for store in seen}) == 1
        assert stores["other"] is seen[0]
        assert stores["default"] is not seen[0]
        assert (stores["default"].alias, stores["other"].alias) == ("default", "other")

    def test_what_is_wrong_is_named(self) -> None:
        for config, expected in (
            ({}, ["SESSION_STORES has no store 'default'"]),
            ({"mine": {"BACKEND": MEMORY}}, ["no store 'default'", "it has 'mine'"]),
            ({"default": {}}, ["SESSION_STORES['default']", "no 'BACKEND'"]),
            (
                {"default": {"BACKEND": "nowhere.Store"}},
                ["['default']['BACKEND']", "nowhere.Store"],
            ),
            ({"default": {"BACKEND": "os.path"}}, ["os.path", "no subclass"]),
            ({"default": {"BACKEND": "os.sep"}}, ["os.sep", "no subclass"]),
            ({"default": {"BACKEND": ORM, "OPTION": {}}}, ["'OPTION'", "isn't known there"]),
            (
                {"default": {"BACKEND": ORM, "OPTIONS": {"DATBASE": "x"}}},
                ["['default']['OPTIONS']", "'DATBASE'", "Its options: 'ASYNC_POOL', 'DATABASE'"],
            ),
            (
                {"default": {"BACKEND": ORM, "OPTIONS": {"DATABASE": "x"}}},
                ["['default']['OPTIONS']['DATABASE']", "'x'", "'default'"],
            ),
            ({"default": MEMORY}, ["dictionary of dictionaries"]),
            ([MEMORY], ["dictionary of dictionaries"]),
        ):
            with self.subTest(config=config), override_settings(SESSION_STORES=config):
                with pytest.raises(InvalidStore) as caught:
                    stores["default"]
                for words in expected:
                    assert words in str(caught.value)
                assert isinstance(caught.value, MultistoreError)

    def test_a_store_of_ones_own(self) -> None:
        with override_settings(
            SESSION_STORES={"default": {"BACKEND": "tests.support.smallest_store.SmallestStore"}}
        ):
            assert type(stores["default"]).__name__ == "SmallestStore"


class MiddlewareOfOnesOwn(SessionMiddleware):
    pass


def messages(*, deploy: bool = False, **changed: Any) -> dict[str, checks.CheckMessage]:
    with override_settings(**changed):
        found = checks.run_checks(tags=["sessions"], include_deployment_checks=deploy)
    return {message.id: message for message in found}


class CheckTests(TestCase):
    def test_the_tests_own_settings_are_fine(self) -> None:
        assert messages() == {}
        assert messages(deploy=True, SESSION_COOKIE_SECURE=True) == {}

    def test_a_store_that_cannot_be_built(self) -> None:
        found = messages(SESSION_STORES={"default": {"BACKEND": ORM, "OPTIONS": {"X": 1}}})
        assert "['default']['OPTIONS']" in found["django_multistore.E001"].msg
        assert found["django_multistore.E001"].is_serious()

    def test_settings_that_are_no_seconds(self) -> None:
        for wrong in ("300", None, -1, True):
            assert set(messages(SESSION_TOUCH_INTERVAL=wrong)) == {"django_multistore.E002"}
        for wrong in ("300", 0, -1, False):
            assert set(messages(SESSION_ABSOLUTE_AGE=wrong)) == {"django_multistore.E003"}
        assert messages(SESSION_TOUCH_INTERVAL=0, SESSION_ABSOLUTE_AGE=0.5) == {}

    def test_a_limit_that_is_no_count(self) -> None:
        for wrong in ("5", 0, -1, 1.5, True):
            found = messages(SESSION_MAX_PER_USER=wrong)
            assert set(found) == {"django_multistore.E010"}
            assert "SESSION_MAX_PER_USER" in found["django_multistore.E010"].msg
            assert found["django_multistore.E010"].is_serious()
        for right in (None, 1, 5):
            assert messages(SESSION_MAX_PER_USER=right) == {}

    def test_a_limit_that_only_looks_like_a_count(self) -> None:
        for wrong in (5.0, float("inf"), float("nan")):
            assert set(messages(SESSION_MAX_PER_USER=wrong)) == {"django_multistore.E010"}

    def test_a_size_that_is_none(self) -> None:
        for wrong in ("1", 0, -1, 1.5, True):
            found = messages(SESSION_MAX_BYTES=wrong)
            assert set(found) == {"django_multistore.E035"}
            assert found["django_multistore.E035"].is_serious()
        for right in (None, 1, 10**9):
            assert messages(SESSION_MAX_BYTES=right) == {}

    def test_a_format_that_this_process_cannot_write(self) -> None:
        with patch.object(compression, "find_zstd", return_value=None):
            found = messages(SESSION_COMPRESSION="zstd")
            assert set(found) == {"django_multistore.E036"}
            assert "django-multistore[fast]" in found["django_multistore.E036"].hint
            assert found["django_multistore.E036"].is_serious()
            assert messages(SESSION_COMPRESSION="deflate") == {}

    def test_an_encoding_that_the_serializer_has_not(self) -> None:
        tagged = "django_multistore.serializers.TaggedJSONSerializer"
        found = messages(SESSION_JSON_ENCODING="utf-8", SESSION_SERIALIZER=tagged)
        assert set(found) == {"django_multistore.W060"}
        assert not found["django_multistore.W060"].is_serious()
        assert messages(SESSION_JSON_ENCODING="ascii", SESSION_SERIALIZER=tagged) == {}

    def test_client_hints(self) -> None:
        for wrong in ("False", 1, None):
            found = messages(SESSION_DEVICE_CLIENT_HINTS=wrong)
            assert set(found) == {"django_multistore.E026"}
            assert found["django_multistore.E026"].is_serious()
        for right in (True, False):
            assert messages(SESSION_DEVICE_CLIENT_HINTS=right) == {}
        found = messages(SESSION_DEVICE_CLIENT_HINTS=True, SESSION_DEVICE_USER_AGENT=False)
        assert set(found) == {"django_multistore.W050"}
        assert not found["django_multistore.W050"].is_serious()

    def test_a_choice_that_there_is_not(self) -> None:
        for name, choices, wrong in (
            ("SESSION_MAX_PER_USER_POLICY", ("evict-oldest", "refuse"), "newest"),
            ("SESSION_MAX_PER_USER_POLICY", ("evict-oldest", "refuse"), None),
            ("SESSION_ON_OUTAGE", ("503", "anonymous"), 503),
            ("SESSION_ON_OUTAGE", ("503", "anonymous"), ["503"]),
            ("SESSION_ON_OTHER_USER", ("refuse", "session", "request"), "user"),
            ("SESSION_ON_OTHER_USER", ("refuse", "session", "request"), None),
            ("SESSION_JSON_ENCODING", ("ascii", "utf-8"), "utf8"),
            ("SESSION_COMPRESSION", ("deflate", "zstd", "none"), None),
        ):
            with self.subTest(name, wrong=wrong):
                found = messages(**{name: wrong})
                assert set(found) == {"django_multistore.E011"}
                message = found["django_multistore.E011"]
                assert message.msg == f"{name} is {wrong!r}."
                assert all(repr(choice) in message.hint for choice in choices)
                assert message.is_serious()
                with patch.object(compression, "find_zstd", object):
                    for right in choices:
                        assert messages(**{name: right}) == {}

    def test_both_choices_that_there_are_not(self) -> None:
        with override_settings(SESSION_MAX_PER_USER_POLICY="x", SESSION_ON_OUTAGE="y"):
            found = checks.run_checks(tags=["sessions"])
        assert [message.id for message in found] == ["django_multistore.E011"] * 2
        assert [message.msg for message in found] == [
            "SESSION_MAX_PER_USER_POLICY is 'x'.",
            "SESSION_ON_OUTAGE is 'y'.",
        ]

    def test_a_resolver_that_cannot_be_used(self) -> None:
        for wrong, why in (
            ("nowhere", "nowhere"),
            ("nowhere.resolver", "nowhere"),
            ("django_multistore.addresses.nobody", "nobody"),
            ("django_multistore.addresses.__name__", "it can't be called"),
            (7, "it can't be called"),
        ):
            with self.subTest(wrong):
                found = messages(SESSION_IP_RESOLVER=wrong)
                assert set(found) == {"django_multistore.E012"}
                message = found["django_multistore.E012"]
                assert message.msg.startswith("SESSION_IP_RESOLVER can't be used")
                assert why in message.msg
                assert "'django_multistore.addresses.remote_address'" in message.hint
                assert message.is_serious()
                assert messages(SESSION_IP_RESOLVER=wrong, SESSION_DEVICE_IP=False) == {}

    def test_a_resolver_that_can(self) -> None:
        for right in (
            "django_multistore.addresses.remote_address",
            remote_address,
            TrustedProxies(2),
            lambda request: None,
        ):
            assert messages(SESSION_IP_RESOLVER=right) == {}

    def test_proxies_where_waitress_alone_would_serve(self) -> None:
        def found(*installed: str, **changed: Any) -> dict[str, Any]:
            def find(name: str) -> None:
                if name not in installed:
                    raise PackageNotFoundError(name)

            with patch("django_multistore.system_checks.site.distribution", find):
                changed = {"SESSION_IP_RESOLVER": TrustedProxies(2)} | changed
                with override_settings(**changed):
                    return {each.id: each for each in check_proxies()}

        hint = found("waitress")["django_multistore.W056"].hint
        assert "--trusted-proxy-count=2" in hint
        assert found() == found("gunicorn") == found("waitress", "gunicorn") == {}
        assert found("waitress", SESSION_IP_RESOLVER=remote_address) == {}
        assert found("waitress", SESSION_IP_RESOLVER="not.there") == {}
        assert found("waitress", SESSION_DEVICE_IP=False) == {}
        assert found("waitress", SESSION_ENGINE="django.contrib.sessions.backends.db") == {}

    def test_each_check_runs_once(self) -> None:
        every = registry.get_checks(include_deployment_checks=True)
        names = [f"{each.__module__}.{each.__qualname__}" for each in every]
        ours = [each for each in names if each.startswith("django_multistore.")]
        assert len(ours) == len(set(ours)) > 20

    def test_djangos_middleware_with_this_engine(self) -> None:
        djangos = "django.contrib.sessions.middleware.SessionMiddleware"
        ours = "django_multistore.middleware.SessionMiddleware"
        others = [middleware for middleware in settings.MIDDLEWARE if middleware != ours]
        found = messages(MIDDLEWARE=[djangos, *others])
        assert set(found) == {"django_multistore.W018"}
        assert repr(ours) in found["django_multistore.W018"].hint
        assert not found["django_multistore.W018"].is_serious()
        cookies = "django.contrib.sessions.backends.signed_cookies"
        found = messages(MIDDLEWARE=[djangos, *others], SESSION_ENGINE=cookies)
        assert set(found) == {"django_multistore.E020"}
        for fine in (ours, "tests.test_configuration.MiddlewareOfOnesOwn", "tests.nowhere.At"):
            assert messages(MIDDLEWARE=[fine, *others]) == {}

    def test_two_stores_in_one_table(self) -> None:
        found = messages(SESSION_STORES={"default": {"BACKEND": ORM}, "archive": {"BACKEND": ORM}})
        assert "'default' and 'archive'" in found["django_multistore.E004"].msg

    def test_two_stores_in_one_place_of_a_cache(self) -> None:
        store = {"BACKEND": "django_multistore.stores.cache.CacheStore"}
        found = messages(SESSION_STORES={"default": store, "archive": store})
        assert "'default' and 'archive'" in found["django_multistore.E004"].msg
        apart = store | {"OPTIONS": {"KEY_PREFIX": "archive:"}}
        assert messages(SESSION_STORES={"default": store, "archive": apart}) == {}

    def test_memory_in_production(self) -> None:
        memory = {"default": {"BACKEND": MEMORY}}
        assert messages(SESSION_STORES=memory) == {}
        found = messages(SESSION_STORES=memory, deploy=True)
        assert "OrmStore" in found["django_multistore.W001"].hint

    @pytest.mark.skipif(settings.DEFAULT_DB != "sqlite", reason="about SQLite's settings")
    def test_sqlite_in_production(self) -> None:
        options = connections["default"].settings_dict["OPTIONS"]
        for name, wrong in (
            ("transaction_mode", "DEFERRED"),
            ("init_command", ""),
            ("timeout", 1),
        ):
            with self.subTest(name):
                kept = options[name]
                options[name] = wrong
                try:
                    assert messages() == {}
                    hint = messages(deploy=True)["django_multistore.W002"].hint
                finally:
                    options[name] = kept
                assert f'"{name}"' in hint
                assert "DATABASES['default']['OPTIONS']" in hint


SITE = """
    import os, sys, django
    from django.conf import settings
    settings.configure(
        SECRET_KEY="not a secret", DEBUG=False, ALLOWED_HOSTS=["*"], USE_TZ=True,
        DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}}}},
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", {apps}],
        SESSION_ENGINE="django_multistore.engine",
        MIDDLEWARE=["django_multistore.middleware.SessionMiddleware"],
        ROOT_URLCONF="__main__",
    )
    django.setup()
    from django.core.management import call_command
    from django.http import HttpResponse
    from django.test import Client
    from django.urls import path

    def view(request):
        request.session["n"] = request.session.get("n", 0) + 1
        return HttpResponse(str(request.session["n"]))

    urlpatterns = [path("", view)]
    {steps}
"""

MIGRATE_AND_COUNT = (
    'call_command("migrate", verbosity=0); client = Client(); client.get("/"); '
    'print(client.get("/").content)'
)


def run_site(
    directory: Path, *, apps: str = "", steps: str = ""
) -> subprocess.CompletedProcess[str]:
    code = textwrap.dedent(SITE).format(apps=apps, steps=steps)
    environment = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(directory / "db.sqlite3")],
        env=environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_one_setting_and_migrate_is_all(tmp_path: Path) -> None:
    run = run_site(tmp_path, apps='"django_multistore"', steps=MIGRATE_AND_COUNT)
    assert (run.stdout, run.stderr) == ("b'2'\n", "")


def test_beside_djangos_own_app(tmp_path: Path) -> None:
    steps = MIGRATE_AND_COUNT + '; call_command("clearsessions"); call_command("check")'
    run = run_site(tmp_path, apps='"django.contrib.sessions", "django_multistore"', steps=steps)
    assert run.stdout.startswith("b'2'\n")
    assert run.stderr == ""


def test_without_the_app_there_is_one_clear_error(tmp_path: Path) -> None:
    run = run_site(tmp_path, steps='Client().get("/")')
    last_line = run.stderr.strip().splitlines()[-1]
    assert "InvalidStore" in last_line
    assert "Add 'django_multistore' to INSTALLED_APPS, then run 'manage.py migrate'" in last_line


def test_without_migrate_there_is_one_clear_error(tmp_path: Path) -> None:
    run = run_site(tmp_path, apps='"django_multistore"', steps='Client().get("/")')
    last_line = run.stderr.strip().splitlines()[-1]
    assert "InvalidStore" in last_line
    assert "has no table 'django_multistore_storedsession'" in last_line
    assert "manage.py migrate --database default django_multistore" in last_line
