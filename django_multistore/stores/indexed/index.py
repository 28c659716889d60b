"""The user-id index of a store that can't search: one row for each session of a user."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction

from ...conf import conf
from ...models import SessionRowQuerySet, UserSession, as_stored
from ...records import SessionRecord
from ...session import clock
from ..attempts import Outages
from ..sql.dialect import build_row
from ..sql.table import Table
from ..steps import Steps, call_database
from .index_statements import FOUND, write_index_statements, write_removal
from .values import Entry, Listing

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

AT_A_TIME = 400  # rows in one statement: SQLite counts two parameters for each, up to 999
NAMESPACE_LENGTH = 16
A_YEAR = timedelta(days=365)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An entry of the index, which says where to look for a session."""

    row_id: int
    id: int
    key: str = field(repr=False)
    previous_key: str | None = field(repr=False)
    user_id: str
    last_seen_at: datetime
    expires_at: datetime
    store: str

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys under one of which the session is, if it lives."""
        return (self.key,) if self.previous_key is None else (self.key, self.previous_key)


class UserIndex:
    """The rows of models.UserSession that belong to one store. One statement a method."""

    def __init__(
        self, outages: Outages, database: str | None, namespace: Callable[[], str]
    ) -> None:
        """
        Take a store's place in the table.

        The namespace stands for the names that the store gives its sessions just now. Under other
        names they are not found, and their rows are left to whoever finds them.
        """
        self._alias = outages.alias
        self._of_any_namespace = f"{outages.alias}@"
        self._namespace = namespace
        self._table = Table(outages, database, UserSession, write_index_statements)

    @property
    def place(self) -> str:
        """What its rows have in the column `store`."""
        return f"{self._of_any_namespace}{self._namespace()}"

    @property
    def database(self) -> str:
        """The alias of the database that holds the index."""
        return self._table.database

    def is_in_transaction(self) -> bool:
        """Say whether what is entered now can be rolled back."""
        return self._table.is_in_transaction()

    def after_commit(self, action: Callable[[], object]) -> None:
        """Call something once the caller's transaction is committed. See BaseStore."""
        self._table.after_commit(action)

    def insert(self, record: SessionRecord) -> Listing:
        """Enter a session. Its row may be there already."""
        listing = self._listing(record)
        self._table.execute("insert", self._values(record, listing))
        return listing

    def try_out(self, record: SessionRecord) -> None:
        """Enter a session, which nobody sees: its row is rolled back."""
        using = self.database
        with self._table.translate_errors(), transaction.atomic(using=using):
            self.insert(replace(record, user_id="check|"))
            transaction.set_rollback(True, using=using)

    def refresh(self, record: SessionRecord) -> Listing | None:
        """Bring a session's row up to date. Return None if it isn't there."""
        # What a rollback would take back is the news, not the row.
        listing = self._listing(record)._replace(is_tentative=False)
        values = self._values(record, listing)
        return listing if self._table.execute("refresh", values) else None

    def move(self, old_key: str, record: SessionRecord) -> Listing | None:
        """Move a session's row to the record's key. Return None if it isn't there."""
        listing = self._listing(record)
        values = self._values(record, listing) | {"old_key": old_key}
        return listing if self._table.execute("move", values) else None

    def remove(self, key: str, user_id: str) -> None:
        """Remove the row of a session that has ended or has another user now."""
        values = {"key": key, "user_id": user_id, "store": self.place}
        self._table.execute("remove", values)

    def withdraw(self, record: SessionRecord) -> None:
        """Remove the row that was entered for a new session, and none that was there before."""
        values = {"id": record.id, "key": record.key, "user_id": record.user_id}
        self._table.execute("withdraw", values | {"store": self.place})

    def confirm(self, key: str, user_id: str, listing: Listing) -> Listing | None:
        """Look for the row of a session that was entered in a transaction. None: it isn't there."""
        # What is seen from outside of any transaction is sure.
        values = {"key": key, "user_id": user_id, "store": self.place}
        if not self._table.fetch("confirm", values):
            return None
        return listing._replace(is_tentative=self._table.is_in_transaction())

    def rows_of_user(
        self, user_id: str, after_commit: Callable[[], object] | None = None
    ) -> list[Row]:
        """
        Return the rows of a user.

        A caller's transaction may see a snapshot that lacks some: after_commit() is called then.
        """
        if after_commit is not None and self._table.is_in_snapshot():
            self._table.repeat_after_commit(after_commit)
        rows = self._table.fetch("rows_of_user", {"user_id": user_id, "store": self.place})
        return [_row(row) for row in rows]

    def live(self) -> SessionRowQuerySet:
        """Select the rows that have not expired, which is all that the database knows."""
        return self._rows(store=self.place).live(clock.now())

    def page_of_user(self, user_id: str, start: int, size: int) -> tuple[list[Row], int]:
        """Return some of a user's rows, the one seen last first, and how many there are."""
        rows = self.live().of_user(user_id)
        page = self._found(rows.latest_first()[start : start + size]) if size else []
        return page, self._table.run(lambda connection: rows.count())

    def rows_again(self, row_ids: Sequence[int]) -> list[Row]:
        """Return these rows as they are by now."""
        return self._found(self._rows(row_id__in=row_ids))

    def rows_after(self, row_id: int, count: int) -> list[Row]:
        """Return the rows that follow one, in the order in which they were entered."""
        # Those of other namespaces of the store as well, which nobody else would remove.
        found = self._rows(store__startswith=self._of_any_namespace, row_id__gt=row_id)
        return self._found(found.order_by("row_id")[:count])

    def now(self) -> datetime:
        """Return what time it is by the index's clock, or by this host's if that is behind."""
        return self._table.now()

    def newest(self) -> int:
        """Return the row_id that was given last, to whichever store; 0 if there is none."""
        row_ids = self._rows().order_by("-row_id").values_list("row_id", flat=True)[:1]
        return sum(self._table.run(lambda connection: list(row_ids)))

    def remove_rows(self, rows: Sequence[Row], expired_at: datetime | None = None) -> int:
        """
        Remove up to AT_A_TIME rows as far as they are where they were read; return how many.

        Those that expire after expired_at stay. This waits for rotations in open transactions.
        """

        def remove(connection: BaseDatabaseWrapper) -> int:
            until = [] if expired_at is None else [as_stored(expired_at, connection)]
            values = [*(row.row_id for row in rows), *(row.key for row in rows), *until]
            with connection.cursor() as cursor:
                cursor.execute(write_removal(len(rows), connection, expired=bool(until)), values)
                count: int = cursor.rowcount
                return count

        return self._table.run(remove)

    def _listing(self, record: SessionRecord) -> Listing:
        # With room for a session that slides until the row is written again.
        room = conf.get_touch_interval(record.expires_at - record.last_seen_at)
        return Listing(
            written_at=record.last_seen_at,
            valid_until=record.expires_at + room,
            is_tentative=self._table.is_in_transaction(),
        )

    def _values(self, record: SessionRecord, listing: Listing) -> dict[str, Any]:
        return build_row(self._alias, record) | {
            "expires_at": listing.valid_until,
            "store": self.place,
            "previous_key": None,
        }

    def _rows(self, **lookups: Any) -> SessionRowQuerySet:
        # The database is said here: the routers would say where to read, and that may lag.
        rows: SessionRowQuerySet = UserSession.objects.using(self.database).filter(**lookups)
        return rows

    def _found(self, rows: SessionRowQuerySet) -> list[Row]:
        return self._table.run(lambda connection: [_row(row) for row in rows.values_list(*FOUND)])


