"""The protocol on one server: every operation is one script, and so is done or not begun."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from ...exceptions import StoreUnavailable
from ...records import Limit, Outcome, Page, SessionRecord, is_id, latest_first, user_id_of
from ..steps import Steps
from . import layout, scripts
from .client.base import Client
from .options import RedisOptions
from .protocol import BATCH, GROWS, STAYS, RedisProtocol, Request, Rounds, batches
from .scripts import DONE, OUTCOMES, Command, Script, Word

# Sessions that one script lists or ends, which takes Redis about a millisecond. Meanwhile nobody
# else is served.
IN_A_SCRIPT = 250
# Sessions among which one script looks for an id, which takes as long as a slow command may.
LOOKED_AT = 10_000

logger = logging.getLogger("django_multistore")


class ServerProtocol(RedisProtocol):
    """
    The operations on one server. What doesn't depend on a user's number of sessions is a Request.

    The index of a user is written in the same script as the session, so that the two always
    agree: what the index has is what there is.
    """

    def __init__(self, alias: str, client: Client, options: RedisOptions) -> None:
        super().__init__(alias, client, options)
        # It follows what the replicas must know of before it counts as done.
        wait: Command = ("WAIT", options.wait_replicas, int(options.wait_timeout * 1000))
        self._wait = [wait] if options.wait_replicas else []

    # One session.

    def create(self, record: SessionRecord) -> Request[bool]:
        if not layout.milliseconds_left(record):
            command: Command = ("EXISTS", self.session_name(record.key))
            return Request(self.client, [command], lambda replies: not replies[0])
        return Request(self.client, [self._create_by(scripts.CREATE, record)], _is_done)

    def update(self, record: SessionRecord) -> Request[Outcome]:
        command = self._write_by(scripts.WRITE, record.key, record)
        return Request(self.client, [command], lambda replies: OUTCOMES[replies[0]])

    def rotate(self, old_key: str, record: SessionRecord) -> Request[Outcome]:
        command = self._write_by(scripts.WRITE, old_key, record)
        return Request(self.client, [command, *self._wait], self._read_rotation)

    def touch(self, record: SessionRecord) -> Request[bool]:
        name, version = self.session_name(record.key), layout.pack_version(record.version)
        life, times = layout.milliseconds_left(record), layout.pack_timestamps(record)
        device, key = layout.pack_device(self.alias, record.device), bytes.fromhex(record.key)
        command = scripts.TOUCH((name,), version, times, life, *device, self.indexes, key)
        return Request(self.client, [command], _is_done)

    def destroy(self, key: str) -> Request[bool]:
        command = scripts.DESTROY((self.session_name(key),), self.indexes, bytes.fromhex(key))
        return Request(self.client, [command, *self._wait], self._read_destroy)

    # One user's sessions.

    def sessions_for_user(self, user_id: str) -> Steps[list[SessionRecord]]:
        found: dict[str, SessionRecord] = {}
        index, last, score = self.index_name(user_id), b"", b""
        rounds = Rounds(self.alias, GROWS)
        while True:
            yield from rounds.begin()
            # By expiry upwards, which is where a save moves a session.
            command = scripts.LIST_USER((index,), self.sessions, last, score, IN_A_SCRIPT)
            reply = yield from self.call(*command)
            if not reply:
                layout.log_damage(self.alias)
                return []
            if not last:
                rounds.expect(reply[3], IN_A_SCRIPT)
            listed, last, score, _, *alive = reply
            found |= {record.key: record for record in self._records(user_id, alive)}
            if listed < IN_A_SCRIPT:
                return list(found.values())

    def page_for_user(self, user_id: str, *, start: int, size: int) -> Request[Page]:
        def read(replies: list[Any]) -> Page:
            if not replies[0]:
                layout.log_damage(self.alias)
                return Page(records=(), total=0)
            total, *alive = replies[0]
            return Page(records=tuple(latest_first(self._records(user_id, alive))), total=total)

        command = scripts.PAGE_OF_USER((self.index_name(user_id),), self.sessions, start, size)
        return Request(self.client, [command], read)

    def destroy_for_user(self, user_id: str, *, except_key: str | None = None) -> Steps[int]:
        kept_key = b"" if except_key is None else bytes.fromhex(except_key)
        index = self.index_name(user_id)
        command = scripts.END_USER((index,), self.sessions, kept_key, IN_A_SCRIPT)
        ended: int = 0
        commands = [command]
        rounds = Rounds(self.alias, f"{STAYS} {GROWS}")
        while True:
            yield from rounds.begin()
            replies = yield from self.call_many([*commands, *self._wait])
            ended += sum(count for count, _ in replies[: len(commands)])
            left = replies[len(commands) - 1][1]
            if not left:
                self._require_replicas(replies)
                return ended
            if len(commands) == 1:
                rounds.expect(left, BATCH)
            commands = [command] * (BATCH // IN_A_SCRIPT)

    def destroy_session(self, user_id: str, id: int) -> Steps[bool]:
        if not is_id(id):
            return False
        index, user, wanted = self.index_name(user_id), user_id.encode(), id.to_bytes(8, "big")
        last, score = b"", b""
        rounds = Rounds(self.alias, GROWS)
        while True:
            yield from rounds.begin()
            # Under whichever key it is: while a script looks, nothing moves.
            place = (last, score, LOOKED_AT)
            command = scripts.END_ONE((index,), self.sessions, user, wanted, *place)
            replies = yield from self.call_many([command, *self._wait])
            if not replies[0]:
                layout.log_damage(self.alias)
                return False
            has_ended, *found = replies[0]
            if has_ended:
                self._require_replicas(replies)
                return True
            if not last:
                rounds.expect(found[3], LOOKED_AT)
            looked_at, last, score, _ = found
            if looked_at < LOOKED_AT:
                return False

    def _admitted(self, old_key: str | None, record: SessionRecord, limit: Limit) -> Steps[Outcome]:
        is_unlimited = limit.evicts or record.actor_id is not None
        if is_unlimited or not layout.milliseconds_left(record):
            return (yield from super()._admitted(old_key, record, limit))
        # Of two that come at once, one takes the last place and the other finds it taken.
        if old_key is None:
            command = self._create_by(scripts.CREATE_IF_ROOM, record, limit.most)
            created: int = yield from self.call(*command)
            return OUTCOMES[created] if created else Outcome.CONFLICT
        command = self._write_by(scripts.WRITE_IF_ROOM, old_key, record, limit.most)
        return (yield from Request(self.client, [command, *self._wait], self._read_rotation))

    def _evict(self, record: SessionRecord, limit: Limit) -> Steps[list[SessionRecord]]:
        user_id = user_id_of(record.user_id)
        listed = yield from self.sessions_for_user(user_id)
        surplus = limit.surplus(record, listed, serialized=True)
        by_key = {bytes.fromhex(each.key): each for each in surplus}
        # Of two that come at once, neither ends more than are too many by then.
        commands = [
            scripts.EVICT((self.index_name(user_id),), self.sessions, limit.most, *keys)
            for keys in batches([*by_key], IN_A_SCRIPT)
        ]
        evicted: list[SessionRecord] = []
        for together in batches(commands, BATCH // IN_A_SCRIPT):
            replies = yield from self.call_many([*together, *self._wait])
            ended = [key for keys in replies[: len(together)] for key in keys]
            if ended:
                self._log_lack_of_replicas(replies, "evicted sessions have ended")
            evicted += [by_key[key] for key in ended]
        return evicted

    # What these are made of.

    def _create_by(self, script: Script, record: SessionRecord, *more: Word) -> Command:
        """Return the command of CREATE, or of CREATE_IF_ROOM, which takes more."""
        name, life = self.session_name(record.key), layout.milliseconds_left(record)
        names = (name,) if record.user_id is None else (name, self.index_name(record.user_id))
        value = layout.pack(self.alias, record)
        return script(names, value, life, bytes.fromhex(record.key), *more)

    def _write_by(
        self, script: Script, old_key: str, record: SessionRecord, *more: Word
    ) -> Command:
        """Return the command of WRITE, or of WRITE_IF_ROOM, which takes the index and more."""
        names: tuple[bytes, ...] = (self.session_name(old_key), self.session_name(record.key))
        if script is scripts.WRITE_IF_ROOM:
            names += (self.index_name(user_id_of(record.user_id)),)
        value, version = layout.pack(self.alias, record), layout.pack_version(record.version)
        keys, life = (old_key, record.key), layout.milliseconds_left(record)
        return script(names, value, version, life, self.indexes, *map(bytes.fromhex, keys), *more)

    def _read_rotation(self, replies: list[Any]) -> Outcome:
        if replies[0] == DONE:
            # An error would only take the new key from its visitor.
            what = "a session has a new key, and the old one has ended"
            self._log_lack_of_replicas(replies, what)
        return OUTCOMES[replies[0]]

    def _read_destroy(self, replies: list[Any]) -> bool:
        self._require_replicas(replies)
        return bool(replies[0])

    def _lacks_replicas(self, replies: list[Any]) -> bool:
        return bool(self._wait) and replies[-1] < self._options.wait_replicas

    def _log_lack_of_replicas(self, replies: list[Any], what: str) -> None:
        if self._lacks_replicas(replies):
            logger.error(
                "Session store %r: %s, of which %d of %d replicas know. If the master fails now, "
                "what has ended may be alive again.",
                self.alias,
                what,
                replies[-1],
                self._options.wait_replicas,
            )

    def _require_replicas(self, replies: list[Any]) -> None:
        if self._lacks_replicas(replies):
            raise StoreUnavailable(
                f"Session store {self.alias!r}: the master has ended the session, but "
                f"{replies[-1]} of {self._options.wait_replicas} replicas say so (option WAIT). If "
                "the master fails now, the session may be alive again: try once more."
            )

    def _records(self, user_id: str, found: Sequence[bytes]) -> Iterator[SessionRecord]:
        """Yield the records of what a script has listed: a key, its head, and so on."""
        for key, head in zip(found[::2], found[1::2], strict=True):
            if len(key) != layout.KEY_LENGTH:
                layout.log_damage(self.alias)
                continue
            record = layout.unpack(key.hex(), layout.head_alone(head), alias=self.alias)
            # Script by script the two agree. Where they don't, one of them is damaged.
            if record is not None and record.user_id != user_id:
                layout.log_damage(self.alias)
            elif record is not None:
                yield record


def _is_done(replies: list[Any]) -> bool:
    return replies[0] == DONE  # type: ignore[no-any-return]
