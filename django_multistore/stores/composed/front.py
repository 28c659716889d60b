"""
The front of a TieredStore: what is done to its copies, and what becomes of that in an outage.

A front that can't be asked costs nobody a session: all goes to the back. What it should have been
told is owed, and told before anything is read from it again.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from ...exceptions import StoreUnavailable
from ...records import Outcome, SessionRecord, touched
from ..base import BaseStore
from ..causes import say_cause
from ..handler import stores
from ..steps import Steps, call
from . import copies

RETRY_SECONDS = 1.0  # from one look whether a front is back to the next
MOST_OWED = 10_000
PAID_AT_ONCE = 100  # by one request, when the front is back

logger = logging.getLogger("django_multistore")


class Debt(NamedTuple):
    """What a front has to be told: the name of a method of FrontOps, and what that takes."""

    what: str
    arguments: tuple[Any, ...]


def remove(key: str) -> Debt:
    """Return what ends a copy."""
    return Debt("remove", (key,))


def empty(key: str, user_id: str | None) -> Debt:
    """Return what makes a lease of a copy."""
    return Debt("empty", (key, user_id))


def remove_session(user_id: str, id: int) -> Debt:
    """Return what ends a copy by the session's name."""
    return Debt("remove_session", (user_id, id))


def remove_of_user(user_id: str, except_key: str | None) -> Debt:
    """Return what ends all copies of a user's sessions but one."""
    return Debt("remove_of_user", (user_id, except_key))


