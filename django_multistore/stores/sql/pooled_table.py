"""A table that async code can ask without a thread, by connections of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

from django.db import Error, connections

from ...exceptions import StoreUnavailable
from ...records import Fate
from ...session import clock
from ..attempts import backoff
from ..event_loops import PerLoop, is_below_sync_code
from .clocks import QUESTIONS
from .errors import is_conflict
from .pool_options import read_pool_options
from .table import ATTEMPTS, Table

if TYPE_CHECKING:
    from .pools import LoopPool, LoopPools, PooledConnection

BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
# Statements that go through many rows may take longer than a request can wait for.
BULK_SECONDS = 600

Result = TypeVar("Result")
DriverStatement: TypeAlias = "Callable[[PooledConnection], Awaitable[Result]]"


class PooledTable(Table):
    """
    A table whose methods have variants for async code, with the store's option ASYNC_POOL.

    The variants see nothing of Django's connections: they are for code that has_pool_here() is true
    for. Without the option it never is.
    """

    _pools: PerLoop[LoopPools] | None = None
    _bulk: Collection[str] = ()

    def use_pool(self, option: object, bulk: Collection[str]) -> None:
        """
        Have async code use a pool.

        Args:
            option: the store's option ASYNC_POOL.
            bulk: the names of the statements that go through many rows.

        Raises:
            InvalidStore: there can be no such pool.
        """
        options = read_pool_options(self._outages.alias, self.database, option)
        from .pools import LoopPools  # noqa: PLC0415 - it imports psycopg

        make = partial(LoopPools, self._outages.alias, options)
        self._pools = PerLoop(make, LoopPools.close, LoopPools.abandon)
        self._bulk = bulk

    def has_pool_here(self) -> bool:
        """
        Say whether the task that runs is to use the pool.

        Where sync code waits for it, it uses Django's connection, in the thread of that: it may be
        in a transaction there, as in a TestCase, whose writes no other connection sees.
        """
        return self._pools is not None and not is_below_sync_code()

    async def ais_in_transaction(self) -> bool:
        """Say whether the task is in a transaction of atransact(): there is no other."""
        return self._find_own() is not None

    async def anow(self) -> datetime:
        """See now()."""
        here, rows = clock.now(), await self.aask(QUESTIONS["postgresql"])
        there: datetime = rows[0][0].replace(tzinfo=UTC)
        return min(here, there)

    async def afetch(self, name: str, values: dict[str, Any]) -> list[list[Any]]:
        """See fetch()."""
        statement, wrapper = self._find_statement(name), connections[self.database]
        bound = statement.bind(values, wrapper)
        rows = await self._arun(partial(_fetch, statement.sql, bound), name)
        return [statement.convert(row, wrapper) for row in rows]

    async def aexecute(self, name: str, values: dict[str, Any], fate: Fate | None = None) -> int:
        """See execute(). Nobody undoes the write but atransact(), and its error is raised then."""
        statement, wrapper = self._find_statement(name), connections[self.database]
        bound = statement.bind(values, wrapper)
        return await self._arun(partial(_count_changed, statement.sql, bound), name)

    async def aask(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """Run a SELECT that has no name, and return its rows."""
        return await self._arun(partial(_fetch, sql, values))

    async def atransact(self, action: Callable[[], Awaitable[Result]]) -> Result:
        """See transact()."""
        if await self.ais_in_transaction():
            return await action()
        try:
            with self._translate_drivers_errors():
                return await _atry_again(partial(self._attempt, action))
        except StoreUnavailable as outage:
            outage.loses_transaction = False  # The transaction was this method's own.
            raise

    async def _attempt(self, action: Callable[[], Awaitable[Result]]) -> Result:
        pool = await self._get_pool()
        connection = await pool.take()
        token = _own.set(_Transaction(self, pool, connection))
        try:
            await pool.within(connection, pool.seconds, connection.execute(BEGIN))
            result = await action()
            await pool.within(connection, pool.seconds, connection.execute("COMMIT"))
            return result
        finally:
            _own.reset(token)
            pool.give_back(connection)  # This rolls back what is still open.

    async def _arun(self, statement: DriverStatement[Result], name: str = "") -> Result:
        try:
            with connections[self.database].wrap_database_errors:
                return await self._arun_once(statement, name)
        except Error as error:
            # See run().
            if self._find_own() is not None or not is_conflict(error):
                translated = self._translate(error)
                if translated is error:
                    raise
                raise translated from error
        with self._translate_drivers_errors():
            return await _atry_again(partial(self._arun_once, statement, name))

    async def _arun_once(self, statement: DriverStatement[Result], name: str) -> Result:
        if own := self._find_own():
            return await own.pool.within(
                own.connection, own.pool.seconds, statement(own.connection)
            )
        pool = await self._get_pool()
        seconds = BULK_SECONDS if name in self._bulk else pool.seconds
        connection = await pool.take()
        try:
            return await pool.within(connection, seconds, statement(connection))
        finally:
            pool.give_back(connection)

    async def _get_pool(self) -> LoopPool:
        if self._pools is None:
            raise RuntimeError("has_pool_here() is to be asked before.")
        return (await self._pools.get())[self.database]

    def _find_own(self) -> _Transaction | None:
        own = _own.get()
        return own if own is not None and own.table is self else None

    @contextmanager
    def _translate_drivers_errors(self) -> Iterator[None]:
        """Raise StoreUnavailable or InvalidStore in place of what psycopg raises."""
        try:
            with connections[self.database].wrap_database_errors:
                yield
        except Error as error:
            translated = self._translate(error)
            if translated is error:
                raise
            raise translated from error


class _Transaction(NamedTuple):
    """The transaction of a task's own."""

    table: PooledTable
    pool: LoopPool
    connection: PooledConnection


_own: ContextVar[_Transaction | None] = ContextVar("django_multistore.pooled", default=None)


async def _atry_again(attempt: Callable[[], Awaitable[Result]]) -> Result:
    """See _try_again() in table.py."""
    *pauses, last_pause = backoff(ATTEMPTS)
    for pause in pauses:
        await asyncio.sleep(pause)
        try:
            return await attempt()
        except Exception as error:
            if not is_conflict(error):
                raise
    await asyncio.sleep(last_pause)
    return await attempt()


async def _fetch(sql: str, values: Any, connection: PooledConnection) -> list[Any]:
    cursor = await connection.execute(sql, values)
    return await cursor.fetchall()


async def _count_changed(sql: str, values: Any, connection: PooledConnection) -> int:
    cursor = await connection.execute(sql, values)
    return cursor.rowcount
