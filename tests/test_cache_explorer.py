"""
Every order in which the steps of CacheStore's operations can meet.

An operation yields its cache commands and its SQL statements one by one, so two or three of
them can be run in any order of these, and each can be killed before any of them. What must
hold is looked at afterwards.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import caches
from django.utils import timezone

from django_multistore.engine import new_session_key
from django_multistore.models import UserSession
from django_multistore.records import SessionRecord, Update, key_of, new_id
from django_multistore.stores import cache_protocol
from django_multistore.stores.cache import CacheStore
from django_multistore.stores.steps import DatabaseStep, Pause, Steps, run
from django_multistore.testing import expired, make_record
from tests import servers
from tests.helpers import rounds
from tests.races.support import PATIENCE, actors, alias_of, on, store_setting

SERVERS = {"memcached": "memcached", "redis": "redis", "django_redis": "redis"}
FULL = 20_000  # rounds, from which on nothing is left to chance
SAMPLE = 5  # orders of one pair, otherwise
NEW = b"new payload"

USER, VISITOR, HALF_ROTATED = "user", "visitor", "half rotated"

Choices = Sequence[int]


@pytest.fixture(autouse=True)
def _gc_waits_for_no_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let gc take every session for lost that isn't there, as if each writer had stalled."""
    monkeypatch.setattr(cache_protocol, "IN_FLIGHT", -timedelta(minutes=1))


@dataclass
class World:
    """One session, those who have to do with it, and all that they know of it."""

    store: CacheStore
    start: str
    ann: str = field(default_factory=lambda: f"ann-{new_id()}")
    bob: str = field(default_factory=lambda: f"bob-{new_id()}")
    keys: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        user = {"user_id": self.ann, "authenticated_at": timezone.now()}
        self.session = make_record(key=self.new_key(), **(user if self.starts_with_user else {}))
        assert self.store.create(self.session)
        if self.start == HALF_ROTATED:
            # As a process leaves it that dies when it has moved the row.
            self.store._index.move(self.session.key, self.changed(key=self.new_key()))

    @property
    def starts_with_user(self) -> bool:
        return self.start != VISITOR

    def new_key(self) -> str:
        key = key_of(new_session_key())
        self.keys.append(key)
        return key

    def live(self) -> list[SessionRecord]:
        found = (self.store.read(key) for key in self.keys)
        return [record for record in found if record is not None]

    def changed(self, **changes: Any) -> SessionRecord:
        return replace(self.session, payload=NEW, seen_at=timezone.now(), **changes)


Operation = Callable[[World], Steps[Any]]


def save(world: World) -> Steps[Any]:
    return world.store._protocol.update(world.changed())


def save_and_slide(world: World) -> Steps[Any]:
    later = world.session.expires_at + timedelta(hours=1)
    return world.store._protocol.update(world.changed(expires_at=later))


def touch(world: World) -> Steps[Any]:
    later = timezone.now() + timedelta(hours=2)
    return world.store._protocol.touch(world.changed(expires_at=later))


def rotate(world: World) -> Steps[Any]:
    return world.store._protocol.rotate(world.session.key, world.changed(key=world.new_key()))


def log_in_anew(world: World) -> Steps[Any]:
    record = make_record(key=world.new_key(), user_id=world.ann, authenticated_at=timezone.now())
    return world.store._protocol.create(record)


def log_in(world: World) -> Steps[Any]:
    return world.store._protocol.update(world.changed(user_id=world.ann))


def log_in_and_rotate(world: World) -> Steps[Any]:
    record = world.changed(user_id=world.ann, key=world.new_key())
    return world.store._protocol.rotate(world.session.key, record)


def become_another(world: World) -> Steps[Any]:
    return world.store._protocol.update(world.changed(user_id=world.bob))


def become_another_and_rotate(world: World) -> Steps[Any]:
    record = world.changed(user_id=world.bob, key=world.new_key())
    return world.store._protocol.rotate(world.session.key, record)


def forget_the_user(world: World) -> Steps[Any]:
    return world.store._protocol.update(world.changed(user_id=None))


def let_expire(world: World) -> Steps[Any]:
    return world.store._protocol.update(expired(world.changed()))


def log_out(world: World) -> Steps[Any]:
    return world.store._protocol.destroy(world.session.key)


def log_out_everywhere(world: World) -> Steps[Any]:
    return world.store._protocol.destroy_for_user(world.ann)


def end_it(world: World) -> Steps[Any]:
    return world.store._protocol.destroy_for_user(world.ann, id=world.session.id)


def list_them(world: World) -> Steps[Any]:
    return world.store._protocol.sessions_for_user(world.ann)


def collect(world: World) -> Steps[Any]:
    rows = yield DatabaseStep(world.store._index.rows_after, (0, 100))
    return (yield from world.store._protocol.gc(rows, dry_run=False)) if rows else 0


