"""What redis-py raises, as what a store raises."""

from __future__ import annotations

from redis import exceptions
from redis.sentinel import MasterNotFoundError

from ....exceptions import StoreUnavailable
from ...outages import Outages
from ..scripts import Command, Script

# How often a command is sent again whose connection broke. Each write knows itself by its nonce,
# so one that was done is not done twice.
RESENDS = 2
SPARSE, SOME = 100, 100_000


class Sending:
    """Commands on their way, and how often they had to be sent again."""

    def __init__(self, outages: Outages, commands: list[Command]) -> None:
        self._outages = outages
        self._resends = 0
        self.commands = commands

    def after(self, error: Exception) -> bool:
        """
        Prepare to send the commands again after an error.

        Returns:
            Whether other connections are likely to be broken as well.

        Raises:
            StoreUnavailable: that can't help.
        """
        is_by_digest = any(command[0] == "EVALSHA" for command in self.commands)
        if isinstance(error, exceptions.NoScriptError) and is_by_digest:
            self.commands = [Script.spelt_out(command) for command in self.commands]
            return False
        # A timeout isn't among them: the time is over.
        is_lost = isinstance(error, exceptions.ConnectionError | exceptions.ReadOnlyError)
        # Each sentinel was asked; or the password is wrong.
        is_refused = isinstance(error, MasterNotFoundError | exceptions.AuthenticationError)
        if is_refused or not is_lost or self._resends == RESENDS:
            raise unavailable(self._outages, error) from error
        self._resends += 1
        return True


def is_of_wrong_type(command: Command, error: Exception) -> bool:
    """
    Say whether a command met something of another type than it is for.

    Nobody puts that there but by mistake. It is damage, no outage, and a reply: WRONG_TYPE. The
    scripts see to it themselves.
    """
    return command[0] != "EVALSHA" and command[0] != "EVAL" and str(error).startswith("WRONGTYPE")


def unavailable(outages: Outages, error: Exception) -> StoreUnavailable:
    """Say that Redis could not be asked; the caller raises it from `error`."""
    if isinstance(error, exceptions.OutOfMemoryError):
        return StoreUnavailable(
            f"Session store {outages.alias!r}: Redis has no memory left and refuses to write "
            "('maxmemory' with 'noeviction'). Nothing can be saved before it has more: raise "
            "maxmemory, or shorten SESSION_COOKIE_AGE."
        )
    return outages.unavailable(error)


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


def endless_scan(outages: Outages) -> StoreUnavailable:
    """Say that a SCAN does not come to its end."""
    return StoreUnavailable(
        f"Session store {outages.alias!r}: SCAN went on for many times as many names as there are. "
        "Not all indexes were looked at. Once more when Redis is at rest."
    )
