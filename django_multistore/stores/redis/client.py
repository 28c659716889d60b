"""One Redis server: commands sent, replies awaited, in a thread or on an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import redis.asyncio
from redis.exceptions import ReadOnlyError, RedisError, ResponseError

from ..base import BaseStore
from . import pools
from .errors import Sending
from .places import Place
from .scripts import Command, Word

Replies = list[Any]


class LoopPool(NamedTuple):
    """The connections of one event loop."""

    pool: redis.asyncio.ConnectionPool
    keeper: AsyncGenerator[None]  # The loop ends it when it shuts down, and it ends the pool.


class ServerClient:
    """
    Twins that send commands, once more where a connection broke.

    Not redis-py's client: what that adds to each command (response callbacks, retries without
    end, spans) costs a third of the whole round trip. Pools, connections, sentinels and the
    parser are redis-py's.
    """

    def __init__(self, store: BaseStore, place: Place) -> None:
        self._store = store
        self._place = place
        self._pool: Any = pools.pool(place)  # With few types.
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopPool] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def call(self, *command: Word) -> Any:
        """
        Send a command and return its reply.

        Raises:
            StoreUnavailable: there was none, or it is an error.
        """
        return self.call_many([command])[0]

    async def acall(self, *command: Word) -> Any:
        """See call()."""
        return (await self.acall_many([command]))[0]

    def call_many(self, commands: list[Command]) -> Replies:
        """Send commands in one round trip, on one connection. See call()."""
        sending = Sending(self._store, commands)
        while True:
            try:
                return self._exchange(sending.commands)
            except (RedisError, OSError) as error:
                sending.after(error)

    async def acall_many(self, commands: list[Command]) -> Replies:
        """See call_many()."""
        sending = Sending(self._store, commands)
        while True:
            try:
                async with asyncio.timeout(self._place.timeout):
                    return await self._aexchange(sending.commands)
            except (RedisError, OSError) as error:
                sending.after(error)

    def scan(self, pattern: bytes, count: int) -> Iterator[list[bytes]]:
        """
        Yield the names that match, page by page.

        Args:
            pattern: as Redis takes it.
            count: how many names one command looks at.
        """
        cursor = b"0"
        while True:
            cursor, page = self.call("SCAN", cursor, "MATCH", pattern, "COUNT", count)
            yield page
            if cursor == b"0":
                return

    def facts(self) -> list[dict[str, Any]]:
        """Return what INFO says, of each server that has sessions."""
        lines = self.call("INFO").decode().splitlines()
        return [dict(line.split(":", 1) for line in lines if ":" in line)]

    def _exchange(self, commands: list[Command]) -> Replies:
        pool = self._pool
        connection = pool.get_connection()
        try:
            connection.send_packed_command(connection.pack_commands(commands))
            replies = _Replies()
            for _ in commands:
                try:
                    replies.add(connection.read_response())
                except ResponseError as error:
                    replies.fail(error)
            return replies.all()
        except ReadOnlyError:
            connection.disconnect()  # The next one asks anew who is the master.
            raise
        finally:
            pool.release(connection)

    async def _aexchange(self, commands: list[Command]) -> Replies:
        pool: Any = self._loop_pool() or await self._new_loop_pool()
        connection = await pool.get_connection()
        try:
            await connection.send_packed_command(connection.pack_commands(commands))
            replies = _Replies()
            for _ in commands:
                try:
                    replies.add(await connection.read_response())
                except ResponseError as error:
                    replies.fail(error)
            return replies.all()
        except ReadOnlyError:
            await connection.disconnect()
            raise
        finally:
            await pool.release(connection)

    def _loop_pool(self) -> Any:
        found = self._loops.get(asyncio.get_running_loop())
        return None if found is None else found.pool

    async def _new_loop_pool(self) -> redis.asyncio.ConnectionPool:
        pool = pools.async_pool(self._place)
        keeper = _keep(pool)
        with self._lock:
            self._loops[asyncio.get_running_loop()] = LoopPool(pool, keeper)
        await anext(keeper)
        return pool


class _Replies:
    """All of them are read before the first error is raised, or the next would read the rest."""

    def __init__(self) -> None:
        self._replies: Replies = []
        self._error: ResponseError | None = None

    def add(self, reply: object) -> None:
        self._replies.append(reply)

    def fail(self, error: ResponseError) -> None:
        self._error = self._error or error

    def all(self) -> Replies:
        if self._error is not None:
            raise self._error
        return self._replies


async def _keep(pool: redis.asyncio.ConnectionPool) -> AsyncGenerator[None]:
    # asyncio.run() and the servers' runners close every asynchronous generator that is left
    # before they close the loop: the one moment at which its connections can still be closed.
    try:
        yield
    finally:
        await pools.aclose(pool)
