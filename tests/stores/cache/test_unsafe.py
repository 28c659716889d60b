"""Caches that lose sessions without a word are told of: known ones by name, others by a trial."""

from __future__ import annotations

import itertools
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.checks import CheckMessage
from django.core.management import call_command
from django.db import connection, connections, transaction
from django.test import override_settings

from django_multistore.exceptions import InvalidStore
from django_multistore.stores.cache import CacheStore
from django_multistore.stores.cache import probe as cache_probe
from django_multistore.stores.cache.checks import check_cache, check_cache_always
from tests import servers
from tests.support.caches import OddCache, django_valkey
from tests.support.meeting import alias_of, on, store_setting

MONTH = 60 * 60 * 24 * 30
HERE = __name__
BYTES = "django_multistore.serializers.BytesSerializer"
nowhere = (f"valkey://127.0.0.1:1/{number}" for number in itertools.count())


def checked(backend: str, location: Any = "mine", **options: Any) -> list[CheckMessage]:
    entry = {"BACKEND": backend, "LOCATION": location, "KEY_PREFIX": "mysite", "OPTIONS": options}
    with override_settings(CACHES={"sessions": entry}):
        messages = [
            *check_cache_always("web", "sessions"),
            *check_cache("web", "sessions", max_age=MONTH),
        ]
    for message in messages:
        assert "'web'" in message.msg
        assert "'sessions'" in message.msg
        assert message.hint
    return messages


def ids(messages: list[CheckMessage]) -> list[str]:
    return [str(message.id).removeprefix("django_multistore.") for message in messages]


# django-valkey


@pytest.fixture
def _valkey() -> Iterator[None]:
    with django_valkey():
        yield


VALKEY = "django_valkey.cache.ValkeyCache"
VALKEY_OPTIONS = {"SOCKET_CONNECT_TIMEOUT": 1, "SOCKET_TIMEOUT": 1, "SERIALIZER": BYTES}


@pytest.mark.usefixtures("_valkey")
def test_valkey_as_it_should_be() -> None:
    assert checked(VALKEY, next(nowhere), **VALKEY_OPTIONS) == []


@pytest.mark.usefixtures("_valkey")
@pytest.mark.parametrize(
    ("options", "wanted", "hint"),
    [
        ({"IGNORE_EXCEPTIONS": True}, "W003", '"IGNORE_EXCEPTIONS": False'),
        (
            {"CONNECTION_POOL_KWARGS": {"socket_timeout": None}},
            "W004",
            '"SOCKET_TIMEOUT": 1',
        ),
        ({"CLIENT_CLASS": "django_valkey.client.HerdClient"}, "W008", "django_valkey.client.De"),
        ({"CLIENT_CLASS": "django_valkey.client.ShardClient"}, "W008", "django_valkey.client.De"),
        ({"SERIALIZER": "django_valkey.serializers.json.JSONSerializer"}, "E006", '"SERIALIZER"'),
        ({"SERIALIZER": "django_valkey.serializers.pickle.PickleSerializer"}, "W012", BYTES),
    ],
)
def test_options_of_valkey(options: dict[str, Any], wanted: str, hint: str) -> None:
    (message,) = checked(VALKEY, next(nowhere), **VALKEY_OPTIONS | options)
    assert ids([message]) == [wanted]
    assert hint in message.hint


@pytest.mark.usefixtures("_valkey")
def test_valkey_with_replicas_and_eviction() -> None:
    assert ids(checked(VALKEY, [next(nowhere), next(nowhere)], **VALKEY_OPTIONS)) == ["W009"]
    with servers.private("redis", arguments=["--maxmemory-policy", "allkeys-lru"]) as server:
        location = f"valkey://{server.address}/3"
        assert ids(checked(VALKEY, location, **VALKEY_OPTIONS)) == ["W006"]


