"""
Operations of a store taken step by step, in any order of their steps.

An operation yields its commands and statements one by one, so two or three of them can be run in
any order of these, and each can be killed before any of them. What must hold is looked at
afterwards.
"""

from __future__ import annotations

import itertools
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from django_multistore.records import Outcome, SessionRecord, key_of, new_id
from django_multistore.session.keys import new_session_key
from django_multistore.stores.base import BaseStore
from django_multistore.stores.steps import Call, Pause, Steps
from django_multistore.testing import expired, make_record

FULL = 20_000  # rounds, from which on nothing is left to chance
SAMPLE = 5  # orders of one pair, otherwise
NEW = b"new payload"

USER, VISITOR = "user", "visitor"

Choices = Sequence[int]


@dataclass
class World(ABC):
    """One session, those who have to do with it, and all that they know of it."""

    store: BaseStore
    start: str
    ann: str = field(default_factory=lambda: f"ann-{new_id()}")
    bob: str = field(default_factory=lambda: f"bob-{new_id()}")
    keys: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        user = {"user_id": self.ann, "authenticated_at": timezone.now()}
        self.session = make_record(key=self.new_key(), **(user if self.starts_with_user else {}))
        assert self.store.create(self.session)

    @property
    def starts_with_user(self) -> bool:
        return self.start != VISITOR

    @property
    @abstractmethod
    def protocol(self) -> Any:
        """What has the steps of the store's operations."""

    @abstractmethod
    def ending(self) -> Steps[Any]:
        """Return the steps of ending the session of its user by its id."""

    @abstractmethod
    def look_at_what_is_left(self) -> None:
        """Look at what all operations together have left in the store."""

    @abstractmethod
    def clean_up(self) -> None:
        """End all sessions, and see that nothing of them is left."""

    @abstractmethod
    def wait_is_over(self) -> None:
        """Let expire what a dead process has left behind, and another waits for."""

    def may_return(self, operations: set[Operation]) -> bool:
        """Say whether a session may turn back into that of its former user."""
        return False

    def shows_each_save(self) -> bool:
        """Say whether a save that was done can't be undone by another."""
        return True

    def rotates(self, operation: Operation) -> bool:
        """Say whether an operation moves the session to another key."""
        return operation in ROTATIONS

    def new_key(self) -> str:
        key = key_of(new_session_key())
        self.keys.append(key)
        return key

    def live(self) -> list[SessionRecord]:
        found = (self.store.read(key) for key in self.keys)
        return [record for record in found if record is not None]

    def changed(self, **changes: Any) -> SessionRecord:
        return replace(self.session, payload=NEW, last_seen_at=timezone.now(), **changes)


Operation = Callable[[World], Steps[Any]]


def save(world: World) -> Steps[Any]:
    return world.protocol.update(world.changed())


def save_and_slide(world: World) -> Steps[Any]:
    later = world.session.expires_at + timedelta(hours=1)
    return world.protocol.update(world.changed(expires_at=later))


def touch(world: World) -> Steps[Any]:
    return _touching(world, timezone.now() + timedelta(hours=2))


def look_in(world: World) -> Steps[Any]:
    """Touch it as a request does that renews nothing: the expiry is that of when it was loaded."""
    return _touching(world, world.session.expires_at)


def _touching(world: World, until: datetime) -> Steps[datetime | None]:
    is_done = yield from world.protocol.touch(world.changed(expires_at=until))
    return until if is_done else None


def touch_late(world: World) -> Steps[Any]:
    """Touch it for a request that has looked before all others, by a clock that is behind."""
    earlier = {
        "last_seen_at": world.session.last_seen_at - timedelta(minutes=30),
        "expires_at": world.session.expires_at - timedelta(minutes=30),
    }
    return world.protocol.touch(replace(world.session, **earlier))


def rotate(world: World) -> Steps[Any]:
    return world.protocol.rotate(world.session.key, world.changed(key=world.new_key()))


def log_in_again(world: World) -> Steps[Any]:
    """Do what login() comes to for the user who is logged in already."""
    record = world.changed(key=world.new_key(), authenticated_at=timezone.now())
    return world.protocol.rotate(world.session.key, record)


def log_in_anew(world: World) -> Steps[Any]:
    record = make_record(key=world.new_key(), user_id=world.ann, authenticated_at=timezone.now())
    return world.protocol.create(record)


def log_in(world: World) -> Steps[Any]:
    return world.protocol.update(world.changed(user_id=world.ann))


