"""Sessions in a table of the site's database: the default store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, ClassVar

from django.core.checks import CheckMessage
from django.db import connections

from ...exceptions import NotSupported
from ...models import SessionRowQuerySet, StoredSession
from ...records import Admission, Limit, Outcome, Page, SessionRecord, user_id_of
from ...session import clock
from ..batches import Batch
from ..sql.checks import check_database, check_pool
from ..sql.pooled_table import PooledTable
from ..steps import run
from . import expired, many
from .locks import run_locked
from .pooled import PooledVariants
from .rows import build_record, build_values
from .statements import BULK, write_orm_statements


class OrmStore(PooledVariants):
    """
    Keep records in the table of models.StoredSession, with one statement an operation.

    Options:
        DATABASE: an alias of DATABASES. By default the site's database routers say where
            StoredSession is written. Reads go there as well: a replica that lags behind
            must not log anyone out.
        ASYNC_POOL: options of psycopg_pool's. With them, on PostgreSQL, async code has
            connections of its own, in a pool for each event loop, and needs no thread.
    """

    default_options: ClassVar[dict[str, Any]] = {"DATABASE": None, "ASYNC_POOL": None}
    supports_users = True
    supports_scan = True
    serializes_logins = True
    has_database_index = True

    def __init__(self, alias: str = "default", **options: Any) -> None:
        super().__init__(alias, **options)
        database = self.options["DATABASE"]
        self._table = PooledTable(self.outages, database, StoredSession, write_orm_statements)
        if self.options["ASYNC_POOL"] is not None:
            self._table.use_pool(self.options["ASYNC_POOL"], BULK)

    @property
    def database(self) -> str:
        """The alias of the database that holds the sessions."""
        return self._table.database

    @property
    def configured_by(self) -> str:
        return f"DATABASES[{self.database!r}]"

    @property
    def place(self) -> str:
        return f"one table, in the database {self.database!r}"

    def read(self, key: str) -> SessionRecord | None:
        return self._read("read", key)

    def reread(self, key: str) -> SessionRecord | None:
        # The caller's transaction may have an old snapshot. On MariaDB and MySQL only a read that
        # locks sees past it.
        may_be_old = self._table.is_in_transaction() and self._locks_rows
        return self._read("read_for_update" if may_be_old else "read", key)

    def create(self, record: SessionRecord) -> bool:
        values = build_values(self.alias, record, old_key=record.key)
        return self._table.execute("create", values, record.fate) == 1

    def update(self, record: SessionRecord) -> Outcome:
        return self._compare_and_set("update", record.key, record)

    def rotate(self, old_key: str, record: SessionRecord) -> Outcome:
        return self._compare_and_set("rotate", old_key, record)

    def touch(self, record: SessionRecord) -> bool:
        values = build_values(self.alias, record, old_key=record.key) | {"now": clock.now()}
        return self._table.execute("touch", values, record.fate) == 1

    def destroy(self, key: str) -> bool:
        return self._table.execute("destroy", {"key": key}) == 1

    def modify(self, key: str, change: Callable[[SessionRecord], SessionRecord]) -> Outcome:
        if not self._locks_rows:
            return super().modify(key, change)

        def modify() -> Outcome:
            stored = self._read("read_for_update", key)
            return Outcome.GONE if stored is None else self._write_over(key, change(stored))

        return self._table.transact(modify)

    def admit(self, old_key: str | None, record: SessionRecord, limit: Limit) -> Admission:
        is_blind = self._is_blind()
        if is_blind and not limit.evicts and record.actor_id is None:
            raise NotSupported(
                f"Session store {self.alias!r}: SESSION_MAX_PER_USER can't refuse a login in a "
                f"transaction of the database {self.database!r} that doesn't see logins which were "
                "committed since it began. Log in outside of it (ATOMIC_REQUESTS, for one), or set "
                "its isolation level to 'read committed', or SESSION_MAX_PER_USER_POLICY to "
                "'evict-oldest'."
            )
        admit = partial(super().admit, old_key, record, limit)
        admission = run_locked(self._table, user_id_of(record.user_id), admit)
        if is_blind and admission.outcome is Outcome.DONE:
            self._table.repeat_after_commit(partial(self._evict, record, limit))
        return admission

    def sessions_for_user(self, user_id: object) -> list[SessionRecord]:
        return self._list("sessions_for_user", user_id)

    def page_for_user(self, user_id: object, *, start: int, size: int) -> Page:
        values = {"user_id": user_id_of(user_id), "now": clock.now(), "start": start, "size": size}
        page = self._table.fetch("page_for_user", values) if size else []
        ((total,),) = self._table.fetch("count_for_user", values)
        return Page(records=tuple(map(build_record, page)), total=total)

    def database_index(self) -> SessionRowQuerySet:
        rows = StoredSession.objects.using(self.database).live(clock.now())
        return rows.sessions().defer("payload")

    def destroy_for_user(self, user_id: object, *, except_key: str | None = None) -> int:
        # No key is empty, so an empty one excepts nothing.
        values = {"user_id": user_id_of(user_id), "except_key": except_key or ""}
        return self._end("destroy_for_user", values)

    def destroy_session(self, user_id: object, id: int) -> bool:
        return self._end("destroy_session", {"user_id": user_id_of(user_id), "id": id}) == 1

    def remove_expired(self, cursor: expired.Cursor | None, size: int, *, dry_run: bool) -> Batch:
        if dry_run:
            rows = StoredSession.objects.using(self.database).expired(self._table.now())
            return Batch(self._table.run(lambda connection: rows.count()))
        return run(expired.remove(self._table, cursor, size))

    def make_way(self, record: SessionRecord) -> bool:
        values = {"key": record.key, "id": record.id, "now": self._table.now()}
        return self._table.execute("make_way", values) > 0

    def create_many(self, records: Sequence[SessionRecord]) -> list[bool]:
        if not self._takes_arrays or not records:
            return self._table.transact(lambda: [self.create(record) for record in records])
        created = self._table.run(partial(many.create_many, self.alias, records))
        return [record.key in created for record in records]

    def update_many(
        self, records: Sequence[SessionRecord], changed: Collection[str] | None = None
    ) -> list[Outcome]:
        if not self._takes_arrays or not records:
            return self._table.transact(lambda: [self.update(record) for record in records])
        updated = self._table.run(partial(many.update_many, self.alias, records, changed))
        return [
            Outcome.DONE if record.key in updated else self._explain_miss(record.key)
            for record in records
        ]

    def retire_many(self, records: Sequence[SessionRecord]) -> None:
        if self._takes_arrays and records:
            self._table.run(partial(many.retire_many, records))
            return
        names = [{"key": record.key, "version": record.version} for record in records]
        self._table.transact(lambda: [self._table.execute("retire", each) for each in names])

    def scan(self, cursor: int | None, size: int) -> tuple[list[SessionRecord], int | None]:
        after = {"after_id": -1 if cursor is None else cursor, "now": clock.now(), "size": size}
        found = [build_record(row) for row in self._table.fetch("scan", after)]
        return found, found[-1].id if len(found) == size else None

    @property
    def unfit_for_copies(self) -> str:
        return "where a rollback of the site's brings copies back of what has changed or ended"

    def is_in_transaction(self) -> bool:
        return self._table.is_in_transaction()

    def after_commit(self, action: Callable[[], object]) -> None:
        self._table.after_commit(action)

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        if not kwargs.get("deploy"):
            return []
        pool = self.options["ASYNC_POOL"] or {}
        messages = check_database(self.alias, self.database)
        return messages + check_pool(self.alias, self.database, pool)

    def _compare_and_set(self, statement: str, old_key: str, record: SessionRecord) -> Outcome:
        if record.version is None:
            statement = "overwrite"
        values = build_values(self.alias, record, old_key=old_key) | {"now": clock.now()}
        if self._table.execute(statement, values, record.fate):
            return Outcome.DONE
        return self._explain_miss(old_key)

    def _explain_miss(self, key: str) -> Outcome:
        return Outcome.GONE if self.reread(key) is None else Outcome.CONFLICT

    def _end(self, statement: str, values: dict[str, Any]) -> int:
        end = partial(self._table.execute, statement, values)
        if self._is_blind():
            self._table.repeat_after_commit(end)
        return end()

    def _list_for_limit(self, record: SessionRecord) -> list[SessionRecord]:
        if not self._table.is_in_snapshot():
            return self.sessions_for_user(record.user_id)
        # On MariaDB and MySQL a read that locks sees all there is.
        return self._list("sessions_for_user_locked", record.user_id)

    def _list(self, statement: str, user_id: object) -> list[SessionRecord]:
        values = {"user_id": user_id_of(user_id), "now": clock.now()}
        return [build_record(row) for row in self._table.fetch(statement, values)]

    def _evict(self, record: SessionRecord, limit: Limit) -> None:
        def evict() -> None:
            for surplus in limit.surplus(record, self._list_for_limit(record), serialized=False):
                self.destroy_session(record.user_id, surplus.id)

        run_locked(self._table, user_id_of(record.user_id), evict)

    @property
    def _locks_rows(self) -> bool:
        return connections[self.database].features.has_select_for_update

    @property
    def _takes_arrays(self) -> bool:
        return many.takes_arrays(connections[self.database])

    def _is_blind(self) -> bool:
        """Say whether the caller's transaction can neither see nor end what came since it began."""
        # On MariaDB and MySQL it ends what is there by now, and sees it when it reads to write.
        return connections[self.database].vendor == "postgresql" and self._table.is_in_snapshot()

    def _read(self, statement: str, key: str) -> SessionRecord | None:
        rows = self._table.fetch(statement, {"key": key})
        record = build_record(rows[0]) if rows else None
        return record if record is not None and record.expires_at > clock.now() else None
