"""Sessions in a table of the site's database: the default store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar

from django.core.checks import CheckMessage
from django.db import connections, transaction
from django.utils import timezone

from ..models import SessionRowQuerySet, StoredSession
from ..records import Admission, Device, Limit, Page, SessionRecord, Update, user_id_of
from .base import GC_BATCH_SIZE, BaseStore
from .orm_checks import check_database
from .orm_statements import LISTED, after, write_statements
from .orm_turns import in_turn
from .pacing import batch_sizes
from .row_values import row_values
from .table import Table

LAST_ID = 2**63 - 1
BEFORE_ALL = timedelta(days=50 * 365)  # No session expired longer ago.


class OrmStore(BaseStore):
    """
    Keep records in the table of models.StoredSession, with one statement an operation.

    Options:
        DATABASE: an alias of DATABASES. By default the site's database routers say where
            StoredSession is written. Reads go there as well: a replica that lags behind
            must not log anyone out.
    """

    default_options: ClassVar[dict[str, Any]] = {"DATABASE": None}
    logins_take_turns = True

    def __init__(self, alias: str = "default", **options: Any) -> None:
        super().__init__(alias, **options)
        self._table = Table(self, StoredSession, write_statements)

    @property
    def database(self) -> str:
        """The alias of the database that holds the sessions."""
        return self._table.database

    @property
    def place(self) -> str:
        return f"one table, in the database {self.database!r}"

    def read(self, key: str) -> SessionRecord | None:
        return self._read("read", key)

    def create(self, record: SessionRecord) -> bool:
        return self._table.execute("create", self._values(record, old_key=record.key)) == 1

    def update(self, record: SessionRecord) -> Update:
        return self._compare_and_set("update", record.key, record)

    def rotate(self, old_key: str, record: SessionRecord) -> Update:
        return self._compare_and_set("rotate", old_key, record)

    def touch(self, record: SessionRecord) -> bool:
        values = self._values(record, old_key=record.key) | {"now": timezone.now()}
        return self._table.execute("touch", values) == 1

    def destroy(self, key: str) -> bool:
        return self._table.execute("destroy", {"key": key}) == 1

    def modify(self, key: str, change: Callable[[SessionRecord], SessionRecord]) -> Update:
        using = self.database
        if not connections[using].features.has_select_for_update:
            return super().modify(key, change)
        with self._table.outages_translated(), transaction.atomic(using=using, savepoint=False):
            stored = self._read("read_for_update", key)
            return Update.GONE if stored is None else self._write_over(key, change(stored))

    def admit(self, old_key: str | None, record: SessionRecord, limit: Limit) -> Admission:
        admit = partial(super().admit, old_key, record, limit)
        return in_turn(self._table, user_id_of(record.user_id), admit)

    def sessions_for_user(self, user_id: object) -> list[SessionRecord]:
        values = {"user_id": user_id_of(user_id), "now": timezone.now()}
        rows = self._table.fetch("sessions_for_user", values)
        return [_record(row) for row in rows]

    def page_for_user(self, user_id: object, *, start: int, size: int) -> Page:
        listed = self.database_index().of_user(user_id_of(user_id))
        with self._table.outages_translated():
            page = listed.latest_first().values_list(*LISTED)[start : start + size]
            return Page(records=tuple(map(_record, page)), total=listed.count())

    def database_index(self) -> SessionRowQuerySet:
        return StoredSession.objects.using(self.database).live(timezone.now()).defer("payload")

    def destroy_for_user(self, user_id: object, *, except_key: str | None = None) -> int:
        # No key is empty, so an empty one excepts nothing.
        values = {"user_id": user_id_of(user_id), "except_key": except_key or ""}
        return self._table.execute("destroy_for_user", values)

    def destroy_session(self, user_id: object, id: int) -> bool:
        return (
            self._table.execute("destroy_session", {"user_id": user_id_of(user_id), "id": id}) == 1
        )

    def gc(
        self,
        *,
        batch_size: int = GC_BATCH_SIZE,
        max_seconds: float | None = None,
        dry_run: bool = False,
        progress: Callable[[int], object] | None = None,
    ) -> int:
        now = timezone.now()
        expired = StoredSession.objects.using(self.database).expired(now)
        if dry_run:
            with self._table.outages_translated():
                return expired.count()
        removed = 0
        here, end = (now - BEFORE_ALL, LAST_ID), (now, LAST_ID)
        for size in batch_sizes(batch_size, max_seconds):
            with self._table.outages_translated():
                rest = expired.filter(after(*here)).order_by("expires_at", "id")
                last = next(iter(rest.values_list("expires_at", "id")[size - 1 : size]), end)
            # A session that was renewed since the SELECT is no longer in this range.
            values = {"after_expiry": here[0], "after_id": here[1]}
            step = self._table.execute("gc", values | {"last_expiry": last[0], "last_id": last[1]})
            removed += step
            if progress is not None:
                progress(step)
            if last == end:
                break
            here = last
        return removed

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        return check_database(self.alias, self.database) if kwargs.get("deploy") else []

    def _compare_and_set(self, statement: str, old_key: str, record: SessionRecord) -> Update:
        if record.version is None:
            statement = "overwrite"
        values = self._values(record, old_key=old_key) | {"now": timezone.now()}
        if self._table.execute(statement, values):
            return Update.DONE
        return Update.GONE if self.read(old_key) is None else Update.CONFLICT

    def _read(self, statement: str, key: str) -> SessionRecord | None:
        rows = self._table.fetch(statement, {"key": key})
        record = _record(rows[0]) if rows else None
        return record if record is not None and record.expires_at > timezone.now() else None

    def _values(self, record: SessionRecord, *, old_key: str) -> dict[str, Any]:
        return row_values(self.alias, record) | {
            "old_key": old_key,
            "payload": record.payload,
            "version": record.version,
        }


def _record(row: list[Any]) -> SessionRecord:
    (
        id,
        key,
        version,
        user_id,
        created_at,
        authenticated_at,
        seen_at,
        expires_at,
        ip_address,
        user_agent,
        *payload,
    ) = row
    return SessionRecord(
        id=id,
        key=key,
        payload=bytes(payload[0]) if payload else b"",
        version=version,
        user_id=user_id,
        created_at=created_at,
        authenticated_at=authenticated_at,
        seen_at=seen_at,
        expires_at=expires_at,
        device=Device(ip_address=ip_address, user_agent=user_agent),
    )
