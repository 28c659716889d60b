"""A value that a cache's serializer can't read is no session, and no outage."""

from __future__ import annotations

import bz2
import gzip
import json
import logging
import secrets
import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.utils import timezone

from django_multistore.engine import SessionStore
from django_multistore.exceptions import StoreUnavailable
from django_multistore.models import UserSession
from django_multistore.records import Outcome, SessionRecord, key_of
from django_multistore.stores import stores
from django_multistore.stores.cache import CacheStore
from django_multistore.stores.cache.cells import DEAD
from django_multistore.stores.cache.replies import may_be_a_value
from django_multistore.stores.indexed import users as cache_users
from django_multistore.testing import Calls, make_record
from tests import servers
from tests.support.caches import django_valkey
from tests.support.meeting import cache_store_on, saved

pytestmark = [pytest.mark.elsewhere, pytest.mark.django_db(transaction=True)]

GARBAGE = b"\x00no pickle, no JSON, no text \xff"
BYTES = "django_multistore.serializers.BytesSerializer"
DJANGO_REDIS = "django_redis.cache.RedisCache"
VALKEY = "django_valkey.cache.ValkeyCache"


class JSONSerializer:
    def __init__(self, options: object = None) -> None:
        pass

    def dumps(self, value: bytes) -> bytes:
        return json.dumps(value.decode("latin-1")).encode()

    def loads(self, data: bytes) -> bytes:
        return str(json.loads(data)).encode("latin-1")


class BZ2Serializer:
    """One that raises an OSError for what isn't its own, as gzip does."""

    def __init__(self, options: object = None) -> None:
        pass

    def dumps(self, value: bytes) -> bytes:
        return bz2.compress(value)

    def loads(self, data: bytes) -> bytes:
        return bz2.decompress(data)


class GarbageSerde:
    """Write what pymemcache's own would unpickle."""

    def serialize(self, key: object, value: bytes) -> tuple[bytes, int]:
        return value, 1

    def deserialize(self, key: object, value: bytes, flags: int) -> bytes:
        return value


REDIS = {
    "BACKEND": "django.core.cache.backends.redis.RedisCache",
    "LOCATION": "redis://{}/0",
}
# A cache, and what the same is as that writes garbage there.
KINDS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "redis": ("redis", REDIS, REDIS | {"OPTIONS": {"serializer": BYTES}}),
    "redis, JSON": (
        "redis",
        REDIS | {"OPTIONS": {"serializer": f"{__name__}.JSONSerializer"}},
        REDIS | {"OPTIONS": {"serializer": BYTES}},
    ),
    "redis, bz2": (
        "redis",
        REDIS | {"OPTIONS": {"serializer": f"{__name__}.BZ2Serializer"}},
        REDIS | {"OPTIONS": {"serializer": BYTES}},
    ),
    "django-redis": (
        "redis",
        REDIS | {"BACKEND": DJANGO_REDIS},
        REDIS | {"BACKEND": DJANGO_REDIS, "OPTIONS": {"SERIALIZER": BYTES}},
    ),
    "memcached": (
        "memcached",
        {
            "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
            "LOCATION": "{}",
        },
        {
            "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
            "LOCATION": "{}",
            "OPTIONS": {"serde": GarbageSerde()},
        },
    ),
    "django-valkey": (
        "redis",
        REDIS | {"BACKEND": VALKEY},
        REDIS | {"BACKEND": VALKEY, "OPTIONS": {"SERIALIZER": BYTES}},
    ),
    "locmem": ("", {"BACKEND": f"{__name__}.UnreadableCache", "LOCATION": "unreadable"}, {}),
}


class UnreadableCache(LocMemCache):
    """LocMemCache, to which garbage can be given."""

    def garble(self, name: str) -> None:
        self.set(name, b"", 60)
        self._cache[self.make_key(name)] = GARBAGE


@pytest.fixture
def valkey() -> Iterator[None]:
    with django_valkey():
        yield


