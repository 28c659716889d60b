"""One user's sessions on a cluster: each is on the server of its key, the index on another."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ...records import Page, SessionRecord, is_id, latest_first
from ..record_bytes import LONGEST_HEAD
from ..steps import Steps
from . import layout
from .protocol import BATCH, GROWS, MOVES, STAYS, RedisProtocol, Rounds, batches
from .scripts import CLUSTER_END_OF_USER, WRONG_TYPE, Command

TOMBSTONE_LIFE = 600_000  # milliseconds
# Looks at a whole index that still find something, until what comes in is known to be new.
LOOKS = 20


class ClusterUsers(RedisProtocol):
    """The operations on all sessions of a user. ClusterProtocol has those on one session."""

    def sessions_for_user(self, user_id: str) -> Steps[list[SessionRecord]]:
        found: dict[str, SessionRecord] = {}
        waiting = yield from self._keys_in_index(user_id)
        looked_at = set[str]()
        rounds = Rounds(self.alias, MOVES)
        rounds.expect(len(waiting), BATCH)
        while waiting:
            yield from rounds.begin()
            batch, waiting = waiting[:BATCH], waiting[BATCH:]
            looked_at |= {*batch}
            for key, head in zip(batch, (yield from self._read_heads(batch)), strict=True):
                record = layout.unpack(key, head, alias=self.alias)
                if record is not None and record.user_id == user_id:
                    found[key] = record
                successor = None if head is None else layout.successor_of(head)
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
            layout.log_damage(self.alias)
            return Page(records=(), total=0)
        keys = [key for page in pages for key in self.keys_of(page)]
        heads = (yield from self._read_heads(keys)) if keys else []
        found = (
            layout.unpack(key, head, alias=self.alias)
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
            # tombstone under the old one names it.
            last = BATCH + len(passed_over) - 1
            listed: Any = yield from self.call("ZRANGE", index, 0, last)
            keys = [key for key in self.keys_of(listed) if key not in passed_over]
            if listed == WRONG_TYPE:
                yield from self.call("UNLINK", index)
                return ended
            damaged = [key.hex() for key in listed if len(key) != layout.KEY_LENGTH]
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
        keys = yield from self._keys_in_index(user_id)
        for batch in batches(keys, BATCH) if is_id(id) else ():
            count, others = yield from self._end_all(user_id, batch, set(), id)
            if count:
                yield from self._unlist(index, [key for key in batch if key not in others])
                return True
        return False

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
            replies = yield from self.call_many(commands)
            for key, (outcome, *successor) in zip(batch, replies, strict=True):
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
        name, nonce, user = self.session_name(key), layout.make_nonce(), user_id.encode()
        wanted, follow = b"" if id is None else id.to_bytes(8, "big"), int(is_followed)
        return CLUSTER_END_OF_USER((name,), nonce, TOMBSTONE_LIFE, user, wanted, follow)

    def _keys_in_index(self, user_id: str) -> Steps[list[str]]:
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

    def _read_heads(self, keys: Sequence[str]) -> Steps[list[bytes | None]]:
        """Return what is under each key: a head, a tombstone, something else, or nothing."""
        names = [self.session_name(key) for key in keys]
        heads: list[bytes] = yield from self.call_many(
            [("GETRANGE", name, 0, layout.MOST_OF_A_HEAD - 1) for name in names]
        )
        cut = [place for place, head in enumerate(heads) if layout.is_cut(head)]
        if cut:
            whole: list[bytes] = yield from self.call_many(
                [("GETRANGE", names[place], 0, LONGEST_HEAD - 1) for place in cut]
            )
            for place, head in zip(cut, whole, strict=True):
                heads[place] = head
        return [layout.head_alone(head) if head else None for head in heads]