class Front:
    """The copies in a store, for all threads of a process."""

    def __init__(self, alias: str, front: str, seconds: float) -> None:
        """
        Take where the copies are.

        Args:
            alias: the composed store's.
            front: the front's.
            seconds: for how long a copy is trusted.
        """
        self._alias = alias
        self._front = front
        self.lasting = timedelta(seconds=seconds)
        self._lock = threading.Lock()
        self._is_down = False
        self._look_at = 0.0  # When the next one looks whether it is back.
        self._owed: dict[Debt, float] = {}  # With the time from which it needs no telling.
        self._uncommitted: dict[str, float] = {}  # Likewise.

    @property
    def store(self) -> BaseStore:
        """The store that has the copies."""
        return stores[self._front]

    # Whether it can be read.

    def may_read(self, key: str) -> bool:
        """Say whether a copy of this session can be served, should there be one."""
        return not self._is_down and not self.is_uncommitted(key)

    def is_uncommitted(self, key: str) -> bool:
        """Say whether this process has changed a session in a transaction that may be open."""
        until = self._uncommitted.get(key) if self._uncommitted else None
        return until is not None and time.monotonic() < until

    def recover(self, key: str) -> Steps[bool]:
        """
        Look whether a front that was down is back, and tell it what it is owed.

        Args:
            key: of any session, which it is asked for.
        """
        if not self._is_down:
            return True
        with self._lock:
            now = time.monotonic()
            if now < self._look_at:
                return False
            self._look_at = now + RETRY_SECONDS
            self._owed = {debt: until for debt, until in self._owed.items() if now < until}
            debts = list(self._owed.items())[:PAID_AT_ONCE]
        try:
            yield from call(self.store.read, self.store.aread, key)
            for debt, until in debts:
                yield from self._tell(debt)
                with self._lock:
                    if self._owed.get(debt) == until:  # Else it is owed once more.
                        del self._owed[debt]
        except StoreUnavailable as error:
            self.note_outage(error)
            return False
        with self._lock:
            if self._owed:
                self._look_at = 0.0
                return False
            was_down, self._is_down = self._is_down, False
        if was_down:
            logger.warning(
                "Session store %r: its front %r answers again.", self._alias, self._front
            )
        return True

    def note_outage(self, error: StoreUnavailable) -> None:
        """Ask the front nothing for a while. An error that has undone a transaction is raised."""
        if error.loses_transaction:
            raise error
        with self._lock:
            was_down, self._is_down = self._is_down, True
            self._look_at = max(self._look_at, time.monotonic() + RETRY_SECONDS)
        if not was_down:
            logger.warning(
                "Session store %r goes on without its front %r until that answers again (%s).",
                self._alias,
                self._front,
                say_cause(error.__cause__ or error),
            )

    def note_uncommitted(self, key: str) -> None:
        """Serve no copy of a session here that was changed in a transaction."""
        now = time.monotonic()
        with self._lock:
            kept = {each: until for each, until in self._uncommitted.items() if now < until}
            self._uncommitted = kept | {key: now + self.lasting.total_seconds()}

    def note_committed(self, key: str) -> None:
        """Take back what note_uncommitted() says."""
        with self._lock:
            self._uncommitted = {
                each: until for each, until in self._uncommitted.items() if each != key
            }

    # What is told.

    def tell(self, *debts: Debt) -> Steps[None]:
        """Tell the front what became of sessions, or owe it that."""
        for debt in debts:
            if self._owe_if_down(debt):
                continue
            try:
                yield from self._tell(debt)
            except StoreUnavailable as error:
                self.note_outage(error)
                self._owe(debt)

    def publish(
        self, truth: SessionRecord, since: datetime, *, is_touch: bool = False
    ) -> Steps[None]:
        """
        Bring the copy of a session up to date, if there is one.

        Args:
            truth: as the back has it now; its id and its creation may be others.
            since: a time before the back was asked.
            is_touch: whether only the times and the device are news.
        """
        debt = empty(truth.key, truth.user_id)
        if self._owe_if_down(debt):
            return

        def change(entry: SessionRecord) -> SessionRecord:
            return self._renew(entry, truth, since, is_touch=is_touch)

        try:
            yield from call(self.store.modify, self.store.amodify, truth.key, change)
        except StoreUnavailable as error:
            self.note_outage(error)
            self._owe(debt)
        except ValueError:  # The front has no room for it.
            yield from self.tell(debt)

    def _renew(
        self, entry: SessionRecord, truth: SessionRecord, since: datetime, *, is_touch: bool
    ) -> SessionRecord:
        copied = copies.find_copied(entry)
        # Who ends a user's sessions finds what is that user's: so nothing is published in the name
        # of another one, nor over a lease, for which nobody has asked the back since.
        if copied is None or entry.user_id != truth.user_id:
            return copies.emptied(entry, truth.user_id, self.lasting, version=entry.version)
        if (copied.version or 0) > (truth.version or 0):
            return entry
        renewed = replace(truth, id=copied.id, created_at=copied.created_at)
        if is_touch:
            if copied.version != truth.version:
                return copies.emptied(entry, truth.user_id, self.lasting, version=entry.version)
            renewed = touched(copied, truth)
        until = since + self.lasting
        return copies.copy_of(renewed, self._alias, version=entry.version, until=until)

    # Filling.

    def take_lease(
        self, entry: SessionRecord | None, truth: SessionRecord
    ) -> Steps[SessionRecord | None]:
        """
        Take the right to fill in a copy; None if another has it.

        Args:
            entry: what the front has under the key.
            truth: as the back had it a moment ago.
        """
        if entry is None:
            return (yield from self._create_lease(truth))
        if copies.is_being_filled(entry):
            return None
        lease = copies.taken_over(entry, self.lasting)
        outcome = yield from call(self.store.update, self.store.aupdate, lease)
        if outcome is not Outcome.DONE:
            return None
        return replace(lease, version=(lease.version or 0) + 1)

    def _create_lease(self, truth: SessionRecord) -> Steps[SessionRecord | None]:
        lease = copies.lease_for(truth, self.lasting)
        if (yield from call(self.store.create, self.store.acreate, lease)):
            return lease
        there = yield from call(self.store.read, self.store.aread, lease.key)
        if there is not None:
            return None
        # Some stores keep what has expired until gc() comes by.
        yield from call(self.store.destroy, self.store.adestroy, lease.key)
        is_free = yield from call(self.store.create, self.store.acreate, lease)
        return lease if is_free else None

    def fill(self, lease: SessionRecord, truth: SessionRecord, since: datetime) -> Steps[None]:
        """
        Put a copy in the place of a lease, if nobody has touched that.

        Args:
            lease: as take_lease() has returned it.
            truth: what the back had after that.
            since: a time between the two.
        """
        if (lease.id, lease.user_id) == (truth.id, truth.user_id):
            entry = copies.copy_of(
                truth, self._alias, version=lease.version, until=since + self.lasting
            )
        else:
            entry = copies.emptied(lease, truth.user_id, self.lasting, version=lease.version)
        yield from call(self.store.update, self.store.aupdate, entry)

    # The telling itself.

    def _tell(self, debt: Debt) -> Steps[None]:
        store, arguments = self.store, debt.arguments
        if debt.what == "remove":
            yield from call(store.destroy, store.adestroy, *arguments)
        elif debt.what == "empty":
            key, user_id = arguments
            lease = copies.blank_lease(key, user_id, self.lasting)
            yield from call(store.update, store.aupdate, lease)
        elif debt.what == "remove_session":
            yield from call(store.destroy_session, store.adestroy_session, *arguments)
        else:
            yield from self._tell_of_user(*arguments)

    def _tell_of_user(self, user_id: str, except_key: str | None) -> Steps[None]:
        def end() -> int:
            return self.store.destroy_for_user(user_id, except_key=except_key)

        async def aend() -> int:
            return await self.store.adestroy_for_user(user_id, except_key=except_key)

        yield from call(end, aend)

    def _owe_if_down(self, debt: Debt) -> bool:
        with self._lock:
            if self._is_down:
                self._note_debt(debt)
            return self._is_down

    def _owe(self, debt: Debt) -> None:
        with self._lock:
            self._note_debt(debt)

    def _note_debt(self, debt: Debt) -> None:
        until = time.monotonic() + self.lasting.total_seconds()
        self._owed[debt] = until
        if len(self._owed) > MOST_OWED:
            # By then it has nothing left that it was not told of.
            self._owed, self._look_at = {}, until
