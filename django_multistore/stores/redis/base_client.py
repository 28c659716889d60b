"""What the client of a server and that of a cluster have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from .scripts import Command, Word


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
