"""Orders in which the steps of MigratingStore's operations meet, in processes of two phases."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from django_multistore.stores.handler import stores
from django_multistore.stores.memory import MemoryStore
from tests.support.exploration import FULL
from tests.support.helpers import rounds

from .exploration import STARTS, WORKS, Operation, World, explore, length, orders, wait
from .settings import PHASES, moving

pytestmark = pytest.mark.stress

KINDS = {
    "memory": "django_multistore.stores.memory.MemoryStore",
    "by id": "tests.stores.composed.stores.ByIdStore",
    "remembering": "tests.stores.composed.stores.RememberingStore",
}
OPERATIONS = [Operation(phase, work) for phase in PHASES for work in WORKS]
SAMPLE = 12


@pytest.fixture(autouse=True, params=KINDS)
def _stores(request: pytest.FixtureRequest, settings: Any) -> None:
    kind = {"BACKEND": KINDS[request.param]}
    settings.SESSION_STORES = moving(kind, kind)


def make_world(start: str) -> World:
    old, new = stores["old"], stores["new"]
    assert isinstance(old, MemoryStore)
    assert isinstance(new, MemoryStore)
    for store in (old, new):
        store._records.clear()
    return World(old, new, start)


def sample(found: list[Any], size: int = SAMPLE) -> list[Any]:
    return found if rounds() >= FULL or len(found) <= size else random.sample(found, size)


@pytest.mark.parametrize("start", STARTS)
def test_another_comes_or_it_dies_before_each_step(start: str) -> None:
    for first, other in sample([*itertools.product(OPERATIONS, OPERATIONS)]):
        steps = length(first, make_world(start))
        for place in range(steps + 1):
            before = [0] * place
            meeting = [*before, *([1] * 60)]
            explore(make_world(start), (first, other), meeting)
            explore(make_world(start), (first, other), meeting, killed=0)
            explore(make_world(start), (first, other), before, killed=0)


@pytest.mark.parametrize("start", STARTS)
def test_two_come_between_the_steps_of_each_other(start: str) -> None:
    for pair in sample([*itertools.product(OPERATIONS, OPERATIONS)], SAMPLE // 2):
        lengths = [length(each, make_world(start)) for each in pair]
        for choices in sample([*orders(*lengths)], SAMPLE // 2):
            explore(make_world(start), pair, choices)


@pytest.mark.parametrize("start", STARTS)
def test_three_in_any_order(start: str) -> None:
    for _ in range(rounds() // 5):
        operations = random.choices([*OPERATIONS, Operation("move", wait)], k=3)
        choices = [random.randrange(3) for _ in range(random.randrange(40))]
        killed = random.choice([None, None, 0, 1, 2])
        explore(make_world(start), operations, choices, killed=killed)
