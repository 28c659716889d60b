"""
How a cache, which has no compare-and-set, keeps what a store promises.

Under each key are three names. The session: its record, packed. Its tombstone: once that is
there, the session is dead, whatever else is written. Its lock: who changes it. The index has
a row for each session of a user. docs/cache-store.md has the protocol and its reasons.
"""

from __future__ import annotations

import logging
import math
import random
import secrets
import time
from asyncio import CancelledError
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from ...conf import conf
from ...exceptions import StoreUnavailable
from ...records import Outcome, Page, SessionRecord, is_over, successor, touched
from ...session import clock
from ..base import backoff
from ..steps import DatabaseStep, Pause, Step, Steps, run
from ..stepwise import Operations
from .answers import UNREADABLE
from .client import CacheClient
from .index import AT_A_TIME, Row, UserIndex
from .options import CacheOptions
from .values import Entry, Listing, pack, unpack

# Short: clients hash names in Python.
SESSION, TOMBSTONE, LOCK, PROBE, CANARY = "s:", "t:", "l:", "p:", "c:"
DEAD = b"dead"
ATTEMPTS = 25
# What a request that has written the row has for writing the cache, before gc takes its
# session for lost. A matter of kindness: if it comes later, it finds the tombstone.
IN_FLIGHT = timedelta(minutes=10)
LONGEST_PAUSE = 0.05  # seconds, of one who waits for a lock
ITEM_SIZE = 1_000_000  # bytes; memcached's limit is 1 MiB unless its operator raised it
HEAD_SIZE = 4096  # bytes that a record takes beside its payload, at the most
CANARY_SECONDS = 60
# How often a cache may say that it can't add, and have nothing there. Another lock's end may fall
# between the two; a session or a tombstone hardly ever.
REFUSALS, REFUSALS_OF_A_LOCK = 2, 10

REMEDY = "'manage.py check --deploy' says which option makes that an error"

Item = TypeVar("Item")
Change = Callable[[SessionRecord], SessionRecord | None]

logger = logging.getLogger("django_multistore")
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


@dataclass(frozen=True, slots=True)
class Found:
    """What the cache has of some rows, by their row_id."""

    live: dict[int, Entry]
    expired: set[int]  # There is one that has expired by this host's clock.
    unreadable: set[int]  # There is something under their keys that is no session.
    nothing: set[int]  # Not even what remains of a session that has ended.