@pytest.fixture(params=KINDS)
def cache(request: pytest.FixtureRequest, settings: Any) -> Iterator[Any]:
    if request.param == "django-valkey":
        request.getfixturevalue("valkey")
    server, entry, other = KINDS[request.param]
    address = servers.require(server) if server else ""
    prefix = {"KEY_PREFIX": f"{django_settings.RUN.name}{secrets.token_hex(4)}"}
    settings.CACHES = {
        alias: each | prefix | {"LOCATION": each["LOCATION"].format(address)}
        for alias, each in (("sessions", entry), ("garbage", other or entry))
    }
    settings.SESSION_STORES = cache_store_on("default", CACHE="sessions")
    yield caches["sessions"]
    for alias in ("sessions", "garbage"):
        caches[alias].close()


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def calls(request: pytest.FixtureRequest, cache: Any) -> Any:
    return Calls(CacheStore("default", CACHE="sessions"), is_async=request.param)


def of_user(**changes: Any) -> SessionRecord:
    return make_record(**{"user_id": "7", "authenticated_at": timezone.now(), **changes})


def garble(key: str, *kinds: str) -> None:
    for kind in kinds or ("s:",):
        if isinstance(caches["sessions"], UnreadableCache):
            caches["sessions"].garble(f"{kind}{key}")
        else:
            assert not caches["garbage"].set_many({f"{kind}{key}": GARBAGE}, 60)


def expect_one_line(caplog: Any, key: str) -> None:
    (line,) = [each for each in caplog.records if each.name == "django.security.SuspiciousSession"]
    assert "'default'" in line.getMessage()
    assert key not in caplog.text
    caplog.clear()


def test_it_is_none_with_one_line_in_the_log(calls: Any, caplog: Any) -> None:
    record = of_user()
    assert calls.create(record)
    garble(record.key)
    with caplog.at_level(logging.WARNING):
        assert calls.read(record.key) is None
        expect_one_line(caplog, record.key)
        assert calls.update(record) is Outcome.GONE
        expect_one_line(caplog, record.key)
    assert calls.create(of_user(key=record.key)) is False


def test_a_tombstone_that_cannot_be_read_is_one(calls: Any) -> None:
    record = of_user()
    assert calls.create(record)
    garble(record.key, "t:")
    assert calls.read(record.key) is None
    assert calls.update(replace(record, version=None)) is Outcome.GONE
    garble(record.key, "t:", "s:")
    assert calls.read(record.key) is None


def test_a_save_that_meets_such_a_tombstone_takes_back_what_it_wrote(calls: Any) -> None:
    record = of_user()
    assert calls.create(record)

    def ended(stored: SessionRecord) -> SessionRecord:
        garble(record.key, "t:")
        return stored

    assert calls.modify(record.key, ended) is Outcome.GONE
    assert caches["sessions"].get(f"s:{record.key}") is None


def test_the_others_are_listed_and_all_can_be_ended(calls: Any) -> None:
    records = [of_user() for _ in range(9)]
    for record in records:
        assert calls.create(record)
    broken = records[3::5]
    for record in broken:
        garble(record.key)
    rest = {record.id for record in records} - {record.id for record in broken}
    assert {record.id for record in calls.sessions_for_user("7")} == rest
    page = calls.page_for_user("7", start=0, size=20)
    assert {record.id for record in page.records} == rest
    assert calls.destroy(broken[0].key) is False
    assert caches["sessions"].get(f"s:{broken[0].key}") == DEAD
    assert calls.destroy_for_user("7") == len(rest)
    for record in records:
        assert caches["sessions"].get(f"s:{record.key}") == DEAD
        assert caches["sessions"].get(f"t:{record.key}") == DEAD
    assert not UserSession.objects.exists()


def test_one_can_be_ended_by_its_name(calls: Any) -> None:
    record = of_user()
    assert calls.create(record)
    garble(record.key)
    assert calls.destroy_session("7", record.id) is False
    assert caches["sessions"].get(f"t:{record.key}") == DEAD
    assert not UserSession.objects.exists()