ENDS_ANN = (log_out_everywhere, end_it)
ENDS = (*ENDS_ANN, log_out, let_expire)
OF_A_USER: list[Operation] = [
    save,
    save_and_slide,
    touch,
    rotate,
    log_in_anew,
    become_another,
    become_another_and_rotate,
    forget_the_user,
    let_expire,
    log_out,
    log_out_everywhere,
    end_it,
    list_them,
    collect,
]
OF_A_VISITOR: list[Operation] = [
    save,
    rotate,
    log_in,
    log_in_and_rotate,
    log_out,
    log_out_everywhere,
    list_them,
    collect,
]
OPERATIONS = {USER: OF_A_USER, VISITOR: OF_A_VISITOR, HALF_ROTATED: OF_A_USER}
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
    pytest.param(start, pair, id=f"{start}-{pair[0].__name__}-{pair[1].__name__}")
    for start, operations in OPERATIONS.items()
    for pair in itertools.combinations_with_replacement(operations, 2)
]


class Actor:
    """An operation that is taken one step at a time."""

    def __init__(self, operation: Operation, world: World) -> None:
        self.operation = operation
        self.outcome: Any = None
        self.is_done = self.is_waiting = False
        self._steps = operation(world)
        self._go(lambda: next(self._steps))

    def advance(self) -> None:
        step = self._next
        if isinstance(step, Pause):
            self.is_waiting = True
            self._go(lambda: self._steps.send(None))
        else:
            self.is_waiting = False
            answer = step.take()
            self._go(lambda: self._steps.send(answer))

    def _go(self, go: Callable[[], Any]) -> None:
        try:
            self._next = go()
        except StopIteration as end:
            self.is_done, self.outcome = True, end.value


def length(operation: Operation, store: CacheStore, start: str) -> int:
    """Return how many steps an operation takes that meets no other."""
    world = World(store, start)
    actor, count = Actor(operation, world), 0
    while not actor.is_done:
        actor.advance()
        count += 1
    rows_of(store).delete()
    return count


def rows_of(store: CacheStore) -> Any:
    return UserSession.objects.using(store.database).all()


def orders(lengths: tuple[int, int]) -> Iterator[Choices]:
    """Yield all orders of two operations' steps, or some of them."""
    total = sum(lengths)
    for places in itertools.combinations(range(total), lengths[0]):
        mine = set(places)
        yield [0 if place in mine else 1 for place in range(total)]


def explore(
    store: CacheStore,
    operations: Sequence[Operation],
    choices: Choices,
    *,
    start: str,
    killed: int | None = None,
) -> None:
    """
    Run the operations in one order of their steps, and look at what came of it.

    The choices say whose step is next. When they end, the one that is `killed` dies, and the
    others finish.
    """
    world = World(store, start)
    actors = [Actor(operation, world) for operation in operations]
    for choice in choices:
        if not actors[choice].is_done:
            actors[choice].advance()
    survivors = [actor for index, actor in enumerate(actors) if index != killed]
    while unfinished := [actor for actor in survivors if not actor.is_done]:
        for actor in unfinished:
            while not actor.is_done:
                actor.advance()
                if actor.is_waiting:
                    if len(unfinished) == 1:
                        # Who had the lock is dead, and it expires.
                        caches[store._options.cache].delete(f"l:{world.session.key}")
                    break
    names = [actor.operation.__name__ for actor in actors]
    try:
        look(world, actors)
        if killed is None:
            look_at_outcomes(world, actors)
        clean_up(world)
    except AssertionError as error:
        raise AssertionError(f"{names} in the order {list(choices)}, killed: {killed}") from error


def look(world: World, actors: Sequence[Actor]) -> None:
    live = world.live()
    # Without locks one writer may undo another's change, and so that of a session's user.
    operations = {actor.operation for actor in actors}
    may_return = not world.store.options["EXACT"] and operations & {become_another, forget_the_user}
    for record in live:
        if record.user_id is not None:
            listed = world.store.sessions_for_user(record.user_id)
            assert replace(record, payload=b"") in listed, "a live session that isn't listed"
    ids = [record.id for record in live]
    assert len(ids) == len(set(ids)), "two live keys of one session"
    if all(actor.is_done for actor in actors):
        cache = caches[world.store._options.cache]
        for key in world.keys:
            found = cache.get_many([f"s:{key}", f"t:{key}"])
            left = found.get(f"s:{key}", cache_protocol.DEAD)
            assert len(found) < 2 or left == cache_protocol.DEAD, "data left under a tombstone"
    for actor in actors:
        if not actor.is_done:
            continue
        if actor.operation in (log_out, let_expire) and actor.outcome is not Update.CONFLICT:
            there = world.store.read(world.session.key)
            assert there is None, "what was destroyed is back"
        if actor.operation in ENDS_ANN and world.starts_with_user and not may_return:
            escaped = [r for r in live if r.id == world.session.id and r.user_id == world.ann]
            assert not escaped, "a session has escaped from destroy_for_user()"


