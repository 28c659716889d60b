"""What follows from the five methods of a store. A store overrides what it can do better."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from ..exceptions import NotSupported, StoreUnavailable
from ..records import Admission, Limit, Outcome, Page, SessionRecord, page_of, successor, touched
from .attempts import MODIFY_ATTEMPTS, Outages, backoff
from .batches import GC_BATCH_SIZE, Batch, batch_sizes

if TYPE_CHECKING:
    # models.py needs the apps to be ready; whoever writes a store may import this before.
    from ..models import SessionRowQuerySet


class Fallbacks(ABC):
    """The methods that a store need not have of its own."""

    # What these methods stand on. BaseStore says what it means.

    alias: str
    outages: Outages
    serializes_logins: ClassVar[bool]
    max_batch_size: ClassVar[int | None]

    @abstractmethod
    def read(self, key: str) -> SessionRecord | None: ...

    @abstractmethod
    def create(self, record: SessionRecord) -> bool: ...

    @abstractmethod
    def update(self, record: SessionRecord) -> Outcome: ...

    @abstractmethod
    def destroy(self, key: str) -> bool: ...

    @abstractmethod
    def remove_expired(self, cursor: Any, size: int, *, dry_run: bool) -> Batch: ...

    # One session.

    def write(self, record: SessionRecord) -> None:
        """
        Store the record whether or not its key is taken.

        For tools. The engine never does: it would bring destroyed sessions back.
        """
        if not self.create(record):
            self.update(replace(record, version=None))

    def reread(self, key: str) -> SessionRecord | None:
        """
        Read a record that another request has written meanwhile, to write over that.

        Where reads may be older than writes, a store finds the newest here, other than by read().
        """
        return self.read(key)

    def make_way(self, record: SessionRecord) -> bool:
        """
        Remove what has expired and keeps this record from being created.

        For sessions that come from another store. A store that keeps expired records until gc()
        comes may have some under the record's key, or under its id if that must be unique. This
        one removes nothing, and the record can be created once gc() has come.

        Returns:
            Whether it is worth while to create the record once more.
        """
        return False

    def touch(self, record: SessionRecord) -> bool:
        """
        Move last_seen_at, expires_at and device if the version is still record.version.

        Neither time moves back: the later of what is stored and what is given stays. The
        payload stays as it is. False is not an error: another save was quicker.
        """
        stored = self.read(record.key)
        if stored is None or stored.version != record.version:
            return False
        return self.update(touched(stored, record)) is Outcome.DONE

    def rotate(self, old_key: str, record: SessionRecord) -> Outcome:
        """
        Move the session from old_key to record.key, a fresh one, and write it like update().

        The old key is dead when this returns DONE, and the two are never alive together.
        This one takes several steps: a crash between them ends the session, and a
        destroy_for_user() that falls between them misses it. A store that finds a user's
        sessions does it in one.
        """
        stored = self.read(old_key)
        if stored is None:
            return Outcome.GONE
        if record.version not in (None, stored.version):
            return Outcome.CONFLICT
        # Nothing brings an expired record back, so from here on the old key is dead, and
        # of two rotations that cross only one gets past this line.
        outcome = self.update(replace(stored, expires_at=stored.created_at))
        if outcome is Outcome.DONE:
            self.destroy(old_key)
            self.create(successor(stored, record))
        return outcome

    def modify(self, key: str, change: Callable[[SessionRecord], SessionRecord]) -> Outcome:
        """
        Read the record, pass it to `change`, and write what that returns.

        For the writer whose compare-and-set met a CONFLICT. `change` may be called again
        with a newer record. If what it returns has another key, the session is rotated.

        Returns:
            DONE or GONE.

        Raises:
            StoreUnavailable: other writers were quicker each time.
        """
        for delay in backoff():
            time.sleep(delay)
            stored = self.reread(key)
            if stored is None:
                return Outcome.GONE
            outcome = self._write_over(key, change(stored))
            if outcome is not Outcome.CONFLICT:
                return outcome
        raise self.gave_up("one session was saved by another request each time")

    def admit(self, old_key: str | None, record: SessionRecord, limit: Limit) -> Admission:
        """
        Write a session that its user has just logged in to, if the user may have one more.

        Unless the store serializes logins, one too many may get in of those that come at once.
        A session with an actor doesn't count, and neither evicts nor is refused.

        Args:
            old_key: None to create the record; its own key to update it, another to rotate.
            record: of the user, who had no part in it before.
            limit: how many sessions the user may have, this one among them.

        Returns:
            FULL if the limit refuses; CONFLICT also for a new key that is taken.

        Raises:
            NotSupported: this store can't find a user's sessions.
        """
        outcome = self._write_if_allowed(old_key, record, limit)
        if outcome is not Outcome.DONE or not limit.evicts or record.actor_id is not None:
            return Admission(outcome=outcome)
        listed = self._list_for_limit(record)
        surplus = limit.surplus(record, listed, serialized=self.serializes_logins)
        evicted = (each for each in surplus if self.destroy_session(record.user_id, each.id))
        return Admission(outcome=outcome, evicted=tuple(evicted))

    # The sessions of one user.

    def sessions_for_user(self, user_id: object) -> list[SessionRecord]:
        """
        List the live sessions of a user, without payloads.

        Args:
            user_id: the primary key, as itself or as text.

        Raises:
            NotSupported: this store can't find them, as supports_users says.
        """
        raise NotSupported(
            f"Session store {self.alias!r} ({type(self).__name__}) can't find the sessions of "
            "one user. django_multistore.stores.orm.OrmStore can."
        )

    def page_for_user(self, user_id: object, *, start: int, size: int) -> Page:
        """
        List some of the live sessions of a user, the one seen last first, without payloads.

        This one reads them all. A store does it at a cost that doesn't grow with their number
        where it can; it may put sessions by what it has in order, their expiry say, and count
        some that have ended a moment ago.

        Args:
            user_id: the primary key, as itself or as text.
            start: how many come before the page.
            size: the most that the page has; 0 to count only.

        Raises:
            NotSupported: this store can't find them.
        """
        return page_of(self.sessions_for_user(user_id), start, size)

    def destroy_for_user(self, user_id: object, *, except_key: str | None = None) -> int:
        """
        End the sessions of a user.

        A session that is rotated meanwhile is ended too. One whose login comes in meanwhile
        may live, and is then listed.

        Args:
            user_id: the primary key, as itself or as text.
            except_key: the key of the one that stays.

        Returns:
            How many were ended.

        Raises:
            NotSupported: this store can't find them.
        """
        tried: set[str | None] = {except_key}
        listed = self._list_untried(user_id, tried)
        targets = {record.id for record in listed}
        ended = 0
        for delay in backoff():
            if not listed:
                return ended
            time.sleep(delay)
            tried |= {record.key for record in listed}
            ended += sum(self.destroy(record.key) for record in listed)
            untried = self._list_untried(user_id, tried)
            listed = [record for record in untried if record.id in targets]
        raise self.gave_up("a session of the user moved to another key each time")

    def destroy_session(self, user_id: object, id: int) -> bool:
        """
        End one session of a user by its public name, under whichever key it is.

        Args:
            user_id: the primary key, as itself or as text.
            id: the record's id.

        Returns:
            Whether the user had such a session.

        Raises:
            NotSupported: this store can't find a user's sessions.
        """
        tried: set[str | None] = set()
        for delay in backoff():
            time.sleep(delay)
            named = [each for each in self._list_untried(user_id, tried) if each.id == id]
            if not named:
                return False
            tried |= {record.key for record in named}
            if any(self.destroy(record.key) for record in named):
                return True
        raise self.gave_up("the session moved to another key each time")

    # Many sessions at once, for what moves all of them.

    def create_many(self, records: Sequence[SessionRecord]) -> list[bool]:
        """Create records, and return for each what create() does. This one takes them in turn."""
        return [self.create(record) for record in records]

    def update_many(self, records: Sequence[SessionRecord]) -> list[Outcome]:
        """
        Write records as update() does, and return its outcome for each.

        Each record has a version and a key of its own. This one takes them in turn.
        """
        return [self.update(record) for record in records]

    def retire_many(self, records: Sequence[SessionRecord]) -> None:
        """
        Write records that are of no use but until they expire, which is soon.

        Each has the version that must be stored. Nothing tells whether it was done. A store may
        remove them at once, if it doesn't take their keys for those of ended sessions then.
        """
        self.update_many(records)

    # All sessions.

    def scan(self, cursor: Any, size: int) -> tuple[list[SessionRecord], Any]:
        """
        Return some of the live records, with their payloads, and where the next step begins.

        What is there all the time is found at least once.

        Args:
            cursor: what the step before returned; None in the first step.
            size: about how many to return.

        Returns:
            The records, and a cursor in whatever form the store likes. None: nothing is left.

        Raises:
            NotSupported: this store can't go through its records, as supports_scan says.
        """
        raise NotSupported(
            f"Session store {self.alias!r} ({type(self).__name__}) can't go through all of its "
            "sessions. django_multistore.stores.orm.OrmStore can."
        )

    def database_index(self) -> SessionRowQuerySet:
        """
        Select the rows of the sessions that live, as far as the database knows.

        For what looks over all users.

        Raises:
            NotSupported: this store has no index in a database, as has_database_index says.
        """
        raise NotSupported(
            f"Session store {self.alias!r} ({type(self).__name__}) has no index of its sessions in "
            "a database. django_multistore.stores.orm.OrmStore has."
        )

    def gc(
        self,
        *,
        batch_size: int = GC_BATCH_SIZE,
        max_seconds: float | None = None,
        dry_run: bool = False,
        progress: Callable[[int], object] | None = None,
    ) -> int:
        """
        Remove expired records, step by step.

        Args:
            batch_size: the most that one step may remove.
            max_seconds: begin no further step after this time.
            dry_run: only count them.
            progress: called after each step with the count of it.

        Returns:
            How many were removed (or would be).
        """
        total, cursor = 0, None
        for size in batch_sizes(min(batch_size, self.max_batch_size or batch_size), max_seconds):
            batch = self.remove_expired(cursor, size, dry_run=dry_run)
            total, cursor = total + batch.count, batch.cursor
            if progress is not None:
                progress(batch.count)
            if cursor is None:
                break
        return total

    # For the stores themselves.

    def unavailable(self, error: BaseException) -> StoreUnavailable:
        """Say that this backend could not be asked; the caller raises it from `error`."""
        return self.outages.unavailable(error)

    def gave_up(self, why: str, attempts: int = MODIFY_ATTEMPTS) -> StoreUnavailable:
        """Say that an operation was in vain each time, since `why` came between."""
        return self.outages.gave_up(why, attempts)

    def _list_untried(self, user_id: object, tried: Container[str | None]) -> list[SessionRecord]:
        return [record for record in self.sessions_for_user(user_id) if record.key not in tried]

    def _list_for_limit(self, record: SessionRecord) -> list[SessionRecord]:
        """List the sessions of a record's user for a limit, which leaves out those with actors."""
        return self.sessions_for_user(record.user_id)

    def _write_if_allowed(
        self, old_key: str | None, record: SessionRecord, limit: Limit
    ) -> Outcome:
        may_refuse = record.actor_id is None and not limit.evicts
        if may_refuse and limit.refuses(record, self._list_for_limit(record)):
            return Outcome.FULL
        if old_key is None:
            return Outcome.DONE if self.create(record) else Outcome.CONFLICT
        return self._write_over(old_key, record)

    def _write_over(self, key: str, record: SessionRecord) -> Outcome:
        return self.update(record) if record.key == key else self.rotate(key, record)
