"""
The pools of connections by which async code asks PostgreSQL: one for each event loop and database.

They are psycopg_pool's. What is added are time limits, a look whether the server has ended a
connection that waited, and that a request which is cancelled leaves no connection behind.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Self, TypeVar
from weakref import WeakSet

import psycopg
from django.db import connections
from psycopg import sql
from psycopg.pq import ConnStatus, TransactionStatus
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from .pool_options import refuse_other_databases

# After so many times the server is to have a statement prepared, as psycopg's own default is.
PREPARE_AFTER = 5
# How long a server has to give up a statement, when that has taken too long.
GRACE = 1.0  # seconds
# While no connection can be made, nobody need wait for long to hear of it.
TROUBLED_SECONDS = 0.5
# What has been used so lately is not looked at: that takes a system call, and the GIL meanwhile.
FRESH_SECONDS = 0.1
MIN_CONNECT_TIMEOUT = 2  # seconds; psycopg takes no shorter one

OPEN_TRANSACTION = {TransactionStatus.INTRANS, TransactionStatus.INERROR}

Result = TypeVar("Result")


class PooledConnection(psycopg.AsyncConnection[Any]):
    """
    A connection of a pool's.

    Attributes:
        given_back_at: when it began to wait, by the clock of time.monotonic().
    """

    given_back_at: float = 0.0

    @classmethod
    async def connect(  # type: ignore[override]
        cls, conninfo: str = "", *, owner: LoopPool, **arguments: Any
    ) -> Self:
        """Connect as DATABASES says by now, and tell the pool what came of it."""
        try:
            connection = await super().connect(conninfo, **owner.read_parameters(), **arguments)
        except Exception as error:
            owner.trouble = error
            raise
        owner.connections.add(connection)
        return connection


class LoopPool:
    """
    The pool of the event loop that runs, for one database.

    Args:
        using: the database's alias.
        options: psycopg_pool's, as read_pool_options() returns them.
        forget: called when it closes, so that who comes later gets another.
    """

    def __init__(self, using: str, options: dict[str, Any], forget: Callable[[], object]) -> None:
        self._wrapper: Any = connections[using]
        self._more: dict[str, Any] = options.get("kwargs", {})
        self.seconds: float = options["timeout"]
        self.connections: WeakSet[PooledConnection] = WeakSet()
        # Why no connection could be made, if the last attempt has failed.
        self.trouble: Exception | None = None
        self._taken: set[PooledConnection] = set()
        self._returns: set[asyncio.Task[None]] = set()
        self._forget = forget
        self._guard: asyncio.Task[None] | None = None
        self._pool: AsyncConnectionPool[PooledConnection] = AsyncConnectionPool(
            **options
            | {
                "open": False,
                "connection_class": PooledConnection,
                "configure": self._configure,
                "kwargs": {"owner": self},
            }
        )

    def read_parameters(self) -> dict[str, Any]:
        """Return what a connection is made with: what Django's are, but for what is sync."""
        parameters = self._wrapper.get_connection_params()
        del parameters["cursor_factory"]  # Django's are not for async code.
        if self._may_prepare:
            parameters["prepare_threshold"] = PREPARE_AFTER
        parameters.setdefault("connect_timeout", max(MIN_CONNECT_TIMEOUT, round(self.seconds)))
        return {**parameters, **self._more, "autocommit": True}

    async def take(self) -> PooledConnection:
        """
        Return a connection that nobody else has, or raise psycopg's OperationalError.

        The caller gives it back.
        """
        if self._guard is None:
            self._guard = asyncio.get_running_loop().create_task(self._stand_guard())
            await self._pool.open()
        # All that wait may have been ended, by a restart of the server.
        for _ in range(self._pool.max_size):
            connection = await self._take_any()
            is_fresh = time.monotonic() - connection.given_back_at < FRESH_SECONDS
            if is_fresh or not has_ended(connection):
                break
            await connection.close()
            self.give_back(connection)
        else:
            connection = await self._take_any()
        self._taken.add(connection)
        return connection

    def give_back(self, connection: PooledConnection) -> None:
        """Let others use it, once it is in no transaction any more. Who gives it need not wait."""
        self._taken.discard(connection)
        connection.given_back_at = time.monotonic()
        returning = _start(self._return(connection))
        if not returning.done():
            self._returns.add(returning)
            returning.add_done_callback(self._returns.discard)

    async def within(
        self, connection: PooledConnection, seconds: float, statement: Awaitable[Result]
    ) -> Result:
        """
        Wait for a statement on a connection, but not for much longer than so many seconds.

        Raises:
            OperationalError: of psycopg's, also if it took longer. The connection is closed then.
        """
        end = _End(connection)
        timer = asyncio.get_running_loop().call_later(seconds, end.begin)
        try:
            return await statement
        except psycopg.Error as error:
            if not end.has_begun:
                raise
            raise psycopg.OperationalError(f"no answer within {seconds:g} s") from error
        finally:
            timer.cancel()
            if end.has_begun:
                # What ends the statement must not end the next one on this connection.
                await connection.close()

    async def close(self) -> None:
        """Close the pool and each of its connections, while the loop shuts down."""
        if self._guard is not None:
            self._guard.cancel()
            await asyncio.wait([self._guard])

    def abandon(self) -> None:
        """Close the connections: the loop was closed before it could shut down."""
        for connection in [*self.connections]:
            connection.pgconn.finish()

    @property
    def _may_prepare(self) -> bool:
        """Whether nobody has said if statements are to be prepared."""
        said = self._wrapper.settings_dict["OPTIONS"].keys() | self._more.keys()
        return "prepare_threshold" not in said

    async def _stand_guard(self) -> None:
        # asyncio.run() cancels all tasks once and waits for them. The pool's workers go on all the
        # same if that meets them while they connect, unless somebody tells them by then to stop.
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self._forget()
            with suppress(asyncio.CancelledError):  # of a worker, for which the pool waits
                await self._pool.close()
            # Those that are taken are closed as they come back. Who has one may still wait for its
            # socket, whose number would be another's.
            for connection in {*self.connections} - self._taken:
                await connection.close()
            raise

    async def _take_any(self) -> PooledConnection:
        seconds = min(self.seconds, TROUBLED_SECONDS) if self.trouble else self.seconds
        try:
            connection: PooledConnection = await self._pool.getconn(seconds)
        except PoolTimeout as error:
            if self.trouble is None:
                raise
            raise psycopg.OperationalError(f"{error}: {self.trouble}") from self.trouble
        return connection

    async def _return(self, connection: PooledConnection) -> None:
        if connection.pgconn.transaction_status in OPEN_TRANSACTION:
            try:
                await self.within(connection, self.seconds, connection.rollback())
            except psycopg.Error:
                await connection.close()
        await self._pool.putconn(connection)

    async def _configure(self, connection: PooledConnection) -> None:
        try:
            await self.within(connection, self.seconds, self._set_up(connection))
        except BaseException as error:
            await connection.close()
            if isinstance(error, Exception):
                self.trouble = error
            raise
        self.trouble = None

    async def _set_up(self, connection: PooledConnection) -> None:
        """Do what Django does with a new connection, and look whether to prepare statements."""
        zone = self._wrapper.timezone_name
        if zone and connection.info.parameter_status("TimeZone") != zone:
            await connection.execute(self._wrapper.ops.set_time_zone_sql(), [zone])
        if role := self._wrapper.settings_dict["OPTIONS"].get("assume_role"):
            await connection.execute(sql.SQL("SET ROLE {}").format(sql.Literal(role)))
        if self._may_prepare and await is_pooled_by_transactions(connection):
            connection.prepare_threshold = None


