"""What the protocols of a server and of a cluster have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ...exceptions import StoreUnavailable
from ...records import Outcome, SessionRecord
from ..attempts import backoff
from ..steps import Result, Steps, call, pause
from ..stepwise import Operations
from . import layout
from .client.base import Client
from .options import RedisOptions
from .scripts import WRONG_TYPE, Command, Word

Item = TypeVar("Item")

SESSION, INDEX = b"s:", b"u:"
BATCH = 1_000  # sessions that one round trip looks at or ends
# To save one session while others save it without a pause. With 25 attempts, one save in ten
# thousand was in vain. All of them take up to 5 seconds.
ATTEMPTS = 100
# Rounds without a pause, of an operation that goes on until nothing is left.
AT_ONCE = 10

# What keeps an operation from its end.
GROWS = "New sessions of the user kept coming in, and those that came last are not known."
STAYS = "Sessions of the user have ended, but maybe not all: try once more."
MOVES = (
    "The session kept moving to other keys, each time before it could be found there. It may be "
    "alive: try once more."
)


@dataclass(slots=True, repr=False)  # The commands have keys in them.
class Request(Generic[Result]):
    """
    Commands that are sent in one round trip, and what makes the result of their replies.

    A request is sent by itself, or is one of the steps of an operation that has several: see
    Operation.
    """

    client: Client
    commands: list[Command]
    read: Callable[[list[Any]], Result]

    def send(self) -> Result:
        """Send the commands and return the result. See Client.call_many()."""
        return self.read(self.client.call_many(self.commands))

    async def asend(self) -> Result:
        """See send()."""
        return self.read(await self.client.acall_many(self.commands))

    def __iter__(self) -> Steps[Result]:
        return call(self.send, self.asend)


class Rounds:
    """
    The rounds of an operation that goes on until nothing is left, and so might never end.

    Others may keep it going, by logins or rotations. It may have twice as many rounds as what was
    there at the start takes, and AT_ONCE; and then ATTEMPTS more, with pauses. If that was not
    enough, the trouble says what went on.
    """

    def __init__(self, alias: str, trouble: str) -> None:
        self._alias = alias
        self._trouble = trouble
        self.begun = 0
        self._due = AT_ONCE
        self._pauses = backoff(ATTEMPTS)

    def expect(self, count: int, in_a_round: int) -> None:
        """Say how much is there, and how much of it one round takes."""
        self._due = max(self._due, AT_ONCE + 2 * (count // in_a_round))

    def begin(self) -> Steps[None]:
        """Begin a round, after a pause if there were many; or raise StoreUnavailable."""
        self.begun += 1
        if self.begun <= self._due:
            return
        seconds = next(self._pauses, None)
        if seconds is None:
            raise StoreUnavailable(f"Session store {self._alias!r}: {self._trouble}")
        yield from pause(seconds)


class RedisProtocol(Operations):
    """The operations, each as a Request or as steps."""

    def __init__(self, alias: str, client: Client, options: RedisOptions) -> None:
        self.alias = alias
        self.client = client
        self._options = options

    @property
    def sessions(self) -> bytes:
        """What the names of sessions begin with. The next may be another tenant's."""
        return self._options.prefix + SESSION

    @property
    def indexes(self) -> bytes:
        """What the names of users' indexes begin with."""
        return self._options.prefix + INDEX

    def session_name(self, key: str) -> bytes:
        return self.sessions + bytes.fromhex(key)

    def index_name(self, user_id: str) -> bytes:
        """Return the name of the set of a user's sessions."""
        return self.indexes + user_id.encode()

    def modify(self, key: str, change: Callable[[SessionRecord], SessionRecord]) -> Steps[Outcome]:
        for delay in backoff(ATTEMPTS):
            yield from pause(delay)
            value = yield from self.call("GET", self.session_name(key))
            stored = layout.unpack(key, value, alias=self.alias)
            if stored is None:
                return Outcome.GONE
            record = change(stored)
            is_rotation = record.key != key
            outcome = yield from (self.rotate(key, record) if is_rotation else self.update(record))
            if outcome is not Outcome.CONFLICT:
                return outcome
        raise StoreUnavailable(
            f"Session store {self.alias!r}: {ATTEMPTS} attempts to save one session met "
            "another request's save each time. Nothing was written."
        )

    def keys_of(self, members: Any) -> list[str]:
        """Return the keys among the members of an index, which may be damaged."""
        if members == WRONG_TYPE:
            layout.log_damage(self.alias)
            return []
        keys = [member.hex() for member in members if len(member) == layout.KEY_LENGTH]
        if len(keys) < len(members):
            layout.log_damage(self.alias)
        return keys

    def call(self, *command: Word) -> Steps[Any]:
        return call(self.client.call, self.client.acall, *command)

    def call_many(self, commands: list[Command]) -> Steps[list[Any]]:
        return call(self.client.call_many, self.client.acall_many, commands)


def batches(items: list[Item], size: int) -> Iterator[list[Item]]:
    """Yield the items in lists of this size."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
