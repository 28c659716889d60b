"""Every order in which the steps of TieredStore's operations can meet, and a crash before each."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import patch

import pytest
from django.test import override_settings

from django_multistore.records import SessionRecord
from django_multistore.stores import stores
from django_multistore.stores.base import BaseStore
from django_multistore.stores.composed import TieredStore, copies
from django_multistore.stores.composed.front import Front
from django_multistore.stores.composed.tiers import TieredProtocol
from django_multistore.stores.steps import Steps, call
from tests.support.composed import MEMORY, tiered
from tests.support.exploration import (
    ENDS_ANN,
    FULL,
    NEW,
    OF_A_USER,
    OF_A_VISITOR,
    SAMPLE,
    USER,
    VISITOR,
    Choices,
    Operation,
    World,
    become_another,
    end_it,
    explore,
    length,
    log_in,
    log_out,
    log_out_everywhere,
    orders,
    pairs,
    rotate,
    save,
    touch,
)
from tests.support.helpers import rounds

pytestmark = pytest.mark.stress


@dataclass
class TieredWorld(World):
    """A session of which the front has a copy, or has none."""

    store: TieredStore
    is_warm: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.is_warm:
            assert self.store.read(self.session.key) is not None

    @property
    def protocol(self) -> Any:
        return self.store._protocol

    @property
    def back(self) -> BaseStore:
        return self.store._back

    def ending(self) -> Steps[Any]:
        return self.protocol.destroy_session(self.ann, self.session.id)  # type: ignore[no-any-return]

    def wait_is_over(self) -> None:
        raise AssertionError("nobody waits for another")

    def served(self) -> list[SessionRecord]:
        """Return what requests get, copies among it."""
        found = (self.store.read(key) for key in self.keys)
        return [record for record in found if record is not None]

    def live(self) -> list[SessionRecord]:
        # What a dead process has left in the front is looked at by itself.
        return [record for record in self.served() if self.back.read(record.key) is not None]

    def look_at_what_is_left(self) -> None:
        for key in self.keys:
            for _ in range(3):  # One that finds no copy, one that makes it, one that gets it.
                assert self.store.read(key) == self.back.read(key), "the front has what is older"

    def clean_up(self) -> None:
        for user in (self.ann, self.bob):
            self.store.destroy_for_user(user)
        assert not [each for each in self.served() if each.user_id is not None], (
            "destroy_for_user() did not end all of them"
        )


def load(world: World) -> Steps[Any]:
    return world.protocol.read_again(world.session.key)  # type: ignore[no-any-return]


def save_over(world: World) -> Steps[Any]:
    """Save what has changed meanwhile, as the engine does after a conflict."""
    return world.protocol.modify(  # type: ignore[no-any-return]
        world.session.key, lambda stored: replace(stored, payload=NEW)
    )


OPERATIONS: dict[str, list[Operation]] = {
    USER: [load, save_over, *OF_A_USER],
    VISITOR: [load, save_over, *OF_A_VISITOR],
}
PAIRS = [
    pytest.param(start, (one, other), id=f"{start}-{one.__name__}-{other.__name__}")
    for start, one, other in pairs(OPERATIONS)
]
WARM = pytest.mark.parametrize("is_warm", [True, False], ids=["warm", "cold"])


@pytest.fixture
def store() -> Iterator[TieredStore]:
    with override_settings(SESSION_STORES=tiered(MEMORY, MEMORY)):
        made = stores["default"]
        assert isinstance(made, TieredStore)
        yield made


def chosen(found: list[Choices]) -> list[Choices]:
    if rounds() < FULL and len(found) > SAMPLE:
        return random.sample(found, SAMPLE)
    return found


@WARM
@pytest.mark.parametrize(("start", "pair"), PAIRS)
def test_all_orders_of_two(
    store: TieredStore, start: str, pair: tuple[Operation, Operation], is_warm: bool
) -> None:
    one, other = (length(each, TieredWorld(store, start, is_warm=is_warm)) + 1 for each in pair)
    for choices in chosen([*orders((one, other))]):
        explore(TieredWorld(store, start, is_warm=is_warm), pair, choices)


@WARM
@pytest.mark.parametrize(("start", "pair"), PAIRS)
def test_a_crash_before_each_step(
    store: TieredStore, start: str, pair: tuple[Operation, Operation], is_warm: bool
) -> None:
    for dying, living in (pair, pair[::-1]):
        steps = [length(each, TieredWorld(store, start, is_warm=is_warm)) for each in pair]
        before = [[0] * count + [1] * late for count in range(steps[0]) for late in range(3)]
        for choices in chosen(before):
            world = TieredWorld(store, start, is_warm=is_warm)
            explore_until_end(world, (dying, living), choices)


def explore_until_end(world: TieredWorld, pair: Sequence[Operation], choices: Choices) -> None:
    """Have the first of two die, and see that what the second has ended isn't served."""
    explore(_Unended(world, pair[1]), pair, choices, killed=0)  # type: ignore[arg-type]