@pytest.mark.usefixtures("_valkey")
def test_valkey_for_async_code_is_refused() -> None:
    entry = {
        "BACKEND": "django_valkey.async_cache.cache.AsyncValkeyCache",
        "LOCATION": next(nowhere),
    }
    with override_settings(CACHES={"sessions": entry}):
        with pytest.raises(InvalidStore, match=r"'web'.*'sessions'.*async code alone"):
            CacheStore("web", CACHE="sessions")
        caches["sessions"].close = lambda: None  # It would be awaited.


@pytest.mark.fault
@pytest.mark.usefixtures("_valkey")
def test_what_valkey_says_in_an_outage() -> None:
    for ignores in (True, False):
        with servers.private("redis") as server:
            entry = {
                "BACKEND": VALKEY,
                "LOCATION": f"valkey://{server.address}/0",
                "OPTIONS": VALKEY_OPTIONS | {"IGNORE_EXCEPTIONS": ignores},
            }
            with override_settings(CACHES={"sessions": entry}):
                cache = caches["sessions"]
                cache.set_many({"a": b"1"}, 60)
                server.kill()
                if ignores:
                    assert cache.get_many(["a"]) == {}
                else:
                    with pytest.raises(Exception, match="onnect"):
                        cache.get_many(["a"])


# django-bmemcached

BMEMCACHED = "django_bmemcached.memcached.BMemcached"


@pytest.mark.fault
def test_bmemcached_reports_no_outage() -> None:
    pytest.importorskip("django_bmemcached")
    with servers.private("memcached") as server:
        messages = checked(BMEMCACHED, server.address)
        assert ids(messages) == ["W003", "W006", "W012"]
        assert "PyMemcacheCache" in messages[0].hint
        entry = {"BACKEND": BMEMCACHED, "LOCATION": server.address}
        with override_settings(CACHES={"sessions": entry}):
            cache = caches["sessions"]
            assert cache.add("a", b"1", 60)
            server.kill()
            assert cache.get_many(["a"]) == {}
            assert not cache.add("b", b"1", 60)
            # A trial would find the same.
            assert cache_probe._hides_outages(entry, "p")
            cache._cache.disconnect_all()


# Caches in databases


@pytest.mark.parametrize("kind", on("mariadb", transaction=True))
def test_a_cache_of_django_mysql(kind: str) -> None:
    pytest.importorskip("django_mysql.cache")
    store_setting(kind)  # Skips where the server is missing.
    backend = "django_mysql.cache.MySQLCache"
    for options in ({}, {"MAX_ENTRIES": 1_000}):
        messages = checked(backend, **options)
        assert ids(messages) == ["W021", "W006", "W012"]
        assert "OrmStore" in messages[0].hint
        assert '"MAX_ENTRIES": 1_000_000' in messages[1].hint
    for entries in (1_000_000, -1):
        assert ids(checked(backend, MAX_ENTRIES=entries)) == ["W021", "W012"]
    database = alias_of(kind)
    entry = {"BACKEND": backend, "LOCATION": "cache_of_mysql"}
    with (
        override_settings(CACHES={"sessions": entry}, DATABASE_ROUTERS=[To(database)]),
        connections[database].cursor() as cursor,
    ):
        from django_mysql.cache import MySQLCache  # noqa: PLC0415

        cursor.execute(MySQLCache.create_table_sql.format(table_name="cache_of_mysql"))
        try:
            a_rollback_takes_back_what_was_written(database)
        finally:
            cursor.execute("DROP TABLE cache_of_mysql")


@pytest.mark.django_db(transaction=True)
def test_a_cache_of_djangos_in_the_database() -> None:
    backend = "django.core.cache.backends.db.DatabaseCache"
    messages = checked(backend, "cache_of_django")
    assert ids(messages) == ["W003", "W021", "W006", "W012"]
    assert "lives on" in messages[1].msg
    entry = {"BACKEND": backend, "LOCATION": "cache_of_django"}
    with override_settings(CACHES={"sessions": entry}):
        call_command("createcachetable", verbosity=0)
        try:
            a_rollback_takes_back_what_was_written("default")
        finally:
            with connection.cursor() as cursor:
                cursor.execute("DROP TABLE cache_of_django")


