"""
One session under its key, in a cache, which has no compare-and-set.

Under each key are three names. The session: its record, packed. Its tombstone: once that is
there, the session is dead, whatever else is written. Its lock: who changes it.
docs/cache-store.md has the protocol and its reasons.
"""

from __future__ import annotations

import logging
import math
import random
import secrets
import time
from asyncio import CancelledError
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...exceptions import StoreUnavailable
from ...records import Outcome, SessionRecord
from ...session import clock
from ..indexed.cells import Cell, Cells, OpenCell
from ..indexed.failures import Failures
from ..indexed.values import Entry, pack, unpack
from ..steps import Steps, pause
from .client import CacheClient
from .options import CacheOptions
from .replies import UNREADABLE

# Short, because clients hash names in Python.
SESSION, TOMBSTONE, LOCK, PROBE, CANARY = "s:", "t:", "l:", "p:", "c:"
DEAD = b"dead"
CANARY_SECONDS = 60
ITEM_SIZE = 1_000_000  # bytes; memcached's limit is 1 MiB unless its operator raised it
HEAD_SIZE = 4096  # bytes that a record takes beside its payload, at the most
# How often a cache may say in a row that it can't add, and have nothing there: the end of a session
# or of a tombstone hardly ever falls between the two, another lock's end may.
REFUSALS, REFUSALS_OF_A_LOCK = 2, 10
LONGEST_PAUSE = 0.05  # seconds, of one who waits for a lock or adds again

suspicious = logging.getLogger("django.security.SuspiciousSession")


@dataclass(frozen=True, slots=True)
class Lock:
    """The right to change one session for a while."""

    name: str
    until: float  # On this process's monotonic clock.

    @property
    def is_overdue(self) -> bool:
        """Whether another may have it by now."""
        return time.monotonic() >= self.until


class Locks:
    """The locks of one store, which has none without its option EXACT."""

    def __init__(self, options: CacheOptions, client: CacheClient, failures: Failures) -> None:
        self._options = options
        self._client = client
        self._failures = failures

    def take(self, key: str) -> Steps[Lock | None]:
        """Take the lock of a session, or raise StoreUnavailable when it took too long."""
        if not self._options.is_exact:
            return None
        name, token = f"{self._options.prefix}{LOCK}{key}", secrets.token_bytes(8)
        seconds = self._options.lock_seconds
        # A process that died with it leaves it for so long, and the next one gets it then.
        give_up_at = time.monotonic() + seconds + 1
        refusals = 0
        while True:
            began = time.monotonic()
            is_added = yield from self._client.add(name, token, seconds)
            if is_added:
                return Lock(name, until=began + seconds)
            refusals = refusals + 1 if is_added is None else 0
            if refusals == REFUSALS_OF_A_LOCK or (refusals and began >= give_up_at):
                raise self._failures.refuses_what_is_new()
            if began >= give_up_at:
                why = f"other requests were saving one session for {seconds} s"
                raise self._failures.gave_up(why)
            yield from pause(random.uniform(0, LONGEST_PAUSE))  # noqa: S311

    def release(self, lock: Lock | None) -> Steps[None]:
        """Give a lock back, if nobody else can have it by now."""
        if lock is None or lock.is_overdue:
            return
        try:
            yield from self._client.delete(lock.name)
        except StoreUnavailable:
            return  # What was done is done, and the lock expires.


@dataclass(slots=True, repr=False)
class LockedCell(OpenCell):
    """A cell that nobody else changes as long as the lock lasts."""

    lock: Lock | None = None

    @property
    def is_overdue(self) -> bool:
        return self.lock is not None and self.lock.is_overdue


