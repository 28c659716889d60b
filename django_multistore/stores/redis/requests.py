"""A round trip to Redis, for an operation that needs only one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic

from ..steps import Result, Steps, call
from .client.base import Client
from .scripts import Command


class Request(Generic[Result]):
    """
    Commands, and what their replies say.

    A request is sent by itself, or is one of the steps of an operation that has several: see
    Operation.

    Args:
        client: what sends it.
        commands: what it sends.
        read: makes the result of the replies.
    """

    __slots__ = ("_client", "_read", "commands")

    def __init__(
        self, client: Client, commands: list[Command], read: Callable[[list[Any]], Result]
    ) -> None:
        self._client = client
        self.commands = commands
        self._read = read

    def send(self) -> Result:
        """
        Send the commands in one round trip, and return the result.

        Raises:
            StoreUnavailable: there was no reply, or it is an error.
        """
        return self._read(self._client.call_many(self.commands))

    async def asend(self) -> Result:
        """See send()."""
        return self._read(await self._client.acall_many(self.commands))

    def __iter__(self) -> Steps[Result]:
        return call(self.send, self.asend)
