"""What redis-py raises, as what a store raises."""

from __future__ import annotations

from redis import exceptions
from redis.sentinel import MasterNotFoundError

from ...exceptions import StoreUnavailable
from ..base import BaseStore
from .scripts import Command, Script

# How often a command is sent again whose connection broke. Each write knows itself by its nonce,
# so one that was done is not done twice.
RESENDS = 2


class Sending:
    """Commands on their way, and how often they had to be sent again."""

    def __init__(self, store: BaseStore, commands: list[Command]) -> None:
        self._store = store
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
            raise unavailable(self._store, error) from error
        self._resends += 1
        return True


def unavailable(store: BaseStore, error: Exception) -> StoreUnavailable:
    """Say that Redis could not be asked; the caller raises it from `error`."""
    if isinstance(error, exceptions.OutOfMemoryError):
        return StoreUnavailable(
            f"Session store {store.alias!r}: Redis has no memory left and refuses to write "
            "('maxmemory' with 'noeviction'). Nothing can be saved before it has more: raise "
            "maxmemory, or shorten SESSION_COOKIE_AGE."
        )
    return store.unavailable(error)