def test_gc_leaves_to_others_what_they_may_read(
    calls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be gc that has other settings than the site."""
    monkeypatch.setattr(cache_users, "IN_FLIGHT", -timedelta(minutes=1))
    record, other = of_user(), of_user()
    for each in (record, other):
        assert calls.create(each)
    garble(record.key)
    assert calls.gc() == 0
    assert calls.read(other.key) is not None
    UserSession.objects.filter(key=record.key).update(expires_at=timezone.now())
    assert calls.gc() == 1
    assert UserSession.objects.get().key == other.key


def test_a_lock_that_cannot_be_read_is_anothers(cache: Any) -> None:
    store = CacheStore("default", CACHE="sessions", LOCK_SECONDS=2)
    record = of_user()
    store.create(record)
    garble(record.key, "l:")
    with pytest.raises(StoreUnavailable, match="other requests were saving"):
        store.update(record)


def test_the_visitor_gets_a_new_session(cache: Any) -> None:
    session_key = saved(_auth_user_id="7")
    garble(key_of(session_key))
    session = SessionStore(session_key)
    assert dict(session.items()) == {}
    session["cart"] = 1
    session.save()
    assert session.session_key != session_key
    assert stores["default"].read(session.key) is not None


# Outages that look like it.


class FlakyError(Exception):
    """Of a client library, and no OSError."""


class FlakyCache(LocMemCache):
    """A cache that fails as often as it shall."""

    failures = 0

    def _answer(self, name: str, *args: Any) -> Any:
        if FlakyCache.failures > 0:
            FlakyCache.failures -= 1
            raise FlakyError
        return getattr(LocMemCache, name)(self, *args)

    def get_many(self, keys: Any, version: int | None = None) -> Any:
        return self._answer("get_many", keys)

    def touch(self, *args: Any) -> Any:
        return self._answer("touch", *args)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_an_outage_stays_one(is_async: bool, settings: Any) -> None:
    settings.CACHES = {"sessions": {"BACKEND": f"{__name__}.FlakyCache", "LOCATION": "flaky"}}
    calls = Calls(CacheStore("default", CACHE="sessions"), is_async=is_async)
    record = of_user()
    assert calls.create(record)
    FlakyCache.failures = 10_000
    try:
        for act in (
            lambda: calls.read(record.key),
            lambda: calls.sessions_for_user("7"),
            lambda: calls.destroy_for_user("7"),
        ):
            with pytest.raises(StoreUnavailable, match="FlakyError"):
                act()
        for failures in (1, 2):  # It is over before it was noticed.
            FlakyCache.failures = failures
            assert calls.read(record.key) == record
    finally:
        FlakyCache.failures = 0


def test_a_line_that_is_cut_is_asked_once(settings: Any) -> None:
    """Each further question would wait for its timeout."""
    asked = 0

    def cut(self: Any, *args: Any) -> Any:
        nonlocal asked
        asked += 1
        try:
            raise TimeoutError
        except TimeoutError:
            raise FlakyError from None

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(FlakyCache, "get_many", cut)
        settings.CACHES = {"sessions": {"BACKEND": f"{__name__}.FlakyCache", "LOCATION": "cut"}}
        with pytest.raises(StoreUnavailable):
            CacheStore("default", CACHE="sessions").read("0" * 40)
    assert asked == 1


@pytest.mark.parametrize(
    ("error", "is_outage"),
    [
        (OSError("Invalid data stream"), False),
        (gzip.BadGzipFile("Not a gzipped file"), False),
        (OSError(113, "No route to host"), True),
        (FileNotFoundError(2, "No such file or directory"), True),
        (TimeoutError("timed out"), True),
        (ConnectionError("closed"), True),
        (socket.gaierror(-2, "Name or service not known"), True),
    ],
    ids=repr,
)
def test_which_errors_are_a_sockets(error: OSError, is_outage: bool) -> None:
    assert may_be_a_value(error) is not is_outage


def test_a_chain_of_errors_that_is_a_ring() -> None:
    """As django-redis makes it, which raises an error's cause while it handles the error."""
    for cause, is_outage in ((FlakyError(), False), (ConnectionError(), True)):
        interrupted = KeyError()
        interrupted.__cause__, cause.__context__ = cause, interrupted
        assert may_be_a_value(cause) is not is_outage
        assert may_be_a_value(interrupted) is not is_outage