class Listings:
    """The row of one session, kept as it must be around writes to its cell."""

    def __init__(self, index: UserIndex) -> None:
        self._index = index

    def withdraw(self, record: SessionRecord) -> Steps[None]:
        """Remove the row that was entered for a session that could not be written."""
        if record.user_id is not None:
            yield from call_database(self._index.withdraw, record)

    def remove(self, record: SessionRecord) -> Steps[None]:
        """Remove the row of a session that has ended or has another user now."""
        if record.user_id is not None:
            yield from call_database(self._index.remove, record.key, record.user_id)

    def confirm(self, entry: Entry) -> Steps[Entry | None]:
        """Return a tentative session, or None if it isn't in the index and so doesn't live."""
        record, listing = entry.record, entry.listing
        if listing is None or record.user_id is None:
            return entry  # It has no row.
        listing = yield from call_database(self._index.confirm, record.key, record.user_id, listing)
        return None if listing is None else Entry(record, listing)

    def refresh(self, entry: Entry, record: SessionRecord) -> Steps[Listing | None]:
        """Have the row of a session's user as it must be before the cell is written."""
        old, listing = entry.record, entry.listing
        if record.user_id is None:
            return None
        if listing is None or old.user_id != record.user_id:
            return (yield from call_database(self._index.insert, record))
        interval = conf.get_touch_interval(record.expires_at - record.last_seen_at)
        is_due = (
            record.last_seen_at - listing.written_at >= interval
            or record.expires_at > listing.valid_until
            or record.authenticated_at != old.authenticated_at
            or record.actor_id != old.actor_id
            # The session has moved to another store: its row must not outlive what it leaves here.
            or record.last_seen_at < old.last_seen_at - A_YEAR
        )
        if not is_due:
            return listing
        fresh = yield from call_database(self._index.refresh, record)
        if fresh is None:  # The row was lost, with a backup that was restored perhaps.
            fresh = yield from call_database(self._index.insert, record)
        return fresh._replace(is_tentative=fresh.is_tentative or listing.is_tentative)

    def move(self, old: SessionRecord, record: SessionRecord) -> Steps[Listing | None]:
        """Have the row under a session's new key. None: the session of that user has ended."""
        is_same_user = record.user_id == old.user_id
        if is_same_user:
            # One UPDATE, for whose commit destroy_for_user() waits.
            listing = yield from call_database(self._index.move, old.key, record)
            if listing is not None:
                return listing
        # There was no row to move, or none is left: it was destroyed, which its tombstone
        # tells, or lost, or taken along by a rotation that died on its way.
        entered = yield from call_database(self._index.insert, record)
        if is_same_user and entered.is_tentative:
            # A destroy_for_user() before the commit would neither see it nor wait for it.
            yield from self.remove(record)
            return None
        return entered

    def move_back(self, old: SessionRecord, record: SessionRecord) -> Steps[None]:
        """Have the row as it was before move(), for a session that has stayed where it was."""
        # Not by another UPDATE: a save may have entered the session where it is, meanwhile.
        if old.user_id is not None and old.user_id == record.user_id:
            yield from call_database(self._index.insert, old)
        yield from self.remove(record)


def _row(values: Sequence[Any]) -> Row:
    return Row(**dict(zip(FOUND, values, strict=True)))
