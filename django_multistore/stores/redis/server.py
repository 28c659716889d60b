"""The protocol on one server: every operation is one script, and so is done or not begun."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from ...exceptions import StoreUnavailable
from ...records import Limit, Outcome, Page, SessionRecord, latest_first, user_id_of
from ..steps import Steps
from . import values
from .client.base import Client
from .options import Place
from .protocol import BATCH, GROWS, MOVES, STAYS, RedisProtocol, Rounds, batches
from .scripts import (
    CREATE,
    CREATE_IF_ROOM,
    DESTROY,
    END_USER,
    EVICT,
    LIST_USER,
    PAGE_OF_USER,
    TOUCH,
    WRITE,
    WRITE_IF_ROOM,
    Command,
    Word,
)

# Sessions that one script lists or ends, which takes Redis about a millisecond. Meanwhile nobody
# else is served.
IN_A_SCRIPT = 250
DONE = 1
OUTCOMES = {DONE: Outcome.DONE, 0: Outcome.GONE, -1: Outcome.CONFLICT, -3: Outcome.FULL}

Names: TypeAlias = tuple[bytes, ...]
Arguments: TypeAlias = tuple[Word, ...]

logger = logging.getLogger("django_multistore")


class ServerProtocol(RedisProtocol):
    """
    One round trip for each operation.

    The index of a user is written in the same script as the session, so that the two always
    agree: what the index has is what there is.
    """

    def __init__(self, alias: str, client: Client, place: Place) -> None:
        super().__init__(alias, client, place)
        self._wait: Command = ("WAIT", place.wait_replicas, int(place.wait_timeout * 1000))
        self._replicas = place.wait_replicas

    def create(self, record: SessionRecord) -> Steps[bool]:
        if not values.milliseconds_left(record):
            taken: int = yield from self.call("EXISTS", self.session_name(record.key))
            return not taken
        names, arguments = self._creating(record)
        return bool((yield from self.call(*CREATE(names, *arguments))))

    def update(self, record: SessionRecord) -> Steps[Outcome]:
        names, arguments = self._writing(record.key, record)
        outcome: Outcome = OUTCOMES[(yield from self.call(*WRITE(names, *arguments)))]
        return outcome

    def rotate(self, old_key: str, record: SessionRecord) -> Steps[Outcome]:
        names, arguments = self._writing(old_key, record)
        return (yield from self._moved(WRITE(names, *arguments)))

    def touch(self, record: SessionRecord) -> Steps[bool]:
        command = TOUCH(
            (self.session_name(record.key),),
            values.packed_version(record.version),
            values.pack_timestamps(record),
            values.milliseconds_left(record),
            *values.packed_device(self.alias, record.device),
            self.indexes,
            bytes.fromhex(record.key),
        )
        outcome: int = yield from self.call(*command)
        return outcome == DONE

    def destroy(self, key: str) -> Steps[bool]:
        command = DESTROY((self.session_name(key),), self.indexes, bytes.fromhex(key))
        was_there, replicas = yield from self._with_replicas(command)
        self._require(replicas)
        return bool(was_there)

    def sessions_for_user(self, user_id: str) -> Steps[list[SessionRecord]]:
        found: dict[str, SessionRecord] = {}
        index, last, score = self.index_name(user_id), b"", b""
        rounds = Rounds(self.alias, GROWS)
        while True:
            yield from rounds.begin()
            # By expiry upwards, which is where a save moves a session.
            command = LIST_USER((index,), self.sessions, last, score, IN_A_SCRIPT)
            reply = yield from self.call(*command)
            if not reply:
                values.log_damage(self.alias)
                return []
            if not last:
                rounds.expect(reply[3], IN_A_SCRIPT)
            listed, last, score, _, *alive = reply
            found |= {record.key: record for record in self._records(user_id, alive)}
            if listed < IN_A_SCRIPT:
                return list(found.values())

    def page_for_user(self, user_id: str, *, start: int, size: int) -> Steps[Page]:
        command = PAGE_OF_USER((self.index_name(user_id),), self.sessions, start, size)
        reply = yield from self.call(*command)
        if not reply:
            values.log_damage(self.alias)
            return Page(records=(), total=0)
        total, *alive = reply
        return Page(records=tuple(latest_first(self._records(user_id, alive))), total=total)

    def destroy_for_user(self, user_id: str, *, except_key: str | None = None) -> Steps[int]:
        spared = b"" if except_key is None else bytes.fromhex(except_key)
        command = END_USER((self.index_name(user_id),), self.sessions, spared, IN_A_SCRIPT)
        ended: int = 0
        commands = [command]
        rounds = Rounds(self.alias, f"{STAYS} {GROWS}")
        while True:
            yield from rounds.begin()
            replies, replicas = yield from self._all_with_replicas(commands)
            ended += sum(count for count, _ in replies)
            left = replies[-1][1]
            if not left:
                self._require(replicas)
                return ended
            if len(commands) == 1:
                rounds.expect(left, BATCH)
            commands = [command] * (BATCH // IN_A_SCRIPT)

    def destroy_session(self, user_id: str, id: int) -> Steps[bool]:
        tried: set[str] = set()
        rounds = Rounds(self.alias, MOVES)
        while True:
            yield from rounds.begin()
            listed = yield from self.sessions_for_user(user_id)
            keys = {record.key for record in listed if record.id == id} - tried
            if not keys:
                return False
            # It may have moved to another key since.
            for key in keys:
                if (yield from self.destroy(key)):
                    return True
            tried |= keys

    def _admitted(self, old_key: str | None, record: SessionRecord, limit: Limit) -> Steps[Outcome]:
        is_unlimited = limit.evicts or record.actor_id is not None
        if is_unlimited or not values.milliseconds_left(record):
            return (yield from super()._admitted(old_key, record, limit))
        # Of two that come at once, one takes the last place and the other finds it taken.
        if old_key is None:
            names, arguments = self._creating(record)
            created: int = yield from self.call(*CREATE_IF_ROOM(names, *arguments, limit.most))
            return OUTCOMES[created] if created else Outcome.CONFLICT
        names, arguments = self._writing(old_key, record)
        names += (self.index_name(user_id_of(record.user_id)),)
        return (yield from self._moved(WRITE_IF_ROOM(names, *arguments, limit.most)))

    def _evict(self, record: SessionRecord, limit: Limit) -> Steps[list[SessionRecord]]:
        user_id = user_id_of(record.user_id)
        listed = yield from self.sessions_for_user(user_id)
        surplus = limit.surplus(record, listed, serialized=True)
        by_key = {bytes.fromhex(each.key): each for each in surplus}
        # Of two that come at once, neither ends more than are too many by then.
        commands = [
            EVICT((self.index_name(user_id),), self.sessions, limit.most, *keys)
            for keys in batches([*by_key], IN_A_SCRIPT)
        ]
        evicted: list[SessionRecord] = []
        for together in batches(commands, BATCH // IN_A_SCRIPT):
            replies, replicas = yield from self._all_with_replicas(together)
            ended = [key for keys in replies for key in keys]
            if replicas is not None and ended:
                self._log_few(replicas, "evicted sessions have ended")
            evicted += [by_key[key] for key in ended]
        return evicted

    def _creating(self, record: SessionRecord) -> tuple[Names, Arguments]:
        name, user_id = self.session_name(record.key), record.user_id
        return (
            (name,) if user_id is None else (name, self.index_name(user_id)),
            (
                values.pack(self.alias, record),
                values.milliseconds_left(record),
                bytes.fromhex(record.key),
            ),
        )

    def _writing(self, old_key: str, record: SessionRecord) -> tuple[Names, Arguments]:
        return (
            (self.session_name(old_key), self.session_name(record.key)),
            (
                values.pack(self.alias, record),
                values.packed_version(record.version),
                values.milliseconds_left(record),
                self.indexes,
                bytes.fromhex(old_key),
                bytes.fromhex(record.key),
            ),
        )

    def _moved(self, command: Command) -> Steps[Outcome]:
        written, replicas = yield from self._with_replicas(command)
        if replicas is not None and written == DONE:
            # To raise would only take the new key from its visitor.
            self._log_few(replicas, "a session has a new key, and the old one has ended")
        return OUTCOMES[written]

    def _log_few(self, replicas: int, what: str) -> None:
        logger.error(
            "Session store %r: %s, of which %d of %d replicas know. If the master fails now, what "
            "has ended may be alive again.",
            self.alias,
            what,
            replicas,
            self._replicas,
        )

    def _with_replicas(self, command: Command) -> Steps[tuple[Any, int | None]]:
        """Send a command and wait for the replicas. Return how many have it, if too few do."""
        (reply,), replicas = yield from self._all_with_replicas([command])
        return reply, replicas

    def _all_with_replicas(self, commands: list[Command]) -> Steps[tuple[list[Any], int | None]]:
        if not self._replicas:
            return (yield from self.call_many(commands)), None
        *replies, replicas = yield from self.call_many([*commands, self._wait])
        return replies, replicas if replicas < self._replicas else None

    def _require(self, replicas: int | None) -> None:
        if replicas is not None:
            raise StoreUnavailable(
                f"Session store {self.alias!r}: the master has ended the session, but {replicas} "
                f"of {self._replicas} replicas say so (option WAIT). If the master fails now, "
                "the session may be alive again: try once more."
            )

    def _records(self, user_id: str, found: Sequence[bytes]) -> Iterator[SessionRecord]:
        """Yield the records of keys and heads, in turns."""
        for key, head in zip(found[::2], found[1::2], strict=True):
            if len(key) != values.KEY_LENGTH:
                values.log_damage(self.alias)
                continue
            record = values.unpack(key.hex(), values.head_alone(head), alias=self.alias)
            # Script by script the two agree. Where they don't, one of them is damaged.
            if record is not None and record.user_id != user_id:
                values.log_damage(self.alias)
            elif record is not None:
                yield record
