"""
Operations on a session that is moving, step by step, by processes of different phases.

The steps are the calls of the two stores, of which each is done or not begun. What must hold is
looked at after each step of anyone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from django.utils import timezone

from django_multistore.records import Outcome, SessionRecord, key_of, new_id
from django_multistore.session.keys import new_session_key
from django_multistore.stores.composed import MigratingStore, dormancy
from django_multistore.stores.composed.dormancy import State, state_of
from django_multistore.stores.composed.moves import REMEMBERED, build_place
from django_multistore.stores.handler import stores
from django_multistore.stores.memory import MemoryStore
from django_multistore.stores.steps import Call, DatabaseCall, Pause, Steps, call
from django_multistore.testing import expired, make_record

from .settings import store_in

STARTS = (
    "in old",
    "in new",
    "come",
    "half moved",
    "half kept",
    "not forgotten",
    "stranger's place",
)

KINDS = {
    "memory": "django_multistore.stores.memory.MemoryStore",
    "by id": "tests.stores.composed.stores.ByIdStore",
    "remembering": "tests.stores.composed.stores.RememberingStore",
}


@dataclass
class World:
    """A session in either of two stores, and what has been said of it."""

    old: MemoryStore
    new: MemoryStore
    start: str
    ann: str = field(default_factory=lambda: f"ann-{new_id()}")
    acknowledged: set[bytes] = field(default_factory=set)
    has_ended: bool = False

    def __post_init__(self) -> None:
        self.session = make_record(
            key=key_of(new_session_key()),
            user_id=self.ann,
            authenticated_at=timezone.now(),
            payload=b"data",
            version=5,
        )
        self.key = self.session.key
        self.keys = [self.key]
        getattr(self, "_" + self.start.replace(" ", "_").replace("'", ""))()

    def _in_old(self) -> None:
        assert self.old.create(self.session)

    def _in_new(self) -> None:
        assert self.new.create(self.session)

    def _place(self, record: SessionRecord) -> SessionRecord:
        place = build_place(record)
        assert place is not None
        assert self.new.create(place)
        return place

    def _half_kept(self) -> None:
        """As a process leaves it that dies when it has kept a place."""
        self._in_old()
        self._place(self.session)

    def _strangers_place(self) -> None:
        """Leave a place of when the session had no user yet."""
        self._in_old()
        self._place(replace(self.session, user_id=None, expires_at=timezone.now() + timedelta(1)))

    def _half_moved(self) -> None:
        """As a process leaves it that dies when it has marked the session as moved."""
        self._in_old()
        place = self._place(self.session)
        assert self.old.update(dormancy.moved(self.session, place.payload)) is Outcome.DONE

    def _not_forgotten(self) -> None:
        """As a process leaves it that dies when it has confirmed the move."""
        self._half_moved()
        place = self.new.read(self.key)
        assert place is not None
        self.session = replace(self.session, version=place.version)
        assert self.new.update(self.session) is Outcome.DONE
        self.session = replace(self.session, version=(place.version or 0) + 1)

    def _come(self) -> None:
        """As a move leaves it for a minute."""
        self._not_forgotten()
        mark = self.old.read(self.key)
        assert mark is not None
        assert self.old.update(dormancy.left(mark, timezone.now() + REMEMBERED)) is Outcome.DONE

    def a_minute_passes(self) -> None:
        """Have each mark go that only waits for that."""
        for store in (self.old, self.new):
            for key, record in list(store._records.items()):
                if state_of(record) is State.LEFT:
                    store._records[key] = expired(record)

    def new_key(self) -> str:
        self.keys.append(key_of(new_session_key()))
        return self.keys[-1]

    def alive(self) -> list[SessionRecord]:
        """Return what the session is alive by, wherever that is."""
        found = []
        for here, there in ((self.old, self.new), (self.new, self.old)):
            for key in self.keys:
                record = here.read(key)
                is_place = dormancy.belong_together(there.read(key), record)
                if record is not None and (state_of(record) is State.LIVE or is_place):
                    found.append(record)
        return found

    def changed(self, **changes: Any) -> SessionRecord:
        return replace(self.session, last_seen_at=timezone.now(), **changes)


Work = Callable[[World, MigratingStore], Steps[Any]]


def make_world(start: str) -> World:
    """Return a world of its own, in the stores of SESSION_STORES."""
    old, new = stores["old"], stores["new"]
    assert isinstance(old, MemoryStore)
    assert isinstance(new, MemoryStore)
    for store in (old, new):
        store._records.clear()
    return World(old, new, start)


def load(world: World, store: MigratingStore) -> Steps[Any]:
    at_home = yield from call(store.home.read, store.home.aread, world.key)
    return (yield from store._protocol.read_on(world.key, at_home))


def _save(world: World, store: MigratingStore, key: str) -> Steps[Any]:
    mine = b"+" + str(new_id()).encode()
    record = world.changed(key=key, payload=world.session.payload + mine)
    if key == world.key:
        outcome = yield from store._protocol.update(record)
    else:
        outcome = yield from store._protocol.rotate(world.key, record)
    if outcome is Outcome.CONFLICT:
        outcome = yield from store._protocol.modify(
            world.key, lambda stored: replace(stored, key=key, payload=stored.payload + mine)
        )
    if outcome is Outcome.DONE:
        world.acknowledged.add(mine)
    return outcome


def save(world: World, store: MigratingStore) -> Steps[Any]:
    return _save(world, store, world.key)


def load_and_save(world: World, store: MigratingStore) -> Steps[Any]:
    """Save as a request does that has loaded the session itself."""
    mine = b"+" + str(new_id()).encode()
    record = yield from load(world, store)
    if record is None:
        return Outcome.GONE
    outcome = yield from store._protocol.update(replace(record, payload=record.payload + mine))
    if outcome is Outcome.DONE:
        world.acknowledged.add(mine)
    return outcome


def overwrite(world: World, store: MigratingStore) -> Steps[Any]:
    """Save whatever is there, as after clear()."""
    return store._protocol.update(world.changed(version=None, payload=b"data"))


def rotate(world: World, store: MigratingStore) -> Steps[Any]:
    return _save(world, store, world.new_key())


def touch(world: World, store: MigratingStore) -> Steps[Any]:
    later = world.session.expires_at + timedelta(hours=1)
    return store._protocol.touch(world.changed(expires_at=later))


def let_expire(world: World, store: MigratingStore) -> Steps[Any]:
    outcome = yield from store._protocol.update(expired(world.changed(version=None)))
    world.has_ended |= outcome is Outcome.DONE
    return outcome


def log_out(world: World, store: MigratingStore) -> Steps[Any]:
    is_ended = yield from store._protocol.destroy(world.key)
    world.has_ended |= is_ended
    return is_ended


def log_out_everywhere(world: World, store: MigratingStore) -> Steps[Any]:
    count = yield from store._protocol.destroy_for_user(world.ann)
    world.has_ended = True
    return count


def end_it(world: World, store: MigratingStore) -> Steps[Any]:
    is_ended = yield from store._protocol.destroy_session(world.ann, world.session.id)
    world.has_ended = True
    return is_ended


def log_out_others(world: World, store: MigratingStore) -> Steps[Any]:
    return store._protocol.destroy_for_user(world.ann, except_key=world.key)


def list_them(world: World, store: MigratingStore) -> Steps[Any]:
    return store._protocol.sessions_for_user(world.ann)


def wait(world: World, store: MigratingStore) -> Steps[Any]:
    """Let a minute pass, in which others stand still."""
    return call(world.a_minute_passes, _never)


async def _never() -> None:
    raise AssertionError("no async code runs here")


ENDS = (let_expire, log_out, log_out_everywhere, end_it)
MOVES_ON = (rotate, log_out_others)
WORKS: tuple[Work, ...] = (
    load, save, load_and_save, overwrite, rotate, touch, let_expire, log_out, log_out_everywhere,
    end_it, log_out_others, list_them,
)  # fmt: skip


@dataclass(frozen=True)
class Operation:
    """What a process does whose settings have this phase."""

    phase: str
    work: Work

    @property
    def name(self) -> str:
        return f"{self.work.__name__} in {self.phase}"


class Actor:
    """An operation that is taken one step at a time."""

    def __init__(self, operation: Operation, world: World) -> None:
        self.operation = operation
        self.outcome: Any = None
        self.is_done = False
        self._steps = operation.work(world, store_in(operation.phase))
        self._go(lambda: next(self._steps))

    def advance(self) -> None:
        assert isinstance(self._next, Call)
        answer = self._next.take()
        self._go(lambda: self._steps.send(answer))

    def _go(self, go: Callable[[], Any]) -> None:
        try:
            self._next = go()
            # Neither a pause nor a question to one's own connection can be crossed.
            while isinstance(self._next, Pause | DatabaseCall):
                is_pause = isinstance(self._next, Pause)
                self._next = self._steps.send(None if is_pause else self._next.take())
        except StopIteration as end:
            self.is_done, self.outcome = True, end.value


def length(operation: Operation, world: World) -> int:
    """Return how many steps an operation takes that meets no other."""
    actor, count = Actor(operation, world), 0
    while not actor.is_done:
        actor.advance()
        count += 1
    return count


def explore(
    world: World,
    operations: Sequence[Operation],
    choices: Sequence[int],
    *,
    killed: int | None = None,
) -> None:
    """Take the steps in an order of which the choices are the beginning; see exploration.py."""
    actors = [Actor(operation, world) for operation in operations]
    works = {operation.work for operation in operations}
    survivors = [actor for index, actor in enumerate(actors) if index != killed]
    try:
        for choice in choices:
            if not actors[choice].is_done:
                actors[choice].advance()
                look(world, works)
        for actor in survivors:
            while not actor.is_done:
                actor.advance()
                look(world, works)
        look_at_outcomes(world, actors)
        look_from_each_phase(world, works, is_sure=killed is None)
    except AssertionError as error:
        names = [operation.name for operation in operations]
        where = f"{world.start}: {names} in the order {list(choices)}, killed: {killed}"
        raise AssertionError(where) from error


def look(world: World, works: set[Work]) -> None:
    """Look at what holds at every moment."""
    alive = world.alive()
    assert len(alive) <= 1, "a session is alive twice"
    if world.has_ended:
        assert not alive, "a session that has ended is back"
    elif not works & {*ENDS, *MOVES_ON}:
        assert alive, "a session is lost"


def look_at_outcomes(world: World, actors: Sequence[Actor]) -> None:
    works = {actor.operation.work for actor in actors}
    ends, moves_on = bool(works & {*ENDS}), bool(works & {*MOVES_ON})
    for actor in actors:
        if not actor.is_done or ends or moves_on:
            continue
        work, outcome = actor.operation.work, actor.outcome
        if work is load:
            assert outcome is not None, "a load has not found it"
        if work is list_them:
            assert [each.id for each in outcome] == [world.session.id], "it was not listed once"
        if work in (save, load_and_save, overwrite):
            assert outcome is not Outcome.GONE, "a save has not found it"
    if works == {rotate, load} or works == {rotate}:
        assert world.alive(), "a rotation has lost it"


def look_from_each_phase(world: World, works: set[Work], *, is_sure: bool) -> None:
    """Look at what each process finds when all is over, and once more a minute later."""
    # A list can't tell a place from the place: one for a session that has ended may be listed, if a
    # process has died between the last two steps of its move.
    is_sure &= world.start not in ("half moved", "not forgotten")
    for phase in ("follow", "move", "return", "move"):
        store = store_in(phase)
        found = [record for record in map(store.read, world.keys) if record is not None]
        alive = world.alive()
        assert [each.key for each in found] == [each.key for each in alive], "not what is alive"
        listed = store.sessions_for_user(world.ann)
        if found or is_sure:
            assert listed == [replace(each, payload=b"") for each in found], "not what is listed"
            assert store.page_for_user(world.ann, start=0, size=5).total == len(found)
        for record in found:
            if overwrite not in works:
                missing = [each for each in world.acknowledged if each not in record.payload]
                assert not missing, "what was saved isn't there"
            assert record.payload.startswith(b"data"), "its data are lost"
            assert state_of(record) is State.LIVE
        look(world, works)
        world.a_minute_passes()
        look(world, works)
    was_alive = len(world.alive())
    count = store_in("move").destroy_for_user(world.ann)
    assert count == was_alive or not is_sure, "not as many as were alive"
    assert not world.alive(), "destroy_for_user() did not end it"


def orders(first: int, second: int) -> Iterator[list[int]]:
    """Yield each order in which an operation comes between two steps of another, once or twice."""
    for place in range(first + 1):
        for part in range(1, second + 1):
            for other in range(place, first + 1):
                yield [0] * place + [1] * part + [0] * (other - place) + [1] * 40
