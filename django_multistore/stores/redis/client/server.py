"""One Redis server: commands are sent and replies awaited, in a thread or on an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Any

from redis.exceptions import RedisError, ResponseError

from ..options import RedisOptions
from ..scripts import WRONG_TYPE, Command
from . import pools
from .base import Client
from .connections import Connections, LoopConnections
from .errors import Sending, StoreErrors, is_of_wrong_type, most_pages
from .packing import pack
from .per_loop import PerLoop

Replies = list[Any]


class ServerClient(Client):
    """
    Send commands to one server, once more where a connection broke.

    This is not redis-py's client: what that adds to each command (response callbacks, retries
    without end, spans) costs a third of the whole round trip. Connections, sentinels and the parser
    are redis-py's.
    """

    def __init__(self, errors: StoreErrors, options: RedisOptions) -> None:
        self._errors = errors
        self._timeout = options.timeout
        self._connections = Connections(errors.alias, options)
        self._loops = PerLoop(
            partial(LoopConnections, options), LoopConnections.close, LoopConnections.abandon
        )

    def call_many(self, commands: list[Command]) -> Replies:
        """Send commands in one round trip, on one connection. See call()."""
        sending = Sending(self._errors, commands)
        while True:
            try:
                return self._exchange(sending.commands)
            except (RedisError, OSError) as error:
                if sending.prepare_again(error):
                    self._connections.drop()

    async def acall_many(self, commands: list[Command]) -> Replies:
        """See call_many()."""
        sending = Sending(self._errors, commands)
        connections = await self._loops.get()
        while True:
            try:
                async with asyncio.timeout(self._timeout):
                    return await self._aexchange(connections, sending.commands)
            except (RedisError, OSError) as error:
                if sending.prepare_again(error):
                    await connections.drop()

    def scan(self, pattern: bytes, count: int) -> Iterator[list[bytes]]:
        """See Client.scan()."""
        cursor = b"0"
        for _ in range(most_pages(self.call("DBSIZE"), count)):
            cursor, page = self.call("SCAN", cursor, "MATCH", pattern, "COUNT", count)
            yield page
            if cursor == b"0":
                return
        raise self._errors.endless_scan()

    def facts(self) -> list[dict[str, Any]]:
        """See Client.facts()."""
        # INFO has paths in it, which may be of any bytes.
        lines = self.call("INFO").decode("utf-8", "replace").splitlines()
        return [dict(line.split(":", 1) for line in lines if ":" in line)]

    def _exchange(self, commands: list[Command]) -> Replies:
        connection = self._connections.take()
        connection.send_packed_command([pack(commands)], check_health=False)
        replies, refusal = [], None
        for command in commands:
            try:
                replies.append(connection.read_response())
            except ResponseError as error:
                if is_of_wrong_type(command, error):
                    replies.append(WRONG_TYPE)
                else:
                    refusal = refusal or error
        # Only now: before the last reply was read, the next command would have read it. A
        # connection that fails is closed by redis-py.
        self._connections.give_back(connection)
        if refusal is not None:
            raise refusal
        return replies

    async def _aexchange(self, connections: LoopConnections, commands: list[Command]) -> Replies:
        connection = await connections.take()
        try:
            await pools.send(connection, pack(commands))
            replies, refusal = [], None
            for command in commands:
                try:
                    replies.append(await connection.read_response())
                except ResponseError as error:
                    if is_of_wrong_type(command, error):
                        replies.append(WRONG_TYPE)
                    else:
                        refusal = refusal or error
        except BaseException:
            connections.forget(connection)
            raise
        connections.give_back(connection)
        if refusal is not None:
            raise refusal
        return replies
