"""What is the same of all stores with an index in a database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import ClassVar, NamedTuple

from ...models import SessionRowQuerySet
from ...records import SessionRecord
from ..batches import Batch
from ..steps import run
from ..stepwise import StepwiseStore
from .index import AT_A_TIME, UserIndex
from .protocol import IndexedProtocol


class _Cursor(NamedTuple):
    """The row up to which gc has come; at its start, the newest row, and what time it was."""

    row_id: int
    newest: int
    now: datetime


class IndexedStore(StepwiseStore):
    """
    Keep records where nothing can be searched, and in a table whose session is whose.

    A subclass sets `_index` and `_protocol`, and adds read().
    """

    supports_scan = True
    scans_anonymous = False  # It goes by the index, which has those of users.
    has_database_index = True
    max_batch_size: ClassVar[int | None] = AT_A_TIME

    _index: UserIndex
    _protocol: IndexedProtocol

    @property
    def database(self) -> str:
        """The alias of the database that holds the index of users."""
        return self._index.database

    def database_index(self) -> SessionRowQuerySet:
        return self._index.live()

    def remove_expired(self, cursor: _Cursor | None, size: int, *, dry_run: bool) -> Batch:
        # Sessions are forgotten by themselves. What they leave behind is their rows.
        here = cursor or _Cursor(0, self._index.newest(), self._index.now())
        rows = self._index.rows_after(here.row_id, size)
        count = run(self._protocol.gc(rows, dry_run=dry_run, now=here.now)) if rows else 0
        # Logins may come in faster than rows are looked at, which would have no end.
        is_last = len(rows) < size or rows[-1].row_id >= here.newest
        return Batch(count, None if is_last else here._replace(row_id=rows[-1].row_id))

    def scan(self, cursor: int | None, size: int) -> tuple[list[SessionRecord], int | None]:
        rows = self._index.rows_after(cursor or 0, min(size, AT_A_TIME))
        found = run(self._protocol.records_of(rows))
        return found, rows[-1].row_id if rows else None

    def is_in_transaction(self) -> bool:
        return self._index.is_in_transaction()

    def after_commit(self, action: Callable[[], object]) -> None:
        self._index.after_commit(action)

    def try_more(self, record: SessionRecord) -> None:
        self._index.try_out(record)
