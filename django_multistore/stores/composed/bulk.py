"""The move of all sessions, batch by batch: nothing of it is kept but in the two stores."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ...records import Outcome, SessionRecord
from ...session import clock
from ..base import BaseStore
from ..batches import REST
from ..steps import run
from .dormancy import State, left, moved, state_of
from .moves import REMEMBERED, Moves, build_place
from .protocol import MigratingProtocol

BATCH = 1_000
IN_MARKS = ("last_seen_at", "payload")  # what moved() changes
# What has come where it is alive is let go of in its old store so many seconds later, so that who
# has looked there before still finds that it has moved.
KEPT_SECONDS = 5.0
# So long it waits for what its target remembers of sessions that have come from there.
PATIENCE_SECONDS = REMEMBERED.total_seconds() + KEPT_SECONDS


@dataclass(slots=True)
class Tally:
    """What is in both stores."""

    live: int = 0  # In the source, and not about to expire.
    expiring: int = 0  # In the source, for less than a minute.
    on_their_way: int = 0  # In the source, half moved.
    places: int = 0  # In the target, for sessions that have not come.

    @property
    def left(self) -> int:
        """How many records keep the source from being dropped."""
        return self.live + self.expiring + self.on_their_way + self.places


class _Mark(NamedTuple):
    """A mark of the source, when its session came to the target, and the version it has."""

    time: float
    record: SessionRecord
    version: int | None


class BulkMove:
    """A move of all sessions from one store to the other, beside the site and other such moves."""

    def __init__(self, protocol: MigratingProtocol, source: BaseStore, target: BaseStore) -> None:
        self._protocol = protocol
        self._source = source
        self._target = target
        self._moves = Moves(source=source, target=target)
        self._marks: deque[_Mark] = deque()
        self._held_up = 0  # Sessions that have come from the target in the last minute.

    def count(self) -> Tally:
        """Count what is left in the source, and places in the target that nobody has come to."""
        tally = Tally()
        for records in _batches(self._source):
            for record in records:
                state = state_of(record)
                tally.on_their_way += state is State.MOVED
                if state is State.LIVE:
                    is_expiring = record.expires_at <= clock.now() + REMEMBERED
                    tally.expiring += is_expiring
                    tally.live += not is_expiring
        if self._target.supports_scan:
            for records in _batches(self._target):
                tally.places += sum(state_of(each) is State.PENDING for each in records)
        return tally

    def run(
        self,
        *,
        rate: float | None = None,
        max_seconds: float | None = None,
        progress: Callable[[int], object] = lambda count: None,
    ) -> bool:
        """
        Move all sessions that can be moved.

        One that has come from there a moment ago can't go back before that is forgotten. So it may
        wait for a minute at its end, and then looks for these once more.

        Args:
            rate: the most sessions in a second.
            max_seconds: begin no further batch after this time.
            progress: called after each batch with the number of sessions that it has moved.

        Returns:
            Whether it has come to the end.
        """
        began, total = time.monotonic(), 0
        try:
            for records in self._all():
                batch_began = time.monotonic()
                count = self._move(records)
                total += count
                progress(count)
                self._let_go(before=time.monotonic() - KEPT_SECONDS)
                took = time.monotonic() - batch_began
                if max_seconds is not None and time.monotonic() - began >= max_seconds:
                    return False
                ahead = 0.0 if rate is None else began + total / rate - time.monotonic()
                time.sleep(max(ahead, took * REST))
            return True
        finally:
            # Each is what a process that dies here leaves, so nothing depends on it.
            if self._marks:
                time.sleep(max(0.0, self._marks[-1].time + KEPT_SECONDS - time.monotonic()))
            self._let_go(before=time.monotonic())

    def _all(self) -> Iterator[list[SessionRecord]]:
        size = BATCH
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            self._held_up = 0
            yield from _batches(self._source, size)
            if not self._held_up or time.monotonic() > until:
                break
            time.sleep(KEPT_SECONDS)
        # Places for sessions that have moved on, or ended: of moves that died.
        if self._target.supports_scan:
            for records in _batches(self._target, size):
                self._clear(record for record in records if state_of(record) is State.PENDING)

    def _move(self, records: Sequence[SessionRecord]) -> int:
        """Move those of some records of the source that live there, and return how many."""
        soon = clock.now() + REMEMBERED
        live = [each for each in records if state_of(each) is State.LIVE and each.expires_at > soon]
        # A record may be found twice.
        by_key = {each.key: each for each in live}
        count = self._move_together(list(by_key.values()))
        for record in records:
            if state_of(record) is State.MOVED:
                count += self._finish(record)
        return count

    def _move_together(self, records: list[SessionRecord]) -> int:
        places = [build_place(record) for record in records]
        wanted = [(r, place) for r, place in zip(records, places, strict=True) if place is not None]
        one_by_one = [r for r, place in zip(records, places, strict=True) if place is None]
        are_kept = self._target.create_many([place for _, place in wanted])
        kept = [pair for pair, is_kept in zip(wanted, are_kept, strict=True) if is_kept]
        one_by_one += [r for (r, _), is_kept in zip(wanted, are_kept, strict=True) if not is_kept]
        marks = [moved(record, place.payload) for record, place in kept]
        outcomes = self._source.update_many(marks, IN_MARKS)
        leaving, arrivals = [], []
        for mark, (record, place), outcome in zip(marks, kept, outcomes, strict=True):
            if outcome is Outcome.DONE:
                leaving.append(mark)
                arrivals.append(replace(record, version=place.version))
            elif outcome is Outcome.GONE:
                run(self._moves.withdraw(place))
            else:
                one_by_one.append(record)
        outcomes = self._target.update_many(arrivals)
        now, count = time.monotonic(), 0
        for mark, outcome in zip(leaving, outcomes, strict=True):
            if outcome is Outcome.DONE:
                self._marks.append(_Mark(now, mark, _next(mark)))
                count += 1
        # Others have changed them meanwhile, or have kept a place for them.
        return count + sum(self._move_one(record.key) for record in one_by_one)

    def _move_one(self, key: str) -> bool:
        found = run(self._protocol.find(key))
        if found is None or found.store is self._target:
            return found is not None
        self._held_up += state_of(self._target.read(key)) is State.LEFT
        return False

    def _finish(self, mark: SessionRecord) -> bool:
        """Confirm a session that a process which died has left on its way."""
        was_there = state_of(self._target.read(mark.key)) is State.LIVE
        if not was_there:
            return self._move_one(mark.key)
        self._marks.append(_Mark(time.monotonic(), mark, mark.version))
        return False

    def _clear(self, places: Iterator[SessionRecord]) -> None:
        for place in places:
            if self._source.read(place.key) is None:
                run(self._moves.withdraw(place))
            else:
                self._move_one(place.key)

    def _let_go(self, before: float) -> None:
        due = []
        while self._marks and self._marks[0].time <= before:
            due.append(self._marks.popleft())
        if due:
            until = clock.now() + REMEMBERED
            remains = [replace(left(each.record, until), version=each.version) for each in due]
            self._source.retire_many(remains)


def _batches(store: BaseStore, size: int = BATCH) -> Iterator[list[SessionRecord]]:
    cursor: Any = None
    while True:
        records, cursor = store.scan(cursor, size)
        yield records
        if cursor is None:
            return


def _next(record: SessionRecord) -> int:
    return (record.version or 0) + 1
