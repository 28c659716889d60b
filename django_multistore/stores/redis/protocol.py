"""What a server and a cluster have in common: names, and a save that tries again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...exceptions import StoreUnavailable
from ...records import SessionRecord, Update
from ..base import backoff
from ..steps import Pause, Step, Steps
from ..stepwise import Operations
from . import scripts, values
from .base_client import Client
from .scripts import Command, Word

SESSION, INDEX = b"s:", b"u:"
BATCH = 1_000  # sessions that one round trip looks at or ends
# To save one session while others save it without a pause. With 25 attempts, one save in ten
# thousand was in vain. All of them take up to 5 seconds.
ATTEMPTS = 100


class RedisProtocol(Operations):
    """
    The steps of each operation, for run() and arun().

    Args:
        alias: the store's.
        client: what sends the commands.
        prefix: what every name begins with.
    """

    def __init__(self, alias: str, client: Client, prefix: bytes) -> None:
        self.alias = alias
        self.client = client
        self.sessions = prefix + SESSION
        self.indexes = prefix + INDEX

    def session_name(self, key: str) -> bytes:
        """Return the name under which Redis has a session."""
        return self.sessions + bytes.fromhex(key)

    def index_name(self, user_id: str) -> bytes:
        """Return the name of the set of a user's sessions."""
        return self.indexes + user_id.encode()

    def modify(self, key: str, change: Callable[[SessionRecord], SessionRecord]) -> Steps[Update]:
        for delay in backoff(ATTEMPTS):
            yield Pause(delay)
            stored = values.unpack(key, (yield self.call("GET", self.session_name(key))))
            if stored is None:
                return Update.GONE
            record = change(stored)
            is_rotation = record.key != key
            steps = self.rotate(key, record) if is_rotation else self.update(record)
            outcome = yield from steps
            if outcome is not Update.CONFLICT:
                return outcome
        raise StoreUnavailable(
            f"Session store {self.alias!r}: {ATTEMPTS} attempts to save one session met "
            "another request's save each time. Nothing was written."
        )

    def trim(self, names: Sequence[bytes], at_most: int, *, dry_run: bool) -> Steps[list[int]]:
        """Take what has expired out of indexes. Return how many it was, of each."""
        commands = [scripts.TRIM((name,), at_most, int(dry_run)) for name in names]
        counts: list[int] = yield self.call_many(commands)
        return counts

    def call(self, *command: Word) -> Step:
        """Send one command."""
        return Step(self.client, "call", command)

    def call_many(self, commands: list[Command]) -> Step:
        """Send commands in one round trip."""
        return Step(self.client, "call_many", (commands,))
