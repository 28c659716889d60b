"""Every order in which the steps of CacheStore's operations can meet."""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import caches

from django_multistore.stores.cache import CacheStore
from django_multistore.stores.cache.cells import DEAD
from django_multistore.stores.indexed import users as cache_users
from tests import servers
from tests.support.exploration import (
    ENDS_ANN,
    FULL,
    SAMPLE,
    Actor,
    Operation,
    become_another,
    explore,
    finish,
    forget_the_user,
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

SERVERS = {"memcached": "memcached", "redis": "redis", "django_redis": "redis"}


@pytest.fixture(autouse=True)
def _gc_waits_for_no_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let gc take every session for lost that isn't there, as if each writer had stalled."""
    monkeypatch.setattr(cache_users, "IN_FLIGHT", -timedelta(minutes=1))


@dataclass
class CacheWorld(IndexedWorld):
    store: CacheStore

    @property
    def cache(self) -> Any:
        return caches[self.store._options.cache]

    def keys_with_data(self, keys: Collection[str]) -> set[str]:
        values = self.cache.get_many([f"s:{key}" for key in keys])
        return {key for key in keys if values.get(f"s:{key}") not in (None, DEAD)}

    def wait_is_over(self) -> None:
        self.cache.delete(f"l:{self.session.key}")

    def may_return(self, operations: set[Operation]) -> bool:
        # Without locks one writer may undo another's change, and so that of a session's user.
        return not self.shows_each_save() and bool(operations & {become_another, forget_the_user})

    def shows_each_save(self) -> bool:
        return bool(self.store.options["EXACT"])

    def look_at_what_is_left(self) -> None:
        for key in self.keys:
            found = self.cache.get_many([f"s:{key}", f"t:{key}"])
            left = found.get(f"s:{key}", DEAD)
            assert len(found) < 2 or left == DEAD, "data left under a tombstone"


def steps_of(operation: Operation, store: CacheStore, start: str) -> int:
    count = length(operation, CacheWorld(store, start))
    rows_of(store).delete()
    return count


def store_on(cache: str, **options: Any) -> CacheStore:
    if cache not in caches.settings:
        servers.require(SERVERS[cache])
    return CacheStore("default", CACHE=cache, **options)


pytestmark = [pytest.mark.stress, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("is_exact", [True, False], ids=["exact", "unlocked"])
@pytest.mark.parametrize(("start", "pair"), PAIRS)
def test_all_orders_of_two(start: str, pair: tuple[Operation, Operation], is_exact: bool) -> None:
    store = store_on("locmem", EXACT=is_exact)
    one, other = (steps_of(each, store, start) for each in pair)
    found = list(orders((one, other)))
    if rounds() < FULL and len(found) > SAMPLE:
        found = random.sample(found, SAMPLE)
    for choices in found:
        explore(CacheWorld(store, start), pair, choices)


@pytest.mark.parametrize("cache", ["locmem", *SERVERS])
@pytest.mark.parametrize(("start", "first"), WORLDS)
def test_another_comes_or_it_dies_before_each_step(
    start: str, first: Operation, cache: str
) -> None:
    store = store_on(cache)
    steps = steps_of(first, store, start)
    others = OPERATIONS[start]
    if rounds() < FULL:
        others = random.sample(others, 2)
    for other, place in itertools.product(others, range(steps + 1)):
        before = [0] * place
        # The other's steps in between, as many as it can have; then the first goes on, or not.
        meeting = [*before, *([1] * 40)]
        explore(CacheWorld(store, start), (first, other), meeting)
        explore(CacheWorld(store, start), (first, other), meeting, killed=0)
        explore(CacheWorld(store, start), (first, other), before, killed=0)


@pytest.mark.parametrize("commit", [True, False], ids=["commit", "rollback"])
@pytest.mark.parametrize("other", [*ENDS_ANN, log_out, list_them, collect, rotate])
@pytest.mark.parametrize(("start", "first"), IN_A_TRANSACTION)
@pytest.mark.parametrize("kind", on("postgres", "mariadb", transaction=True))
def test_another_comes_before_each_step_of_a_transaction(
    kind: str, start: str, first: Operation, other: Operation, commit: bool
) -> None:
    store_setting(kind)
    # Without the lock, which would keep the two apart.
    store = store_on("locmem", EXACT=False, DATABASE=alias_of(kind))
    steps = steps_of(first, store, start)
    with actors(store.database, 2) as (one, two):
        places = list(range(steps + 1))
        for place in places if rounds() >= FULL else random.sample(places, 2):
            world = CacheWorld(store, start)
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


@pytest.mark.parametrize("is_exact", [True, False], ids=["exact", "unlocked"])
def test_three_in_any_order(is_exact: bool) -> None:
    store = store_on("locmem", EXACT=is_exact)
    # A round costs several times what one of a race does.
    for _ in range(rounds() // 3):
        start = random.choice([*OPERATIONS])
        operations = random.choices(OPERATIONS[start], k=3)
        choices = [random.randrange(3) for _ in range(random.randrange(40))]
        killed = random.choice([None, None, 0, 1, 2])
        explore(CacheWorld(store, start), operations, choices, killed=killed)
