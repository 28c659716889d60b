"""Every order in which the steps of SplitStore's operations can meet, and a crash before each."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import patch

import pytest
from django.test import override_settings

from django_multistore.exceptions import StoreUnavailable
from django_multistore.records import Admission, Limit, Outcome, SessionRecord, key_of
from django_multistore.session.keys import new_session_key
from django_multistore.stores import stores
from django_multistore.stores.composed import SplitStore
from django_multistore.stores.composed.crossing import SplitProtocol, belongs_to_user
from django_multistore.stores.composed.marks import Found
from django_multistore.stores.steps import Steps, call
from tests.support.composed import MEMORY, split
from tests.support.exploration import (
    FULL,
    NEW,
    OF_A_USER,
    OF_A_VISITOR,
    SAMPLE,
    USER,
    VISITOR,
    Actor,
    Choices,
    Operation,
    World,
    explore,
    length,
    log_in_and_rotate,
    log_out,
    log_out_everywhere,
    look_in,
    orders,
    pairs,
    rotate,
    save,
)
from tests.support.helpers import rounds

pytestmark = pytest.mark.elsewhere


@dataclass
class SplitWorld(World):
    """A session whose later keys are those of users, so that a visitor's crosses."""

    store: SplitStore
    crosses: bool = field(default=True, kw_only=True)

    @property
    def protocol(self) -> Any:
        return self.store._protocol

    def new_key(self) -> str:
        is_first = not self.keys
        is_users = self.starts_with_user or (self.crosses and not is_first)
        key = key_of(new_session_key())
        while belongs_to_user(key) is not is_users:
            key = key_of(new_session_key())
        self.keys.append(key)
        return key

    def ending(self) -> Steps[Any]:
        return self.protocol.destroy_session(self.ann, self.session.id)  # type: ignore[no-any-return]

    def rotates(self, operation: Operation) -> bool:
        return super().rotates(operation) or operation in CROSSINGS

    def wait_is_over(self) -> None:
        """Others have gone on, and it tries once more."""

    def look_at_what_is_left(self) -> None:
        pass

    def clean_up(self) -> None:
        for user in (self.ann, self.bob):
            self.store.destroy_for_user(user)
        assert not [each for each in self.live() if each.user_id is not None], (
            "destroy_for_user() did not end all of them"
        )
        for record in self.live():
            assert self.store.destroy(record.key) is True
            assert self.store.read(record.key) is None


def load(world: World) -> Steps[Any]:
    return world.protocol.reread(world.session.key)  # type: ignore[no-any-return]


def save_over(world: World) -> Steps[Any]:
    """Save what has changed meanwhile, as the engine does after a conflict."""
    return world.protocol.modify(  # type: ignore[no-any-return]
        world.session.key, lambda stored: replace(stored, payload=NEW)
    )


def save_blindly(world: World) -> Steps[Any]:
    """Save as the engine does that has not loaded what it overwrites."""
    return world.protocol.update(world.changed(version=None))  # type: ignore[no-any-return]


def log_in_over(world: World) -> Steps[Any]:
    key = world.new_key()

    def change(stored: SessionRecord) -> SessionRecord:
        return replace(stored, key=key, user_id=world.ann, payload=NEW)

    return world.protocol.modify(world.session.key, change)  # type: ignore[no-any-return]


def log_in_if_allowed(world: World) -> Steps[Any]:
    record = world.changed(user_id=world.ann, key=world.new_key())
    limit = Limit(most=1, evicts=False)
    admission: Admission = yield from world.protocol.admit(world.session.key, record, limit)
    return admission.outcome


OPERATIONS: dict[str, list[Operation]] = {
    USER: [load, save_over, *OF_A_USER],
    VISITOR: [load, save_over, save_blindly, log_in_over, log_in_if_allowed, *OF_A_VISITOR],
}
PAIRS = [
    pytest.param(start, (one, other), id=f"{start}-{one.__name__}-{other.__name__}")
    for start, one, other in pairs(OPERATIONS)
]
CROSSINGS = [log_in_and_rotate, log_in_over, log_in_if_allowed, rotate]


@pytest.fixture
def store() -> Iterator[SplitStore]:
    with override_settings(SESSION_STORES=split(MEMORY, MEMORY)):
        made = stores["default"]
        assert isinstance(made, SplitStore)
        yield made


def chosen(found: list[Choices]) -> list[Choices]:
    if rounds() < FULL and len(found) > SAMPLE:
        return random.sample(found, SAMPLE)
    return found


@pytest.mark.parametrize(("start", "pair"), PAIRS)
def test_orders_of_two(store: SplitStore, start: str, pair: tuple[Operation, Operation]) -> None:
    one, other = (length(each, SplitWorld(store, start)) + 2 for each in pair)
    found = [*orders((one, other))] if one + other < 18 else []
    found = found or [[random.randrange(2) for _ in range(20)] for _ in range(rounds())]
    for choices in chosen(found):
        explore(SplitWorld(store, start), pair, choices)
        explore(SplitWorld(store, start, crosses=False), pair, choices)


