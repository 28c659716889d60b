"""What MigratingStore is configured with, what it costs, and what it does in transactions."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import caches
from django.core.management import call_command
from django.db import transaction

from django_multistore.exceptions import InvalidStore, StoreUnavailable
from django_multistore.records import Outcome
from django_multistore.session import clock
from django_multistore.stores.composed import MigratingStore
from django_multistore.stores.composed.dormancy import (
    State,
    awake,
    ended,
    left,
    moved,
    pending,
    state_of,
)
from django_multistore.stores.handler import stores
from django_multistore.stores.indexed import users as cache_users
from django_multistore.testing import Calls, make_record

from .settings import COMPOSED, cache, memory, moving, orm, redis, smallest, store_in

CALLS = ("read", "create", "update", "destroy", "touch", "rotate", "sessions_for_user")


def composed(**options: Any) -> dict[str, Any]:
    return {"BACKEND": COMPOSED, "OPTIONS": options}


def refused(session_stores: dict[str, Any], settings: Any) -> str:
    settings.SESSION_STORES = session_stores
    with pytest.raises(InvalidStore) as caught:
        stores["default"]
    return str(caught.value)


# Options.


@pytest.mark.parametrize("phase", [None, "fellow", 7, ["move"]])
def test_a_phase_must_be_named(phase: Any, settings: Any) -> None:
    entry = composed(OLD="old", NEW="new", PHASE=phase)
    said = refused({"default": entry, "old": memory(), "new": memory()}, settings)
    assert "SESSION_STORES['default']['OPTIONS']['PHASE'] is" in said
    assert "Write one of 'follow', 'move', 'return'" in said
    assert ("'follow'?" in said) == (phase == "fellow")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "['OLD'] is missing. Name another store"),
        ({"OLD": "old"}, "['NEW'] is missing. Name another store"),
        ({"OLD": "old", "NEW": "old"}, "has 'old' as OLD and as NEW. Name two stores"),
        ({"OLD": "old", "NEW": "knew"}, "['NEW'] is 'knew', which isn't there."),
        ({"OLD": "default", "NEW": "new"}, "['OLD'] is 'default', which is this store itself."),
        ({"OLD": "old", "NEW": "other"}, "['NEW'] is 'other', which leads back: "),
        ({"OLD": "inner", "NEW": "new"}, "['OLD'] is 'inner'. There sessions are moving already"),
    ],
)
def test_its_parts_must_be_two_other_stores(
    options: dict[str, Any], reason: str, settings: Any
) -> None:
    entries = {
        "default": composed(**options, PHASE="move"),
        "old": memory(),
        "new": memory(),
        "other": composed(OLD="default", NEW="new", PHASE="move"),
        "inner": composed(OLD="old", NEW="new", PHASE="move"),
    }
    assert reason in refused(entries, settings)


@pytest.mark.django_db  # Its models are checked, which asks a server for its version.
def test_all_stores_are_built_at_the_start(settings: Any) -> None:
    settings.SESSION_STORES = moving(memory(), memory())
    stores.build_all()
    call_command("check")
    assert isinstance(stores["default"], MigratingStore)


def test_it_finds_users_if_both_do(settings: Any) -> None:
    settings.SESSION_STORES = moving(memory(), smallest())
    assert stores["move"].supports_users
    unindexed = {"BACKEND": "tests.support.smallest_store.SmallestStore"}
    settings.SESSION_STORES = moving(memory(), unindexed)
    assert not stores["move"].supports_users


# Dormant records.


def test_what_a_record_says_of_its_session_can_be_taken_back() -> None:
    record, token = make_record(user_id="7"), b"t" * 16
    mark = moved(record, token)
    states = [state_of(each) for each in (None, record, pending(record, token, 7), mark)]
    assert states == [State.ABSENT, State.LIVE, State.PENDING, State.MOVED]
    assert awake(mark) == record
    assert state_of(left(mark, clock.now())) is State.LEFT
    assert left(mark, clock.now()).payload == b""
    for each in (record, pending(record, token, 7), mark):
        assert ended(each).expires_at <= min(each.last_seen_at, each.created_at)


# What it costs.


@pytest.fixture
def counted(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    settings.SESSION_STORES = moving(memory(), memory())
    counts: Counter[str] = Counter()
    for alias in ("old", "new"):
        for name in (each for call in CALLS for each in (call, f"a{call}")):
            monkeypatch.setattr(stores[alias], name, _count(counts, alias, name))
    return counts


def _count(counts: Counter[str], alias: str, name: str) -> Any:
    store = stores[alias]
    # A method of the class: a fallback's own calls of the store aren't round trips.
    method = getattr(type(store), name.removeprefix("a") if name.startswith("a") else name)

    def call(*arguments: Any) -> Any:
        counts[f"{alias}.{name.removeprefix('a')}"] += 1
        return method(_Uncounted(store), *arguments)

    async def acall(*arguments: Any) -> Any:
        return call(*arguments)

    return acall if name in {f"a{each}" for each in CALLS} else call


class _Uncounted:
    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        if name in CALLS:
            return getattr(type(self._store), name).__get__(self)
        return getattr(self._store, name)


@pytest.mark.parametrize("is_async", [False, True])
def test_what_is_where_it_is_looked_for_first_costs_one_trip(
    counted: Counter[str], is_async: bool
) -> None:
    for phase, home in (("follow", "old"), ("move", "new"), ("return", "old")):
        store = Calls(store_in(phase), is_async=is_async)
        record = make_record()
        assert store.create(record)
        counted.clear()
        assert store.read(record.key) == record
        assert counted == {f"{home}.read": 1}
        counted.clear()
        assert store.update(record) is Outcome.DONE
        assert counted == {f"{home}.update": 1}
        counted.clear()
        assert store.touch(replace(record, version=2))
        assert counted == {f"{home}.touch": 1}


def test_an_unknown_key_costs_three(counted: Counter[str]) -> None:
    assert store_in("move").read(make_record().key) is None
    assert counted == {"new.read": 2, "old.read": 1}


def test_a_move_costs_four_once(counted: Counter[str]) -> None:
    record = make_record()
    stores["old"].create(record)
    counted.clear()
    assert store_in("move").read(record.key) is not None
    assert counted == {
        "new.read": 1, "old.read": 1, "new.create": 1, "old.update": 2, "new.update": 1,
    }  # fmt: skip
    counted.clear()
    assert store_in("move").read(record.key) is not None
    assert counted == {"new.read": 1}


# Versions.


def test_versions_rise_there_and_back(settings: Any) -> None:
    settings.SESSION_STORES = moving(memory(), memory())
    record = make_record()
    stores["old"].create(record)
    seen = [record.version or 0]
    for phase, source in (("move", "old"), ("return", "new"), ("move", "old")):
        found = store_in(phase).read(record.key)
        assert found is not None
        assert replace(found, version=1) == record
        # It is there, and can't be taken for what it was when it was there before.
        assert (found.version or 0) > max(seen)
        seen.append(found.version or 0)
        assert stores[source].update(ended(stores[source].read(record.key))) is Outcome.DONE  # type: ignore[arg-type]


def test_a_save_of_before_a_move_is_a_conflict(settings: Any) -> None:
    settings.SESSION_STORES = moving(memory(), memory())
    record = make_record()
    stores["old"].create(record)
    assert store_in("move").read(record.key) is not None
    for phase in ("follow", "move"):
        assert store_in(phase).update(replace(record, payload=b"late")) is Outcome.CONFLICT
        assert not store_in(phase).touch(record)
    assert store_in("move").read(record.key).payload == record.payload  # type: ignore[union-attr]


# Transactions.


class Undone(Exception):
    pass


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("phase", ["move", "return"])
@pytest.mark.parametrize("is_rolled_back", [False, True])
def test_nothing_moves_in_a_transaction(phase: str, is_rolled_back: bool, settings: Any) -> None:
    settings.SESSION_STORES = moving(orm(), redis())
    store = store_in(phase)
    record = make_record(user_id="7")
    assert store.away.create(record)
    try:
        with transaction.atomic():
            assert store.read(record.key) == record
            assert store.update(replace(record, payload=b"saved")) is Outcome.DONE
            assert store.home.read(record.key) is None
            if is_rolled_back:
                raise Undone
    except Undone:
        pass
    found = store.read(record.key)
    assert found is not None
    # Redis keeps what it was told, and the table what was committed.
    is_saved = phase == "return" or not is_rolled_back
    assert found.payload == (b"saved" if is_saved else record.payload)
    assert store.home.read(record.key) == found
    assert [each.id for each in store.sessions_for_user("7")] == [record.id]
    assert store.destroy_for_user("7") == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("phase", ["move", "return"])
def test_a_confirmation_that_is_rolled_back_loses_nothing(phase: str, settings: Any) -> None:
    settings.SESSION_STORES = moving(orm(), redis())
    store = store_in(phase)
    record = make_record(user_id="7")
    place = pending(record, b"t" * 16, 100)
    assert store.away.create(moved(record, b"t" * 16))
    assert store.home.create(place)
    with transaction.atomic():
        assert store.read(record.key) is not None
        transaction.set_rollback(True)
    # Half a minute is what the mark would have if it had been taken for done.
    mark = store.away.read(record.key)
    assert state_of(mark) is State.MOVED
    found = store.read(record.key)
    assert found is not None
    assert replace(found, version=1) == record


@pytest.mark.django_db(transaction=True)
def test_gc_of_a_cache_leaves_the_way_back_open(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_users, "IN_FLIGHT", -timedelta(minutes=1))
    settings.SESSION_STORES = moving(cache(), memory())
    old: Any = stores["old"]
    record = make_record(user_id="7", authenticated_at=clock.now())
    assert old.create(record)
    assert store_in("move").read(record.key) is not None
    assert state_of(old.read(record.key)) is State.LEFT
    # As a minute later.
    caches["locmem"].delete(old._cells.names(record.key)[0])
    old.gc()
    assert store_in("return").read(record.key) is not None
    assert state_of(old.read(record.key)) is State.LIVE
    assert len(old.sessions_for_user("7")) == 1


# Outages.


@pytest.mark.parametrize("alias", ["old", "new"])
@pytest.mark.parametrize("phase", ["follow", "move", "return"])
def test_an_outage_of_either_is_no_logout(
    alias: str, phase: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SESSION_STORES = moving(memory(), memory())
    store = store_in(phase)
    record = make_record(user_id="7")
    assert store.away.create(record)

    def fail(*arguments: Any) -> Any:
        raise StoreUnavailable("Nobody is there.")

    for name in ("read", "update", "create", "destroy", "sessions_for_user", "destroy_for_user"):
        monkeypatch.setattr(stores[alias], name, fail)
    for operation in (
        lambda: store.read(record.key),
        lambda: store.update(record),
        lambda: store.destroy(record.key),
        lambda: store.sessions_for_user("7"),
        lambda: store.destroy_for_user("7"),
        lambda: store.destroy_session("7", record.id),
    ):
        with pytest.raises(StoreUnavailable):
            operation()
    monkeypatch.undo()
    assert store.read(record.key) is not None
