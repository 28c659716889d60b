"""How a store in a cache keeps its promises: cells, their locks, and the rows that list them."""

from __future__ import annotations

import logging
from asyncio import CancelledError
from collections.abc import Callable
from dataclasses import replace

from ...records import Outcome, SessionRecord, is_over, successor, touched
from ...session import clock
from ..attempts import backoff
from ..steps import Steps, call_database, pause
from .cells import Cells, Lock, Locks
from .client import Failures
from .index import Listings, UserIndex
from .options import CacheOptions
from .users import ATTEMPTS, UserOperations
from .values import Entry

Change = Callable[[SessionRecord], SessionRecord | None]

logger = logging.getLogger("django_multistore")


class CacheProtocol(UserOperations):
    """The steps of each operation, for run() and arun()."""

    def __init__(
        self,
        options: CacheOptions,
        cells: Cells,
        locks: Locks,
        index: UserIndex,
        failures: Failures,
    ) -> None:
        super().__init__(cells, index, failures)
        self._locks = locks
        self._listings = Listings(index)
        self._max_age = options.max_age
        self._has_warned = False

    def confirm_live(self, entry: Entry | None) -> Steps[Entry | None]:
        """Return the session that was found in the cache, or None if it doesn't live."""
        if entry is None or entry.is_expired:
            return None
        return (yield from self._listings.confirm(entry)) if entry.is_tentative else entry

    def create(self, record: SessionRecord) -> Steps[bool]:
        record = self._cap(record)
        if record.expires_at <= clock.now():
            return (yield from self._read(record.key)) is None
        if self._cells.is_large(record):
            yield from self._cells.require_room(record)
        listing = None
        if record.user_id is not None:
            listing = yield from call_database(self._index.insert, record)
        is_added = yield from self._cells.add(Entry(record, listing))
        if is_added is None:
            # Nothing will lead to this row's session, and an outage may bring many of them.
            yield from self._listings.withdraw(record)
        if not self._cells.require_answer(is_added):
            return False
        # By destroy_for_user() or gc, which have come upon the row.
        return record.user_id is None or not (yield from self._remove_if_dead(record))

    def update(self, record: SessionRecord) -> Steps[Outcome]:
        return self._change(record.key, _compare_and_set(record))

    def rotate(self, old_key: str, record: SessionRecord) -> Steps[Outcome]:
        return self._change(old_key, _compare_and_set(record))

    def touch(self, record: SessionRecord) -> Steps[bool]:
        def change(stored: SessionRecord) -> SessionRecord | None:
            return touched(stored, record) if stored.version == record.version else None

        return (yield from self._change(record.key, change)) is Outcome.DONE

    def modify(self, key: str, change: Callable[[SessionRecord], SessionRecord]) -> Steps[Outcome]:
        for delay in backoff(ATTEMPTS):
            yield from pause(delay)
            outcome = yield from self._change(key, lambda old: successor(old, change(old)))
            if outcome is not Outcome.CONFLICT:
                return outcome
        raise self._failures.gave_up("saving one session took longer than LOCK_SECONDS each time")

    def destroy(self, key: str) -> Steps[bool]:
        values = yield from self._cells.get(key)
        entry = yield from self.confirm_live(self._cells.find(key, values))
        if entry is not None:
            return (yield from self._end(entry.record))
        yield from self._cells.write_tombstones([key])
        if not values:
            yield from self._cells.require_tombstones([key])
        return False

    def _read(self, key: str) -> Steps[Entry | None]:
        values = yield from self._cells.get(key)
        return (yield from self.confirm_live(self._cells.find(key, values)))

    def _end(self, record: SessionRecord) -> Steps[bool]:
        """End a session that was found alive, and say whether it hasn't ended or moved since."""
        is_first = yield from self._cells.claim(record.key)
        yield from self._cells.write_tombstones([record.key])
        yield from self._listings.remove(record)
        return is_first

    def _change(self, key: str, change: Change) -> Steps[Outcome]:
        lock = yield from self._locks.take(key)
        try:
            outcome = yield from self._change_locked(lock, key, change)
        except (Exception, CancelledError):
            yield from self._locks.release(lock)
            raise
        yield from self._locks.release(lock)
        return outcome

    def _change_locked(self, lock: Lock | None, key: str, change: Change) -> Steps[Outcome]:
        entry = yield from self._read(key)
        if entry is None:
            return Outcome.GONE
        changed = change(entry.record)
        if changed is None or (lock is not None and lock.is_overdue):
            return Outcome.CONFLICT
        record = self._cap(changed)
        if is_over(record):
            is_ended = yield from self._end(entry.record)
        else:
            if self._cells.is_large(record):
                yield from self._cells.require_room(record)
            write = self._overwrite if record.key == key else self._move
            is_ended = yield from write(entry, record)
        return Outcome.DONE if is_ended else Outcome.GONE

    def _overwrite(self, entry: Entry, record: SessionRecord) -> Steps[bool]:
        """Write a session where it is, and say whether it lives."""
        listing = yield from self._listings.refresh(entry, record)
        yield from self._cells.overwrite(Entry(record, listing))
        # The row of a user whom the session had before stays until it ends: a writer without
        # a lock may be about to write that user again.
        return not (yield from self._remove_if_dead(record))

    def _move(self, entry: Entry, record: SessionRecord) -> Steps[bool]:
        """Write a session under a new key, and say whether it lives there."""
        old, listing = entry.record, None
        if record.user_id is not None:
            listing = yield from self._listings.move(old, record)
            if listing is None:
                return False
        if not (yield from self._cells.claim(old.key)):
            yield from self._listings.remove(record)
            return False
        is_added = self._cells.require_answer((yield from self._cells.add(Entry(record, listing))))
        is_dead = record.user_id is not None and (yield from self._remove_if_dead(record))
        if not is_added and not is_dead:  # It is another's, with a key that was to be new.
            yield from self._listings.remove(record)
        yield from self._cells.write_remains(old.key)
        if old.user_id != record.user_id:
            yield from self._listings.remove(old)
        return is_added and not is_dead

    def _remove_if_dead(self, record: SessionRecord) -> Steps[bool]:
        """Look whether the session was ended while it was written, and undo that if so."""
        is_dead = yield from self._cells.remove_if_dead(record.key)
        if is_dead:
            yield from self._listings.remove(record)
        return is_dead

    def _cap(self, record: SessionRecord) -> SessionRecord:
        """Return a record that lives no longer than MAX_AGE says."""
        # Not by a clock that is behind the one by which it was seen last.
        latest = max(clock.now(), record.last_seen_at) + self._max_age
        if record.expires_at <= latest:
            return record
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                "Session store %r ends a session that was to live for longer after %s. Raise "
                "its option MAX_AGE to the longest that set_expiry() asks for.",
                self._failures.alias,
                self._max_age,
            )
        return replace(record, expires_at=latest)


def _compare_and_set(record: SessionRecord) -> Change:
    def change(stored: SessionRecord) -> SessionRecord | None:
        is_expected = record.version in (None, stored.version)
        return successor(stored, record) if is_expected else None

    return change
