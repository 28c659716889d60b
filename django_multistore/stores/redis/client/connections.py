"""
Connections that wait to be used again: those of the process, and those of each event loop.

They are redis-py's, made as its pools would make them. The pools themselves take a fifth of a
whole round trip, most of it to ask whether the server has closed a connection: here that shows
when it is used, and the command is sent again.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from collections import deque
from typing import Any

from ....exceptions import InvalidStore
from ..options import RedisOptions
from . import pools


class Connections:
    """The connections of a process, for its threads."""

    def __init__(self, alias: str, options: RedisOptions) -> None:
        self._pool: Any = pools.make_pool(options)
        self._idle: deque[Any] = deque()
        self._pid = os.getpid()
        # Not by __del__: a store and its sockets are collected at once, in any order.
        weakref.finalize(self, _close, self._idle)
        try:
            self._make()
        except TypeError as error:
            raise InvalidStore(
                f"SESSION_STORES[{alias!r}]['OPTIONS']: redis-py refuses an argument that URL, "
                f"CACHE or CONNECTION has for its connections. {error}"
            ) from error

    def take(self) -> Any:
        """Return a connection, which nobody else has."""
        if self._pid != os.getpid():
            # After a fork these are the parent's.
            self._pid = os.getpid()
            self._idle.clear()
        try:
            return self._idle.pop()
        except IndexError:
            connection = self._make()
            connection.connect()  # This asks the sentinels; to send a command alone doesn't.
            return connection

    def give_back(self, connection: Any) -> None:
        """Let others use it again."""
        self._idle.append(connection)

    def drop(self) -> None:
        """Close those that wait: the server has gone, or has become a replica."""
        _close(self._idle)

    def _make(self) -> Any:
        return self._pool.connection_class(**self._pool.connection_kwargs)


def _close(connections: deque[Any]) -> None:
    for _ in range(len(connections)):
        try:
            connections.pop().disconnect()
        except IndexError:
            return


class LoopConnections:
    """The connections of the event loop that runs."""

    def __init__(self, options: RedisOptions) -> None:
        self._pool: Any = pools.make_async_pool(options)
        self._idle: list[Any] = []
        self._open: set[Any] = set()  # Those that are in use as well.
        # A loop may have more requests at a time than Redis should have connections.
        self._slots = asyncio.Semaphore(options.max_connections)

    async def take(self) -> Any:
        """Return a connection, which nobody else has, once there is one."""
        await self._slots.acquire()
        if self._idle:
            return self._idle.pop()
        connection = self._pool.connection_class(**self._pool.connection_kwargs)
        try:
            await connection.connect()
        except BaseException:
            self._slots.release()
            raise
        self._open.add(connection)
        return connection

    def give_back(self, connection: Any) -> None:
        """Let others use it again."""
        self._idle.append(connection)
        self._slots.release()

    def forget(self, connection: Any) -> None:
        """Note that redis-py has closed one, after an error."""
        self._open.discard(connection)
        self._slots.release()

    async def drop(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            self._open.discard(connection)
            await connection.disconnect()

    async def close(self) -> None:
        """Close those that wait, and what the pool keeps open."""
        await self.drop()
        await pools.close_pool(self._pool)

    def abandon(self) -> None:
        """Close all of them: the loop was closed before it could shut down."""
        for connection in self._open:
            pools.abandon(connection)
        pools.abandon_pool(self._pool)
