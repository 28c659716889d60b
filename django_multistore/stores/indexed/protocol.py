"""How a store keeps its promises that can't search: cells, and the rows that list them."""

from __future__ import annotations

import logging
from asyncio import CancelledError
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from ...records import Outcome, SessionRecord, is_over, successor, touched
from ...session import clock
from ..attempts import backoff
from ..steps import Steps, call_database, pause
from .cells import Cells, OpenCell
from .failures import Failures
from .index import Listings, UserIndex
from .users import ATTEMPTS, UserOperations
from .values import Entry

Change = Callable[[SessionRecord], SessionRecord | None]

logger = logging.getLogger("django_multistore")


class IndexedProtocol(UserOperations):
    """The steps of each operation, for run() and arun()."""

    def __init__(
        self, cells: Cells, index: UserIndex, failures: Failures, max_age: timedelta
    ) -> None:
        super().__init__(cells, index, failures)
        self._listings = Listings(index)
        self._max_age = max_age
        self._has_warned = False

    def confirm_live(self, entry: Entry | None) -> Steps[Entry | None]:
        """Return the session that was found in a cell, or None if it doesn't live."""
        if entry is None or entry.is_expired:
            return None
        return (yield from self._listings.confirm(entry)) if entry.is_tentative else entry

    def create(self, record: SessionRecord) -> Steps[bool]:
        record = self._cap(record)
        if record.expires_at <= clock.now():
            cell = yield from self._cells.find(record.key)
            return (yield from self.confirm_live(cell.entry)) is None
        yield from self._cells.require_room(record)
        listing = None
        if record.user_id is not None:
            listing = yield from call_database(self._index.insert, record)
        outcome = yield from self._cells.add(Entry(record, listing))
        if outcome is None:
            # Nothing will lead to this row's session, and an outage may bring many of them.
            yield from self._listings.withdraw(record)
            raise self._failures.refuses_what_is_new()
        if outcome is Outcome.GONE:  # By destroy_for_user() or gc, which have come upon the row.
            yield from self._listings.remove(record)
        return outcome is Outcome.DONE

    def update(self, record: SessionRecord) -> Steps[Outcome]:
        return self._change(record.key, _compare_and_set(record), record)

    def rotate(self, old_key: str, record: SessionRecord) -> Steps[Outcome]:
        return self._change(old_key, _compare_and_set(record), record)

    def touch(self, record: SessionRecord) -> Steps[bool]:
        def change(stored: SessionRecord) -> SessionRecord | None:
            return touched(stored, record) if stored.version == record.version else None

        return (yield from self._change(record.key, change, record)) is Outcome.DONE

    def modify(self, key: str, change: Callable[[SessionRecord], SessionRecord]) -> Steps[Outcome]:
        for delay in backoff(ATTEMPTS):
            yield from pause(delay)
            outcome = yield from self._change(key, lambda old: successor(old, change(old)))
            if outcome is not Outcome.CONFLICT:
                return outcome
        raise self._failures.gave_up("saving one session took longer than LOCK_SECONDS each time")

    def destroy(self, key: str) -> Steps[bool]:
        for delay in backoff(ATTEMPTS):
            yield from pause(delay)
            cell = yield from self._cells.find(key)
            entry = yield from self.confirm_live(cell.entry)
            if entry is None:
                yield from self._cells.write_tombstones([key])
                if cell.is_empty:
                    yield from self._cells.require_tombstones([key])
                return False
            outcome = yield from self._end(cell, entry.record)
            if outcome is not None:
                return outcome is Outcome.DONE
        raise self._failures.gave_up("a session was saved by others each time it was to end")

    def _end(self, cell: OpenCell, record: SessionRecord) -> Steps[Outcome | None]:
        """End a session that was found alive; None: begin anew, it was changed meanwhile."""
        outcome = yield from self._cells.end(cell)
        if outcome is Outcome.CONFLICT:
            return None
        yield from self._listings.remove(record)
        return outcome

    def _change(
        self, key: str, change: Change, record: SessionRecord | None = None
    ) -> Steps[Outcome]:
        """Change what is under a key; first as the record was read, if that will do."""
        cell = None if record is None else self._cells.reopen(key, record)
        for delay in backoff(ATTEMPTS):
            yield from pause(delay)
            if cell is None:
                cell = yield from self._cells.open(key)
            try:
                outcome = yield from self._change_open(cell, change)
            except (Exception, CancelledError):
                yield from self._cells.close(cell)
                raise
            yield from self._cells.close(cell)
            if outcome is not None:
                return outcome
            cell = None
        raise self._failures.gave_up("a session was saved by others each time")

    def _change_open(self, cell: OpenCell, change: Change) -> Steps[Outcome | None]:
        """Change what was found; None: begin anew, somebody else has changed it meanwhile."""
        entry = yield from self.confirm_live(cell.entry)
        if entry is None:
            return Outcome.GONE
        changed = change(entry.record)
        if changed is None or cell.is_overdue:
            return Outcome.CONFLICT
        record = self._cap(changed)
        if is_over(record):
            return (yield from self._end(cell, entry.record))
        yield from self._cells.require_room(record)
        write = self._overwrite if record.key == cell.key else self._move
        outcome = yield from write(cell, entry, record)
        return None if outcome is Outcome.CONFLICT else outcome

    def _overwrite(self, cell: OpenCell, entry: Entry, record: SessionRecord) -> Steps[Outcome]:
        """Write a session where it is."""
        listing = yield from self._listings.refresh(entry, record)
        outcome = yield from self._cells.replace(cell, Entry(record, listing))
        # The row of a user whom the session had before stays until it ends: another writer may be
        # about to write that user again.
        if outcome is Outcome.GONE:
            yield from self._listings.remove(record)
        return outcome

    def _move(self, cell: OpenCell, entry: Entry, record: SessionRecord) -> Steps[Outcome]:
        """Write a session under a new key."""
        old, listing = entry.record, None
        if record.user_id is not None:
            listing = yield from self._listings.move(old, record)
            if listing is None:
                return Outcome.GONE
        outcome = yield from self._cells.move(cell, Entry(record, listing))
        if outcome is Outcome.CONFLICT:
            yield from self._listings.move_back(old, record)
            return outcome
        # It has ended meanwhile, or its new key, which was to be fresh, is another's.
        if outcome is Outcome.GONE:
            yield from self._listings.remove(record)
        if old.user_id != record.user_id:
            yield from self._listings.remove(old)
        return outcome

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
