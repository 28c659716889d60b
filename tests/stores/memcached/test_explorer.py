"""Every order in which the steps of MemcachedStore's operations can meet."""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

import pytest

from django_multistore.stores.indexed import users as indexed_users
from django_multistore.stores.memcached import MemcachedStore
from django_multistore.stores.memcached.cells import DEAD
from tests import servers
from tests.settings import OWN_PREFIX
from tests.support.exploration import (
    ENDS_ANN,
    FULL,
    SAMPLE,
    Actor,
    Operation,
    explore,
    finish,
    length,
    list_them,
    log_out,
    look,
    orders,
    rotate,
)
from tests.support.helpers import rounds
from tests.support.indexed_exploration import (
    IN_A_TRANSACTION,
    OPERATIONS,
    PAIRS,
    WORLDS,
    IndexedWorld,
    collect,
    rows_of,
)
from tests.support.meeting import PATIENCE, actors, alias_of, on, store_setting

pytestmark = [pytest.mark.stress, pytest.mark.django_db(transaction=True)]
HOW = pytest.mark.parametrize("with_token", [True, False], ids=["as read", "anew"])


@pytest.fixture(autouse=True)
def _gc_waits_for_no_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let gc take every session for lost that isn't there, as if each writer had stalled."""
    monkeypatch.setattr(indexed_users, "IN_FLIGHT", -timedelta(minutes=1))


@dataclass
class MemcachedWorld(IndexedWorld):
    store: MemcachedStore
    # Whether what is changed has been read before all other steps, or is looked at again.
    with_token: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.with_token:
            read = self.store.read(self.session.key)
            assert read is not None
            assert read.token is not None
            self.session = read

    def keys_with_data(self, keys: Collection[str]) -> set[str]:
        cells, client = self.store._cells, self.store._client
        values = {key: client.gets(cells.name(key)).value for key in keys}
        return {key for key, value in values.items() if value and not value.startswith(DEAD)}


def store_with(**options: object) -> MemcachedStore:
    address = servers.require("memcached")
    return MemcachedStore("default", SERVERS=address, KEY_PREFIX=f"{OWN_PREFIX}:", **options)


def steps_of(operation: Operation, store: MemcachedStore, start: str, with_token: bool) -> int:
    count = length(operation, MemcachedWorld(store, start, with_token=with_token))
    rows_of(store).delete()
    return count


@HOW
@pytest.mark.parametrize(("start", "pair"), PAIRS)
def test_all_orders_of_two(start: str, pair: tuple[Operation, Operation], with_token: bool) -> None:
    store = store_with()
    one, other = (steps_of(each, store, start, with_token) for each in pair)
    found = list(orders((one, other)))
    if rounds() < FULL and len(found) > SAMPLE:
        found = random.sample(found, SAMPLE)
    for choices in found:
        explore(MemcachedWorld(store, start, with_token=with_token), pair, choices)


@HOW
@pytest.mark.parametrize(("start", "first"), WORLDS)
def test_another_comes_or_it_dies_before_each_step(
    start: str, first: Operation, with_token: bool
) -> None:
    store = store_with()
    steps = steps_of(first, store, start, with_token)
    others = OPERATIONS[start]
    if rounds() < FULL:
        others = random.sample(others, 2)
    for other, place in itertools.product(others, range(steps + 1)):
        before = [0] * place
        # The other's steps in between, as many as it can have; then the first goes on, or not.
        meeting = [*before, *([1] * 40)]
        for choices, killed in ((meeting, None), (meeting, 0), (before, 0)):
            world = MemcachedWorld(store, start, with_token=with_token)
            explore(world, (first, other), choices, killed=killed)


@pytest.mark.parametrize("commit", [True, False], ids=["commit", "rollback"])
@pytest.mark.parametrize("other", [*ENDS_ANN, log_out, list_them, collect, rotate])
@pytest.mark.parametrize(("start", "first"), IN_A_TRANSACTION)
@pytest.mark.parametrize("kind", on("postgres", "mariadb", transaction=True))
def test_another_comes_before_each_step_of_a_transaction(
    kind: str, start: str, first: Operation, other: Operation, commit: bool
) -> None:
    store_setting(kind)
    store = store_with(DATABASE=alias_of(kind))
    steps = steps_of(first, store, start, with_token=True)
    with actors(store.database, 2) as (one, two):
        places = list(range(steps + 1))
        for place in places if rounds() >= FULL else random.sample(places, 2):
            world = MemcachedWorld(store, start)
            one.begins()
            mine = one.does(Actor, first, world)
            for _ in range(place):
                one.does(mine.advance)
            theirs = Actor(other, world)
            future = two.reaches_a_lock(finish, theirs)
            one.does(finish, mine)
            one.ends(commit=commit)
            future.result(PATIENCE)
            look(world, [theirs])
            world.clean_up()


@HOW
def test_three_in_any_order(with_token: bool) -> None:
    store = store_with()
    # A round costs several times what one of a race does.
    for _ in range(rounds() // 3):
        start = random.choice([*OPERATIONS])
        operations = random.choices(OPERATIONS[start], k=3)
        choices = [random.randrange(3) for _ in range(random.randrange(40))]
        killed = random.choice([None, None, 0, 1, 2])
        world = MemcachedWorld(store, start, with_token=with_token)
        explore(world, operations, choices, killed=killed)
