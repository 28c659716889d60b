"""
Whose is whose: the operations that go by a user, on cells that can't be searched.

The index says under which keys a session may be, the cells whether it lives. Of the cells nothing
is asked but look(), write_tombstones() and require_tombstones().
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from ...records import Page, SessionRecord
from ...session import clock
from ..attempts import backoff
from ..steps import Steps, call_database, pause, run
from ..stepwise import Operations
from .cells import Cells
from .failures import Failures
from .index import A_YEAR, AT_A_TIME, Row, UserIndex
from .values import Entry

ATTEMPTS = 25
# What a request that has written the row has for writing the cache, before gc takes its
# session for lost. A matter of kindness: if it comes later, it finds the tombstone.
IN_FLIGHT = timedelta(minutes=10)

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Found:
    """What the cells have of some rows, by their row_id."""

    live: dict[int, Entry] = field(default_factory=dict)
    expired: set[int] = field(default_factory=set)  # By this host's clock.
    unreadable: set[int] = field(default_factory=set)  # What is there is no session.
    empty: set[int] = field(default_factory=set)  # Not even what remains of an ended session.


class UserOperations(Operations):
    """The operations that find a user's sessions, for a protocol that has the others."""

    def __init__(self, cells: Cells, index: UserIndex, failures: Failures) -> None:
        self._cells = cells
        self._index = index
        self._failures = failures

    def sessions_for_user(self, user_id: str) -> Steps[list[SessionRecord]]:
        found: dict[int, SessionRecord] = {}
        rows = yield from call_database(self._index.rows_of_user, user_id)
        for delay in backoff(ATTEMPTS):
            yield from pause(delay)
            live: dict[int, Entry] = {}
            for batch in _batches(rows):
                live |= (yield from self._look(batch)).live
            found |= {record.id: record for record in _records_of(user_id, live.values())}
            lost = {row.row_id: row.key for row in rows if row.row_id not in live}
            if not lost:
                break
            # One that was rotated in between was under neither key when it was looked for.
            again = yield from call_database(self._index.rows_of_user, user_id)
            rows = [row for row in again if lost.get(row.row_id, row.key) != row.key]
            if not rows:
                break
        return list(found.values())

    def page_for_user(self, user_id: str, *, start: int, size: int) -> Steps[Page]:
        rows, total = yield from call_database(self._index.page_of_user, user_id, start, size)
        live = (yield from self._look(rows)).live
        lost = {row.row_id: row.key for row in rows if row.row_id not in live}
        if lost:
            # As in sessions_for_user(), but once: of the cache's misses most are no rotations.
            again = yield from call_database(self._index.rows_again, list(lost))
            moved = [row for row in again if row.key != lost[row.row_id]]
            live |= (yield from self._look(moved)).live
        in_order = (live[row.row_id] for row in rows if row.row_id in live)
        return Page(records=tuple(_records_of(user_id, in_order)), total=total)

    def destroy_session(self, user_id: str, id: int) -> Steps[bool]:
        return (yield from self.destroy_for_user(user_id, id=id)) > 0

    def destroy_for_user(
        self, user_id: str, *, except_key: str | None = None, id: int | None = None
    ) -> Steps[int]:
        def end_the_rest() -> None:
            run(self.destroy_for_user(user_id, except_key=except_key, id=id))

        targets = None if id is None else {id}
        ended: set[int] = set()
        strangers: set[int] = set()
        after_commit: Callable[[], None] | None = end_the_rest
        for delay in backoff(ATTEMPTS):
            found = yield from call_database(self._index.rows_of_user, user_id, after_commit)
            after_commit = None
            rows = [row for row in found if row.key != except_key and row.row_id not in strangers]
            if targets is None:
                targets = {row.id for row in rows}
            # Once more for these: a rotation may have moved the row, or entered another.
            rows = [row for row in rows if row.id in targets]
            if not rows:
                return len(ended)
            yield from pause(delay)
            for batch in _batches(rows):
                ids, of_others = yield from self._end_rows(user_id, batch)
                ended |= ids
                strangers |= of_others
        raise self._failures.gave_up("a user's session moved to another key each time")

    def _end_rows(self, user_id: str, rows: Sequence[Row]) -> Steps[tuple[set[int], set[int]]]:
        """End what these rows lead to. Return its ids, and the row_ids of what isn't the user's."""
        found = yield from self._look(rows)
        live = found.live
        # By now another user's, whose session it is not for this one to end.
        strangers = {row_id for row_id, entry in live.items() if entry.record.user_id != user_id}
        own = [row for row in rows if row.row_id not in strangers]
        if own:
            yield from self._cells.write_tombstones([key for row in own for key in row.keys])
            now = clock.now()
            doubtful = [row for row in own if row.row_id in found.empty and row.expires_at > now]
            keys = [key for row in doubtful for key in row.keys]
            if keys:
                yield from self._cells.require_tombstones(keys)
            # Waits for a rotation whose transaction is open.
            yield from call_database(self._index.remove_rows, own)
        return {live[row.row_id].record.id for row in own if row.row_id in live}, strangers

    def records_of(self, rows: Sequence[Row]) -> Steps[list[SessionRecord]]:
        """Return the live sessions that rows lead to, with their payloads."""
        own = [row for row in rows if row.store == self._index.place]
        return [entry.record for entry in (yield from self._look(own)).live.values()]

    def gc(self, rows: Sequence[Row], *, dry_run: bool, now: datetime | None = None) -> Steps[int]:
        """Remove those of up to AT_A_TIME rows whose sessions are gone, and return how many."""
        # The time is the index's; without it, this host's.
        # Of those under other names this cache says nothing: they go when they have expired.
        own = [row for row in rows if row.store == self._index.place]
        found = yield from self._look(own, prove=True)
        past = (now or clock.now()) - IN_FLIGHT
        expired = [row for row in rows if row.row_id not in found.live and row.expires_at <= past]
        # What can't be read here is read elsewhere perhaps, with the serializer of before.
        kept = found.live.keys() | found.expired | found.unreadable
        lost = [
            row
            for row in own
            if row.row_id not in kept
            # What was seen last years ago is what is left of a session that has moved, or a place
            # for one that is about to come. Its key may be used again, and its row expires.
            and past - 10 * A_YEAR < row.last_seen_at <= past < row.expires_at
        ]
        if dry_run:
            return len(expired) + len(lost)
        removed = 0
        if expired:
            # Who would write such a session raises the row's expiry before, and it stays.
            removed += yield from call_database(self._index.remove_rows, expired, past)
        if lost:
            yield from self._cells.write_tombstones([key for row in lost for key in row.keys])
            removed += yield from call_database(self._index.remove_rows, lost)
        return removed

    def _look(self, rows: Sequence[Row], *, prove: bool = False) -> Steps[Found]:
        """Look what the cells have of these rows. See Cells.look()."""
        keys = [key for row in rows for key in row.keys]
        cells = yield from self._cells.look(keys, prove=prove)
        found = Found()
        for row in rows:
            if all(cells[key].is_empty for key in row.keys):
                found.empty.add(row.row_id)
            for key in row.keys:
                entry = cells[key].entry
                if cells[key].is_unreadable:
                    found.unreadable.add(row.row_id)
                if entry is None:
                    continue
                if entry.is_expired:
                    found.expired.add(row.row_id)
                # Of a tentative session the row decides, and this one is elsewhere.
                elif key == row.key or not entry.is_tentative:
                    found.live[row.row_id] = entry
        return found


def _records_of(user_id: str, entries: Iterable[Entry]) -> Iterator[SessionRecord]:
    """Yield the records of a user, as lists have them."""
    for entry in entries:
        if entry.record.user_id == user_id:
            yield replace(entry.record, payload=b"")


def _batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), AT_A_TIME):
        yield items[start : start + AT_A_TIME]