def log_in_and_rotate(world: World) -> Steps[Any]:
    record = world.changed(user_id=world.ann, key=world.new_key())
    return world.protocol.rotate(world.session.key, record)


def become_another(world: World) -> Steps[Any]:
    return world.protocol.update(world.changed(user_id=world.bob))


def become_another_and_rotate(world: World) -> Steps[Any]:
    record = world.changed(user_id=world.bob, key=world.new_key())
    return world.protocol.rotate(world.session.key, record)


def become_another_and_back(world: World) -> Steps[Any]:
    """Do what an administrator does who looks at the site as another user for a moment."""
    anyones = {"version": None, "authenticated_at": timezone.now()}
    yield from world.protocol.update(world.changed(user_id=world.bob, **anyones))
    return (yield from world.protocol.update(world.changed(user_id=world.ann, **anyones)))


def forget_the_user(world: World) -> Steps[Any]:
    return world.protocol.update(world.changed(user_id=None))


def let_expire(world: World) -> Steps[Any]:
    return world.protocol.update(expired(world.changed()))


def log_out(world: World) -> Steps[Any]:
    return world.protocol.destroy(world.session.key)


def log_out_wherever_it_is(world: World) -> Steps[Any]:
    """Do what the engine's flush() does: where its key names nothing any more, its id does."""
    if (yield from world.protocol.destroy(world.session.key)):
        return True
    return (yield from world.ending())


def log_in_as_another(world: World) -> Steps[Any]:
    """Do what login() does where another user is logged in: flush(), and a session of its own."""
    yield from log_out_wherever_it_is(world)
    record = make_record(key=world.new_key(), user_id=world.bob, authenticated_at=timezone.now())
    return (yield from world.protocol.create(record))


def log_out_everywhere(world: World) -> Steps[Any]:
    return world.protocol.destroy_for_user(world.ann)


def end_it(world: World) -> Steps[Any]:
    return world.ending()


def list_them(world: World) -> Steps[Any]:
    return world.protocol.sessions_for_user(world.ann)


BECOMES_ANOTHERS = {become_another, become_another_and_back, forget_the_user}
ENDS_ANN = (log_out_everywhere, end_it, log_out_wherever_it_is, log_in_as_another)
ENDS = (*ENDS_ANN, log_out, let_expire)
TOUCHES = {touch, look_in}
ROTATIONS = {rotate, log_in_again, log_in_and_rotate, become_another_and_rotate}
OF_A_USER: list[Operation] = [
    save,
    save_and_slide,
    touch,
    look_in,
    touch_late,
    rotate,
    log_in_again,
    log_in_anew,
    become_another,
    become_another_and_rotate,
    forget_the_user,
    let_expire,
    log_out,
    log_out_wherever_it_is,
    log_in_as_another,
    log_out_everywhere,
    end_it,
    list_them,
]
OF_A_VISITOR: list[Operation] = [
    save,
    touch,
    look_in,
    rotate,
    log_in,
    log_in_and_rotate,
    log_out,
    log_out_everywhere,
    list_them,
]


def pairs(operations: dict[str, list[Operation]]) -> Iterator[tuple[str, Operation, Operation]]:
    """Yield each start with two operations, and any two of them."""
    for start, own in operations.items():
        for one, other in itertools.combinations_with_replacement(own, 2):
            yield start, one, other


class Actor:
    """
    An operation that is taken one step at a time.

    Commands that are sent together are steps of their own, in any order: on a cluster nobody
    knows which server is the quicker.
    """

    def __init__(self, operation: Operation, world: World) -> None:
        self.operation = operation
        self.outcome: Any = None
        self.is_done = self.is_waiting = False
        self._steps = operation(world)
        self._go(lambda: next(self._steps))

    def advance(self) -> None:
        step = self._next
        self.is_waiting = isinstance(step, Pause)
        if self.is_waiting:
            self._go(lambda: self._steps.send(None))
        elif self._unsent:
            place = self._unsent.pop()
            self._replies[place] = step.function.__self__.call(*step.arguments[0][place])
            if not self._unsent:
                self._go(lambda: self._steps.send(self._replies))
        else:
            try:
                answer = step.take()
            except Exception as caught:  # noqa: BLE001 - the protocol's to deal with
                error = caught
                self._go(lambda: self._steps.throw(error))
            else:
                self._go(lambda: self._steps.send(answer))

    def _go(self, go: Callable[[], Any]) -> None:
        self._unsent: list[int] = []
        try:
            self._next = go()
        except StopIteration as end:
            self.is_done, self.outcome = True, end.value
            return
        if isinstance(self._next, Call) and self._next.function.__name__ == "call_many":
            self._unsent = [*range(len(self._next.arguments[0]))]
            self._replies: list[Any] = [None] * len(self._unsent)
            random.shuffle(self._unsent)


