"""Orders in which the steps of MigratingStore's operations meet, in processes of two phases."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from tests.support.exploration import FULL
from tests.support.helpers import rounds

from .exploration import KINDS, STARTS, WORKS, Operation, explore, length, make_world, orders, wait
from .settings import PHASES, moving

pytestmark = pytest.mark.stress

OPERATIONS = [Operation(phase, work) for phase in PHASES for work in WORKS]
SAMPLE = 8


@pytest.fixture(autouse=True, params=KINDS)
def _stores(request: pytest.FixtureRequest, settings: Any) -> None:
    kind = {"BACKEND": KINDS[request.param]}
    settings.SESSION_STORES = moving(kind, kind)


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


# Those that find a fault each: see mutants.py. All of their orders are tried.
CASES = [
    ("in old", ("load in move", "load in move")),
    ("in old", ("load in move", "save in follow")),
    ("in old", ("load in move", "rotate in follow")),
    ("in old", ("load in move", "let_expire in move")),
    ("in old", ("load in move", "log_out in move")),
    ("in old", ("load in move", "log_out_everywhere in move")),
    ("in old", ("load in move", "log_out_everywhere in follow")),
    ("in old", ("load in move", "end_it in move")),
    ("in old", ("load in move", "end_it in follow")),
    ("in old", ("load in move", "list_them in move")),
    ("in old", ("load in move", "list_them in follow")),
    ("in old", ("load_and_save in move", "load in move")),
    ("in old", ("log_out in move", "rotate in follow")),
    ("in old", ("log_out in follow", "load in move")),
    ("in new", ("load in return", "log_out_everywhere in return")),
    ("in new", ("load in return", "end_it in return")),
    ("stranger's place", ("load in move", "log_out_everywhere in follow")),
]


def named(name: str) -> Operation:
    return {each.name: each for each in [*OPERATIONS, Operation("move", wait)]}[name]


@pytest.mark.parametrize(
    ("start", "names"), [pytest.param(*case, id=f"{case[0]}-{'-'.join(case[1])}") for case in CASES]
)
def test_all_orders_of_these(start: str, names: tuple[str, str]) -> None:
    pair = [named(name) for name in names]
    lengths = [length(each, make_world(start)) for each in pair]
    for choices in sample([*orders(*lengths)]):
        explore(make_world(start), pair, choices)


def test_a_load_that_is_held_up_for_a_minute_finds_what_has_moved() -> None:
    operations = [named(name) for name in ("load in move", "load in move", "wait in move")]
    # It has looked at home, and the session comes there and leaves nothing behind.
    explore(make_world("in old"), operations, [0, *[1] * 20, *[2] * 5])


@pytest.mark.parametrize("place", range(8))
@pytest.mark.parametrize("part", range(8))
def test_the_place_of_another_is_not_confirmed(place: int, part: int) -> None:
    names = ("load in move", "load in move", "log_out in move")
    operations = [named(name) for name in names]
    # Both have found it in the old store. One marks it as moved, it ends, and the other keeps a
    # place for it before the first goes on.
    choices = [*[0] * 2, *[1] * part, *[2] * 20, *[0] * place, *[1] * 20]
    explore(make_world("in old"), operations, choices)


@pytest.mark.parametrize("other", ["let_expire in move", "rotate in move", "log_out in move"])
@pytest.mark.parametrize("place", range(6))
@pytest.mark.parametrize("part", range(6))
def test_another_comes_between_a_move_and_its_end(other: str, place: int, part: int) -> None:
    """Have a move held up until all is over, and then keep a place for what has moved on."""
    operations = [named(name) for name in ("load in move", "load in move", other)]
    choices = [*[0] * 2, *[1] * (2 + part), *[2] * 20, *[0] * place, *[1] * 20]
    explore(make_world("in old"), operations, choices)