class CacheProtocol(Operations):
    """The steps of each operation, for run() and arun()."""

    def __init__(
        self, alias: str, options: CacheOptions, client: CacheClient, index: UserIndex
    ) -> None:
        self._alias = alias
        self._options = options
        self._prefix = options.prefix
        self._client = client
        self._index = index
        self._tombstone_seconds = options.tombstone_seconds
        self._has_warned = False

    # One session.

    def names(self, key: str) -> list[str]:
        """Return where a read has to look."""
        return [self._name(SESSION, key), self._name(TOMBSTONE, key)]

    def live(self, key: str, values: Mapping[str, Any]) -> Entry | None:
        """Return the session that was found there, if it lives; a tentative one may."""
        entry = self._kept(key, values)
        return None if entry is None or _is_expired(entry.record) else entry

    def _kept(self, key: str, values: Mapping[str, Any]) -> Entry | None:
        """Return the session that was found there, if it has not ended but by its time."""
        value = values.get(self._name(SESSION, key))
        if value is None or value == DEAD or self._name(TOMBSTONE, key) in values:
            return None
        entry = unpack(key, value)
        if entry is None:
            suspicious.warning("Session data corrupted in session store %r.", self._alias)
        return entry

    def _is_unreadable(self, key: str, values: Mapping[str, Any]) -> bool:
        """Say whether what is there may be a session to another process, and is none to this."""
        if values.get(self._name(TOMBSTONE, key), UNREADABLE) is not UNREADABLE:
            return False
        value = values.get(self._name(SESSION, key))
        return value is not None and value != DEAD and unpack(key, value) is None

    def confirm(self, entry: Entry) -> Steps[Entry | None]:
        """Look for a tentative session's row."""
        record = entry.record
        arguments = (record.key, record.user_id, entry.listing)
        listing = yield DatabaseStep(self._index.confirm, arguments)
        return None if listing is None else Entry(record, listing)

    def create(self, record: SessionRecord) -> Steps[bool]:
        record = self._capped(record)
        if _is_expired(record):
            return (yield from self._entry(record.key)) is None
        yield from self._require_room(record)
        if record.user_id is None:
            return (yield from self._add(*self._session(record, None)))
        listing: Listing = yield DatabaseStep(self._index.insert, (record,))
        is_added = yield from self._added(*self._session(record, listing))
        if is_added is None:
            # Nothing will lead to this row's session, and an outage may bring many of them.
            yield DatabaseStep(self._index.withdraw, (record,))
            raise self._refused()
        if not is_added:
            return False
        # By destroy_for_user() or gc, which have come upon the row.
        return not (yield from self._withdraws_if_dead(record))

    def update(self, record: SessionRecord) -> Steps[Outcome]:
        return self._change(record.key, _compare_and_set(record))

    def rotate(self, old_key: str, record: SessionRecord) -> Steps[Outcome]:
        return self._change(old_key, _compare_and_set(record))

    def touch(self, record: SessionRecord) -> Steps[bool]:
        def change(stored: SessionRecord) -> SessionRecord | None:
            if stored.version != record.version:
                return None
            return touched(stored, record)

        return (yield from self._change(record.key, change)) is Outcome.DONE

    def modify(self, key: str, change: Callable[[SessionRecord], SessionRecord]) -> Steps[Outcome]:
        for delay in backoff(ATTEMPTS):
            yield from _pause(delay)
            outcome = yield from self._change(key, lambda old: successor(old, change(old)))
            if outcome is not Outcome.CONFLICT:
                return outcome
        raise self._gave_up("saving one session took longer than LOCK_SECONDS each time")

    def destroy(self, key: str) -> Steps[bool]:
        values = yield Step(self._client, "get_many", (self.names(key),))
        entry = yield from self._confirmed(self.live(key, values))
        if entry is not None:
            return (yield from self._end(entry.record))
        yield from self._write_tombstones([key])
        if not values:
            yield from self._require_tombstones([key])
        return False

    # One user's sessions.

    def sessions_for_user(self, user_id: str) -> Steps[list[SessionRecord]]:
        found: dict[int, SessionRecord] = {}
        rows: list[Row] = yield DatabaseStep(self._index.rows_of_user, (user_id,))
        for delay in backoff(ATTEMPTS):
            yield from _pause(delay)
            lost: dict[int, str] = {}
            for batch in _batches(rows):
                live = (yield from self._look(batch)).live
                for entry in live.values():
                    if entry.record.user_id == user_id:
                        found[entry.record.id] = replace(entry.record, payload=b"")
                lost |= {row.row_id: row.key for row in batch if row.row_id not in live}
            if not lost:
                break
            # One that was rotated in between was under neither key when it was looked for.
            again: list[Row] = yield DatabaseStep(self._index.rows_of_user, (user_id,))
            rows = [row for row in again if lost.get(row.row_id, row.key) != row.key]
            if not rows:
                break
        return list(found.values())

    def page_for_user(self, user_id: str, *, start: int, size: int) -> Steps[Page]:
        rows: list[Row]
        rows, total = yield DatabaseStep(self._index.page_of_user, (user_id, start, size))
        live = (yield from self._look(rows)).live
        lost = {row.row_id: row.key for row in rows if row.row_id not in live}
        if lost:
            # As in sessions_for_user(), but once: of the cache's misses most are no rotations.
            again: list[Row] = yield DatabaseStep(self._index.rows_again, (list(lost),))
            moved = [row for row in again if row.key != lost[row.row_id]]
            live |= (yield from self._look(moved)).live
        listed = [live[row.row_id].record for row in rows if row.row_id in live]
        mine = (replace(record, payload=b"") for record in listed if record.user_id == user_id)
        return Page(records=tuple(mine), total=total)

    def destroy_session(self, user_id: str, id: int) -> Steps[bool]:
        return (yield from self.destroy_for_user(user_id, id=id)) > 0

    def destroy_for_user(
        self, user_id: str, *, except_key: str | None = None, id: int | None = None
    ) -> Steps[int]:
        targets = None if id is None else {id}
        ended: set[int] = set()
        strangers: set[int] = set()

        def end_the_rest() -> None:
            run(self.destroy_for_user(user_id, except_key=except_key, id=id))

        after_commit: Callable[[], None] | None = end_the_rest
        for delay in backoff(ATTEMPTS):
            found: list[Row]
            found = yield DatabaseStep(self._index.rows_of_user, (user_id, after_commit))
            after_commit = None
            rows = [row for row in found if row.key != except_key and row.row_id not in strangers]
            if targets is None:
                targets = {row.id for row in rows}
            # Once more for these: a rotation may have moved the row, or entered another.
            rows = [row for row in rows if row.id in targets]
            if not rows:
                return len(ended)
            yield from _pause(delay)
            for batch in _batches(rows):
                seen = yield from self._look(batch)
                live = seen.live
                # By now another user's, whose session it is not for this one to end.
                strangers |= {
                    row_id for row_id, entry in live.items() if entry.record.user_id != user_id
                }
                own = [row for row in batch if row.row_id not in strangers]
                if own:
                    yield from self._write_tombstones([key for row in own for key in row.keys])
                    now = clock.now()
                    missing = [
                        key
                        for row in own
                        if row.row_id in seen.nothing and row.expires_at > now
                        for key in row.keys
                    ]
                    if missing:
                        yield from self._require_tombstones(missing)
                    # Waits for a rotation whose transaction is open.
                    yield DatabaseStep(self._index.remove_rows, (own,))
                ended |= {live[row.row_id].record.id for row in own if row.row_id in live}
        raise self._gave_up("a user's session moved to another key each time")

    # The index.

    def gc(self, rows: Sequence[Row], *, dry_run: bool, now: datetime | None = None) -> Steps[int]:
        """
        Remove those rows, of up to AT_A_TIME, whose sessions are gone. Return how many.

        Args:
            rows: which to look at.
            dry_run: only count them.
            now: what time it is by the index's clock. None: by this host's.
        """
        # Of those under other names this cache says nothing: they go when they have expired.
        own = [row for row in rows if row.store == self._index.place]
        # A cache that takes an outage for a miss answers that nothing is there at all.
        canary = (yield from self._let_out_canary()) if own else None
        found = yield from self._look(own, canary=canary)
        past = (now or clock.now()) - IN_FLIGHT
        gone = [row for row in rows if row.row_id not in found.live]
        expired = [row for row in gone if row.expires_at <= past]
        # What can't be read here is read elsewhere perhaps, with the serializer of before.
        lost = [
            row
            for row in own
            if row.row_id not in found.live
            and row.expires_at > past
            and row.last_seen_at <= past
            and row.row_id not in found.expired | found.unreadable
        ]
        if dry_run:
            return len(expired) + len(lost)
        removed: int = 0
        if expired:
            # Who would write such a session raises the row's expiry before, and it stays.
            removed += yield DatabaseStep(self._index.remove_rows, (expired, past))
        if lost:
            yield from self._write_tombstones([key for row in lost for key in row.keys])
            removed += yield DatabaseStep(self._index.remove_rows, (lost,))
        return removed

    # What these are made of.

    def _entry(self, key: str) -> Steps[Entry | None]:
        values = yield Step(self._client, "get_many", (self.names(key),))
        return (yield from self._confirmed(self.live(key, values)))

    def _confirmed(self, entry: Entry | None) -> Steps[Entry | None]:
        if entry is None or not is_tentative(entry):
            return entry
        return (yield from self.confirm(entry))

    def _look(
        self, rows: Sequence[Row], *, canary: Mapping[str, bytes] | None = None
    ) -> Steps[Found]:
        """Look what the cache has of these rows, and whether it has the canary."""
        found = Found(live={}, expired=set(), unreadable=set(), nothing=set())
        if not rows:
            return found
        keys = [key for row in rows for key in row.keys]
        names = [name for key in keys for name in self.names(key)]
        values = yield Step(self._client, "get_many", ([*names, *(canary or ())],))
        self._require_canary(canary or {}, values)
        for row in rows:
            if not any(name in values for key in row.keys for name in self.names(key)):
                found.nothing.add(row.row_id)
            for key in row.keys:
                entry = self._kept(key, values)
                if entry is None and self._is_unreadable(key, values):
                    found.unreadable.add(row.row_id)
                if entry is not None and _is_expired(entry.record):
                    found.expired.add(row.row_id)
                    entry = None
                # Of a tentative session the row decides, and this one is elsewhere.
                has_left = entry is not None and key != row.key and is_tentative(entry)
                if entry is not None and not has_left:
                    found.live[row.row_id] = entry
        return found

    def _change(self, key: str, change: Change) -> Steps[Outcome]:
        lock = yield from self._lock(key)
        try:
            outcome = yield from self._change_locked(lock, key, change)
        except (Exception, CancelledError):
            yield from self._unlock(lock)
            raise
        yield from self._unlock(lock)
        return outcome

    def _change_locked(self, lock: Lock | None, key: str, change: Change) -> Steps[Outcome]:
        entry = yield from self._entry(key)
        if entry is None:
            return Outcome.GONE
        changed = change(entry.record)
        if changed is None or (lock is not None and lock.is_overdue):
            return Outcome.CONFLICT
        record = self._capped(changed)
        if is_over(record):
            return Outcome.DONE if (yield from self._end(entry.record)) else Outcome.GONE
        yield from self._require_room(record)
        write = self._overwrite if record.key == key else self._move
        return (yield from write(entry, record))

    def _overwrite(self, entry: Entry, record: SessionRecord) -> Steps[Outcome]:
        listing = yield from self._list(entry, record)
        value = pack(Entry(record, listing))
        values = {self._name(SESSION, record.key): value}
        yield Step(self._client, "set_many", (values, _time_to_live(record)))
        # The row of a user whom the session had before stays until it ends: a writer without
        # a lock may be about to write that user again.
        is_dead = yield from self._withdraws_if_dead(record)
        return Outcome.GONE if is_dead else Outcome.DONE

    def _move(self, entry: Entry, record: SessionRecord) -> Steps[Outcome]:
        old, listing = entry.record, None
        if record.user_id is not None:
            listing = yield from self._list_under_new_key(old, record)
            if listing is None:
                return Outcome.GONE
        if not (yield from self._claim(old.key)):
            yield from self._unlist(record)
            return Outcome.GONE
        is_added = yield from self._add(*self._session(record, listing))
        is_dead = record.user_id is not None and (yield from self._withdraws_if_dead(record))
        if not is_added and not is_dead:  # It is another's, with a key that was to be new.
            yield from self._unlist(record)
            is_dead = True
        remains = {self._name(SESSION, old.key): DEAD}
        yield Step(self._client, "set_many", (remains, self._tombstone_seconds))
        if old.user_id != record.user_id:
            yield from self._unlist(old)
        return Outcome.GONE if is_dead else Outcome.DONE

    def _claim(self, key: str) -> Steps[bool]:
        """Add a key's tombstone: of rotations and destroys that cross, the first to do so wins."""
        claim = (self._name(TOMBSTONE, key), secrets.token_bytes(8), self._tombstone_seconds)
        return (yield from self._add(*claim))

    def _end(self, record: SessionRecord) -> Steps[bool]:
        """End a session that was found alive, and say whether it hasn't ended or moved since."""
        is_first = yield from self._claim(record.key)
        yield from self._write_tombstones([record.key])
        yield from self._unlist(record)
        return is_first

    def _list(self, entry: Entry, record: SessionRecord) -> Steps[Listing | None]:
        """Have the row of a session's user as it must be before the cache is written."""
        old, listing = entry.record, entry.listing
        if record.user_id is None:
            return None
        if listing is None or old.user_id != record.user_id:
            entered: Listing = yield DatabaseStep(self._index.insert, (record,))
            return entered
        interval = conf.get_touch_interval(record.expires_at - record.last_seen_at)
        is_due = (
            record.last_seen_at - listing.written_at >= interval
            or record.expires_at > listing.valid_until
            or record.authenticated_at != old.authenticated_at
            or record.actor_id != old.actor_id
        )
        if not is_due:
            return listing
        fresh: Listing | None = yield DatabaseStep(self._index.refresh, (record,))
        if fresh is None:  # The row was lost, with a backup that was restored perhaps.
            fresh = yield DatabaseStep(self._index.insert, (record,))
        return fresh._replace(is_tentative=fresh.is_tentative or listing.is_tentative)

    def _list_under_new_key(
        self, old: SessionRecord, record: SessionRecord
    ) -> Steps[Listing | None]:
        is_same_user = record.user_id == old.user_id
        if is_same_user:
            # One UPDATE, for whose commit destroy_for_user() waits.
            listing: Listing | None = yield DatabaseStep(self._index.move, (old.key, record))
            if listing is not None:
                return listing
        # There was no row to move, or none is left: it was destroyed, which its tombstone
        # tells, or lost, or taken along by a rotation that died on its way.
        entered: Listing = yield DatabaseStep(self._index.insert, (record,))
        if is_same_user and entered.is_tentative:
            # A destroy_for_user() before the commit would neither see it nor wait for it.
            yield from self._unlist(record)
            return None
        return entered

    def _unlist(self, record: SessionRecord) -> Steps[None]:
        if record.user_id is not None:
            yield DatabaseStep(self._index.remove, (record.key, record.user_id))

    def _session(self, record: SessionRecord, listing: Listing | None) -> tuple[str, bytes, int]:
        """Return what is to be added for a session: its name, its value and its time to live."""
        value = pack(Entry(record, listing))
        return self._name(SESSION, record.key), value, _time_to_live(record)

    def _add(self, name: str, value: bytes, seconds: int) -> Steps[bool]:
        """Add a value, and say whether no other was there."""
        is_added = yield from self._added(name, value, seconds)
        if is_added is None:
            raise self._refused()
        return is_added

    def _added(self, name: str, value: bytes, seconds: int) -> Steps[bool | None]:
        """See _add(). None: the cache doesn't store it, and has nothing there."""
        for _ in range(REFUSALS):
            is_added: bool | None = yield Step(self._client, "add", (name, value, seconds))
            if is_added is not None:
                return is_added
            yield from _pause(random.uniform(0, LONGEST_PAUSE))  # noqa: S311
        return None

    def _withdraws_if_dead(self, record: SessionRecord) -> Steps[bool]:
        """Look whether the session was ended while it was written, and undo that if so."""
        tombstone = self._name(TOMBSTONE, record.key)
        if tombstone not in (yield Step(self._client, "get_many", ([tombstone],))):
            return False
        yield Step(self._client, "delete", (self._name(SESSION, record.key),))
        yield from self._unlist(record)
        return True

    def _write_tombstones(self, keys: Iterable[str]) -> Steps[None]:
        # The session's own name as well: its data go, and create() finds the key taken.
        dead = {self._name(kind, key): DEAD for key in keys for kind in (TOMBSTONE, SESSION)}
        yield Step(self._client, "set_many", (dead, self._tombstone_seconds))

    def _require_tombstones(self, keys: Sequence[str]) -> Steps[None]:
        """
        Look whether the cache has the tombstones that it was just given.

        Asked where it knew nothing at all: a cache that reports an outage as a miss may report
        a write as done, and the sessions would be alive again when it is over.
        """
        names = [self._name(TOMBSTONE, key) for key in keys]
        values = yield Step(self._client, "get_many", (names,))
        if any(name not in values for name in names):
            raise self._forgetful()

    def _let_out_canary(self) -> Steps[Mapping[str, bytes]]:
        """Give the cache something to keep, for a moment."""
        canary = {self._name(CANARY, secrets.token_hex(8)): secrets.token_bytes(8)}
        yield Step(self._client, "set_many", (canary, CANARY_SECONDS))
        return canary

    def _require_canary(self, canary: Mapping[str, bytes], values: Mapping[str, Any]) -> None:
        if any(values.get(name) != value for name, value in canary.items()):
            raise self._forgetful()

    def _lock(self, key: str) -> Steps[Lock | None]:
        if not self._options.is_exact:
            return None
        name, token = self._name(LOCK, key), secrets.token_bytes(8)
        seconds = self._options.lock_seconds
        # One who died with it leaves it for so long, and the next comes to his turn then.
        give_up_at = time.monotonic() + seconds + 1
        refusals = 0
        while True:
            began = time.monotonic()
            is_added: bool | None = yield Step(self._client, "add", (name, token, seconds))
            if is_added:
                return Lock(name, until=began + seconds)
            refusals = refusals + 1 if is_added is None else 0
            if refusals == REFUSALS_OF_A_LOCK or (refusals and began >= give_up_at):
                raise self._refused()
            if began >= give_up_at:
                raise self._gave_up(f"other requests were saving one session for {seconds} s")
            yield Pause(random.uniform(0, LONGEST_PAUSE))  # noqa: S311

    def _unlock(self, lock: Lock | None) -> Steps[None]:
        if lock is None or lock.is_overdue:
            return
        try:
            yield Step(self._client, "delete", (lock.name,))
        except StoreUnavailable:
            return  # What was done is done, and the lock expires.

    def _require_room(self, record: SessionRecord) -> Steps[None]:
        # memcached removes what is under a name if it can't take what shall replace it.
        size = len(record.payload) + HEAD_SIZE
        if size < ITEM_SIZE or not self._client.limits_items:
            return
        probe = self._name(PROBE, record.key)
        try:
            yield Step(self._client, "set_many", ({probe: bytes(size)}, 1))
        except StoreUnavailable as error:
            # These raise if it is an outage.
            canary = yield from self._let_out_canary()
            self._require_canary(
                canary, (yield Step(self._client, "get_many", ([probe, *canary],)))
            )
            raise ValueError(
                f"Session store {self._alias!r}: this session has {len(record.payload)} bytes, "
                f"more than the cache {self._options.cache!r} takes for one item. Nothing was "
                "written. Keep less in the session, or raise memcached's limit by its option -I."
            ) from error
        yield Step(self._client, "delete", (probe,))

    def _capped(self, record: SessionRecord) -> SessionRecord:
        # Not by a clock that is behind the one by which it was seen last.
        latest = max(clock.now(), record.last_seen_at) + self._options.max_age
        if record.expires_at <= latest:
            return record
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                "Session store %r ends a session that was to live for longer after %s. Raise "
                "its option MAX_AGE to the longest that set_expiry() asks for.",
                self._alias,
                self._options.max_age,
            )
        return replace(record, expires_at=latest)

    def _name(self, kind: str, key: str) -> str:
        return f"{self._prefix}{kind}{key}"

    def _gave_up(self, why: str) -> StoreUnavailable:
        return StoreUnavailable(f"Session store {self._alias!r}: {why}. Nothing was written.")

    def _refused(self) -> StoreUnavailable:
        return StoreUnavailable(
            f"Session store {self._alias!r}: the cache {self._options.cache!r} does not store what "
            "is new, and has nothing in its place. It reports an outage as an answer, or is full; "
            f"{REMEDY}."
        )

    def _forgetful(self) -> StoreUnavailable:
        return StoreUnavailable(
            f"Session store {self._alias!r}: the cache {self._options.cache!r} doesn't have what "
            "it was just given, so nothing is known about any session. It reports an outage as a "
            f"miss, or is full; {REMEDY}."
        )


def _pause(seconds: float) -> Steps[None]:
    if seconds:
        yield Pause(seconds)


def _compare_and_set(record: SessionRecord) -> Change:
    def change(stored: SessionRecord) -> SessionRecord | None:
        is_expected = record.version in (None, stored.version)
        return successor(stored, record) if is_expected else None

    return change


def _is_expired(record: SessionRecord) -> bool:
    return record.expires_at <= clock.now()


def is_tentative(entry: Entry) -> bool:
    """Say whether it takes the session's row to tell whether it lives."""
    return entry.listing is not None and entry.listing.is_tentative


def _time_to_live(record: SessionRecord) -> int:
    return max(1, _seconds(record.expires_at - clock.now()))


def _seconds(duration: timedelta) -> int:
    return math.ceil(duration.total_seconds())


def _batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), AT_A_TIME):
        yield items[start : start + AT_A_TIME]
