"""The protocol on a cluster, where a session and the index of its user are on different servers."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ...exceptions import StoreUnavailable
from ...records import Outcome, Page, SessionRecord, latest_first
from ..steps import Steps, to_its_end
from . import values
from .protocol import BATCH, GROWS, MOVES, STAYS, RedisProtocol, Rounds, batches
from .scripts import (
    CLUSTER_CLAIM,
    CLUSTER_CREATE,
    CLUSTER_DESTROY,
    CLUSTER_END_OF_USER,
    CLUSTER_LIST,
    CLUSTER_RETIRE,
    CLUSTER_TOUCH,
    CLUSTER_UPDATE,
    WRONG_TYPE,
    Command,
)

# A create gives up long before the marker goes that would have forbidden it.
DEADLINE = 60_000  # milliseconds, by the clock of the server that has the index
MARKER_LIFE = 600_000  # milliseconds
# The index has a session for longer than it lives: few saves have to raise it, and the servers'
# clocks may differ by as much.
LEAST_SLACK = 60_000  # milliseconds
SLACK = 10  # a part of its life of this size
JUST_NOW = 1  # second

DONE, GONE, UNLISTED = 1, 0, -2
OUTCOMES = {DONE: Outcome.DONE, GONE: Outcome.GONE, -1: Outcome.CONFLICT}
LISTING_ATTEMPTS = 3
# Looks at a whole index that still find something, until what comes in is known to be new.
LOOKS = 20


class ClusterProtocol(RedisProtocol):
    """
    Each step changes one server, and each order in which steps of others come between is safe.

    The index comes first when a session gets its user, the session first when it ends. A session
    that was ended leaves a marker, which a create in flight runs into. A rotation leaves one that
    says where the session went, so that who would end it can follow. docs/redis-store.md has the
    reasons.
    """

    # One session.

    def create(self, record: SessionRecord) -> Steps[bool]:
        name, value = self.session_name(record.key), values.pack(self.alias, record)
        life = values.milliseconds_left(record)
        if not life:
            taken: int = yield from self.call("EXISTS", name)
            return not taken
        deadline: int | bytes = b""
        if record.user_id is not None:
            now, until = yield from self.call(*self._list_command(record.user_id, record.key, life))
            value, deadline = values.listed(value, until), now + DEADLINE
        outcome: int = yield from self.call(*CLUSTER_CREATE((name,), value, life, deadline))
        if outcome == UNLISTED:
            raise self._too_late()
        return outcome == DONE

    def update(self, record: SessionRecord) -> Steps[Outcome]:
        value, life = values.pack(self.alias, record), values.milliseconds_left(record)
        at_most = life or values.whole_life(record)
        is_login = (
            record.authenticated_at is not None
            and (record.last_seen_at - record.authenticated_at).total_seconds() < JUST_NOW
        )
        user_id, until = record.user_id, b""
        if user_id is not None and life and is_login:
            until = yield from self._raised(user_id, record.key, life)
        for _ in range(LISTING_ATTEMPTS):
            command = CLUSTER_UPDATE(
                (self.session_name(record.key),),
                value,
                values.packed_version(record.version),
                life,
                until,
                MARKER_LIFE,
            )
            outcome, *old_users = yield from self.call(*command)
            if outcome == UNLISTED and user_id is not None:
                until = yield from self._raised(user_id, record.key, at_most)
                continue
            for old_user in old_users:
                yield from self._unlist(self.indexes + old_user, [record.key])
            # The index of a user whose it was until now keeps it: another save may be about to
            # make it that user's again.
            if outcome == GONE and until and user_id is not None:
                yield from self.call(*self._retire_command(self.index_name(user_id), record.key))
            return OUTCOMES[outcome]
        raise self._too_late()

    def rotate(self, old_key: str, record: SessionRecord) -> Steps[Outcome]:
        # In between the session is under no key.
        return to_its_end(self._rotate(old_key, record))

    def _rotate(self, old_key: str, record: SessionRecord) -> Steps[Outcome]:
        value, life = values.pack(self.alias, record), values.milliseconds_left(record)
        if life == 0:
            return (yield from self.update(replace(record, key=old_key)))
        at_most = life or values.whole_life(record)
        claim = CLUSTER_CLAIM(
            (self.session_name(old_key),),
            values.nonce_of(value),
            values.packed_version(record.version),
            bytes.fromhex(record.key),
            MARKER_LIFE,
        )
        deadline: int | bytes = b""
        if record.user_id is None:
            outcome, *stored = yield from self.call(*claim)
        else:
            listing = self._list_command(record.user_id, record.key, at_most)
            (outcome, *stored), (now, until) = yield from self.call_many([claim, listing])
            value, deadline = values.listed(value, until), now + DEADLINE
        if outcome != DONE:
            if record.user_id is not None:
                yield from self._unlist(self.index_name(record.user_id), [record.key])
            return OUTCOMES[outcome]
        head, *lives = stored
        value = values.succeeding(head, value)
        old_user = values.user_of(head)
        if not life:  # Then as long as it had to live, unless a first reply was lost.
            life = max(1, lives[0]) if lives else at_most
        commands = [CLUSTER_CREATE((self.session_name(record.key),), value, life, deadline)]
        if old_user is not None:
            commands.append(self._retire_command(self.indexes + old_user, old_key))
        created, *_ = yield from self.call_many(commands)
        if created == UNLISTED:
            raise self._too_late()
        # Not done if destroy_for_user() has followed the marker, or found the new key listed.
        return Outcome.DONE if created == DONE else Outcome.GONE

    def touch(self, record: SessionRecord) -> Steps[bool]:
        life, until = values.milliseconds_left(record), b""
        for _ in range(LISTING_ATTEMPTS):
            command = CLUSTER_TOUCH(
                (self.session_name(record.key),),
                values.packed_version(record.version),
                values.pack_timestamps(record),
                life,
                *values.packed_device(self.alias, record.device),
                until,
            )
            outcome: int = yield from self.call(*command)
            if outcome != UNLISTED or record.user_id is None or not life:
                return outcome == DONE
            until = yield from self._raised(record.user_id, record.key, life)
        raise self._too_late()

    def destroy(self, key: str) -> Steps[bool]:
        command = CLUSTER_DESTROY((self.session_name(key),), _nonce(), MARKER_LIFE)
        was_alive, *users = yield from self.call(*command)
        for user in users:
            yield from self._unlist(self.indexes + user, [key])
        return bool(was_alive)

    # One user's sessions.

    def sessions_for_user(self, user_id: str) -> Steps[list[SessionRecord]]:
        found: dict[str, SessionRecord] = {}
        waiting = yield from self._listed(user_id)
        looked_at = set[str]()
        rounds = Rounds(self.alias, MOVES)
        rounds.expect(len(waiting), BATCH)
        while waiting:
            yield from rounds.begin()
            batch, waiting = waiting[:BATCH], waiting[BATCH:]
            looked_at |= {*batch}
            for key, head in zip(batch, (yield from self._heads(batch)), strict=True):
                record = values.unpack(key, head, alias=self.alias)
                if record is not None and record.user_id == user_id:
                    found[key] = record
                successor = None if head is None else values.successor_of(head)
                if successor is not None and successor not in looked_at:
                    waiting.append(successor)
        return list(found.values())

    def page_for_user(self, user_id: str, *, start: int, size: int) -> Steps[Page]:
        index = self.index_name(user_id)
        commands: list[Command] = [("ZCOUNT", index, f"({int(time.time())}", "+inf")]
        if size:
            commands.append(("ZREVRANGE", index, start, start + size - 1))
        total, *pages = yield from self.call_many(commands)
        if total == WRONG_TYPE:
            values.log_damage(self.alias)
            return Page(records=(), total=0)
        keys = [key for page in pages for key in self.keys_of(page)]
        heads = (yield from self._heads(keys)) if keys else []
        found = (
            values.unpack(key, head, alias=self.alias)
            for key, head in zip(keys, heads, strict=True)
        )
        mine = (record for record in found if record is not None and record.user_id == user_id)
        return Page(records=tuple(latest_first(mine)), total=total)

    def destroy_for_user(self, user_id: str, *, except_key: str | None = None) -> Steps[int]:
        index = self.index_name(user_id)
        passed_over = set() if except_key is None else {except_key}
        rounds = Rounds(self.alias, f"{STAYS} {GROWS}")
        ended = looks = 0
        while looks < LOOKS:
            yield from rounds.begin()
            # Until there is nothing: of a rotation that crosses, the new key is here, or the
            # marker under the old one names it.
            last = BATCH + len(passed_over) - 1
            listed: Any = yield from self.call("ZRANGE", index, 0, last)
            keys = [key for key in self.keys_of(listed) if key not in passed_over]
            if listed == WRONG_TYPE:
                yield from self.call("UNLINK", index)
                return ended
            damaged = [key.hex() for key in listed if len(key) != values.KEY_LENGTH]
            if not keys and not damaged:
                return ended
            if len(listed) <= last:
                looks += 1
            elif rounds.begun == 1:
                rounds.expect((yield from self.call("ZCARD", index)), BATCH)
            count, others = yield from self._end_all(user_id, keys, passed_over)
            ended += count
            passed_over |= others
            gone = [key for key in keys if key not in others]
            yield from self._unlist(index, [*gone, *damaged])
        # All that was there at the start has ended in the first of these looks. Who logs in again
        # and again has sessions that are listed.
        return ended

    def destroy_session(self, user_id: str, id: int) -> Steps[bool]:
        index = self.index_name(user_id)
        keys = yield from self._listed(user_id)
        for batch in batches(keys, BATCH) if values.is_id(id) else ():
            count, others = yield from self._end_all(user_id, batch, set(), id)
            if count:
                yield from self._unlist(index, [key for key in batch if key not in others])
                return True
        return False

    # What these are made of.

    def _list_command(self, user_id: str, key: str, life: int) -> Command:
        index, listed_for = self.index_name(user_id), life + max(LEAST_SLACK, life // SLACK)
        return CLUSTER_LIST((index,), bytes.fromhex(key), listed_for)

    def _retire_command(self, index: bytes, key: str) -> Command:
        return CLUSTER_RETIRE((index,), bytes.fromhex(key), MARKER_LIFE)

    def _raised(self, user_id: str, key: str, life: int) -> Steps[bytes]:
        """Have the index say that the session lives so long, and return until when it says so."""
        _, until = yield from self.call(*self._list_command(user_id, key, life))
        return values.packed_until(until)

    def _unlist(self, index: bytes, keys: Sequence[str]) -> Steps[None]:
        if keys:
            yield from self.call("ZREM", index, *map(bytes.fromhex, keys))

    def _end_all(
        self, user_id: str, keys: Sequence[str], passed_over: set[str], id: int | None = None
    ) -> Steps[tuple[int, set[str]]]:
        """End sessions, and those that they have become. Return how many, and which it left."""
        ended, others, barred, followed = 0, set[str](), set[str](), set(passed_over)
        batch, are_followed = list(keys), False
        rounds = Rounds(self.alias, MOVES)
        while batch:
            yield from rounds.begin()
            commands = [self._ending(user_id, key, id, are_followed) for key in batch]
            successors: list[str] = []
            for key, (outcome, *successor) in zip(
                batch, (yield from self.call_many(commands)), strict=True
            ):
                if outcome == b"other":
                    others.add(key)
                if outcome == b"barred":
                    barred.add(key)
                ended += outcome == b"ended" or (are_followed and outcome == b"barred")
                successors += [key.hex() for key in successor]
            # A session that was on its way to a key that is barred by now has ended.
            ended += len(barred.intersection(successors) - followed)
            # A key that was looked at by itself is looked at once more as a successor.
            batch = [key for key in successors if key not in barred | followed]
            followed |= {*successors}
            are_followed = True
        return ended, others

    def _ending(self, user_id: str, key: str, id: int | None, is_followed: bool) -> Command:
        return CLUSTER_END_OF_USER(
            (self.session_name(key),),
            _nonce(),
            MARKER_LIFE,
            user_id.encode(),
            b"" if id is None else values.packed_id(id),
            int(is_followed),
        )

    def _listed(self, user_id: str) -> Steps[list[str]]:
        """Return the keys that the index has, in the order of their expiry."""
        index, least, passed = self.index_name(user_id), b"-inf", 0
        keys: dict[str, None] = {}
        rounds = Rounds(self.alias, GROWS)
        while True:
            yield from rounds.begin()
            page: Any = yield from self.call(
                "ZRANGE", index, least, b"+inf", b"BYSCORE", b"LIMIT", passed, BATCH, b"WITHSCORES"
            )
            keys |= dict.fromkeys(self.keys_of(page if page == WRONG_TYPE else page[::2]))
            if len(page) < 2 * BATCH:
                return list(keys)
            if least == b"-inf":
                rounds.expect((yield from self.call("ZCARD", index)), BATCH)
            last = page[-1]
            least, passed = (last, passed + BATCH) if last == least else (last, 0)

    def _heads(self, keys: Sequence[str]) -> Steps[list[bytes | None]]:
        """Return what is under each key: a head, a marker, something else, or nothing."""
        names = [self.session_name(key) for key in keys]
        heads: list[bytes] = yield from self.call_many(
            [("GETRANGE", name, 0, values.MOST_OF_A_HEAD - 1) for name in names]
        )
        cut = [place for place, head in enumerate(heads) if values.is_cut(head)]
        if cut:
            whole: list[bytes] = yield from self.call_many(
                [("GETRANGE", names[place], 0, values.LONGEST_HEAD - 1) for place in cut]
            )
            for place, head in zip(cut, whole, strict=True):
                heads[place] = head
        return [values.head_alone(head) if head else None for head in heads]

    def _too_late(self) -> StoreUnavailable:
        return StoreUnavailable(
            f"Session store {self.alias!r}: between two steps of one save more than "
            f"{DEADLINE // 1000} seconds went by, or the clocks of the cluster's servers differ by "
            "as much. Nothing is known about the session. Have their clocks set by NTP."
        )


def _nonce() -> bytes:
    return secrets.token_bytes(values.NONCE_LENGTH)
