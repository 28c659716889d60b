"""The move of all sessions: what comes between its steps, where it dies, and on real stores."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest

from django_multistore.records import Outcome, key_of, new_id
from django_multistore.session import clock
from django_multistore.session.keys import new_session_key
from django_multistore.stores.base import BaseStore
from django_multistore.stores.composed import bulk as bulk_moves
from django_multistore.stores.composed import dormancy
from django_multistore.stores.composed.bulk import BulkMove, Tally
from django_multistore.stores.composed.dormancy import State, state_of
from django_multistore.stores.composed.moves import build_place
from django_multistore.stores.composed.protocol import MigratingProtocol
from django_multistore.stores.handler import stores
from django_multistore.testing import Calls, make_record
from tests import servers
from tests.support.exploration import FULL
from tests.support.helpers import rounds

from . import settings as configurations
from .exploration import (
    KINDS,
    STARTS,
    WORKS,
    Actor,
    Operation,
    World,
    look,
    look_from_each_phase,
    make_world,
)
from .settings import PHASES, moving, store_in

OPERATIONS = [Operation(phase, work) for phase in PHASES for work in WORKS]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_moves, "KEPT_SECONDS", 0.0)
    monkeypatch.setattr(bulk_moves, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(bulk_moves, "REST", 0.0)


class Killed(BaseException):
    """The process dies."""


class Interrupted:
    """A store before each of whose calls something else is done."""

    def __init__(self, store: BaseStore, before: Callable[[], None]) -> None:
        self._store = store
        self._before = before

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not callable(found):
            return found

        def call(*arguments: Any) -> Any:
            self._before()
            return found(*arguments)

        return call


def run_bulk(world: World, phase: str, before: Callable[[], None]) -> None:
    """Run the move of all sessions of a phase, with something before each of its calls."""
    store = store_in(phase)
    home: Any = Interrupted(store.home, before)
    away: Any = Interrupted(store.away, before)
    protocol = MigratingProtocol(store.outages, home, away, moves=True)
    BulkMove(protocol, away, home).run()


def meet(start: str, phase: str, other: Operation, place: int, *, dies: bool) -> bool:
    """Have an operation come before one call of the move; say whether it got that far."""
    world, calls = make_world(start), itertools.count()
    has_met = False

    def before() -> None:
        nonlocal has_met
        look(world, {other.work})
        if next(calls) != place:
            return
        has_met = True
        actor = Actor(other, world)
        while not actor.is_done:
            actor.advance()
            look(world, {other.work})
        if dies:
            raise Killed

    where = f"{start}, {phase}: {other.name} before call {place}, dies: {dies}"
    try:
        with suppress(Killed):
            run_bulk(world, phase, before)
        look_from_each_phase(world, {other.work}, is_sure=not dies)
    except AssertionError as error:
        raise AssertionError(where) from error
    return has_met


@pytest.mark.stress
@pytest.mark.parametrize("phase", ["move", "return"])
@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("kind", KINDS)
def test_another_comes_or_it_dies_before_each_call(
    kind: str, start: str, phase: str, settings: Any
) -> None:
    backend = {"BACKEND": KINDS[kind]}
    settings.SESSION_STORES = moving(backend, backend)
    others = OPERATIONS if rounds() >= FULL else random.sample(OPERATIONS, 1)
    for other, dies in itertools.product(others, [False, True]):
        for place in itertools.count():
            if not meet(start, phase, other, place, dies=dies):
                break


REAL = {
    "memory to memory": (configurations.memory, configurations.memory),
    "orm to redis": (configurations.orm, configurations.redis),
    "redis to orm": (configurations.redis, configurations.orm),
    "cache to orm": (configurations.cache, configurations.orm),
    "orm to cache": (configurations.orm, configurations.cache),
    "smallest to memory": (configurations.memory, configurations.smallest),
}
on_real_stores = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.parametrize("kind", REAL),
]


def configure(kind: str, settings: Any, phase: str = "move") -> None:
    old, new = REAL[kind]
    settings.SESSION_STORES = moving(old(), new(), phase)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", REAL)
def test_there_and_back_again(kind: str, settings: Any) -> None:
    configure(kind, settings)
    users = [str(new_id()) for _ in range(3)]
    records = [make_record(user_id=users[n % 3], authenticated_at=clock.now()) for n in range(40)]
    assert all(stores["old"].create(record) for record in records)
    move, back = store_in("move"), store_in("return")
    assert move.move_all().count().live == 40
    counts: list[int] = []
    assert move.move_all().run(progress=counts.append)
    assert sum(counts) == 40
    assert move.move_all().count().left == 0
    check_all(records, "new")
    assert sum(len(move.sessions_for_user(user)) for user in users) == 40
    if not stores["new"].supports_scan:
        return
    assert back.move_all().run(progress=counts.append)
    # OrmStore, for one, has removed what was left there. Others have a minute to wait.
    for record in records:
        found = back.read(record.key)
        assert found is not None
        assert replace(found, version=0) == replace(record, version=0)
    assert sum(back.destroy_for_user(user) for user in users) == 40
    assert back.move_all().count().left == 0


def check_all(records: list[Any], alias: str) -> None:
    for record in records:
        found = stores[alias].read(record.key)
        assert found is not None
        assert found.version > record.version
        assert replace(found, version=0) == replace(record, version=0)


@pytest.mark.django_db(transaction=True, databases=["default", "postgres"])
def test_on_postgresql_it_is_done_in_batches(settings: Any) -> None:
    servers.require("postgres")
    settings.SESSION_STORES = moving(
        configurations.orm("postgres"), configurations.orm("default"), "move"
    )
    check_many(stores["old"])
    records = [make_record(user_id="7", actor_id="8"), make_record(device=make_record().device)]
    assert stores["old"].create_many(records) == [True, True]
    assert store_in("move").move_all().run()
    check_all(records, "new")
    assert store_in("return").move_all().run()
    check_all(records, "old")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("make", [configurations.orm, configurations.redis, configurations.memory])
def test_many_are_written_as_one_is(make: Callable[[], Any], settings: Any) -> None:
    settings.SESSION_STORES = moving(make(), configurations.memory())
    check_many(stores["old"])


def check_many(store: BaseStore) -> None:
    records = [make_record(user_id="7"), make_record(), make_record(payload=bytes(range(256)))]
    assert store.create_many([]) == store.update_many([]) == []
    assert store.create_many(records[:2]) == [True, True]
    assert store.create_many(records) == [False, False, True]
    assert [store.read(record.key) for record in records] == records
    store.update(records[1])
    absent = make_record()
    changed = [replace(record, payload=b"new", user_id="8") for record in (*records, absent)]
    outcomes = [Outcome.DONE, Outcome.CONFLICT, Outcome.DONE, Outcome.GONE]
    assert store.update_many(changed) == outcomes
    assert store.read(records[0].key) == replace(changed[0], version=2)
    store.retire_many([dormancy.ended(replace(records[0], version=2)), records[2]])
    assert store.read(records[0].key) is None
    assert store.read(records[2].key) == replace(changed[2], version=2)
    assert store.read(records[1].key) is not None


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("make", [configurations.orm, configurations.redis, configurations.memory])
def test_a_scan_finds_each_record(make: Callable[[], Any], settings: Any) -> None:
    settings.SESSION_STORES = moving(make(), configurations.memory())
    store = stores["old"]
    records = {record.key: record for record in (make_record() for _ in range(25))}
    store.create_many([*records.values()])
    store.create(make_record(expires_at=clock.now() - timedelta(hours=1)))
    found, cursor, is_first = {}, None, True
    while is_first or cursor is not None:
        some, cursor = store.scan(cursor, 10)
        assert len(some) <= 10
        found |= {record.key: record for record in some}
        is_first = False
    assert found == records


def test_what_a_move_that_died_has_left_is_cleared(settings: Any) -> None:
    settings.SESSION_STORES = moving(configurations.memory(), configurations.memory())
    old, new, store = stores["old"], stores["new"], store_in("move")
    on_its_way, ended, rotated = make_record(), make_record(), make_record()
    for record in (on_its_way, ended, rotated):
        place = build_place(record)
        assert place is not None
        old.create(record)
        new.create(place)
        if record is on_its_way:
            old.update(dormancy.moved(record, place.payload))
    old.destroy(ended.key)
    moved_on = replace(rotated, key=key_of(new_session_key()))
    old.rotate(rotated.key, moved_on)
    assert store.move_all().count() == Tally(live=1, on_their_way=1, places=3)
    assert store.move_all().run()
    assert store.move_all().count().left == 0
    assert [store.read(each.key) is not None for each in (on_its_way, ended, rotated)] == [
        True, False, False,
    ]  # fmt: skip
    assert state_of(new.read(moved_on.key)) is State.LIVE


def test_what_is_about_to_expire_stays(settings: Any) -> None:
    settings.SESSION_STORES = moving(configurations.memory(), configurations.memory())
    record = make_record(expires_at=clock.now() + timedelta(seconds=30))
    stores["old"].create(record)
    for is_async in (False, True):
        assert Calls(store_in("move"), is_async=is_async).read(record.key) == record
    assert store_in("move").move_all().run()
    assert store_in("move").move_all().count() == Tally(expiring=1)
    assert stores["old"].read(record.key) == record


def test_what_has_come_a_moment_ago_goes_back_once_that_is_forgotten(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SESSION_STORES = moving(configurations.memory(), configurations.memory(), "move")
    record = make_record()
    assert stores["old"].create(record)
    move, back = store_in("move"), store_in("return")
    assert move.read(record.key) is not None  # It has moved, for it was met.
    assert back.move_all().run()
    assert stores["old"].read(record.key) != record
    # A minute is over while it waits.
    monkeypatch.setattr(bulk_moves, "PATIENCE_SECONDS", 10.0)
    later = clock.now() + timedelta(minutes=2)
    monkeypatch.setattr("django_multistore.stores.composed.bulk.time.sleep", lambda seconds: None)
    with patch.object(clock, "now", lambda: later):
        assert back.move_all().run()
    assert replace(stores["old"].read(record.key), version=0) == replace(record, version=0)