class To:
    def __init__(self, database: str) -> None:
        self.database = database

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return self.database

    db_for_write = db_for_read


def a_rollback_takes_back_what_was_written(database: str) -> None:
    cache = caches["sessions"]
    with transaction.atomic(using=database):
        assert cache.add("a", b"1", 60)
        assert cache.get_many(["a"]) == {"a": b"1"}
        transaction.set_rollback(True, using=database)
    assert cache.get_many(["a"]) == {}


# diskcache

DISKCACHE = "diskcache.djangocache.DjangoCache"


@pytest.fixture
def place() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as directory:
        yield directory


def test_diskcache_removes_what_is_too_much(place: str) -> None:
    pytest.importorskip("diskcache")
    messages = checked(DISKCACHE, place)
    assert ids(messages) == ["W003", "W006", "W012"]
    assert "1 GiB" in messages[1].msg
    assert '"eviction_policy": "none"' in messages[1].hint
    assert ids(checked(DISKCACHE, place, eviction_policy="none")) == ["W003", "W012"]


def test_diskcache_finds_nothing_in_a_damaged_file(place: str) -> None:
    pytest.importorskip("diskcache")
    entry = {"BACKEND": DISKCACHE, "LOCATION": place}
    with override_settings(CACHES={"sessions": entry}):
        cache = caches["sessions"]
        assert cache.add("a", b"1", 60)
        for file in Path(place).rglob("cache.db"):
            with sqlite3.connect(file) as shard:
                shard.execute("ALTER TABLE Cache RENAME TO Gone")
            shard.close()
        assert cache.get_many(["a"]) == {}
        cache._cache.close()


# A backend that isn't known


class MyCache(LocMemCache):
    """One of somebody's, that is as it should be."""


class AddsTwice(MyCache):
    def add(self, key: str, value: object, *args: Any, **kwargs: Any) -> bool:
        self.set(key, value, *args, **kwargs)
        return True


class Text(MyCache):
    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        value = super().get(key, default, version)
        return value.decode("latin-1") if isinstance(value, bytes) else value


class MadeNames(MyCache):
    def get_many(self, keys: Any, version: int | None = None) -> dict[str, Any]:
        return {self.make_key(key): value for key, value in super().get_many(keys).items()}


