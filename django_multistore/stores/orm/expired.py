"""
gc of OrmStore: what one step removes.

A few rows are removed by the index on (expires_at, id), oldest first. But rows that expire one
after the other lie anywhere in the table, so that each step comes to most of its pages, again and
again. Where more has expired than the table has pages, the steps go through the table as its rows
lie: PostgreSQL's page by page, InnoDB's by primary key. Each page is then read and written once, as
by one DELETE. Rows that somebody has locked are passed over, and no row that lives is waited for.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from django.db import connections

from ..batches import Batch
from ..sql.pooled_table import PooledTable
from ..steps import Steps, call

LAST_ID = 2**63 - 1
BEFORE_ALL = timedelta(days=50 * 365)  # No session expired longer ago.
FEW = 1_000  # rows, which go by the index, however small the table is
MARGIN = 1.25  # Some pages have more rows than the average, and a step should take them all.


class ByExpiry(NamedTuple):
    """How far gc has come in the index on (expires_at, id), and what time it was at its start."""

    now: datetime
    expires_at: datetime
    id: int


class ByPage(NamedTuple):
    """How far gc has come in the pages of PostgreSQL's table that there were at its start."""

    now: datetime
    page: int
    pages: int
    rows_in_a_page: float


class ById(NamedTuple):
    """How far gc has come in the primary key, in whose order InnoDB keeps rows."""

    now: datetime
    id: int


Cursor: TypeAlias = ByExpiry | ByPage | ById


def remove(table: PooledTable, cursor: Cursor | None, size: int) -> Steps[Batch]:
    """Remove up to `size` expired rows. See BaseStore.remove_expired()."""
    match cursor if cursor is not None else (yield from _begin(table)):
        case ByExpiry() as here:
            return (yield from _remove_by_expiry(table, here, size))
        case ByPage() as here:
            return (yield from _remove_by_page(table, here, size))
        case here:
            return (yield from _remove_by_id(table, here, size))


def _begin(table: PooledTable) -> Steps[Cursor]:
    now = yield from call(table.now, table.anow)
    oldest = ByExpiry(now, now - BEFORE_ALL, LAST_ID)
    connection = connections[table.database]
    measure = MEASURES.get(connection.vendor)
    # In a caller's transaction, whose isolation level may be another, ranges of the index lock the
    # least of what lives.
    if (
        measure is None
        or not connection.features.has_select_for_update_skip_locked
        or (yield from call(table.is_in_transaction, table.ais_in_transaction))
    ):
        return oldest
    pages, start = yield from measure(table, now)
    # There is one more expired row than so many, or none.
    is_much = pages and (yield from _find_last(table, oldest, max(pages, FEW)))
    return start if is_much else oldest


def _measure_postgresql(table: PooledTable, now: datetime) -> Steps[tuple[int, Cursor]]:
    """Return how many pages the table has, 0 if it can't be gone through, and the first cursor."""
    found = yield from call(table.fetch, table.afetch, "gc_extent", {})
    pages, rows_in_a_page = next(iter(found), (0, 1.0))
    return pages, ByPage(now, 0, pages, rows_in_a_page)


def _measure_mysql(table: PooledTable, now: datetime) -> Steps[tuple[int, Cursor]]:
    """See _measure_postgresql()."""
    found = yield from call(table.fetch, table.afetch, "gc_extent", {"name": table.name})
    (pages,) = next(iter(found), (0,))
    return int(pages or 0), ById(now, -1)


MEASURES: dict[str, Callable[[PooledTable, datetime], Steps[tuple[int, Cursor]]]] = {
    "postgresql": _measure_postgresql,
    "mysql": _measure_mysql,
}


def _find_last(table: PooledTable, here: ByExpiry, skipped: int) -> Steps[list[Any] | None]:
    """Return expires_at and id of the expired row that comes after so many; None: there is none."""
    after = {"after_expiry": here.expires_at, "after_id": here.id}
    values = after | {"now": here.now, "skipped": skipped}
    found = yield from call(table.fetch, table.afetch, "gc_last", values)
    return found[0] if found else None


def _remove_by_expiry(table: PooledTable, here: ByExpiry, size: int) -> Steps[Batch]:
    last = yield from _find_last(table, here, size - 1)
    expires_at, id = last or (here.now, LAST_ID)
    after = {"after_expiry": here.expires_at, "after_id": here.id}
    values = after | {"last_expiry": expires_at, "last_id": id}
    # A session that was renewed since the SELECT is no longer in this range.
    removed = yield from call(table.execute, table.aexecute, "gc", values)
    return Batch(removed, None if last is None else ByExpiry(here.now, expires_at, id))


def _remove_by_page(table: PooledTable, here: ByPage, size: int) -> Steps[Batch]:
    behind = here.page + max(1, int(size / (here.rows_in_a_page * MARGIN)))
    values = {"first": f"({here.page},0)", "behind": f"({behind},0)", "now": here.now, "size": size}
    removed = yield from _execute_alone(table, "gc_pages", values)
    if removed == size:  # There may be more in these pages.
        return Batch(removed, here)
    return Batch(removed, here._replace(page=behind) if behind < here.pages else None)


def _remove_by_id(table: PooledTable, here: ById, size: int) -> Steps[Batch]:
    after = {"after_id": here.id}
    skipped = after | {"skipped": size - 1}
    found = yield from call(table.fetch, table.afetch, "gc_last_id", skipped)
    last_id = found[0][0] if found else LAST_ID
    values = after | {"last_id": last_id, "now": here.now, "size": size}
    removed = yield from _execute_alone(table, "gc_ids", values)
    return Batch(removed, here._replace(id=last_id) if found else None)


def _execute_alone(table: PooledTable, name: str, values: dict[str, Any]) -> Steps[int]:
    """Run a statement in a transaction of the store's own: on MySQL that one locks no gaps."""
    return call(
        partial(table.transact, partial(table.execute, name, values)),
        partial(table.atransact, partial(table.aexecute, name, values)),
    )
