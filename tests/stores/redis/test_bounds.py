"""Nobody keeps an operation of RedisStore from its end: not by logins, rotations or renewals."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.utils import timezone

from django_multistore.exceptions import StoreUnavailable
from django_multistore.records import Limit, Outcome, SessionRecord, new_id
from django_multistore.stores.redis import RedisStore, cluster_users, protocol, scripts, server
from django_multistore.stores.redis.client import base
from django_multistore.stores.redis.client.server import ServerClient
from django_multistore.stores.redis.scripts import Script
from django_multistore.testing import Calls, make_record
from tests.support import redis_stores
from tests.support.redis_stores import RoundTrips, cluster_store, new_key, server_store

pytestmark = pytest.mark.elsewhere

PATIENCE = 12  # attempts, instead of 100
STAYS = "'mine': Sessions of the user have ended, but maybe not all: try once more"
MOVES = "'mine': The session kept moving to other keys.*try once more"
MOST = 300  # round trips, after which an operation is taken for one without an end

trips = redis_stores.trips


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "ATTEMPTS", PATIENCE)
    for module in (protocol, server, cluster_users):
        monkeypatch.setattr(module, "BATCH", 8)
    monkeypatch.setattr(server, "IN_A_SCRIPT", 4)


@contextmanager
def interfering(
    wanted: Script | str, interfere: Callable[[Any, Any], object], *, before: bool = False
) -> Iterator[None]:
    """Have somebody do something after each command of one kind, or before it."""
    exchange, count, is_busy = ServerClient._exchange, 0, False

    def is_wanted(command: Any) -> bool:
        return command[0] == wanted or (isinstance(wanted, Script) and command[1] == wanted.digest)

    def exchange_and_interfere(self: ServerClient, commands: Any) -> Any:
        nonlocal count, is_busy
        if is_busy:
            return exchange(self, commands)
        count += 1
        assert count < MOST, "it has no end"
        replies = [None] * len(commands) if before else exchange(self, commands)
        is_busy = True
        for command, reply in zip(commands, replies, strict=True):
            if is_wanted(command):
                interfere(command, reply)
        is_busy = False
        return exchange(self, commands) if before else replies

    with patch.object(ServerClient, "_exchange", exchange_and_interfere):
        yield


def logged_in(store: RedisStore, user_id: str, count: int, **changes: Any) -> list[SessionRecord]:
    made = [make_record(user_id=user_id, **changes) for _ in range(count)]
    for record in made:
        assert store.create(record)
    return made


def in_some_days(days: int) -> dict[str, Any]:
    return {"expires_at": timezone.now() + timedelta(days=days)}


# Logins without an end.


def test_more_logins_than_a_server_can_end() -> None:
    store, user_id = server_store(), str(new_id())
    mine = logged_in(store, user_id, 30)

    def log_in(*_: Any) -> None:
        logged_in(store, user_id, 5, **in_some_days(3))

    with (
        interfering(scripts.END_USER, log_in),
        pytest.raises(StoreUnavailable, match=STAYS),
    ):
        store.destroy_for_user(user_id)
    for record in mine:
        assert store.read(record.key) is None
    assert store.destroy_for_user(user_id)
    assert store.sessions_for_user(user_id) == []


def test_a_login_at_each_look_on_a_cluster() -> None:
    store, user_id = cluster_store(), str(new_id())
    mine, latest = logged_in(store, user_id, 5), []

    def log_in(*_: Any) -> None:
        latest[:] = logged_in(store, user_id, 1)

    with interfering("ZRANGE", log_in):
        assert store.destroy_for_user(user_id, except_key=mine[0].key) >= 4
    assert store.read(mine[0].key) == mine[0]
    for record in mine[1:]:
        assert store.read(record.key) is None
    listed = {record.key for record in store.sessions_for_user(user_id)}
    assert listed <= {mine[0].key, latest[0].key}
    store.destroy_for_user(user_id)


def test_more_logins_than_a_cluster_can_end() -> None:
    store, user_id = cluster_store(), str(new_id())
    mine = logged_in(store, user_id, 20)

    def log_in(*_: Any) -> None:
        logged_in(store, user_id, 10, **in_some_days(3))

    with (
        interfering("ZRANGE", log_in),
        pytest.raises(StoreUnavailable, match=STAYS),
    ):
        store.destroy_for_user(user_id)
    for record in mine:
        assert store.read(record.key) is None
    with patch.object(protocol, "AT_ONCE", 1_000):
        store.destroy_for_user(user_id)
    assert store.sessions_for_user(user_id) == []


@pytest.mark.parametrize("made", [server_store, cluster_store], ids=["server", "cluster"])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_logins_from_everywhere(
    made: Callable[[], RedisStore], is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attacker who has the password, in four threads."""
    monkeypatch.undo()
    store, user_id = made(), str(new_id())
    mine, is_over = logged_in(store, user_id, 10), threading.Event()

    def log_in() -> None:
        while not is_over.is_set():
            # Which finds its key barred, if it had taken but its first step.
            store.create(make_record(user_id=user_id))

    threads = [threading.Thread(target=log_in, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    ended: list[int] = []
    ending = threading.Thread(
        target=lambda: ended.append(Calls(store, is_async=is_async).destroy_for_user(user_id)),
        daemon=True,
    )
    began = time.monotonic()
    ending.start()
    ending.join(20)
    is_over.set()
    for thread in threads:
        thread.join()
    assert ended, "it has no end"
    assert ended[0] >= len(mine)
    assert time.monotonic() - began < 20
    for record in mine:
        assert store.read(record.key) is None
    store.destroy_for_user(user_id)


@pytest.mark.parametrize("made", [server_store, cluster_store], ids=["server", "cluster"])
def test_a_list_that_grows_as_it_is_read(made: Callable[[], RedisStore]) -> None:
    store, user_id = made(), str(new_id())
    logged_in(store, user_id, 20)
    days = iter(range(2, 10_000))

    def log_in(*_: Any) -> None:
        logged_in(store, user_id, 10, **in_some_days(next(days)))

    wanted = "ZRANGE" if made is cluster_store else scripts.LIST_USER
    with (
        interfering(wanted, log_in),
        pytest.raises(StoreUnavailable, match="'mine': New sessions of the user kept coming in"),
    ):
        store.sessions_for_user(user_id)
    with patch.object(protocol, "AT_ONCE", 1_000):
        assert len(store.sessions_for_user(user_id)) > 20
        store.destroy_for_user(user_id)


# Rotations without an end.


class Walker:
    """A session that moves whenever it is asked to."""

    def __init__(self, store: RedisStore) -> None:
        self.store = store
        (self.record,) = logged_in(store, str(new_id()), 1)
        self.user_id = str(self.record.user_id)

    def move(self, *_: Any) -> None:
        new = replace(self.record, key=new_key(), version=None)
        if self.store.rotate(self.record.key, new) is Outcome.DONE:
            self.record = new

    def is_alive(self) -> bool:
        return self.store.read(self.record.key) is not None


def test_a_session_that_moves_at_each_look_on_a_server() -> None:
    """Nothing moves while a script looks."""
    walker = Walker(server_store())
    with interfering(scripts.END_ONE, walker.move, before=True):
        assert walker.store.destroy_session(walker.user_id, walker.record.id)
    assert not walker.is_alive()


def test_an_index_that_grows_as_one_session_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LOOKED_AT", 4)
    store, user_id = server_store(), str(new_id())
    logged_in(store, user_id, 20)
    days = iter(range(2, 10_000))

    def log_in(*_: Any) -> None:
        logged_in(store, user_id, 5, **in_some_days(next(days)))

    with (
        interfering(scripts.END_ONE, log_in),
        pytest.raises(StoreUnavailable, match="'mine': New sessions of the user kept coming in"),
    ):
        store.destroy_session(user_id, new_id())
    with patch.object(protocol, "AT_ONCE", 1_000):
        assert store.destroy_session(user_id, new_id()) is False
        store.destroy_for_user(user_id)


def test_a_session_that_moves_at_each_look_on_a_cluster() -> None:
    for end in (
        lambda walker: walker.store.destroy_session(walker.user_id, walker.record.id),
        lambda walker: walker.store.destroy_for_user(walker.user_id),
    ):
        walker = Walker(cluster_store())

        def flee(command: Any, reply: Any, walker: Walker = walker) -> None:
            if reply[0] == b"moved":
                walker.move()

        walker.move()  # Or it would end at once.
        # Nobody finds the new key in the index, but by the tombstone.
        index = walker.store._protocol.index_name(walker.user_id)

        def hide(command: Any, reply: Any, walker: Walker = walker, index: bytes = index) -> None:
            walker.store._client.call("ZREM", index, bytes.fromhex(walker.record.key))

        hide(None, None)
        with (
            interfering(scripts.CLUSTER_END_OF_USER, flee),
            interfering(scripts.CLUSTER_LIST, hide),
            pytest.raises(StoreUnavailable, match=MOVES),
        ):
            end(walker)
        with patch.object(protocol, "AT_ONCE", MOST):
            assert end(walker)
        assert not walker.is_alive()


def test_a_list_that_follows_a_session_on_a_cluster() -> None:
    walker = Walker(cluster_store())
    with (
        interfering("GETRANGE", walker.move, before=True),
        pytest.raises(StoreUnavailable, match=MOVES),
    ):
        walker.store.sessions_for_user(walker.user_id)
    with patch.object(protocol, "AT_ONCE", MOST):
        (listed,) = walker.store.sessions_for_user(walker.user_id)
    assert listed.key == walker.record.key
    assert walker.store.destroy_for_user(walker.user_id)
    assert not walker.is_alive()


def test_tombstones_that_name_each_other() -> None:
    """Which nobody writes but by mistake."""
    store, user_id = cluster_store(), str(new_id())
    one, other = logged_in(store, user_id, 2)
    (stays,) = logged_in(store, user_id, 1)
    for old, new in ((one, other), (other, one)):
        name = store._protocol.session_name(old.key)
        value = store._client.call("GET", name)
        tombstone = b"\3" + value[1 : 62 + len(user_id)] + bytes.fromhex(new.key)
        store._client.call("SET", name, tombstone)
    assert [found.key for found in store.sessions_for_user(user_id)] == [stays.key]
    assert store.destroy_session(user_id, one.id) is False
    assert store.destroy_for_user(user_id) == 1
    assert store.sessions_for_user(user_id) == []


# What is bounded by what was there takes as long as that.


@pytest.mark.parametrize("made", [server_store, cluster_store], ids=["server", "cluster"])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_very_many_sessions_are_no_trouble(made: Callable[[], RedisStore], is_async: bool) -> None:
    store, user_id = made(), str(new_id())
    calls, mine = Calls(store, is_async=is_async), logged_in(store, user_id, 400)
    assert len(calls.sessions_for_user(user_id)) == 400
    assert calls.destroy_for_user(user_id, except_key=mine[7].key) == 399
    assert [found.key for found in calls.sessions_for_user(user_id)] == [mine[7].key]
    assert calls.destroy_for_user(user_id) == 1


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_login_evicts_all_that_are_too_many(
    is_async: bool, trips: RoundTrips, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "IN_A_SCRIPT", 250)
    monkeypatch.setattr(server, "BATCH", 1_000)
    store, user_id = server_store(), str(new_id())
    logged_in(store, user_id, 1_300, authenticated_at=timezone.now() - timedelta(days=1))
    fresh = make_record(user_id=user_id, authenticated_at=timezone.now())
    store._client.call("SCRIPT", "LOAD", scripts.EVICT.text)
    with trips.are(1, 1, 1, 1, 1, 1, 1, 4, 2):
        admission = Calls(store, is_async=is_async).admit(None, fresh, Limit(most=3, evicts=True))
    assert admission.outcome is Outcome.DONE
    assert len(admission.evicted) == 1_298
    assert len({record.id for record in admission.evicted}) == 1_298
    listed = {record.id for record in store.sessions_for_user(user_id)}
    assert fresh.id in listed
    assert len(listed) == 3
    assert listed.isdisjoint(record.id for record in admission.evicted)
    assert store.destroy_for_user(user_id) == 3


def test_a_scan_that_has_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    store = server_store()
    monkeypatch.setattr(base, "SOME", 3)
    monkeypatch.setattr(base, "SPARSE", 0)
    pages = []

    def never_ends(self: Any, *command: Any) -> Any:
        pages.append(command)
        return 10 if command[0] == "DBSIZE" else [b"7", []]

    monkeypatch.setattr(ServerClient, "call", never_ends)
    with pytest.raises(StoreUnavailable, match="'mine': SCAN went on"):
        store.gc()
    assert len(pages) == 4


def test_a_scan_may_have_as_many_pages_as_there_are_places() -> None:
    assert base.most_pages(0, 1_000) > 10_000
    assert base.most_pages(10**9, 1_000) > 10**8 // 1_000
