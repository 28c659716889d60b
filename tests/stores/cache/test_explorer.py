"""Every order in which the steps of CacheStore's operations can meet."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import caches

from django_multistore.models import UserSession
from django_multistore.stores.cache import CacheStore
from django_multistore.stores.cache.cells import DEAD
from django_multistore.stores.indexed import users as cache_users
from django_multistore.stores.steps import Steps, call_database, run
from tests import servers
from tests.support.exploration import (
    ENDS_ANN,
    FULL,
    OF_A_USER,
    OF_A_VISITOR,
    SAMPLE,
    USER,
    VISITOR,
    Actor,
    Operation,
    World,
    become_another,
    explore,
    finish,
    forget_the_user,
    length,
    list_them,
    log_in,
    log_in_and_rotate,
    log_in_anew,
    log_out,
    look,
    orders,
    pairs,
    rotate,
    save_and_slide,
)
from tests.support.helpers import rounds
from tests.support.meeting import PATIENCE, actors, alias_of, on, store_setting

SERVERS = {"memcached": "memcached", "redis": "redis", "django_redis": "redis"}
HALF_ROTATED = "half rotated"


@pytest.fixture(autouse=True)
def _gc_waits_for_no_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let gc take every session for lost that isn't there, as if each writer had stalled."""
    monkeypatch.setattr(cache_users, "IN_FLIGHT", -timedelta(minutes=1))


@dataclass
class CacheWorld(World):
    store: CacheStore

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start == HALF_ROTATED:
            # As a process leaves it that dies when it has moved the row.
            self.store._index.move(self.session.key, self.changed(key=self.new_key()))

    @property
    def protocol(self) -> Any:
        return self.store._protocol

    @property
    def cache(self) -> Any:
        return caches[self.store._options.cache]

    def ending(self) -> Steps[Any]:
        return self.protocol.destroy_for_user(self.ann, id=self.session.id)  # type: ignore[no-any-return]

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

    def clean_up(self) -> None:
        rows = self.store._index.rows_after(0, 100)
        run(self.store._protocol.gc(rows, dry_run=False))
        alive = {record.key for record in self.live() if record.user_id is not None}
        rows = self.store._index.rows_after(0, 100)
        pointing = {key for row in rows for key in row.keys}
        assert alive <= pointing, "gc has made a live session unlisted"
        # A row stays while the cache has its session, even as another's or as nobody's.
        values = self.cache.get_many([f"s:{key}" for key in pointing])
        assert all(
            any(values.get(f"s:{key}") not in (None, DEAD) for key in row.keys) for row in rows
        ), "a row points nowhere after gc"
        for user in (self.ann, self.bob):
            self.store.destroy_for_user(user)
        assert not [record for record in self.live() if record.user_id is not None], (
            "destroy_for_user() did not end all of them"
        )
        for key in self.keys:
            self.store.destroy(key)
        run(self.store._protocol.gc(self.store._index.rows_after(0, 100), dry_run=False))
        assert not rows_of(self.store).exists(), "a row points nowhere"


def collect(world: World) -> Steps[Any]:
    assert isinstance(world, CacheWorld)
    rows = yield from call_database(world.store._index.rows_after, 0, 100)
    return (yield from world.protocol.gc(rows, dry_run=False)) if rows else 0


OPERATIONS: dict[str, list[Operation]] = {
    USER: [*OF_A_USER, collect],
    VISITOR: [*OF_A_VISITOR, collect],
    HALF_ROTATED: [*OF_A_USER, collect],
}
WORLDS = [(start, operation) for start in OPERATIONS for operation in OPERATIONS[start]]
IN_A_TRANSACTION = [
    (USER, rotate),
    (USER, save_and_slide),
    (USER, log_in_anew),
    (USER, become_another),
    (VISITOR, log_in),
    (VISITOR, log_in_and_rotate),
    (HALF_ROTATED, rotate),
]
PAIRS = [
    pytest.param(start, (one, other), id=f"{start}-{one.__name__}-{other.__name__}")
    for start, one, other in pairs(OPERATIONS)
]


def rows_of(store: CacheStore) -> Any:
    return UserSession.objects.using(store.database).all()


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
