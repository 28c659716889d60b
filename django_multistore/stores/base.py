"""The interface of a store. django_multistore.testing.StoreContract tests all it says."""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from asgiref.sync import sync_to_async
from django.core.checks import CheckMessage

from ..exceptions import InvalidStore, NotSupported, StoreUnavailable
from ..records import Admission, Limit, Outcome, Page, SessionRecord, page_of, successor, touched

if TYPE_CHECKING:
    # models.py needs the apps to be ready; whoever writes a store may import this before.
    from ..models import SessionRowQuerySet

GC_BATCH_SIZE = 50_000
MODIFY_ATTEMPTS = 25


class BaseStore(ABC):
    """
    Where records live.

    Stores see keys (digests of session keys) and payloads (opaque bytes), never a session
    key. A store is built once for each process and shared by its threads. A backend that
    can't be asked raises StoreUnavailable from every method: an outage is never taken for
    a session that isn't there. Each method has a twin for async code, named a….
    """

    default_options: ClassVar[dict[str, Any]] = {}

    # Whether admit() is run for one login of a user after the other.
    serializes_logins: ClassVar[bool] = False

    def __init__(self, alias: str = "default", **options: Any) -> None:
        """
        Take the store's place in SESSION_STORES.

        Args:
            alias: its key there, for messages.
            options: its OPTIONS.

        Raises:
            InvalidStore: an option isn't one of default_options.
        """
        if unknown := options.keys() - self.default_options.keys():
            known = ", ".join(map(repr, sorted(self.default_options))) or "none"
            raise InvalidStore(
                f"SESSION_STORES[{alias!r}]['OPTIONS'] has "
                f"{', '.join(map(repr, sorted(unknown)))}, which {type(self).__name__} doesn't "
                f"know. Its options: {known}."
            )
        self.alias = alias
        self.options = {**self.default_options, **options}

    @property
    def place(self) -> str | None:
        """What no other store may share, in words. None: there is no such thing."""
        return None

    # What each store must do.

    @abstractmethod
    def read(self, key: str) -> SessionRecord | None:
        """Return the live record under this key; None if it is unknown or has expired."""

    @abstractmethod
    def create(self, record: SessionRecord) -> bool:
        """
        Store a new record.

        Returns:
            False, and nothing is stored, if its key is taken. A store may remember the keys
            of sessions that were ended, and take them for taken.

        Raises:
            ValueError: the user id doesn't fit the store.
        """

    @abstractmethod
    def update(self, record: SessionRecord) -> Outcome:
        """
        Write the record if the version that is stored is still record.version.

        With version None, whichever version is there is overwritten. The stored version
        becomes one higher; id and created_at stay. Never creates a record, and never
        brings back one that has expired.
        """

    @abstractmethod
    def destroy(self, key: str) -> bool:
        """End the session under this key and say whether it was there. Missing is no error."""

    @abstractmethod
    def gc(
        self,
        *,
        batch_size: int = GC_BATCH_SIZE,
        max_seconds: float | None = None,
        dry_run: bool = False,
        progress: Callable[[int], object] | None = None,
    ) -> int:
        """
        Remove expired records.

        Args:
            batch_size: the most that one step may remove.
            max_seconds: begin no further step after this time.
            dry_run: only count them.
            progress: called after each step with the count of it.

        Returns:
            How many were removed (or would be).
        """

    # What follows from that. A store overrides it where it can do better.

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

        Other than by read(), a store whose reads may be older than its writes finds the newest.
        """
        return self.read(key)

    def touch(self, record: SessionRecord) -> bool:
        """
        Move last_seen_at, expires_at and device if the version is still record.version.

        Neither time moves back: the later of what is stored and what is given stays. The
        payload stays as it is.

        Returns:
            Whether it was so. False is not an error: another save was quicker.
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

        Where logins don't take turns, of some that come at once one too many may get in. A session
        with an actor doesn't count, and neither evicts nor is refused.

        Args:
            old_key: None to create the record; its own key to update it, another to rotate.
            record: of the user, who had no part in it before.
            limit: how many sessions the user may have, this one among them.

        Returns:
            FULL if the limit refuses; CONFLICT also for a new key that is taken.

        Raises:
            NotSupported: this store can't find a user's sessions.
        """
        outcome = self._admitted(old_key, record, limit)
        if outcome is not Outcome.DONE or not limit.evicts or record.actor_id is not None:
            return Admission(outcome=outcome)
        listed = self._counted(record)
        surplus = limit.surplus(record, listed, serialized=self.serializes_logins)
        evicted = (each for each in surplus if self.destroy_session(record.user_id, each.id))
        return Admission(outcome=outcome, evicted=tuple(evicted))

    def sessions_for_user(self, user_id: object) -> list[SessionRecord]:
        """
        List the live sessions of a user, without payloads.

        Args:
            user_id: the primary key, as itself or as text.

        Raises:
            NotSupported: this store can't find them.
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

    def database_index(self) -> SessionRowQuerySet | None:
        """
        Return the rows of the sessions that live, as far as the database knows.

        For what looks over all users. None: this store has no index in a database.
        """
        return None

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
        listed = self._untried(user_id, tried)
        targets = {record.id for record in listed}
        ended = 0
        for delay in backoff():
            if not listed:
                return ended
            time.sleep(delay)
            tried |= {record.key for record in listed}
            ended += sum(self.destroy(record.key) for record in listed)
            listed = [record for record in self._untried(user_id, tried) if record.id in targets]
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
            named = [record for record in self._untried(user_id, tried) if record.id == id]
            if not named:
                return False
            tried |= {record.key for record in named}
            if any(self.destroy(record.key) for record in named):
                return True
        raise self.gave_up("the session moved to another key each time")

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        """
        Check this store's own configuration, for django.core.checks.

        Args:
            kwargs: `deploy` is True for what only production needs.
        """
        return []

    # The twins. A store whose backend has an async client overrides them.

    async def aread(self, key: str) -> SessionRecord | None:
        """See read()."""
        return await sync_to_async(self.read)(key)

    async def acreate(self, record: SessionRecord) -> bool:
        """See create()."""
        return await sync_to_async(self.create)(record)

    async def aupdate(self, record: SessionRecord) -> Outcome:
        """See update()."""
        return await sync_to_async(self.update)(record)

    async def adestroy(self, key: str) -> bool:
        """See destroy()."""
        return await sync_to_async(self.destroy)(key)

    async def agc(
        self,
        *,
        batch_size: int = GC_BATCH_SIZE,
        max_seconds: float | None = None,
        dry_run: bool = False,
        progress: Callable[[int], object] | None = None,
    ) -> int:
        """See gc()."""
        return await sync_to_async(self.gc)(
            batch_size=batch_size, max_seconds=max_seconds, dry_run=dry_run, progress=progress
        )

    async def awrite(self, record: SessionRecord) -> None:
        """See write()."""
        await sync_to_async(self.write)(record)

    async def areread(self, key: str) -> SessionRecord | None:
        """See reread()."""
        return await sync_to_async(self.reread)(key)

    async def atouch(self, record: SessionRecord) -> bool:
        """See touch()."""
        return await sync_to_async(self.touch)(record)

    async def arotate(self, old_key: str, record: SessionRecord) -> Outcome:
        """See rotate()."""
        return await sync_to_async(self.rotate)(old_key, record)

    async def amodify(self, key: str, change: Callable[[SessionRecord], SessionRecord]) -> Outcome:
        """See modify()."""
        return await sync_to_async(self.modify)(key, change)

    async def aadmit(self, old_key: str | None, record: SessionRecord, limit: Limit) -> Admission:
        """See admit()."""
        return await sync_to_async(self.admit)(old_key, record, limit)

    async def asessions_for_user(self, user_id: object) -> list[SessionRecord]:
        """See sessions_for_user()."""
        return await sync_to_async(self.sessions_for_user)(user_id)

    async def apage_for_user(self, user_id: object, *, start: int, size: int) -> Page:
        """See page_for_user()."""
        return await sync_to_async(self.page_for_user)(user_id, start=start, size=size)

    async def adestroy_for_user(self, user_id: object, *, except_key: str | None = None) -> int:
        """See destroy_for_user()."""
        return await sync_to_async(self.destroy_for_user)(user_id, except_key=except_key)

    async def adestroy_session(self, user_id: object, id: int) -> bool:
        """See destroy_session()."""
        return await sync_to_async(self.destroy_session)(user_id, id)

    # For the stores themselves.

    def unavailable(self, error: BaseException) -> StoreUnavailable:
        """Say that this backend could not be asked; the caller raises it from `error`."""
        return StoreUnavailable(
            f"Session store {self.alias!r} ({type(self).__name__}) could not be asked, so "
            f"nothing is known about the session ({type(error).__name__}: {error})."
        )

    def gave_up(self, why: str, attempts: int = MODIFY_ATTEMPTS) -> StoreUnavailable:
        """
        Say that an operation was in vain each time, for the caller to raise.

        Args:
            why: what came between.
            attempts: how often it was tried.
        """
        return StoreUnavailable(
            f"Session store {self.alias!r} ({type(self).__name__}) gave up after {attempts} "
            f"attempts: {why}."
        )

    def _untried(self, user_id: object, tried: Container[str | None]) -> list[SessionRecord]:
        return [record for record in self.sessions_for_user(user_id) if record.key not in tried]

    def _admitted(self, old_key: str | None, record: SessionRecord, limit: Limit) -> Outcome:
        is_limited = record.actor_id is None and not limit.evicts
        if is_limited and limit.refuses(record, self._counted(record)):
            return Outcome.FULL
        if old_key is None:
            return Outcome.DONE if self.create(record) else Outcome.CONFLICT
        return self._write_over(old_key, record)

    def _counted(self, record: SessionRecord) -> list[SessionRecord]:
        """Return the sessions of a record's user, among them those that count."""
        return self.sessions_for_user(record.user_id)

    def _write_over(self, key: str, record: SessionRecord) -> Outcome:
        return self.update(record) if record.key == key else self.rotate(key, record)


def backoff(attempts: int = MODIFY_ATTEMPTS) -> Iterator[float]:
    """
    Yield the seconds to wait before each attempt, random so that rivals part.

    Args:
        attempts: how many.
    """
    for attempt in range(attempts):
        yield random.uniform(0, min(0.001 * 2**attempt, 0.05)) if attempt else 0.0  # noqa: S311