class CacheCells(Cells):
    """The sessions and tombstones of one store."""

    def __init__(self, options: CacheOptions, client: CacheClient, failures: Failures) -> None:
        self._alias = failures.alias
        self._locks = Locks(options, client, failures)
        self._prefix = options.prefix
        self._tombstone_seconds = options.tombstone_seconds
        self._client = client
        self._failures = failures

    def names(self, key: str) -> list[str]:
        """Return where a read has to look."""
        return [f"{self._prefix}{SESSION}{key}", f"{self._prefix}{TOMBSTONE}{key}"]

    def find(self, key: str) -> Steps[OpenCell]:
        values = yield from self._client.get_many(self.names(key))
        return OpenCell(key, self.parse(key, values), not values)

    def open(self, key: str) -> Steps[LockedCell]:
        lock = yield from self._locks.take(key)
        try:
            values = yield from self._client.get_many(self.names(key))
        except (Exception, CancelledError):
            yield from self._locks.release(lock)
            raise
        return LockedCell(key, self.parse(key, values), not values, lock)

    def close(self, cell: OpenCell) -> Steps[None]:
        if isinstance(cell, LockedCell):
            yield from self._locks.release(cell.lock)

    def parse(self, key: str, values: Mapping[str, Any]) -> Entry | None:
        """Return the session that was found there, which may have expired, if it was not ended."""
        session, tombstone = self.names(key)
        value = values.get(session)
        if value is None or value == DEAD or tombstone in values:
            return None
        entry = unpack(key, value)
        if entry is None:
            suspicious.warning("Session data corrupted in session store %r.", self._alias)
        return entry

    def look(self, keys: Sequence[str], *, prove: bool = False) -> Steps[dict[str, Cell]]:
        # To prove it, the cache is given something to keep: one that takes an outage for a miss
        # says that nothing is there at all.
        if not keys:
            return {}
        canary = (yield from self._let_out_canary()) if prove else {}
        names = [name for key in keys for name in self.names(key)]
        values = yield from self._client.get_many([*names, *canary])
        self._require_canary(canary, values)
        return {key: self._look_at(key, values) for key in keys}

    def _look_at(self, key: str, values: Mapping[str, Any]) -> Cell:
        session, tombstone = map(values.get, self.names(key))
        entry = self.parse(key, values)
        # Under a tombstone that can't be read, too, there may be a session to another process.
        is_data = session is not None and session != DEAD and tombstone in (None, UNREADABLE)
        is_unreadable = is_data and entry is None and unpack(key, session) is None
        return Cell(entry, session is None and tombstone is None, is_unreadable)

    def add(self, entry: Entry) -> Steps[Outcome | None]:
        key = entry.record.key
        (name, _), value = self.names(key), pack(self._alias, entry)
        is_added = yield from self._add(name, value, _seconds_to_live(entry))
        if not is_added:
            return None if is_added is None else Outcome.CONFLICT
        # Only who has come upon its row knows its key by now.
        is_dead = entry.record.user_id is not None and (yield from self._remove_if_dead(key))
        return Outcome.GONE if is_dead else Outcome.DONE

    def replace(self, cell: OpenCell, entry: Entry) -> Steps[Outcome]:
        (name, _), value = self.names(cell.key), pack(self._alias, entry)
        yield from self._client.set_many({name: value}, _seconds_to_live(entry))
        is_dead = yield from self._remove_if_dead(cell.key)
        return Outcome.GONE if is_dead else Outcome.DONE

    def move(self, cell: OpenCell, entry: Entry) -> Steps[Outcome]:
        if not (yield from self._claim(cell.key)):
            return Outcome.GONE
        outcome = yield from self.add(entry)
        if outcome is None:
            raise self._failures.refuses_what_is_new()
        # Over the data of the session whose tombstone is there.
        session, _ = self.names(cell.key)
        yield from self._client.set_many({session: DEAD}, self._tombstone_seconds)
        return Outcome.DONE if outcome is Outcome.DONE else Outcome.GONE

    def end(self, cell: OpenCell) -> Steps[Outcome]:
        is_first = yield from self._claim(cell.key)
        yield from self.write_tombstones([cell.key])
        return Outcome.DONE if is_first else Outcome.GONE

    def _remove_if_dead(self, key: str) -> Steps[bool]:
        """Look whether the session was ended while it was written, and undo that if so."""
        session, tombstone = self.names(key)
        if tombstone not in (yield from self._client.get_many([tombstone])):
            return False
        yield from self._client.delete(session)
        return True

    def _claim(self, key: str) -> Steps[bool]:
        """Add a key's tombstone: of rotations and destroys that cross, the first to do so wins."""
        _, name = self.names(key)
        is_added = yield from self._add(name, secrets.token_bytes(8), self._tombstone_seconds)
        if is_added is None:
            raise self._failures.refuses_what_is_new()
        return is_added

    def write_tombstones(self, keys: Iterable[str]) -> Steps[None]:
        # The session's own name as well: its data go, and create() finds the key taken.
        dead = {name: DEAD for key in keys for name in self.names(key)}
        return self._client.set_many(dead, self._tombstone_seconds)

    def require_tombstones(self, keys: Sequence[str]) -> Steps[None]:
        # Asked where it knew nothing at all: a cache that reports an outage as a miss may report
        # a write as done, and the sessions would be alive again when it is over.
        names = [self.names(key)[1] for key in keys]
        values = yield from self._client.get_many(names)
        if any(name not in values for name in names):
            raise self._failures.forgets()

    def require_room(self, record: SessionRecord) -> Steps[None]:
        if len(record.payload) + HEAD_SIZE < ITEM_SIZE or not self._client.limits_items:
            return
        # memcached removes what is under a name if it can't take what shall replace it.
        size, probe = len(record.payload), f"{self._prefix}{PROBE}{record.key}"
        try:
            yield from self._client.set_many({probe: bytes(size + HEAD_SIZE)}, 1)
        except StoreUnavailable as error:
            # These raise if it is an outage.
            canary = yield from self._let_out_canary()
            self._require_canary(canary, (yield from self._client.get_many([probe, *canary])))
            raise self._failures.is_too_large(size) from error
        yield from self._client.delete(probe)

    def _let_out_canary(self) -> Steps[dict[str, bytes]]:
        """Give the cache something to keep, for a moment."""
        canary = {f"{self._prefix}{CANARY}{secrets.token_hex(8)}": secrets.token_bytes(8)}
        yield from self._client.set_many(canary, CANARY_SECONDS)
        return canary

    def _require_canary(self, canary: Mapping[str, bytes], values: Mapping[str, Any]) -> None:
        if any(values.get(name) != value for name, value in canary.items()):
            raise self._failures.forgets()

    def _add(self, name: str, value: bytes, seconds: int) -> Steps[bool | None]:
        for _ in range(REFUSALS):
            is_added = yield from self._client.add(name, value, seconds)
            if is_added is not None:
                return is_added
            yield from pause(random.uniform(0, LONGEST_PAUSE))  # noqa: S311
        return None


def _seconds_to_live(entry: Entry) -> int:
    return max(1, math.ceil((entry.record.expires_at - clock.now()).total_seconds()))