class SaysNothingOfSetMany(MyCache):
    def set_many(self, data: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        super().set_many(data, *args, **kwargs)
        return False


class LosesSetMany(MyCache):
    def set_many(self, data: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        return []


class KeepsAll(MyCache):
    def delete(self, key: str, version: int | None = None) -> bool:
        return True


class KeepsForEver(MyCache):
    def add(self, key: str, value: object, *args: Any, **kwargs: Any) -> bool:
        return super().add(key, value, 60)


class DropsLarge(MyCache):
    def set_many(self, data: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        small = {key: value for key, value in data.items() if len(value) < 2**20}
        return super().set_many(small, *args, **kwargs)


class RaisesLarge(MyCache):
    def set_many(self, data: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        if any(len(value) > 2**20 for value in data.values()):
            raise ValueError
        return super().set_many(data, *args, **kwargs)


class NamesFailures(MyCache):
    def set_many(self, data: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        large = [key for key, value in data.items() if len(value) > 2**20]
        small = {key: value for key, value in data.items() if key not in large}
        super().set_many(small, *args, **kwargs)
        return large


class Empty(BaseCache):
    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)


class Hangs(MyCache):
    def add(self, *args: Any, **kwargs: Any) -> bool:
        time.sleep(3)
        return True


class OddAnswers(OddCache):
    pass


class Hides(MyCache):
    """What finds nothing where no server is."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__("hides", params)
        self.is_there = location == "127.0.0.1:11211"

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        return super().get(key, default, version) if self.is_there else default

    def add(self, *args: Any, **kwargs: Any) -> bool:
        return self.is_there and super().add(*args, **kwargs)


class Raises(Hides):
    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        if not self.is_there:
            raise RuntimeError
        return super().get(key, default, version)


class RaisesOnce(Raises):
    """As pymemcache does by default: a server that has failed is not asked again for a while."""

    errors = 0

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        self.errors += not self.is_there
        return default if self.errors > 1 else super().get(key, default, version)


@pytest.mark.parametrize(
    ("backend", "wanted", "said"),
    [
        (AddsTwice, "E014", "add()"),
        (Text, "E014", "bytes"),
        (MadeNames, "E014", "bytes"),
        (SaysNothingOfSetMany, "E014", "set_many()"),
        (LosesSetMany, "E014", "set_many()"),
        (KeepsAll, "E014", "delete()"),
        (KeepsForEver, "E014", "expire"),
        (DropsLarge, "W023", "too large"),
        (Empty, "W022", "NotImplementedError"),
        (Hides, "W003", "no server"),
        (RaisesOnce, "W003", "no server"),
    ],
)
def test_a_trial(backend: type[Any], wanted: str, said: str) -> None:
    messages = checked(f"{HERE}.{backend.__name__}", "127.0.0.1:11211")
    (message,) = [message for message in messages if message.id.endswith(wanted)]
    assert Counter(ids(messages))[wanted] == 1
    assert said in message.msg
    assert message.is_serious() == wanted.startswith("E")
    assert "CACHES['sessions']['BACKEND']" in message.hint


@pytest.mark.parametrize("backend", [MyCache, RaisesLarge, NamesFailures, Raises, OddAnswers])
def test_a_trial_that_is_passed(backend: type[Any]) -> None:
    messages = checked(f"{HERE}.{backend.__name__}", "127.0.0.1:11211")
    # What its base class is known for, which OddCache doesn't have, nor a prefix.
    assert set(ids(messages)) <= {"W005", "W006", "W010"}


def test_a_trial_leaves_nothing() -> None:
    for backend in (MyCache, DropsLarge):
        checked(f"{HERE}.{backend.__name__}", "left")
        with override_settings(CACHES={"sessions": {"BACKEND": f"{HERE}.MyCache"}}):
            assert not LocMemCache("left", {})._cache


def test_a_trial_takes_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_probe, "PATIENCE", 0.5)
    began = time.monotonic()
    messages = checked(f"{HERE}.Hangs")
    assert "W022" in ids(messages)
    assert time.monotonic() - began < 2.5


@pytest.mark.django_db
def test_no_trial_without_deploy() -> None:
    entry = {"BACKEND": f"{HERE}.AddsTwice", "LOCATION": "mine"}
    with override_settings(CACHES={"sessions": entry}):
        assert CacheStore("web", CACHE="sessions").check() == []
        assert "django_multistore.E014" in [
            message.id for message in CacheStore("web", CACHE="sessions").check(deploy=True)
        ]


@pytest.mark.parametrize(
    ("location", "moved"),
    [
        ("127.0.0.1:11211", "nobody:1"),
        ("cache.example:11211;other.example:11211", "nobody:1"),
        (["cache.example:11211", "other.example:11211"], ["nobody:1"]),
        ("redis://cache.example:6379/1", "redis://nobody:1/1"),
        ("rediss://user:word@cache.example/1?a=b", "rediss://user:word@nobody:1/1?a=b"),
        ("unix:/run/memcached.sock", None),
        ("unix:///run/memcached.sock", None),
        ("/var/cache/site", None),
        ("table", None),
        ("", None),
        (None, None),
        ([], None),
    ],
)
def test_where_nobody_is(location: Any, moved: Any) -> None:
    assert cache_probe._moved(location, "nobody:1") == moved


@pytest.mark.parametrize("options", [{}, {"retry_attempts": 0, "dead_timeout": 0}])
def test_a_real_client_where_nobody_is(options: dict[str, Any]) -> None:
    pytest.importorskip("pymemcache")
    entry = {
        "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
        "LOCATION": "127.0.0.1:11211",
        "OPTIONS": options,
    }
    assert cache_probe._hides_outages(entry, "p") == (not options)
