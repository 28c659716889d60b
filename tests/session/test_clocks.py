"""A host whose clock is wrong, beside others whose clocks are right."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.db import connections, transaction
from django.utils import timezone

from django_multistore.engine import SessionStore
from django_multistore.exceptions import StoreUnavailable
from django_multistore.records import Limit, Outcome
from django_multistore.stores import stores
from django_multistore.stores.orm.locks import compute_lock_number
from django_multistore.testing import make_record
from tests.support.helpers import Clock
from tests.support.meeting import (
    MEMORY,
    REDIS,
    actors,
    alias_of,
    data_of,
    expire,
    on,
    saved,
    store_setting,
    with_index_on,
)
from tests.support.pgbouncer import pgbouncer

DATABASES = ("postgres", "mariadb")
CACHES = with_index_on("postgres", ("memcached", "redis"))
EVERYWHERE = pytest.mark.parametrize("kind", on(MEMORY, "sqlite", *DATABASES, *CACHES, *REDIS))
# Where the clock that counts is not the host's.
ELSEWHERE = pytest.mark.parametrize("kind", on(*DATABASES, *CACHES, *REDIS))
SKEWS = pytest.mark.parametrize("minutes", [540, 35, -35, -540])

Call = Callable[[Any], Any]


@pytest.fixture(autouse=True)
def store(kind: str, settings: Any) -> None:
    settings.SESSION_STORES = store_setting(kind)
    settings.SESSION_COOKIE_AGE = 1800


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("django.utils.timezone.now", clock)
    return clock


@contextmanager
def wrong(clock: Clock, minutes: int) -> Iterator[None]:
    """Act as a host whose clock is ahead by so much, or behind."""
    clock.advance(minutes=minutes)
    try:
        with suppress(UpdateError, SessionInterrupted):  # It may refuse to serve.
            yield
    finally:
        clock.advance(minutes=-minutes)


def load(session: Any, call: Call) -> None:
    call(session).load()


def change(session: Any, call: Call) -> None:
    call(session).load()
    session["more"] = 1
    call(session).save()


def overwrite(session: Any, call: Call) -> None:
    session.clear()
    session["more"] = 1
    call(session).save()


def save_unchanged(session: Any, call: Call) -> None:
    call(session).get("n")
    call(session).save()


def renew(session: Any, call: Call) -> None:
    call(session).get("n")
    session.modified = True
    call(session).save()


def touch(session: Any, call: Call) -> None:
    call(session).get("n")
    call(session).touch()


def rotate(session: Any, call: Call) -> None:
    call(session).get("n")
    call(session).cycle_key()


DEEDS = [load, change, overwrite, save_unchanged, renew, touch, rotate]
EXPIRIES: dict[str, Callable[[], Any]] = {
    "as the settings say": lambda: None,
    "seconds": lambda: 1800,
    "a timedelta": lambda: timedelta(minutes=30),
    "a datetime": lambda: timezone.now() + timedelta(minutes=30),
}


@EVERYWHERE
@SKEWS
@pytest.mark.parametrize("deed", DEEDS)
def test_no_host_s_clock_ends_a_session_for_others(
    call: Call, clock: Clock, deed: Any, minutes: int, settings: Any
) -> None:
    if deed is overwrite and minutes < 0:
        return  # Without a look it writes the times of a session that began by its clock.
    settings.SESSION_ABSOLUTE_AGE = 8 * 3600
    for expiry in EXPIRIES.values():
        session = SessionStore()
        session["n"] = 1
        session.set_expiry(expiry())
        session.save()
        there = SessionStore(session.session_key)
        with wrong(clock, minutes):
            deed(there, call)
        keys = {session.session_key, there.session_key}
        assert any(data_of(key) is not None for key in keys if key)
        # And by what has been stored it goes on to live.
        key = next(key for key in keys if key and data_of(key) is not None)
        clock.advance(minutes=25)
        here = SessionStore(key)
        if data_of(key) is not None:
            call(here).get("n")
            call(here).save()
        clock.advance(minutes=-25)
        assert data_of(key) is not None


@ELSEWHERE
@SKEWS
def test_gc_removes_what_is_over_by_the_store_s_clock(
    call: Call, clock: Clock, minutes: int
) -> None:
    living = [saved(n=n, _auth_user_id="7") for n in range(3)]
    with wrong(clock, minutes):
        call(SessionStore).clear_expired()
    assert [data_of(key) is not None for key in living] == [True] * 3
    listed = stores["default"].sessions_for_user("7")
    assert len([each for each in listed if each.user_id == "7"]) >= 3


@pytest.mark.parametrize("kind", on(*DATABASES))
def test_what_is_over_by_the_store_s_clock_takes_nobody_s_place(call: Call, clock: Clock) -> None:
    old = saved(_auth_user_id="7")
    expire(saved(_auth_user_id="7"))
    record = make_record(user_id="7")
    with wrong(clock, -540):
        admission = call(stores["default"]).admit(None, record, Limit(most=2, evicts=True))
    assert admission.evicted == ()
    assert data_of(old) is not None


@EVERYWHERE
def test_a_renewal_is_not_undone_by_an_older_look(call: Call, clock: Clock, settings: Any) -> None:
    key = saved(a=1)
    clock.advance(minutes=10)
    reader, renewing = SessionStore(key), SessionStore(key)
    for session in (reader, renewing):
        assert session["a"] == 1
    renewing.modified = True
    call(renewing).save()
    until = stores["default"].read(renewing.key).expires_at
    clock.advance(seconds=-5)  # The reader's request was the first, and its touch comes last.
    call(reader).touch()
    assert stores["default"].read(renewing.key).expires_at == until
    assert stores["default"].read(renewing.key).last_seen_at == renewing.record.last_seen_at
    clock.advance(minutes=28)
    assert data_of(key) == {"a": 1}


@pytest.mark.parametrize("kind", on(*REDIS))
def test_what_a_fast_clock_has_seen_does_not_keep_redis_from_renewing(
    call: Call, clock: Clock, settings: Any
) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = True
    key = saved(a=1)
    with wrong(clock, 540):
        touch(SessionStore(key), call)
    session = SessionStore(key)
    assert session["a"] == 1
    store: Any = stores["default"]
    name = store._protocol.session_name(session.key)
    store._client.call("PEXPIRE", name, 60_000)  # So long ago was that.
    call(session).touch()
    assert store._client.call("PTTL", name) > 1_790_000


@pytest.mark.parametrize("kind", on(*DATABASES, *CACHES, *REDIS))
@pytest.mark.parametrize(
    ("seconds", "side"), [(0, ""), (20, ""), (50, "ahead of"), (-50, "behind")]
)
def test_a_clock_that_is_not_the_store_s_is_said(clock: Clock, seconds: int, side: str) -> None:
    clock.advance(seconds=seconds)
    found = [
        message
        for message in stores["default"].check(deploy=True)
        if message.id == "django_multistore.W028"
    ]
    clock.advance(seconds=-seconds)
    assert len(found) == bool(side)
    for message in found:
        assert re.search(rf"'default': this host's clock is (49|5.) s {side} that of ", message.msg)
        assert message.hint == "Have both clocks set by NTP."


@EVERYWHERE
def test_a_past_expiry_that_was_asked_for_ends_it(call: Call, clock: Clock) -> None:
    for minutes in (0, 20, -20):
        for expiry in (-1, -timedelta(seconds=1), timezone.now() - timedelta(hours=2)):
            key = saved(a=1)
            with wrong(clock, minutes):
                session = SessionStore(key)
                call(session).get("a")
                call(session).set_expiry(expiry)
                call(session).save()
            assert data_of(key) is None


@pytest.mark.parametrize("kind", on(*DATABASES, transaction=True))
@pytest.mark.parametrize("is_in_transaction", [False, True])
def test_a_turn_is_not_waited_for_without_end(
    kind: str, monkeypatch: pytest.MonkeyPatch, is_in_transaction: bool
) -> None:
    monkeypatch.setattr("django_multistore.stores.orm.locks.PATIENCE", 1)
    store, limit = stores["default"], Limit(most=2, evicts=True)
    record = make_record(user_id="7")
    locks = {
        "postgresql": ("SELECT pg_advisory_lock(%s)", "SELECT pg_advisory_unlock(%s)", "%s"),
        "mysql": ("SELECT GET_LOCK(%s, 5)", "DO RELEASE_LOCK(%s)", "multistore:%s"),
    }
    alias = alias_of(kind)

    def run(sql: str, name: str) -> None:
        with connections[alias].cursor() as cursor:
            cursor.execute(sql, [int(name) if name.lstrip("-").isdigit() else name])

    def timeout() -> Any:
        if connections[alias].vendor != "postgresql":
            return None
        with connections[alias].cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            return cursor.fetchone()

    with actors(alias, 2) as (holder, waiter):
        lock, unlock, form = locks[connections[alias].vendor]
        name = form % compute_lock_number("7")
        holder.does(run, lock, name)

        def log_in() -> None:
            if not is_in_transaction:
                store.admit(None, record, limit)
                return
            with transaction.atomic(using=alias):
                before = timeout()
                with pytest.raises(StoreUnavailable) as caught:
                    store.admit(None, record, limit)
                assert not caught.value.loses_transaction
                # The site's transaction is whole.
                assert timeout() == before
                store.create(replace(record, user_id="8"))
            raise caught.value

        try:
            with pytest.raises(StoreUnavailable, match=r"Session store 'default'.*still open"):
                waiter.does(log_in)
        finally:
            holder.does(run, unlock, name)
        assert (store.read(record.key) is not None) == is_in_transaction


@pytest.mark.parametrize("kind", on("postgres", transaction=True))
def test_a_turn_through_a_pooler(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lends a server connection for a transaction, and the lock is the transaction's."""
    monkeypatch.setattr("django_multistore.stores.orm.locks.PATIENCE", 1)
    alias, store, limit = alias_of(kind), stores["default"], Limit(most=2, evicts=True)
    entry = connections[alias].settings_dict
    with pgbouncer(f"{entry['HOST']}:{entry['PORT']}", "default_pool_size = 3") as pooler:
        host, port = pooler.address.split(":")
        with monkeypatch.context() as through, actors(alias, 2) as (holder, waiter):
            through.setitem(entry, "HOST", host)
            through.setitem(entry, "PORT", port)
            holder.begins()
            first = make_record(user_id="7")
            assert holder.does(store.admit, None, first, limit).outcome is Outcome.DONE
            with pytest.raises(StoreUnavailable, match="still open"):
                waiter.does(store.admit, None, make_record(user_id="7"), limit)
            holder.ends(commit=True)
            # Nobody has kept it.
            for actor in (waiter, holder):
                record = make_record(user_id="7")
                admission = actor.does(store.admit, None, record, limit)
                assert admission.outcome is Outcome.DONE
            assert len(waiter.does(store.sessions_for_user, "7")) == 2