@pytest.mark.parametrize(("start", "pair"), PAIRS)
def test_a_crash_before_each_step(
    store: SplitStore, start: str, pair: tuple[Operation, Operation]
) -> None:
    for dying, living in (pair, pair[::-1]):
        steps = length(dying, SplitWorld(store, start))
        before = [[0] * count + [1] * late for count in range(steps) for late in range(4)]
        for choices in before:
            explore(SplitWorld(store, start), (dying, living), choices, killed=0)


@pytest.mark.parametrize("login", CROSSINGS)
def test_no_crash_of_a_login_takes_what_the_visitor_had(
    store: SplitStore, login: Operation
) -> None:
    crash(store, login)


def crash(store: SplitStore, login: Operation) -> None:
    """Have a login die before each of its steps, and see that the session lives."""
    for count in range(length(login, SplitWorld(store, VISITOR)) + 1):
        world = SplitWorld(store, VISITOR)
        actor = Actor(login, world)
        for _ in range(count):
            if not actor.is_done:
                actor.advance()
        live = world.live()
        assert [record.id for record in live] == [world.session.id]
        if live[0].key == world.session.key:
            assert live[0] == world.session
            assert store.modify(world.session.key, lambda stored: stored) is Outcome.DONE
            actor.advance()
            assert actor.outcome is not Outcome.DONE


def test_orders_of_three(store: SplitStore) -> None:
    for _ in range(rounds()):
        start = random.choice([USER, VISITOR, VISITOR])
        operations = random.choices(OPERATIONS[start], k=3)
        choices = [random.randrange(3) for _ in range(20)]
        killed = random.choice([None, None, 0, 1, 2])
        explore(SplitWorld(store, start), operations, choices, killed=killed)


# Each of these leaves a look out or swaps two steps, and the explorer must find it.


def _alive_whatever_is_there(self: SplitProtocol, found: Found) -> Steps[bool]:
    yield from ()
    return True


def _dead_with_its_mark(self: SplitProtocol, found: Found) -> Steps[bool]:
    yield from ()
    return found.target is None


def _hold_nothing_back(self: SplitProtocol, found: Found) -> Steps[bool]:
    yield from ()
    return True


def _end_blindly(self: SplitProtocol, key: str) -> Steps[bool]:
    part = self.part_of(key)
    return call(part.destroy, part.adestroy, key)


def _update_blindly(self: SplitProtocol, record: SessionRecord) -> Steps[Outcome]:
    part = self.part_of(record.key)
    return call(part.update, part.aupdate, record)


def _complete_before_it_is_marked(
    self: SplitProtocol,
    stored: SessionRecord,
    waiting: SessionRecord,
    new: SessionRecord,
    limit: Limit | None,
) -> Steps[Admission]:
    part, old = self.part_of(new.key), self._anonymous
    final = replace(new, version=waiting.version)
    outcome = yield from call(part.update, part.aupdate, final)
    yield from call(old.destroy, old.adestroy, stored.key)
    return Admission(outcome=outcome)


def _absent_is_alive(self: SplitProtocol, found: Found) -> Steps[bool]:
    if found.target is None:
        return True
    there = yield from self._read_target(found.target)
    return there is None or there.payload != NEW


MUTANTS: dict[str, tuple[str, Any, tuple[Operation, ...]]] = {
    "a mark kills": ("_is_alive", _dead_with_its_mark, (log_in_and_rotate, save_over)),
    "a mark means nothing": ("_is_alive", _alive_whatever_is_there, (log_in_and_rotate, look_in)),
    "what has ended is not completed": (
        "_is_alive",
        _absent_is_alive,
        (log_in_and_rotate, log_out_everywhere),
    ),
    "a save holds nothing back": (
        "_hold_back",
        _hold_nothing_back,
        (log_in_and_rotate, save_over),
    ),
    "an end is no compare-and-set": ("destroy", _end_blindly, (log_in_and_rotate, log_out)),
    "a blind save writes over a mark": (
        "update",
        _update_blindly,
        (log_in_and_rotate, save_blindly),
    ),
    "it completes before it marks": (
        "_complete_marked",
        _complete_before_it_is_marked,
        (log_in_and_rotate, save),
    ),
}


def meet(store: SplitStore, name: str, count: int) -> None:
    """Have the operations of a mutant meet in many orders, and one of them die in some."""
    *_, operations = MUTANTS[name]
    crash(store, log_in_and_rotate)
    drawn = random.Random(name)
    for _ in range(count):
        choices = [drawn.randrange(2) for _ in range(drawn.randrange(4, 16))]
        killed = drawn.choice([None, 0, 1])
        explore(SplitWorld(store, VISITOR), operations, choices, killed=killed)


@pytest.mark.parametrize("name", MUTANTS)
def test_each_look_and_each_order_is_needed(store: SplitStore, name: str) -> None:
    attribute, mutant, _ = MUTANTS[name]
    with (
        patch.object(SplitProtocol, attribute, mutant),
        pytest.raises((AssertionError, StoreUnavailable)),
    ):
        meet(store, name, 20_000)


@pytest.mark.parametrize("name", MUTANTS)
def test_the_same_meetings_do_no_harm(store: SplitStore, name: str) -> None:
    meet(store, name, min(rounds(), 20_000))
