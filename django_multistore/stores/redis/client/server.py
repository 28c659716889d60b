"""One Redis server: commands sent, replies awaited, in a thread or on an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Any

from redis.exceptions import RedisError, ResponseError

from ...outages import Outages
from ..options import Place
from ..scripts import WRONG_TYPE, Command, packed
from .base import Client, closed_loops
from .connections import Connections, LoopConnections
from .errors import Sending, endless_scan, is_of_wrong_type, most_pages

Replies = list[Any]


class ServerClient(Client):
    """
    Twins that send commands, once more where a connection broke.

    Not redis-py's client: what that adds to each command (response callbacks, retries without
    end, spans) costs a third of the whole round trip. Connections, sentinels and the parser are
    redis-py's.
    """

    def __init__(self, outages: Outages, place: Place) -> None:
        self._outages = outages
        self._place = place
        self._connections = Connections(outages.alias, place)
        self._loops: dict[asyncio.AbstractEventLoop, LoopConnections] = {}

    def call_many(self, commands: list[Command]) -> Replies:
        """Send commands in one round trip, on one connection. See call()."""
        sending = Sending(self._outages, commands)
        while True:
            try:
                return self._exchange(sending.commands)
            except (RedisError, OSError) as error:
                if sending.after(error):
                    self._connections.drop()

    async def acall_many(self, commands: list[Command]) -> Replies:
        """See call_many()."""
        sending = Sending(self._outages, commands)
        connections = self._of_this_loop() or await self._of_new_loop()
        while True:
            try:
                async with asyncio.timeout(self._place.timeout):
                    return await self._aexchange(connections, sending.commands)
            except (RedisError, OSError) as error:
                if sending.after(error):
                    await connections.drop()

    def scan(self, pattern: bytes, count: int) -> Iterator[list[bytes]]:
        """
        Yield the names that match, page by page.

        Args:
            pattern: as Redis takes it.
            count: how many names one command looks at.
        """
        cursor = b"0"
        for _ in range(most_pages(self.call("DBSIZE"), count)):
            cursor, page = self.call("SCAN", cursor, "MATCH", pattern, "COUNT", count)
            yield page
            if cursor == b"0":
                return
        raise endless_scan(self._outages)

    def facts(self) -> list[dict[str, Any]]:
        """Return what INFO says, of each server that has sessions."""
        # It has paths in it, which may be of any bytes.
        lines = self.call("INFO").decode("utf-8", "replace").splitlines()
        return [dict(line.split(":", 1) for line in lines if ":" in line)]

    def _exchange(self, commands: list[Command]) -> Replies:
        connection = self._connections.take()
        connection.send_packed_command([packed(commands)], check_health=False)
        replies, refusal = [], None
        for command in commands:
            try:
                replies.append(connection.read_response())
            except ResponseError as error:
                if is_of_wrong_type(command, error):
                    replies.append(WRONG_TYPE)
                else:
                    refusal = refusal or error
        # Only now: before the last reply was read, the next command would have read it. One that
        # fails, redis-py has closed.
        self._connections.give_back(connection)
        if refusal is not None:
            raise refusal
        return replies

    async def _aexchange(self, connections: LoopConnections, commands: list[Command]) -> Replies:
        connection = await connections.take()
        try:
            # redis-py's way from here on, StreamWriter.writelines(), has the event loop watch the
            # socket and stop to watch it, which takes longer than to send.
            writer = getattr(connection, "_writer", None)
            if writer is None:
                await connection.send_packed_command([packed(commands)], check_health=False)
            else:
                writer.write(packed(commands))
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

    def _of_this_loop(self) -> LoopConnections | None:
        return self._loops.get(asyncio.get_running_loop())

    async def _of_new_loop(self) -> LoopConnections:
        for closed in closed_loops(self._loops):
            closed.abandon()
        loop = asyncio.get_running_loop()
        connections = LoopConnections(self._place, partial(self._loops.pop, loop, None))
        self._loops[loop] = connections
        await connections.begin()
        return connections