class LoopPools:
    """
    The pools of the event loop that runs, by the database's alias.

    Args:
        alias: the store's, for errors.
        options: as read_pool_options() returns them.
    """

    def __init__(self, alias: str, options: dict[str, Any]) -> None:
        self._alias = alias
        self._options = options
        self._pools: dict[str, LoopPool] = {}

    def __getitem__(self, using: str) -> LoopPool:
        """Return the pool of a database, or raise InvalidStore if it can have none."""
        try:
            return self._pools[using]
        except KeyError:
            refuse_other_databases(self._alias, using)  # The site's router may name any.
            forget = partial(self._pools.pop, using, None)
            self._pools[using] = LoopPool(using, self._options, forget)
            return self._pools[using]

    async def close(self) -> None:
        """Close all of them, while the loop shuts down."""
        for pool in [*self._pools.values()]:
            await pool.close()

    def abandon(self) -> None:
        """See LoopPool.abandon()."""
        for pool in self._pools.values():
            pool.abandon()


class _End:
    """What makes a statement end that has taken too long: first the server, then the network."""

    def __init__(self, connection: PooledConnection) -> None:
        self._connection = connection
        self._task: asyncio.Task[None] | None = None

    @property
    def has_begun(self) -> bool:
        return self._task is not None

    def begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._end())

    async def _end(self) -> None:
        # A server that goes on with a statement which waits for a lock keeps a place for it.
        with suppress(psycopg.Error, OSError):
            await self._connection.cancel_safe(timeout=GRACE)
            await asyncio.sleep(GRACE)
        if not self._connection.closed:
            # psycopg waits for the socket, which is at its end then. To close it would have psycopg
            # wait for the next one that gets its number.
            duplicate = socket.socket(fileno=os.dup(self._connection.fileno()))
            with duplicate, suppress(OSError):
                duplicate.shutdown(socket.SHUT_RDWR)


def has_ended(connection: PooledConnection) -> bool:
    """Say whether a connection was ended while it waited in its pool. It costs no round trip."""
    # The server says that it ends the connection, and ends it. It may also say something else.
    for _ in range(3):
        if connection.closed:
            return True
        if not _is_readable(connection.fileno()):
            return connection.pgconn.status != ConnStatus.OK
        try:
            connection.pgconn.consume_input()
        except psycopg.Error:
            return True
    return True


if hasattr(select, "poll"):

    def _is_readable(number: int) -> bool:
        poll = select.poll()
        poll.register(number, select.POLLIN)
        return bool(poll.poll(0))

else:

    def _is_readable(number: int) -> bool:
        return bool(select.select([number], [], [], 0)[0])


async def is_pooled_by_transactions(connection: psycopg.AsyncConnection[Any]) -> bool:
    """
    Say whether a pooler such as PgBouncer is between, which may give others the connection.

    They would prepare statements under the same names, and run each other's.
    """
    # PgBouncer says so from 1.26 on. If it pools by sessions, nobody shares a connection.
    if connection.pgconn.parameter_status(b"pgbouncer.pool_mode") == b"session":
        return False
    cursor = await connection.execute("SELECT pg_backend_pid()", prepare=False)
    # A pooler tells its clients a process id that it makes up.
    return await cursor.fetchone() != (connection.info.backend_pid,)


if sys.version_info >= (3, 12):

    def _start(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # It is done at once, if it has nothing to wait for.
        loop = asyncio.get_running_loop()
        return asyncio.Task(coroutine, loop=loop, eager_start=True)

else:

    def _start(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(coroutine)
