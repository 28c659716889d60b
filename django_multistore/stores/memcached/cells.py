"""
One session under its key, in memcached, which has compare-and-set.

Under each key is one name, and there the session, packed, or its tombstone. Who changes a session
gives the token of what was read, so no lock is needed, and no look afterwards: what has ended has
another token, or none.
"""

from __future__ import annotations

import logging
import math
import secrets
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from ...exceptions import StoreUnavailable
from ...records import Outcome, SessionRecord
from ...session import clock
from ..indexed.cells import Cell, Cells, OpenCell
from ..indexed.failures import Failures
from ..indexed.values import Entry, pack, unpack
from ..record_bytes import NONCE_LENGTH
from ..steps import Steps, call_in_thread
from .client import MemcachedClient, NotStored, Versioned
from .options import MemcachedOptions

# A tombstone begins so, and no session does. What follows tells each from all others.
DEAD = b"dead"
# What is longer memcached takes for a point in time.
LONGEST_SECONDS = 30 * 24 * 60 * 60

suspicious = logging.getLogger("django.security.SuspiciousSession")


@dataclass(slots=True, repr=False)
class VersionedCell(OpenCell):
    """A cell that changes only if nobody else has changed it since it was found."""

    token: bytes | None
    owner: object  # Tells the cells of one store from others.


class MemcachedCells(Cells):
    """The sessions and tombstones of one store."""

    def __init__(
        self, options: MemcachedOptions, client: MemcachedClient, failures: Failures
    ) -> None:
        self._alias = failures.alias
        self._options = options
        self._tombstone_seconds = options.tombstone_seconds
        self._client = client
        self._owner = object()

    def name(self, key: str) -> str:
        """Return where a session is."""
        return f"{self._options.prefix}{key}"

    def read(self, key: str) -> VersionedCell:
        """Return what is under a key, at once: each request does this."""
        return self._parse(key, self._client.gets(self.name(key)))

    def give_token(self, cell: VersionedCell, record: SessionRecord) -> SessionRecord:
        """Return a record that was read from a cell, with what it takes to write it back."""
        return replace(record, token=cell)

    def find(self, key: str) -> Steps[VersionedCell]:
        return self._parse(key, (yield from call_in_thread(self._client.gets, self.name(key))))

    def open(self, key: str) -> Steps[VersionedCell]:
        return self.find(key)

    def reopen(self, key: str, record: SessionRecord) -> OpenCell | None:
        cell = record.token
        if not isinstance(cell, VersionedCell) or cell.owner is not self._owner:
            return None
        entry = cell.entry
        # Of what may have been renewed meanwhile, or rolled back, the cell must tell.
        is_usable = entry is not None and not (entry.is_tentative or entry.is_expired)
        is_same = entry is not None and (cell.key, entry.record.version) == (key, record.version)
        return cell if is_usable and is_same else None

    def look(self, keys: Sequence[str], *, prove: bool = False) -> Steps[dict[str, Cell]]:
        if not keys:
            return {}
        names = {key: self.name(key) for key in keys}
        values = yield from call_in_thread(self._client.get_many, [*names.values()])
        return {key: self._look_at(key, values.get(name)) for key, name in names.items()}

    def _look_at(self, key: str, value: bytes | None) -> Cell:
        entry = self._unpack(key, value)
        is_session = value is not None and not value.startswith(DEAD)
        return Cell(entry, value is None, is_session and entry is None)

    def add(self, entry: Entry) -> Steps[Outcome | None]:
        is_added = yield from self._add(entry, self._pack(entry))
        return Outcome.DONE if is_added else Outcome.CONFLICT

    def replace(self, cell: OpenCell, entry: Entry) -> Steps[Outcome]:
        return self._swap(cell, self._pack(entry), _seconds_to_live(entry))

    def move(self, cell: OpenCell, entry: Entry) -> Steps[Outcome]:
        value, tombstone = self._pack(entry), _make_tombstone()
        outcome = yield from self._swap(cell, tombstone, self._tombstone_seconds)
        if outcome is not Outcome.DONE:
            return outcome
        try:
            is_added = yield from self._add(entry, value)
        except (NotStored, ValueError):
            # It is under neither key, for sure. After other errors nobody knows.
            yield from self._put_back(cell, tombstone)
            raise
        return Outcome.DONE if is_added else Outcome.GONE

    def end(self, cell: OpenCell) -> Steps[Outcome]:
        return self._swap(cell, _make_tombstone(), self._tombstone_seconds)

    def require_room(self, record: SessionRecord) -> Steps[None]:
        # What is there stays if memcached can't take what shall replace it by its token.
        yield from ()

    def write_tombstones(self, keys: Iterable[str]) -> Steps[None]:
        # Also where nothing is: a create may be on its way, which comes upon them then.
        dead = {self.name(key): _make_tombstone() for key in keys}
        seconds = _as_memcached_takes(self._tombstone_seconds)
        return call_in_thread(self._client.set_many, dead, seconds)

    def require_tombstones(self, keys: Sequence[str]) -> Steps[None]:
        # The client takes no outage for an answer.
        yield from ()

    def _add(self, entry: Entry, value: bytes) -> Steps[bool]:
        name, seconds = self.name(entry.record.key), _as_memcached_takes(_seconds_to_live(entry))
        return call_in_thread(self._client.add, name, value, seconds)

    def _swap(self, cell: OpenCell, value: bytes, seconds: int) -> Steps[Outcome]:
        assert isinstance(cell, VersionedCell)  # noqa: S101 - it is of these cells
        name, seconds = self.name(cell.key), _as_memcached_takes(seconds)
        outcome = yield from call_in_thread(self._client.cas, name, value, cell.token, seconds)
        return outcome

    def _put_back(self, cell: OpenCell, tombstone: bytes) -> Steps[None]:
        """Undo the first half of a move, unless somebody has ended the session since."""
        assert cell.entry is not None  # noqa: S101 - it was to be moved
        name, value = self.name(cell.key), self._pack(cell.entry)
        seconds = _as_memcached_takes(_seconds_to_live(cell.entry))
        with suppress(StoreUnavailable):
            found = yield from call_in_thread(self._client.gets, name)
            if found.value == tombstone:
                yield from call_in_thread(self._client.cas, name, value, found.token, seconds)

    def _parse(self, key: str, found: Versioned) -> VersionedCell:
        entry = self._unpack(key, found.value)
        return VersionedCell(key, entry, found.value is None, found.token, self._owner)

    def _unpack(self, key: str, value: bytes | None) -> Entry | None:
        if value is None or value.startswith(DEAD):
            return None
        entry = unpack(key, value)
        if entry is None:
            suspicious.warning("Session data corrupted in session store %r.", self._alias)
        return entry

    def _pack(self, entry: Entry) -> bytes:
        return pack(self._alias, entry, secrets.token_bytes(NONCE_LENGTH))


def _make_tombstone() -> bytes:
    return DEAD + secrets.token_bytes(NONCE_LENGTH)


def _seconds_to_live(entry: Entry) -> int:
    # memcached counts whole seconds, of which the first may be nearly over.
    return max(1, math.ceil((entry.record.expires_at - clock.now()).total_seconds())) + 1


def _as_memcached_takes(seconds: int) -> int:
    return seconds if seconds <= LONGEST_SECONDS else seconds + int(time.time())
