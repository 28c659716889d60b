"""What redis-py raises, as what a store raises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from redis import exceptions
from redis.sentinel import MasterNotFoundError

from ....exceptions import StoreUnavailable
from ..scripts import Command, Script

# How often commands are sent again whose connection broke. The nonce of each write tells Redis
# that it was done, so that none is done twice.
RESENDS = 2
SPARSE, SOME = 100, 100_000


@dataclass(frozen=True, slots=True)
class StoreErrors:
    """
    The errors that a client raises in the name of its store.

    Args:
        alias: the store's.
        could_not_ask: makes the error that all stores raise for a backend that could not be asked.
    """

    alias: str
    could_not_ask: Callable[[BaseException], StoreUnavailable]

    def unavailable(self, error: Exception) -> StoreUnavailable:
        """Say that Redis could not be asked; the caller raises it from `error`."""
        if isinstance(error, exceptions.OutOfMemoryError):
            return StoreUnavailable(
                f"Session store {self.alias!r}: Redis has no memory left and refuses to write "
                "('maxmemory' with 'noeviction'). Nothing can be saved before it has more: raise "
                "maxmemory, or shorten SESSION_COOKIE_AGE."
            )
        return self.could_not_ask(error)

    def endless_scan(self) -> StoreUnavailable:
        """Say that a SCAN does not come to its end."""
        return StoreUnavailable(
            f"Session store {self.alias!r}: SCAN went on for many times as many names as there "
            "are. Not all indexes were looked at. Once more when Redis is at rest."
        )


class Sending:
    """
    Commands that are sent until there are replies.

    They are sent again if the server has forgotten a script, then with its text; and RESENDS times
    if a connection broke.
    """

    __slots__ = ("_errors", "_resends", "commands")

    def __init__(self, errors: StoreErrors, commands: list[Command]) -> None:
        self._errors = errors
        self._resends = 0
        self.commands = commands

    def prepare_again(self, error: Exception) -> bool:
        """
        Prepare to send the commands again after an error.

        Returns:
            Whether other connections are likely to be broken as well.

        Raises:
            StoreUnavailable: that can't help.
        """
        is_by_digest = any(command[0] == "EVALSHA" for command in self.commands)
        if isinstance(error, exceptions.NoScriptError) and is_by_digest:
            self.commands = [Script.spell_out(command) for command in self.commands]
            return False
        # After a timeout there is no time left to send them again.
        is_lost = isinstance(error, exceptions.ConnectionError | exceptions.ReadOnlyError)
        # Each sentinel was asked; or the password is wrong.
        is_refused = isinstance(error, MasterNotFoundError | exceptions.AuthenticationError)
        if is_refused or not is_lost or self._resends == RESENDS:
            raise self._errors.unavailable(error) from error
        self._resends += 1
        return True


def is_of_wrong_type(command: Command, error: Exception) -> bool:
    """
    Say whether a command met something of another type than it is for.

    That gets there only by mistake. It is damage and no outage, and counts as a reply: WRONG_TYPE.
    The scripts see to it themselves.
    """
    return command[0] != "EVALSHA" and command[0] != "EVAL" and str(error).startswith("WRONGTYPE")


def most_pages(names: int, page: int) -> int:
    """
    Return how many pages a SCAN may have at the most.

    Its table has room for some times as many names as there are, of which each is a place to look
    at. It may grow meanwhile, or another server may take over, whose table is another.

    Args:
        names: how many there are.
        page: how many places one command looks at.
    """
    return SOME + SPARSE * names // page