def length(operation: Operation, world: World) -> int:
    """Return how many steps an operation takes that meets no other."""
    actor, count = Actor(operation, world), 0
    while not actor.is_done:
        actor.advance()
        count += 1
    return count


def orders(lengths: tuple[int, int]) -> Iterator[Choices]:
    """Yield all orders of two operations' steps."""
    total = sum(lengths)
    for places in itertools.combinations(range(total), lengths[0]):
        mine = set(places)
        yield [0 if place in mine else 1 for place in range(total)]


def explore(
    world: World, operations: Sequence[Operation], choices: Choices, *, killed: int | None = None
) -> None:
    """
    Run the operations in one order of their steps, and look at what came of it.

    The choices say whose step is next. When they end, the one that is `killed` dies, and the
    others finish.
    """
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
                        world.wait_is_over()
                    break
    names = [actor.operation.__name__ for actor in actors]
    try:
        look(world, actors)
        if killed is None:
            look_at_outcomes(world, actors)
        world.clean_up()
    except AssertionError as error:
        raise AssertionError(f"{names} in the order {list(choices)}, killed: {killed}") from error


def look(world: World, actors: Sequence[Actor]) -> None:
    live = world.live()
    may_return = world.may_return({actor.operation for actor in actors})
    for record in live:
        if record.user_id is not None:
            listed = world.store.sessions_for_user(record.user_id)
            assert replace(record, payload=b"") in listed, "a live session that isn't listed"
    ids = [record.id for record in live]
    assert len(ids) == len(set(ids)), "two live keys of one session"
    if all(actor.is_done for actor in actors):
        world.look_at_what_is_left()
    for actor in actors:
        if not actor.is_done:
            continue
        if actor.operation in (log_out, let_expire) and actor.outcome is not Outcome.CONFLICT:
            there = world.store.read(world.session.key)
            assert there is None, "what was destroyed is back"
            # True, or DONE: not that there is nothing under its key, but that it has ended.
            has_ended = actor.outcome in (True, Outcome.DONE)
            assert not has_ended or world.session.id not in ids, "what was destroyed has moved"
        if actor.operation in ENDS_ANN and world.starts_with_user and not may_return:
            escaped = [r for r in live if r.id == world.session.id and r.user_id == world.ann]
            assert not escaped, "a session has escaped from destroy_for_user()"


def look_at_outcomes(world: World, actors: Sequence[Actor]) -> None:
    """Nobody is told that it is done when it isn't, unless another has undone it since."""
    operations = [actor.operation for actor in actors]
    if any(operation in ENDS or operation.__name__ == "collect" for operation in operations):
        return
    live = {record.id: record for record in world.live()}
    assert world.session.id in live, "the session was lost"
    now = live[world.session.id]
    assert now.expires_at >= world.session.expires_at, "a session's life was shortened"
    assert now.last_seen_at >= world.session.last_seen_at, "a session's last use moved back"
    if {*operations} == {touch, touch_late} and world.shows_each_save():
        assert all(actor.outcome for actor in actors), "a touch has not found it"
        renewed = world.session.expires_at + timedelta(minutes=30)
        assert now.expires_at > renewed, "a renewal was undone by an older look"
    rotations = [actor for actor in actors if world.rotates(actor.operation)]
    if rotations:
        outcomes = {actor.outcome for actor in rotations}
        assert outcomes & {Outcome.DONE, Outcome.CONFLICT}, "no rotation has won"
    if TOUCHES.issuperset(operations) and world.shows_each_save():
        kept = live[world.session.id].expires_at
        until = [actor.outcome for actor in actors if actor.outcome is not None]
        assert all(kept >= each for each in until), "an older look has undone a renewal"
    saved = [actor for actor in actors if actor.outcome is Outcome.DONE]
    if saved and world.shows_each_save():
        assert live[world.session.id].payload == NEW, "what was saved isn't there"
    # In the middle of a rotation a session is under no key at all.
    stays = not rotations and not BECOMES_ANOTHERS & set(operations)
    for actor in actors if stays and world.starts_with_user else ():
        if actor.operation is list_them:
            listed = [record.id for record in actor.outcome]
            assert world.session.id in listed, "a live session was not listed meanwhile"


def finish(actor: Actor) -> None:
    while not actor.is_done:
        actor.advance()
