"""
One session of an old engine, and processes of both phases and of the old engine that cross at it.

What each of them does is a generator of steps: commands of the store and of the old engine. So two
of them can be run in any order of these, and each can die before any of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from django.contrib.auth import SESSION_KEY

from django_multistore.adopting.bulk import Mover
from django_multistore.adopting.configuration import Adoption, OnLoss, Phase
from django_multistore.adopting.envelopes import is_following
from django_multistore.adopting.known_keys import KnownKeys
from django_multistore.adopting.old_engines import find_old_engine
from django_multistore.adopting.protocol import AdoptingProtocol
from django_multistore.adopting.store import AdoptingStore
from django_multistore.engine import SessionStore
from django_multistore.records import Outcome, SessionRecord
from django_multistore.session import codec
from django_multistore.session.keys import Secret, new_session_key
from django_multistore.stores.base import BaseStore
from django_multistore.stores.memory import MemoryStore
from django_multistore.stores.steps import Pause, Steps, call_database, run
from tests.support.stepwise import Gate, Gated, steps_of

FOLLOW, ADOPT = Phase.FOLLOW, Phase.ADOPT
USER = "7"
FOREVER = 200  # steps


@dataclass
class Move:
    """A session that the old engine had before anybody moved, and what is known of it."""

    engine: str
    is_known: bool  # Whether a process that follows has met it before.
    store: BaseStore = field(default_factory=MemoryStore)
    first: Secret = field(default_factory=lambda: Secret(new_session_key()))

    def __post_init__(self) -> None:
        self.old = find_old_engine(self.engine)
        if self.old.can_scan:  # Those of the move before, which a bulk step would find.
            self.old.delete_many([session_key for session_key, _ in self.old.scan("", 100)])
        self.secrets = [self.first]
        self.lost: set[Secret] = set()  # Those that died with the process that drew them.
        assert self.old.create(self.first.session_key, {SESSION_KEY: USER, "start": 1}, None)
        if self.is_known:
            assert self.load(FOLLOW) is not None
        self.loaded = {phase: self.look(phase) for phase in (FOLLOW,)}

    def protocol(self, phase: Phase, *secrets: Secret) -> AdoptingProtocol:
        adoption = Adoption(old=self.old, phase=phase, on_loss=OnLoss.SKIP_KEY)
        known = KnownKeys(*(secrets or (self.first,)))
        store = AdoptingStore(self.store, adoption, SessionStore.get_user_id, known)
        return store.protocol

    def load(self, phase: Phase, secret: Secret | None = None) -> SessionRecord | None:
        secret = secret or self.first
        return run(self.protocol(phase, secret).read(secret.key))

    def look(self, phase: Phase) -> SessionRecord | None:
        """Load it and leave no trace: as it was when another request came before."""
        before = dict(self.store._records)  # type: ignore[attr-defined]
        found = self.load(phase)
        self.store._records.clear()  # type: ignore[attr-defined]
        self.store._records.update(before)  # type: ignore[attr-defined]
        return found

    def new_secret(self) -> Secret:
        self.secrets.append(Secret(new_session_key()))
        return self.secrets[-1]

    def live(self, phase: Phase) -> list[tuple[Secret, SessionRecord]]:
        known = [secret for secret in self.secrets if secret not in self.lost]
        found = [(secret, self.load(phase, secret)) for secret in known]
        return [(secret, record) for secret, record in found if record is not None]


def data_of(record: SessionRecord) -> dict[str, Any]:
    body = codec.unseal(record.payload, record.key)
    assert body is not None
    data: dict[str, Any] = json.loads(body)
    return data


def with_data(record: SessionRecord, **changes: Any) -> SessionRecord:
    body = json.dumps(data_of(record) | changes).encode()
    return replace(record, payload=codec.seal(body, record.key))


@dataclass(frozen=True)
class Operation:
    """What one process does."""

    name: str
    steps: Callable[[Move], Steps[Any]]
    ends: bool = False  # Whether who gets the answer True may rely on the session's end.
    saves: str | None = None  # The key that is there where the outcome is DONE.
    rotates: bool = False
    is_old: bool = False


def save(phase: Phase, name: str) -> Operation:
    """Load, change one key, and save as the engine does: merged where another was quicker."""

    def steps(move: Move) -> Steps[Any]:
        protocol = move.protocol(phase)
        record = yield from protocol.read(move.first.key)
        if record is None:
            return Outcome.GONE
        outcome = yield from protocol.update(with_data(record, **{name: 1}))
        if outcome is Outcome.CONFLICT:
            outcome = yield from protocol.modify(
                move.first.key, lambda stored: with_data(stored, **{name: 1})
            )
        return outcome

    return Operation(f"save {name} ({phase.value})", steps, saves=name)


def rotate(phase: Phase) -> Operation:
    def steps(move: Move) -> Steps[Any]:
        secret = move.new_secret()
        protocol = move.protocol(phase, move.first, secret)
        record = yield from protocol.read(move.first.key)
        if record is None:
            return Outcome.GONE

        def moved(stored: SessionRecord) -> SessionRecord:
            payload = codec.seal(json.dumps(data_of(stored)).encode(), secret.key)
            return replace(stored, key=secret.key, payload=payload)

        outcome = yield from protocol.rotate(move.first.key, moved(record))
        if outcome is Outcome.CONFLICT:
            outcome = yield from protocol.modify(move.first.key, moved)
        return outcome

    return Operation(f"rotate ({phase.value})", steps, rotates=True)


def load(phase: Phase) -> Operation:
    return Operation(
        f"load ({phase.value})", lambda move: move.protocol(phase).read(move.first.key)
    )


def log_out(phase: Phase) -> Operation:
    def steps(move: Move) -> Steps[Any]:
        protocol = move.protocol(phase)
        record = yield from protocol.read(move.first.key)
        if record is None:
            return False
        if (yield from protocol.destroy(record.key)):
            return True
        # As the engine does, by its id.
        return (yield from protocol.destroy_session(USER, record.id))

    return Operation(f"log out ({phase.value})", steps, ends=True)


def log_out_everywhere(phase: Phase) -> Operation:
    def steps(move: Move) -> Steps[Any]:
        # Nobody who does this knows a session key.
        yield from move.protocol(phase, Secret(new_session_key())).destroy_for_user(USER)
        return True

    return Operation(f"log out everywhere ({phase.value})", steps, ends=True)


def old_save() -> Operation:
    """Save as a process with the old engine does: it writes what it has loaded, and no more."""

    def steps(move: Move) -> Steps[Any]:
        session_key = move.first.session_key
        old = yield from call_database(move.old.load, session_key)
        if old is None:
            return False
        return (
            yield from call_database(move.old.save, session_key, old.data | {"old": 1}, old.device)
        )

    return Operation("old engine's save", steps, is_old=True)


def old_log_out() -> Operation:
    def steps(move: Move) -> Steps[Any]:
        # What was rotated away before it came is nothing that it has ended.
        return (yield from call_database(move.old.delete, move.first.session_key))

    return Operation("old engine's logout", steps, ends=True, is_old=True)


def bulk(phase: Phase) -> Operation:
    """Enter or take over all, as `manage.py sessions adopt` does."""

    def act(move: Move, gate: Gate) -> None:
        adoption = Adoption(old=Gated(move.old, gate), phase=phase, on_loss=OnLoss.SKIP_KEY)
        store: Any = Gated(move.store, gate)
        mover = Mover(AdoptingStore(store, adoption, SessionStore.get_user_id, KnownKeys()))
        go_through = mover.move if move.old.can_scan else mover.take_over_followers
        go_through(dry_run=False, max_seconds=None, progress=lambda step: None)

    return Operation(f"bulk ({phase.value})", lambda move: steps_of(partial(act, move)))


class Process:
    """An operation that is taken one step at a time."""

    def __init__(self, operation: Operation, move: Move) -> None:
        self.operation = operation
        self.outcome: Any = None
        self.is_done = False
        self._steps = operation.steps(move)
        count = len(move.secrets)
        self._go(None, is_first=True)
        # A rotation draws its session key before its first step.
        self.drawn = move.secrets[-1] if len(move.secrets) > count else None

    def advance(self) -> None:
        step = self._next
        self._go(None if isinstance(step, Pause) else step.take())

    def _go(self, answer: Any, *, is_first: bool = False) -> None:
        try:
            self._next = next(self._steps) if is_first else self._steps.send(answer)
        except StopIteration as end:
            self.is_done, self.outcome = True, end.value

    def die(self) -> None:
        self._steps.close()


def length(operation: Operation, move: Move) -> int:
    process, count = Process(operation, move), 0
    while not process.is_done:
        process.advance()
        count += 1
    return count


def cross(
    move: Move,
    operations: Sequence[Operation],
    choices: Sequence[int],
    *,
    killed: int | None = None,
) -> list[Process]:
    """Run operations in one order of their steps; who is killed dies when the choices end."""
    processes = [Process(operation, move) for operation in operations]
    for choice in choices:
        if not processes[choice].is_done:
            processes[choice].advance()
    for _ in range(FOREVER):
        unfinished = [
            process
            for number, process in enumerate(processes)
            if number != killed and not process.is_done
        ]
        if not unfinished:
            break
        for process in unfinished:
            process.advance()
    else:
        raise AssertionError("they wait for each other")
    if killed is not None:
        processes[killed].die()
    return processes


def faults(move: Move, processes: Sequence[Process]) -> Iterator[str]:
    """Look at what is left, and yield what must not be."""
    done = [process for process in processes if process.is_done]
    started = {process.operation for process in processes}
    is_whole = len(done) == len(processes)
    # The old engine may bring back what ended: the pages of that engine say so.
    revives = move.old.may_revive and any(each.is_old and not each.ends for each in started)
    has_ended = [each for each in done if each.operation.ends and each.outcome]
    if not is_whole and any(not each.is_done and each.operation.rotates for each in processes):
        # Who dies within a rotation has told nobody the new session key. What is under it is
        # listed, ends with the user's sessions, and is opened by nobody.
        dead = next(each for each in processes if not each.is_done)
        move.lost = {dead.drawn} if dead.drawn is not None else set()
    # Whoever takes over looks last: it changes what it meets.
    for phase in (FOLLOW, ADOPT):
        live = move.live(phase)
        words = f"to a process in {phase.value}"
        if has_ended and live and not revives:
            yield f"what was ended is back {words}"
        is_moved = any(move.load(phase, secret) for secret in move.lost)
        if not any(each.ends for each in started) and not live and not is_moved:
            yield f"the session was lost {words}"
        rotated = [each for each in done if each.operation.rotates and each.outcome is Outcome.DONE]
        if len(live) > 1 and (is_whole or rotated):
            yield f"two live session keys {words}"
        if rotated and any(secret == move.first for secret, _ in live):
            yield f"the old session key opens it {words}"
        listed = move.store.sessions_for_user(USER)
        for _, record in live:
            if record.id not in {each.id for each in listed}:
                yield f"a live session isn't listed {words}"
            if phase is ADOPT and is_following(record):
                yield "what was taken over follows still"
        writes_blindly = any(each.is_old for each in started)
        for process in done if not writes_blindly else ():
            saved = process.operation.saves
            if saved and process.outcome is Outcome.DONE:
                for _, record in live:
                    if saved not in data_of(record):
                        yield f"{process.operation.name} was lost {words}"
    if not any(each.rotates for each in started) and len(move.store.sessions_for_user(USER)) > 1:
        yield "it is listed twice"
    # Whatever there is ends.
    run(move.protocol(FOLLOW, Secret(new_session_key())).destroy_for_user(USER))
    if move.live(FOLLOW) or move.live(ADOPT):
        yield "destroy_for_user() has left it alive"
