"""What the client of a server and that of a cluster have in common."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, TypeVar

from ..scripts import Command, Word

OfLoop = TypeVar("OfLoop")


class Client(ABC):
    """Twins that send commands."""

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

    @abstractmethod
    def call_many(self, commands: list[Command]) -> list[Any]:
        """Send commands in one round trip. See call()."""

    @abstractmethod
    async def acall_many(self, commands: list[Command]) -> list[Any]:
        """See call_many()."""


def closed_loops(loops: dict[asyncio.AbstractEventLoop, OfLoop]) -> Iterator[OfLoop]:
    """Take out and yield what belongs to event loops that were closed without a shutdown."""
    # Of other threads as well, which may do the same.
    for loop in [*loops]:
        if loop.is_closed() and (found := loops.pop(loop, None)) is not None:
            yield found