class _Unended:
    """A world that looks at its end, before it is cleaned up, at what is served."""

    def __init__(self, world: TieredWorld, last: Operation) -> None:
        self._world, self._last = world, last

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world, name)

    def live(self) -> list[SessionRecord]:
        # A copy of before is served for FRONT_SECONDS where its save has died half-way.
        found = (self._world.back.read(record.key) for record in self._world.live())
        return [record for record in found if record is not None]

    def clean_up(self) -> None:
        world = self._world
        if self._last in ENDS_ANN and world.starts_with_user:
            ended = [
                r for r in world.served() if (r.id, r.user_id) == (world.session.id, world.ann)
            ]
            assert not ended, "what was ended is served"
        world.clean_up()


CROSSINGS: dict[str, list[Operation]] = {
    USER: [
        load,
        save,
        save_over,
        touch,
        rotate,
        log_out,
        log_out_everywhere,
        end_it,
        become_another,
    ],
    VISITOR: [load, save, log_in, log_out, log_out_everywhere],
}
TRIPLES = [
    (start, triple)
    for start, own in CROSSINGS.items()
    for triple in itertools.combinations_with_replacement(own, 3)
]


@WARM
@pytest.mark.parametrize(
    ("start", "triple"),
    [
        pytest.param(start, triple, id="-".join([start, *(each.__name__ for each in triple)]))
        for start, triple in TRIPLES
    ],
)
def test_orders_of_three(
    store: TieredStore, start: str, triple: tuple[Operation, ...], is_warm: bool
) -> None:
    for _ in range(min(rounds() // 10, 2000)):
        world = TieredWorld(store, start, is_warm=is_warm)
        explore(world, triple, [random.randrange(3) for _ in range(14)])


# Each of these leaves a look out or swaps two steps, and the explorer must find it.


def _fill_what_was_read_before(
    self: TieredProtocol, key: str, entry: SessionRecord | None
) -> Steps[SessionRecord | None]:
    truth = yield from self._read_back(key)
    if truth is not None and entry is None:
        lease = yield from self._front.take_lease(entry, truth)
        if lease is not None:
            yield from self._front.fill(lease, truth, truth.created_at)
    return truth


def _front_first(self: TieredProtocol, key: str) -> Steps[bool]:
    front, back = self._front.store, self._back
    yield from call(front.destroy, front.adestroy, key)
    return (yield from call(back.destroy, back.adestroy, key))


def _fill_whatever_is_there(
    self: Front, lease: SessionRecord, truth: SessionRecord, since: Any
) -> Steps[None]:
    until = since + self.lasting
    entry = copies.copy_of(truth, "default", version=None, until=until)
    yield from call(self.store.update, self.store.aupdate, entry)


def _renew_whatever_is_there(
    self: Front, entry: SessionRecord, truth: SessionRecord, since: Any, *, is_touch: bool
) -> SessionRecord:
    copied = copies.find_copied(entry) or truth
    renewed = replace(truth, id=copied.id, created_at=copied.created_at)
    return copies.copy_of(renewed, "default", version=entry.version, until=since + self.lasting)


def _renew_for_another_user(
    self: Front, entry: SessionRecord, truth: SessionRecord, since: Any, *, is_touch: bool
) -> SessionRecord:
    named = replace(entry, user_id=truth.user_id)
    return renew(self, named, truth, since, is_touch=is_touch)


def _renew_with_what_is_older(
    self: Front, entry: SessionRecord, truth: SessionRecord, since: Any, *, is_touch: bool
) -> SessionRecord:
    newest = replace(truth, version=2**20)
    made = renew(self, entry, newest, since, is_touch=is_touch)
    if copies.find_copied(made) is None:
        return made
    return copies.copy_of(truth, "default", version=entry.version, until=since + self.lasting)


def _fill_for_another_user(
    self: Front, lease: SessionRecord, truth: SessionRecord, since: Any
) -> Steps[None]:
    until = since + self.lasting
    entry = copies.copy_of(truth, "default", version=lease.version, until=until)
    yield from call(self.store.update, self.store.aupdate, entry)


def _tell_nothing(self: TieredProtocol, debts: Any, publish: Any = None) -> Steps[None]:
    yield from ()


def _ask_only_the_back(self: TieredProtocol, user_id: str, **options: Any) -> Steps[int]:
    def end() -> int:
        return self._back.destroy_for_user(user_id, **options)

    async def aend() -> int:
        raise AssertionError

    return (yield from call(end, aend))


def _end_one_at_the_back(self: TieredProtocol, user_id: str, id: int) -> Steps[bool]:
    return call(self._back.destroy_session, self._back.adestroy_session, user_id, id)


renew = Front._renew
OF_READS: list[tuple[str, Any, str, Any, str, tuple[Operation, ...]]] = [
    (
        "fills what was read before the lease",
        *(TieredProtocol, "fill", _fill_what_was_read_before),
        *(USER, (load, log_out)),
    ),
    (
        "fills whatever is there",
        *(Front, "fill", _fill_whatever_is_there),
        *(USER, (load, save)),
    ),
    (
        "fills a lease of another user's",
        *(Front, "fill", _fill_for_another_user),
        *(VISITOR, (load, log_in, log_out_everywhere)),
    ),
    (
        "publishes over leases",
        *(Front, "_renew", _renew_whatever_is_there),
        *(USER, (save, load, log_out)),
    ),
    (
        "publishes what is older",
        *(Front, "_renew", _renew_with_what_is_older),
        *(USER, (save, save_over)),
    ),
    (
        "publishes for another user",
        *(Front, "_renew", _renew_for_another_user),
        *(VISITOR, (log_in, log_out_everywhere)),
    ),
]
OF_ENDS: list[tuple[str, Any, str, Any, str, tuple[Operation, ...]]] = [
    (
        "ends at the front first",
        *(TieredProtocol, "destroy", _front_first),
        *(USER, (load, log_out)),
    ),
    ("saves at the back only", TieredProtocol, "_tell", _tell_nothing, USER, (save, load)),
    ("rotates at the back only", TieredProtocol, "_tell", _tell_nothing, USER, (rotate, load)),
    ("touches at the back only", TieredProtocol, "_tell", _tell_nothing, USER, (touch, load)),
    (
        "ends a user's at the back only",
        *(TieredProtocol, "destroy_for_user", _ask_only_the_back),
        *(USER, (log_out_everywhere, load)),
    ),
    (
        "ends one at the back only",
        *(TieredProtocol, "destroy_session", _end_one_at_the_back),
        *(USER, (end_it, load)),
    ),
]
MUTANTS = {name: rest for name, *rest in [*OF_READS, *OF_ENDS]}


def meet(store: TieredStore, name: str, count: int) -> None:
    """Have the operations of a mutant meet in many orders."""
    *_, start, operations = MUTANTS[name]
    drawn = random.Random(name)
    for number in range(count):
        world = TieredWorld(store, start, is_warm=number % 2 == 0)
        choices = [drawn.randrange(len(operations)) for _ in range(14)]
        explore(world, operations, choices)


@pytest.mark.parametrize("name", MUTANTS)
def test_each_look_and_each_order_is_needed(store: TieredStore, name: str) -> None:
    home, attribute, mutant, *_ = MUTANTS[name]
    with patch.object(home, attribute, mutant), pytest.raises(AssertionError):
        meet(store, name, 20_000)


@pytest.mark.parametrize("name", MUTANTS)
def test_the_same_meetings_do_no_harm(store: TieredStore, name: str) -> None:
    meet(store, name, min(rounds(), 20_000))
