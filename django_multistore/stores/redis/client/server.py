"""One Redis server: commands are sent and replies awaited, in a thread or on an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from redis import exceptions
from redis.exceptions import RedisError, ResponseError
from redis.sentinel import MasterNotFoundError

from ....exceptions import StoreUnavailable
from ...attempts import Outages
from ...event_loops import PerLoop
from ..options import RedisOptions
from ..scripts import WRONG_TYPE, Command, Script
from . import pools
from .base import Client, is_of_wrong_type, most_pages
from .connections import Connections, LoopConnections

# How often commands are sent again whose connection broke. The nonce of each write tells Redis
# that it was done, so that none is done twice.
RESENDS = 2


class ServerClient(Client):
    """
    Send commands to one server, once more where a connection broke.

    This is not redis-py's client: what that adds to each command (response callbacks, retries
    without end, spans) costs a third of the whole round trip. Connections, sentinels and the parser
    are redis-py's.
    """

    def __init__(self, outages: Outages, options: RedisOptions) -> None:
        super().__init__(outages, options)
        self._connections = Connections(outages.alias, options)
        self._loops = PerLoop(
            partial(LoopConnections, options), LoopConnections.close, LoopConnections.abandon
        )

    def call_many(self, commands: list[Command]) -> list[Any]:
        sending = Sending(commands, self._unavailable)
        while True:
            try:
                return self._exchange(sending.commands)
            except (RedisError, OSError) as error:
                if sending.prepare_again(error):
                    self._connections.drop()

    async def acall_many(self, commands: list[Command]) -> list[Any]:
        sending = Sending(commands, self._unavailable)
        connections = await self._loops.get()
        while True:
            try:
                async with asyncio.timeout(self._options.timeout):
                    return await self._aexchange(connections, sending.commands)
            except (RedisError, OSError) as error:
                if sending.prepare_again(error):
                    await connections.drop()

    def scan(self, pattern: bytes, count: int) -> Iterator[list[bytes]]:
        cursor = b"0"
        for _ in range(most_pages(self.call("DBSIZE"), count)):
            cursor, page = self.call("SCAN", cursor, "MATCH", pattern, "COUNT", count)
            yield page
            if cursor == b"0":
                return
        raise self._endless_scan()

    def facts(self) -> list[dict[str, Any]]:
        # INFO has paths in it, which may be of any bytes.
        lines = self.call("INFO").decode("utf-8", "replace").splitlines()
        return [dict(line.split(":", 1) for line in lines if ":" in line)]

    def _exchange(self, commands: list[Command]) -> list[Any]:
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

    async def _aexchange(self, connections: LoopConnections, commands: list[Command]) -> list[Any]:
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


@dataclass(slots=True, repr=False)  # The commands have keys in them.
class Sending:
    """
    Commands that are sent until there are replies.

    They are sent again if the server has forgotten a script, then with its text; and RESENDS times
    if a connection broke.
    """

    commands: list[Command]
    unavailable: Callable[[Exception], StoreUnavailable]
    resends: int = 0

    def prepare_again(self, error: Exception) -> bool:
        """
        Prepare to send the commands again after an error, or raise StoreUnavailable.

        Returns:
            Whether other connections are likely to be broken as well.
        """
        is_by_digest = any(command[0] == "EVALSHA" for command in self.commands)
        if isinstance(error, exceptions.NoScriptError) and is_by_digest:
            self.commands = [Script.spell_out(command) for command in self.commands]
            return False
        # After a timeout there is no time left to send them again.
        is_lost = isinstance(error, exceptions.ConnectionError | exceptions.ReadOnlyError)
        # Each sentinel was asked; or the password is wrong.
        is_refused = isinstance(error, MasterNotFoundError | exceptions.AuthenticationError)
        if is_refused or not is_lost or self.resends == RESENDS:
            raise self.unavailable(error) from error
        self.resends += 1
        return True


def pack_in_python(command: Command) -> bytes:
    """
    Return the bytes of a command.

    Source: https://redis.io/docs/latest/develop/reference/protocol-spec/
    """
    parts = [b"*%d\r\n" % len(command)]
    for word in command:
        value = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(value), value))
    return b"".join(parts)


pack_command: Callable[[Command], bytes]
try:
    from hiredis import pack_command  # type: ignore[assignment]
except ImportError:
    pack_command = pack_in_python


def pack(commands: list[Command]) -> bytes:
    """Return the bytes of commands."""
    if len(commands) == 1:
        return pack_command(commands[0])
    return b"".join(map(pack_command, commands))