def look_at_outcomes(world: World, actors: Sequence[Actor]) -> None:
    """Nobody is told that it is done when it isn't, unless another has undone it since."""
    operations = [actor.operation for actor in actors]
    if any(operation in (*ENDS, collect) for operation in operations):
        return
    live = {record.id: record for record in world.live()}
    assert world.session.id in live, "the session was lost"
    rotations = [
        actor
        for actor in actors
        if actor.operation in (rotate, log_in_and_rotate, become_another_and_rotate)
    ]
    if rotations:
        outcomes = {actor.outcome for actor in rotations}
        assert outcomes & {Update.DONE, Update.CONFLICT}, "no rotation has won"
    saved = [actor for actor in actors if actor.outcome is Update.DONE]
    if saved and world.store.options["EXACT"]:
        assert live[world.session.id].payload == NEW, "what was saved isn't there"
    # In the middle of a rotation a session is under no key at all.
    stays = not rotations and not {become_another, forget_the_user} & set(operations)
    for actor in actors if stays and world.starts_with_user else ():
        if actor.operation is list_them:
            listed = [record.id for record in actor.outcome]
            assert world.session.id in listed, "a live session was not listed meanwhile"


def clean_up(world: World) -> None:
    rows = world.store._index.rows_after(0, 100)
    run(world.store._protocol.gc(rows, dry_run=False))
    alive = {record.key for record in world.live() if record.user_id is not None}
    rows = world.store._index.rows_after(0, 100)
    pointing = {key for row in rows for key in row.keys}
    assert alive <= pointing, "gc has made a live session unlisted"
    # A row stays while the cache has its session, even as another's or as nobody's.
    values = caches[world.store._options.cache].get_many([f"s:{key}" for key in pointing])
    assert all(
        any(values.get(f"s:{key}") not in (None, cache_protocol.DEAD) for key in row.keys)
        for row in rows
    ), "a row points nowhere after gc"
    for user in (world.ann, world.bob):
        world.store.destroy_for_user(user)
    assert not [record for record in world.live() if record.user_id is not None], (
        "destroy_for_user() did not end all of them"
    )
    for key in world.keys:
        world.store.destroy(key)
    run(world.store._protocol.gc(world.store._index.rows_after(0, 100), dry_run=False))
    assert not rows_of(world.store).exists(), "a row points nowhere"


def store_on(cache: str, **options: Any) -> CacheStore:
    if cache not in caches.settings:
        servers.require(SERVERS[cache])
    return CacheStore("default", CACHE=cache, **options)


pytestmark = [pytest.mark.stress, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("is_exact", [True, False], ids=["exact", "unlocked"])
@pytest.mark.parametrize(("start", "pair"), PAIRS)
def test_all_orders_of_two(start: str, pair: tuple[Operation, Operation], is_exact: bool) -> None:
    store = store_on("locmem", EXACT=is_exact)
    lengths = tuple(length(each, store, start) for each in pair)
    found = list(orders((lengths[0], lengths[1])))
    if rounds() < FULL and len(found) > SAMPLE:
        found = random.sample(found, SAMPLE)
    for choices in found:
        explore(store, pair, choices, start=start)


@pytest.mark.parametrize("cache", ["locmem", *SERVERS])
@pytest.mark.parametrize(("start", "first"), WORLDS)
def test_another_comes_or_it_dies_before_each_step(
    start: str, first: Operation, cache: str
) -> None:
    store = store_on(cache)
    steps = length(first, store, start)
    others = OPERATIONS[start]
    if rounds() < FULL:
        others = random.sample(others, 2)
    for other, place in itertools.product(others, range(steps + 1)):
        before = [0] * place
        # The other's steps in between, as many as it can have; then the first goes on, or not.
        meeting = [*before, *([1] * 40)]
        explore(store, (first, other), meeting, start=start)
        explore(store, (first, other), meeting, start=start, killed=0)
        explore(store, (first, other), before, start=start, killed=0)


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
    steps = length(first, store, start)
    with actors(store.database, 2) as (one, two):
        places = list(range(steps + 1))
        for place in places if rounds() >= FULL else random.sample(places, 2):
            world = World(store, start)
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
            clean_up(world)


def finish(actor: Actor) -> None:
    while not actor.is_done:
        actor.advance()


@pytest.mark.parametrize("is_exact", [True, False], ids=["exact", "unlocked"])
def test_three_in_any_order(is_exact: bool) -> None:
    store = store_on("locmem", EXACT=is_exact)
    # A round costs several times what one of a race does.
    for _ in range(rounds() // 3):
        start = random.choice([*OPERATIONS])
        operations = random.choices(OPERATIONS[start], k=3)
        choices = [random.randrange(3) for _ in range(random.randrange(40))]
        killed = random.choice([None, None, 0, 1, 2])
        explore(store, operations, choices, start=start, killed=killed)
