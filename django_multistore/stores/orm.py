"""Sessions in a table of the site's database: the default store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, ClassVar, NoReturn, TypeVar

from django.core.checks import CheckMessage
from django.db import (
    DatabaseError,
    InterfaceError,
    ProgrammingError,
    connections,
    router,
    transaction,
)
from django.utils import timezone

from ..exceptions import InvalidStore
from ..models import StoredSession
from ..records import (
    USER_AGENT_MAX_LENGTH,
    USER_ID_MAX_LENGTH,
    Device,
    SessionRecord,
    Update,
    user_id_of,
)
from .base import GC_BATCH_SIZE, BaseStore
from .database_errors import OUTAGES, is_deadlock, is_table_missing
from .orm_checks import check_database
from .orm_statements import after, write_statements
from .pacing import batch_sizes
from .statements import Statement

LAST_ID = 2**63 - 1
BEFORE_ALL = timedelta(days=50 * 365)  # No session expired longer ago.
DEADLOCK_ATTEMPTS = 10
TRANSLATED = (*OUTAGES, ProgrammingError)

Result = TypeVar("Result")


class OrmStore(BaseStore):
    """
    Keep records in the table of models.StoredSession, with one statement an operation.

    Options:
        DATABASE: an alias of DATABASES. By default the site's database routers say where
            StoredSession is written. Reads go there as well: a replica that lags behind
            must not log anyone out.
    """

    default_options: ClassVar[dict[str, Any]] = {"DATABASE": None}

    def __init__(self, alias: str = "default", **options: Any) -> None:
        super().__init__(alias, **options)
        database = self.options["DATABASE"]
        if database is not None and database not in connections:
            raise InvalidStore(
                f"SESSION_STORES[{alias!r}]['OPTIONS']['DATABASE'] is {database!r}, which isn't "
                f"in DATABASES. Name one of {', '.join(map(repr, connections))}."
            )
        self._statements: dict[str, dict[str, Statement]] = {}

    @property
    def database(self) -> str:
        """The alias of the database that holds the sessions."""
        return self.options["DATABASE"] or router.db_for_write(StoredSession)

    def read(self, key: str) -> SessionRecord | None:
        return self._read("read", key)

    def create(self, record: SessionRecord) -> bool:
        return self._execute("create", self._values(record, old_key=record.key)) == 1

    def update(self, record: SessionRecord) -> Update:
        return self._compare_and_set("update", record.key, record)

    def rotate(self, old_key: str, record: SessionRecord) -> Update:
        return self._compare_and_set("rotate", old_key, record)

    def touch(self, record: SessionRecord) -> bool:
        values = self._values(record, old_key=record.key) | {"now": timezone.now()}
        return self._execute("touch", values) == 1

    def destroy(self, key: str) -> bool:
        return self._execute("destroy", {"key": key}) == 1

    def modify(self, key: str, change: Callable[[SessionRecord], SessionRecord]) -> Update:
        using = self.database
        if not connections[using].features.has_select_for_update:
            return super().modify(key, change)
        with self._outages_translated(), transaction.atomic(using=using, savepoint=False):
            stored = self._read("read_for_update", key)
            return Update.GONE if stored is None else self._write_over(key, change(stored))

    def sessions_for_user(self, user_id: object) -> list[SessionRecord]:
        values = {"user_id": user_id_of(user_id), "now": timezone.now()}
        rows = self._fetch("sessions_for_user", values)
        return [_record(row) for row in rows]

    def destroy_for_user(self, user_id: object, *, except_key: str | None = None) -> int:
        # No key is empty, so an empty one excepts nothing.
        values = {"user_id": user_id_of(user_id), "except_key": except_key or ""}
        return self._execute("destroy_for_user", values)

    def destroy_session(self, user_id: object, id: int) -> bool:
        return self._execute("destroy_session", {"user_id": user_id_of(user_id), "id": id}) == 1

    def gc(
        self,
        *,
        batch_size: int = GC_BATCH_SIZE,
        max_seconds: float | None = None,
        dry_run: bool = False,
        progress: Callable[[int], object] | None = None,
    ) -> int:
        now = timezone.now()
        expired = StoredSession.objects.using(self.database).filter(expires_at__lte=now)
        if dry_run:
            with self._outages_translated():
                return expired.count()
        removed = 0
        here, end = (now - BEFORE_ALL, LAST_ID), (now, LAST_ID)
        for size in batch_sizes(batch_size, max_seconds):
            with self._outages_translated():
                rest = expired.filter(after(*here)).order_by("expires_at", "id")
                last = next(iter(rest.values_list("expires_at", "id")[size - 1 : size]), end)
            # A session that was renewed since the SELECT is no longer in this range.
            values = {"after_expiry": here[0], "after_id": here[1]}
            step = self._execute("gc", values | {"last_expiry": last[0], "last_id": last[1]})
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
        if self._execute(statement, values):
            return Update.DONE
        return Update.GONE if self.read(old_key) is None else Update.CONFLICT

    def _read(self, statement: str, key: str) -> SessionRecord | None:
        rows = self._fetch(statement, {"key": key})
        record = _record(rows[0]) if rows else None
        return record if record is not None and record.expires_at > timezone.now() else None

    def _fetch(self, name: str, values: dict[str, Any]) -> list[list[Any]]:
        return self._run(name, values, _rows)

    def _execute(self, name: str, values: dict[str, Any]) -> int:
        return self._run(name, values, _row_count)

    def _run(
        self, name: str, values: dict[str, Any], result: Callable[[Statement, Any], Result]
    ) -> Result:
        using = self.database
        connection, statement = connections[using], self._statement(using, name)
        for attempts_left in reversed(range(DEADLOCK_ATTEMPTS)):
            try:
                with connection.cursor() as cursor:
                    cursor.execute(statement.sql, statement.bind(values, connection))
                    return result(statement, cursor)
            except TRANSLATED as error:
                # MariaDB finds single statements in each other's way, which come to a row by
                # different indexes. Alone in its transaction one can simply go again.
                is_alone = not connection.in_atomic_block
                if not (attempts_left and is_alone and is_deadlock(error)):
                    self._raise_translated(error)
        raise AssertionError("The last attempt returns or raises.")

    def _statement(self, using: str, name: str) -> Statement:
        try:
            return self._statements[using][name]
        except KeyError:
            self._statements[using] = write_statements(using)
            return self._statements[using][name]

    @contextmanager
    def _outages_translated(self) -> Iterator[None]:
        try:
            yield
        except TRANSLATED as error:
            self._raise_translated(error)

    def _raise_translated(self, error: DatabaseError | InterfaceError) -> NoReturn:
        if is_table_missing(error):
            raise InvalidStore(
                f"Session store {self.alias!r}: the database {self.database!r} has no table "
                f"{StoredSession._meta.db_table!r}. Run 'manage.py migrate "
                f"--database {self.database} django_multistore'."
            ) from error
        if isinstance(error, OUTAGES):
            raise self.unavailable(error) from error
        raise error

    def _values(self, record: SessionRecord, *, old_key: str) -> dict[str, Any]:
        # Said here, because MariaDB's INSERT IGNORE would cut it off in silence, and
        # PostgreSQL takes no NUL.
        user_id, user_agent = record.user_id or "", record.device.user_agent
        if len(user_id) > USER_ID_MAX_LENGTH or "\0" in user_id:
            raise ValueError(
                f"Session store {self.alias!r} takes user ids of up to {USER_ID_MAX_LENGTH} "
                f"characters without NUL; this one has {len(user_id)}."
            )
        if len(user_agent) > USER_AGENT_MAX_LENGTH or "\0" in user_agent:
            raise ValueError(
                f"Session store {self.alias!r} takes user agents of up to "
                f"{USER_AGENT_MAX_LENGTH} characters without NUL; this one has "
                f"{len(user_agent)}."
            )
        return {
            "id": record.id,
            "key": record.key,
            "old_key": old_key,
            "payload": record.payload,
            "version": record.version,
            "user_id": record.user_id,
            "created_at": record.created_at,
            "authenticated_at": record.authenticated_at,
            "seen_at": record.seen_at,
            "expires_at": record.expires_at,
            "ip_address": record.device.ip_address,
            "user_agent": user_agent,
        }


def _rows(statement: Statement, cursor: Any) -> list[list[Any]]:
    return [statement.convert(row, cursor.db) for row in cursor.fetchall()]


def _row_count(statement: Statement, cursor: Any) -> int:
    count: int = cursor.rowcount
    return count


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
