"""With check --deploy each store keeps a session of the check's own, or says why it can't."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import redis
from django.core import checks
from django.core.checks import CheckMessage
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import TestCase, override_settings

from django_multistore import signals
from django_multistore.exceptions import StoreUnavailable
from django_multistore.models import StoredSession, UserSession
from django_multistore.stores import packages, stores, trial
from django_multistore.stores.memory import MemoryStore
from tests import servers

ORM = "django_multistore.stores.orm.OrmStore"
CACHE = "django_multistore.stores.cache.CacheStore"
REDIS = "django_multistore.stores.redis.RedisStore"
PASSWORD = "hunter2"
OUR_CHECKS = ("E001", "E017", "E018", "E019", "W015", "W022", "W040")


def find(backend: str, *, deploy: bool = True, **options: Any) -> list[CheckMessage]:
    """Return what is said of whether a store can be built and asked."""
    stores = {"default": {"BACKEND": backend, "OPTIONS": options}}
    with override_settings(SESSION_STORES=stores):
        found = checks.run_checks(tags=["sessions"], include_deployment_checks=deploy)
    return [each for each in found if str(each.id).endswith(OUR_CHECKS)]


def say(backend: str, wanted: str, **options: Any) -> str:
    """Return the one message and its hint, which tell the store and no password."""
    (message,) = find(backend, **options)
    assert message.id == f"django_multistore.{wanted}"
    said = f"{message.msg} {message.hint}"
    assert "'default'" in said
    assert PASSWORD not in said
    return said


@pytest.fixture
def server() -> Iterator[servers.Server]:
    with servers.private("redis") as server:
        yield server


@pytest.fixture
def _unblocked(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    # Other checks ask the database; in a transaction nothing would bound a trial's time.
    with django_db_blocker.unblock():
        yield


@pytest.mark.usefixtures("_unblocked")
@pytest.mark.elsewhere
def test_a_redis_says_what_keeps_it_from_keeping_sessions(server: servers.Server) -> None:
    where, host = server.address, redis.Redis(port=server.port)
    assert find(REDIS, URL=f"redis://{where}/0") == []
    assert host.keys("*") == []
    assert "no database of that number" in say(REDIS, "E018", URL=f"redis://{where}/99")
    host.execute_command("ACL SETUSER bob on >pw ~other:* +@all")
    host.execute_command("ACL SETUSER eve on >pw ~ms:* +get +set +evalsha +eval")
    for name in ("bob", "eve"):
        said = say(REDIS, "E018", URL=f"redis://{name}:pw@{where}/0")
        assert "ACL doesn't allow" in said
        assert "'ms:'" in said
    assert find(REDIS, URL=f"redis://bob:pw@{where}/0", KEY_PREFIX="other:") == []
    host.config_set("maxmemory", "1")
    assert "maxmemory" in say(REDIS, "E018", URL=f"redis://{where}/0")
    host.config_set("maxmemory", "0")
    host.config_set("requirepass", "sesame")
    assert "wants a password" in say(REDIS, "E018", URL=f"redis://{where}/0")
    wrong = say(REDIS, "E018", URL=f"redis://:{PASSWORD}@{where}/0")
    assert "refuses the user or the password" in wrong
    host = redis.Redis(port=server.port, password="sesame")
    host.replicaof("127.0.0.1", "1")  # type: ignore[no-untyped-call]
    replica = say(REDIS, "E018", URL=f"redis://:sesame@{where}/0")
    assert "a replica" in replica
    assert "SESSION_STORES['default']['OPTIONS']" in replica


@pytest.mark.usefixtures("_unblocked")
@pytest.mark.elsewhere
def test_a_server_that_never_answers_holds_nobody_up(server: servers.Server) -> None:
    entry = {"BACKEND": "django.core.cache.backends.redis.RedisCache"}
    caches = {"default": entry | {"LOCATION": f"redis://{server.address}/0"}}
    caches["default"]["OPTIONS"] = {"socket_timeout": None}  # type: ignore[assignment]
    server.freeze()
    try:
        began = time.monotonic()
        with (
            patch.object(trial, "PATIENCE", 1),
            patch.object(trial, "PATIENCE_WITH_QUESTIONS", 3),
            override_settings(CACHES=caches),
        ):
            assert "CACHES['default']" in say(CACHE, "E019")
        assert time.monotonic() - began < 10
    finally:
        server.thaw()


@pytest.mark.usefixtures("_unblocked")
def test_where_no_server_is() -> None:
    for host in ("127.0.0.1:1", "nowhere.invalid:1"):
        assert host in say(REDIS, "E019", URL=f"redis://web:{PASSWORD}@{host}/0")
        assert find(REDIS, deploy=False, URL=f"redis://{host}/0") == []
    for options in ({}, {"ignore_exc": True}):
        entry = {"BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache"}
        entry |= {"LOCATION": "127.0.0.1:1", "OPTIONS": options}  # type: ignore[dict-item]
        with override_settings(CACHES={"default": entry}):
            (message,) = find(CACHE)
        assert message.id in ("django_multistore.E018", "django_multistore.E019")


@pytest.mark.parametrize("backend", [ORM, CACHE])
@pytest.mark.usefixtures("_unblocked")
def test_a_database_says_why_it_takes_no_writes(backend: str, tmp_path: Path) -> None:
    file = tmp_path / "db.sqlite3"
    entry = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(file)}
    aliases = {
        "trial": entry,
        "readonly": entry | {"NAME": f"file:{file}?mode=ro", "OPTIONS": {"uri": True}},
        "nodir": entry | {"NAME": str(tmp_path / "nowhere" / "db.sqlite3")},
    }
    configured = connections.settings
    before = dict(configured)
    configured.update(connections.configure_settings({"default": {}} | aliases))
    configured.update(before)
    try:
        assert "manage.py migrate --database trial" in say(backend, "E018", DATABASE="trial")
        call_command("migrate", "django_multistore", "0002", database="trial", verbosity=0)
        if backend == ORM:
            old = say(backend, "E018", DATABASE="trial")
            assert "of an older release" in old
            assert "manage.py migrate --database trial" in old
            stores = {"default": {"BACKEND": ORM, "OPTIONS": {"DATABASE": "trial"}}}
            with (
                override_settings(SESSION_STORES=stores),
                pytest.raises(CommandError, match=r"manage\.py migrate --database trial"),
            ):
                call_command("sessions", "list")
        call_command("migrate", database="trial", verbosity=0)
        assert find(backend, DATABASE="trial") == []
        assert "may not write" in say(backend, "E018", DATABASE="readonly")
        assert "DATABASES['nodir']" in say(backend, "E018", DATABASE="nodir")
        for model in (StoredSession, UserSession):
            assert model.objects.using("trial").count() == 0
    finally:
        for alias in aliases:
            connections[alias].close()
            del configured[alias]
            delattr(connections._connections, alias)


@pytest.mark.usefixtures("_unblocked")
@pytest.mark.parametrize(
    "backend", ["django.core.cache.backends.redis.RedisCache", "django_redis.cache.RedisCache"]
)
def test_a_url_that_can_not_be_read_tells_no_password(backend: str) -> None:
    location = f"redis://bob:{PASSWORD}#1@127.0.0.1:6379/0"
    caches = {"default": {"BACKEND": backend, "LOCATION": location}}
    with override_settings(CACHES=caches, SESSION_STORES={"default": {"BACKEND": CACHE}}):
        assert "special in a password" in say(CACHE, "E018")
        with pytest.raises(StoreUnavailable) as caught:
            stores["default"].read("x" * 40)
    assert PASSWORD not in str(caught.value)


class OnlyOne(MemoryStore):
    """A store of a site's that can't be built a second time."""

    is_built = False

    def __init__(self, alias: str, **options: Any) -> None:
        if OnlyOne.is_built:
            raise RuntimeError("there is one")
        OnlyOne.is_built = True
        super().__init__(alias, **options)


@pytest.mark.usefixtures("_unblocked")
def test_a_store_that_can_not_be_built_again_ends_no_check() -> None:
    assert "RuntimeError: there is one" in say(f"{__name__}.OnlyOne", "E018")


class OwnTests(TestCase):
    def test_nobody_sees_the_session_of_the_check(self) -> None:
        rows: list[int] = []
        listed: list[int] = []

        def look(store: Any, record: Any, payload: bytes = b"") -> None:
            rows.append(StoredSession.objects.count())
            listed.append(StoredSession.objects.all().sessions().count())

        began: list[object] = []
        receivers = (signals.session_created, signals.session_ended)
        for signal in receivers:
            signal.connect(began.append)
        try:
            with patch.object(trial, "_require", side_effect=look):
                assert find(ORM) == []
        finally:
            for signal in receivers:
                signal.disconnect(began.append)
        assert set(rows) == {1}
        assert set(listed) == {0}
        assert began == []
        assert StoredSession.objects.count() == 0

    def test_a_store_that_answers_wrongly_keeps_nothing_of_it(self) -> None:
        with patch.object(trial, "_require", side_effect=trial.Unfit("it lies")):
            assert "it lies" in say(ORM, "E018")
        assert StoredSession.objects.count() == 0


def test_settings_of_another_shape_are_one_error() -> None:
    for wrong in (ORM, [ORM], None, {1: {}}, {}, {"defualt": {"BACKEND": ORM}}):
        with override_settings(SESSION_STORES=wrong):
            (message,) = checks.run_checks(tags=["sessions"], include_deployment_checks=False)
        assert message.id == "django_multistore.E017"
        assert "SESSION_STORES" in message.msg
    assert "Did you mean 'defualt'?" in message.msg


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (None, "['default'] is None"),
        ({"BACKEND": ORM, "OPTIONS": []}, "['OPTIONS'] is of the type list"),
        ({"BACKEND": None}, "['BACKEND'] is None"),
        ({"Backend": ORM, "OPTION": {}}, "Did you mean 'BACKEND' and 'OPTIONS'?"),
        ({"BACKEND": ORM, "DATABASE": "x"}, "goes into 'OPTIONS'"),
        ({"BACKEND": f"{ORM}s"}, f"Did you mean '{ORM}'?"),
        ({"BACKEND": ORM, "OPTIONS": {"Databse": "x"}}, "Did you mean 'DATABASE'?"),
    ],
)
def test_what_was_meant_is_said(entry: object, words: str) -> None:
    with override_settings(SESSION_STORES={"default": entry}):
        (message,) = checks.run_checks(tags=["sessions"], include_deployment_checks=False)
    assert message.id == "django_multistore.E001"
    assert "SESSION_STORES['default']" in message.msg
    assert words in message.msg


def test_redis_py_that_is_too_old_is_named() -> None:
    with patch.object(packages, "version", return_value="4.6.0"):
        (message,) = find(REDIS, deploy=False, URL="redis://127.0.0.1:1")
    assert "redis-py 4.6.0 is too old" in message.msg
    assert "pip install 'django-multistore[redis]' --upgrade" in message.msg
