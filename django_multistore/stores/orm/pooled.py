"""The async variants of OrmStore, for code that has a pool: see its option ASYNC_POOL."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from asgiref.sync import sync_to_async

from ...records import Admission, Limit, Outcome, Page, SessionRecord, user_id_of
from ...session import clock
from ..base import BaseStore
from ..batches import GC_BATCH_SIZE, abatch_sizes
from ..sql.pooled_table import PooledTable
from ..steps import arun
from . import expired
from .locks import arun_locked
from .rows import build_record, build_values

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def pooled(
    variant: Callable[Concatenate[PooledVariants, Parameters], Coroutine[Any, Any, Result]],
) -> Callable[Concatenate[PooledVariants, Parameters], Coroutine[Any, Any, Result]]:
    """Run a variant where there is a pool for it, and elsewhere its sync method in a thread."""
    name = variant.__name__.removeprefix("a")

    @wraps(variant)
    async def run(
        self: PooledVariants, /, *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        if self._table.has_pool_here():
            return await variant(self, *args, **kwargs)
        method: Callable[Parameters, Result] = getattr(self, name)
        return await sync_to_async(method)(*args, **kwargs)

    return run


class PooledVariants(BaseStore):
    """
    The variants, which ask the table without a thread.

    No caller's transaction is around them, so that what the methods do for the sake of one is left
    out. Else they differ from these only by `await`.
    """

    _table: PooledTable

    @pooled
    async def aread(self, key: str) -> SessionRecord | None:
        return await self._aread("read", key)

    @pooled
    async def areread(self, key: str) -> SessionRecord | None:
        return await self._aread("read", key)

    @pooled
    async def acreate(self, record: SessionRecord) -> bool:
        values = build_values(self.alias, record, old_key=record.key)
        return await self._table.aexecute("create", values, record.fate) == 1

    @pooled
    async def aupdate(self, record: SessionRecord) -> Outcome:
        return await self._acompare_and_set("update", record.key, record)

    @pooled
    async def arotate(self, old_key: str, record: SessionRecord) -> Outcome:
        return await self._acompare_and_set("rotate", old_key, record)

    @pooled
    async def atouch(self, record: SessionRecord) -> bool:
        values = build_values(self.alias, record, old_key=record.key) | {"now": clock.now()}
        return await self._table.aexecute("touch", values, record.fate) == 1

    @pooled
    async def adestroy(self, key: str) -> bool:
        return await self._table.aexecute("destroy", {"key": key}) == 1

    @pooled
    async def awrite(self, record: SessionRecord) -> None:
        if not await self.acreate(record):
            await self.aupdate(replace(record, version=None))

    @pooled
    async def amodify(self, key: str, change: Callable[[SessionRecord], SessionRecord]) -> Outcome:
        async def modify() -> Outcome:
            stored = await self._aread("read_for_update", key)
            return Outcome.GONE if stored is None else await self._awrite_over(key, change(stored))

        return await self._table.atransact(modify)

    @pooled
    async def aadmit(self, old_key: str | None, record: SessionRecord, limit: Limit) -> Admission:
        admit = partial(self._aadmit, old_key, record, limit)
        return await arun_locked(self._table, user_id_of(record.user_id), admit)

    @pooled
    async def asessions_for_user(self, user_id: object) -> list[SessionRecord]:
        return await self._alist("sessions_for_user", user_id)

    @pooled
    async def apage_for_user(self, user_id: object, *, start: int, size: int) -> Page:
        values = {"user_id": user_id_of(user_id), "now": clock.now(), "start": start, "size": size}
        page = await self._table.afetch("page_for_user", values) if size else []
        ((total,),) = await self._table.afetch("count_for_user", values)
        return Page(records=tuple(map(build_record, page)), total=total)

    @pooled
    async def adestroy_for_user(self, user_id: object, *, except_key: str | None = None) -> int:
        # No key is empty, so an empty one excepts nothing.
        values = {"user_id": user_id_of(user_id), "except_key": except_key or ""}
        return await self._table.aexecute("destroy_for_user", values)

    @pooled
    async def adestroy_session(self, user_id: object, id: int) -> bool:
        values = {"user_id": user_id_of(user_id), "id": id}
        return await self._table.aexecute("destroy_session", values) == 1

    @pooled
    async def amake_way(self, record: SessionRecord) -> bool:
        values = {"key": record.key, "id": record.id, "now": await self._table.anow()}
        return await self._table.aexecute("make_way", values) > 0

    @pooled
    async def agc(
        self,
        *,
        batch_size: int = GC_BATCH_SIZE,
        max_seconds: float | None = None,
        dry_run: bool = False,
        progress: Callable[[int], object] | None = None,
    ) -> int:
        if dry_run:
            values = {"now": await self._table.anow()}
            ((total,),) = await self._table.afetch("count_expired", values)
            if progress is not None:
                progress(total)
            return int(total)
        total, cursor = 0, None
        async for size in abatch_sizes(batch_size, max_seconds):
            batch = await arun(expired.remove(self._table, cursor, size))
            total, cursor = total + batch.count, batch.cursor
            if progress is not None:
                progress(batch.count)
            if cursor is None:
                break
        return total

    async def _aread(self, statement: str, key: str) -> SessionRecord | None:
        rows = await self._table.afetch(statement, {"key": key})
        record = build_record(rows[0]) if rows else None
        return record if record is not None and record.expires_at > clock.now() else None

    async def _alist(self, statement: str, user_id: object) -> list[SessionRecord]:
        values = {"user_id": user_id_of(user_id), "now": clock.now()}
        return [build_record(row) for row in await self._table.afetch(statement, values)]

    async def _acompare_and_set(
        self, statement: str, old_key: str, record: SessionRecord
    ) -> Outcome:
        if record.version is None:
            statement = "overwrite"
        values = build_values(self.alias, record, old_key=old_key) | {"now": clock.now()}
        if await self._table.aexecute(statement, values, record.fate):
            return Outcome.DONE
        return await self._aexplain_miss(old_key)

    async def _aexplain_miss(self, key: str) -> Outcome:
        return Outcome.GONE if await self.areread(key) is None else Outcome.CONFLICT

    async def _awrite_over(self, key: str, record: SessionRecord) -> Outcome:
        return await (self.aupdate(record) if record.key == key else self.arotate(key, record))

    async def _aadmit(self, old_key: str | None, record: SessionRecord, limit: Limit) -> Admission:
        """Do what Fallbacks.admit() does."""
        outcome = await self._awrite_if_allowed(old_key, record, limit)
        if outcome is not Outcome.DONE or not limit.evicts or record.actor_id is not None:
            return Admission(outcome=outcome)
        listed = await self.asessions_for_user(record.user_id)
        surplus = limit.surplus(record, listed, serialized=self.serializes_logins)
        evicted = [each for each in surplus if await self.adestroy_session(record.user_id, each.id)]
        return Admission(outcome=outcome, evicted=tuple(evicted))

    async def _awrite_if_allowed(
        self, old_key: str | None, record: SessionRecord, limit: Limit
    ) -> Outcome:
        may_refuse = record.actor_id is None and not limit.evicts
        if may_refuse and limit.refuses(record, await self.asessions_for_user(record.user_id)):
            return Outcome.FULL
        if old_key is None:
            return Outcome.DONE if await self.acreate(record) else Outcome.CONFLICT
        return await self._awrite_over(old_key, record)
