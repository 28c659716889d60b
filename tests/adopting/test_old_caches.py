"""Django's cache engine: pickled data, an expiry that most caches can't tell."""

from __future__ import annotations

import socket
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.cache import caches
from django.test import override_settings

from django_multistore.adopting.old_engines import OldEngine, find_old_engine
from django_multistore.exceptions import NotSupported
from tests import servers
from tests.support.caches import django_valkey
from tests.support.old_engines.sites import DJANGOS, KEY, NO_KEYS, make_old, open_old, read_old

ENGINE = f"{DJANGOS}cache"
HOUR = timedelta(hours=1)
TELLS_EXPIRY = {"django_redis"}


@pytest.fixture(params=["locmem", "redis", "django_redis", "memcached"])
def alias(request: pytest.FixtureRequest, settings: Any) -> str:
    if request.param not in settings.CACHES:
        servers.require("memcached" if request.param == "memcached" else "redis")
    settings.SESSION_CACHE_ALIAS = request.param
    return str(request.param)


@pytest.fixture
def old(alias: str) -> OldEngine:
    return find_old_engine(ENGINE)


PICKLED = {
    "_auth_user_id": "7",
    "day": date(2026, 11, 29),
    "price": Decimal("1.10"),
    "seen": {1, 2},
    "pair": (1, 2),
    "by number": {1: "a"},
}


def test_pickled_data_come_over_as_they_are(old: OldEngine) -> None:
    key = make_old(ENGINE, PICKLED)
    session = old.load(key)
    assert session is not None
    assert session.data == read_old(ENGINE, key) == PICKLED
    assert type(session.data["pair"]) is tuple
    assert (session.last_seen_at, session.device.user_agent) == (None, "")
    assert abs(session.created_at - datetime.now(UTC)) < timedelta(seconds=9)


@pytest.mark.parametrize("use_tz", [True, False])
def test_the_expiry_is_known_where_the_cache_tells_it(
    old: OldEngine, alias: str, settings: Any, use_tz: bool
) -> None:
    settings.USE_TZ, settings.TIME_ZONE = use_tz, "Europe/Berlin"
    key = make_old(ENGINE, {"a": 1}, 7200)
    session = old.load(key)
    assert session is not None
    assert abs(session.expires_at - datetime.now(UTC) - 2 * HOUR) < timedelta(seconds=9)
    settings.SESSION_COOKIE_AGE = 60  # Which is that of new sessions.
    caches[alias].touch(open_old(ENGINE, key).cache_key, 3600)
    session = old.load(key)
    assert session is not None
    assert session.is_expiry_known is (alias in TELLS_EXPIRY)
    expected = HOUR if alias in TELLS_EXPIRY else 2 * HOUR
    assert abs(session.expires_at - datetime.now(UTC) - expected) < timedelta(seconds=9)


def test_django_valkey_tells_it_too(settings: Any) -> None:
    with django_valkey():
        settings.CACHES = {
            "valkey": {
                "BACKEND": "django_valkey.cache.ValkeyCache",
                "LOCATION": f"valkey://{servers.require('redis')}/1",
            }
        }
        settings.SESSION_CACHE_ALIAS = "valkey"
        old = find_old_engine(ENGINE)
        key = make_old(ENGINE, {"a": 1}, 3600)
        settings.SESSION_COOKIE_AGE = 60
        session = old.load(key)
        assert session is not None
        assert session.is_expiry_known
        assert abs(session.expires_at - datetime.now(UTC) - HOUR) < timedelta(seconds=9)
        assert old.delete(key)


def test_what_is_written_here_the_old_engine_reads(old: OldEngine) -> None:
    old.delete(KEY)
    assert old.create(KEY, PICKLED, None)
    assert read_old(ENGINE, KEY) == PICKLED
    assert not old.create(KEY, {"a": 1}, None)
    assert old.save(KEY, {"b": 1}, None)
    assert read_old(ENGINE, KEY) == {"b": 1}
    assert old.delete(KEY)
    assert not old.delete(KEY)
    assert not old.save(KEY, {"b": 1}, None)
    assert read_old(ENGINE, KEY) == {}


def test_many_are_deleted(old: OldEngine) -> None:
    keys = [make_old(ENGINE) for _ in range(3)]
    old.delete_many([])
    old.delete_many(keys[:2])
    assert [old.load(key) is None for key in keys] == [True, True, False]


@pytest.mark.parametrize("number", range(len(NO_KEYS)))
def test_what_can_t_be_a_key_is_nobody_s(old: OldEngine, number: int) -> None:
    key = NO_KEYS[number]
    assert old.load(key) is None
    assert not old.save(key, {}, None)
    assert not old.create(key, {}, None)
    assert not old.delete(key)


@pytest.mark.parametrize("entry", [b"\x80\x04garbage", b"cno_such_module\nThing\n."])
def test_what_no_process_here_can_unpickle_is_unreadable(entry: bytes, settings: Any) -> None:
    settings.SESSION_CACHE_ALIAS = "locmem"
    key = make_old(ENGINE)
    cache: Any = caches["locmem"]
    cache._cache[cache.make_key(open_old(ENGINE, key).cache_key)] = entry
    assert find_old_engine(ENGINE).load(key) is None


def test_what_is_no_session_is_none(old: OldEngine, alias: str) -> None:
    caches[alias].set(f"django.contrib.sessions.cache{KEY}", "text")
    assert old.load(KEY) is None
    old.delete(KEY)


@pytest.mark.parametrize("alias", ["redis", "django_redis", "memcached"], indirect=True)
def test_an_outage_is_no_end(alias: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        entry = dict(django_settings.CACHES[alias])
        scheme = "" if alias == "memcached" else "redis://"
        entry["LOCATION"] = f"{scheme}127.0.0.1:{port}"
        with override_settings(CACHES={alias: entry}):
            old = find_old_engine(ENGINE)
            for act in (
                lambda: old.load(KEY),
                lambda: old.save(KEY, {}, None),
                lambda: old.create(KEY, {}, None),
                lambda: old.delete(KEY),
            ):
                with pytest.raises(Exception, match=r"refused|[Cc]onnect"):
                    act()


def test_a_cache_can_t_be_searched(old: OldEngine) -> None:
    for search in (lambda: old.scan("", 1), old.count, lambda: old.keys_of_user("7")):
        with pytest.raises(NotSupported, match="when their visitors come"):
            search()


def test_what_is_missing_is_told(old: OldEngine, settings: Any) -> None:
    assert old.missing() is None
    settings.SESSION_CACHE_ALIAS = "gone"
    assert "the cache 'gone', which CACHES doesn't" in str(old.missing())
