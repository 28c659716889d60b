"""Every order in which the steps of two processes can meet while a site moves in."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import caches

from tests.adopting.moves import (
    ADOPT,
    FOLLOW,
    Move,
    Operation,
    cross,
    faults,
    length,
    load,
    log_out,
    log_out_everywhere,
    old_log_out,
    old_save,
    rotate,
    save,
)
from tests.support.exploration import FULL, orders
from tests.support.helpers import rounds

pytestmark = [pytest.mark.stress, pytest.mark.django_db]

DB, CACHE = "django.contrib.sessions.backends.db", "django.contrib.sessions.backends.cache"
SAMPLE, MOST = 2, 300  # orders of one pair, and in full
OF_BOTH = [
    operation(phase)  # type: ignore[operator]
    for phase in (FOLLOW, ADOPT)
    for operation in (load, rotate, log_out, log_out_everywhere)
] + [save(FOLLOW, "one"), save(FOLLOW, "two"), save(ADOPT, "three")]
OF_THE_OLD = [old_save(), old_log_out()]


def meets(one: Operation, other: Operation) -> bool:
    """Say whether two may run at once: no old process runs where sessions are taken over."""
    names = one.name + other.name
    return not ("(adopt)" in names and (one.is_old or other.is_old))


PAIRS = [
    pytest.param(one, other, id=f"{one.name} | {other.name}")
    for one, other in itertools.combinations_with_replacement([*OF_BOTH, *OF_THE_OLD], 2)
    if meets(one, other) and not (one.is_old and other.is_old)
]
STARTS = [
    pytest.param(engine, is_known, id=f"{engine.rpartition('.')[2]}-{words}")
    for engine in (DB, CACHE)
    for is_known, words in ((True, "known"), (False, "unknown"))
]


@pytest.fixture(autouse=True)
def cache(settings: Any) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    caches["default"].clear()


def chosen(one: Operation, other: Operation, engine: str, is_known: bool) -> Iterator[list[int]]:
    lengths = (length(one, Move(engine, is_known)), length(other, Move(engine, is_known)))
    if math.comb(sum(lengths), lengths[0]) <= most():
        yield from (list(order) for order in orders(lengths))
        return
    for _ in range(most()):
        order = [0] * lengths[0] + [1] * lengths[1]
        random.shuffle(order)
        yield order


def most() -> int:
    return MOST if rounds() >= FULL else SAMPLE


@pytest.mark.parametrize(("engine", "is_known"), STARTS)
@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_all_orders_of_two(one: Operation, other: Operation, engine: str, is_known: bool) -> None:
    for order in chosen(one, other, engine, is_known):
        move = Move(engine, is_known)
        processes = cross(move, [one, other], order)
        found = list(faults(move, processes))
        assert not found, f"{found}: {one.name} | {other.name} in the order {order}"


@pytest.mark.parametrize(("engine", "is_known"), STARTS)
@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_one_dies(one: Operation, other: Operation, engine: str, is_known: bool) -> None:
    for order in chosen(one, other, engine, is_known):
        for killed in (0, 1):
            end = random.randrange(len(order) + 1)
            for part in [order[:end]] if rounds() < FULL else _beginnings(order):
                move = Move(engine, is_known)
                processes = cross(move, [one, other], part, killed=killed)
                found = list(faults(move, processes))
                words = f"{one.name} | {other.name} in the order {part}, killed: {killed}"
                assert not found, f"{found}: {words}"


def _beginnings(order: list[int]) -> Iterator[list[int]]:
    return (order[:end] for end in range(len(order) + 1))
