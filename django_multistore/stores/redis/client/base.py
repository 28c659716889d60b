"""What the client of a server and that of a cluster have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from ..scripts import Command, Word


class Client(ABC):
    """Send commands, in sync code or in async code."""

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

    @abstractmethod
    def scan(self, pattern: bytes, count: int) -> Iterator[list[bytes]]:
        """
        Yield the names that match, page by page, from each server that has sessions.

        Args:
            pattern: as Redis takes it.
            count: how many names one command looks at.
        """

    @abstractmethod
    def facts(self) -> list[dict[str, Any]]:
        """Return what INFO says, of each server that has sessions."""
