"""What the client of a server and that of a cluster have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from redis.exceptions import OutOfMemoryError

from ....exceptions import StoreUnavailable
from ...attempts import Outages
from ..options import RedisOptions
from ..scripts import Command, Word

# How many pages a SCAN may have: its table has room for some times as many names as there are, of
# which each is a place to look at. It may grow meanwhile, or another server may take over, whose
# table is another.
SPARSE, SOME = 100, 100_000


class Client(ABC):
    """
    Send commands, in sync code or in async code.

    Each raises StoreUnavailable if there is no reply, or if it is an error.

    Args:
        outages: of the store.
        options: the store's.
    """

    def __init__(self, outages: Outages, options: RedisOptions) -> None:
        self._outages = outages
        self._options = options

    def call(self, *command: Word) -> Any:
        """Send a command and return its reply."""
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

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        if isinstance(error, OutOfMemoryError):
            return StoreUnavailable(
                f"Session store {self._outages.alias!r}: Redis has no memory left and refuses to "
                "write ('maxmemory' with 'noeviction'). Nothing can be saved before it has more: "
                "raise maxmemory, or shorten SESSION_COOKIE_AGE."
            )
        return self._outages.unavailable(error)

    def _endless_scan(self) -> StoreUnavailable:
        return StoreUnavailable(
            f"Session store {self._outages.alias!r}: SCAN went on for many times as many names as "
            "there are. Not all indexes were looked at. Once more when Redis is at rest."
        )


def is_of_wrong_type(command: Command, error: Exception) -> bool:
    """
    Say whether a command met something of another type than it is for.

    That gets there only by mistake. It is damage and no outage, and counts as a reply: WRONG_TYPE.
    The scripts see to it themselves.
    """
    return command[0] != "EVALSHA" and command[0] != "EVAL" and str(error).startswith("WRONGTYPE")


def most_pages(names: int, page: int) -> int:
    """Return how many pages a SCAN of so many names may have at the most, at so many in each."""
    return SOME + SPARSE * names // page
