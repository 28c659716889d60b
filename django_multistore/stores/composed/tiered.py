"""TieredStore: sessions in one store, and copies of them in a quicker one."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar, NamedTuple

from django.core.checks import CheckMessage, Error

from ...exceptions import InvalidStore, StoreUnavailable
from ...models import SessionRowQuerySet
from ...records import Admission, Limit, Outcome, Page, SessionRecord, successor, user_id_of
from ...session import clock
from ..base import BaseStore
from ..batches import Batch
from ..handler import stores
from ..steps import Result, Steps, arun, call, call_database, run, to_its_end
from ..stepwise import Operations, StepwiseStore
from .copies import find_copied
from .front import Debt, Front, empty, remove, remove_of_user, remove_session
from .parts import ComposedStore, FlagOfParts

LONGEST_SECONDS = 24 * 3600


class _Cursor(NamedTuple):
    """Where gc is: in the back, and then in the front, whose copies are no sessions."""

    is_in_front: bool
    there: Any


class TieredStore(ComposedStore, StepwiseStore):
    """
    Keep records in one store, and serve copies of them from a quicker one.

    A copy is never older than what was saved last, nor there when its session has ended. Without
    the front each request goes to the back.

    Options:
        FRONT: the alias of the store that has the copies: a RedisStore, for example.
        BACK: the alias of the store that has the sessions.
        FRONT_SECONDS: for how long a copy is served at the most.
    """

    default_options: ClassVar[dict[str, Any]] = {"FRONT": None, "BACK": None, "FRONT_SECONDS": 300}
    PARTS = ("BACK", "FRONT")

    supports_users = FlagOfParts("supports_users", "BACK")
    serializes_logins = FlagOfParts("serializes_logins", "BACK")
    has_database_index = FlagOfParts("has_database_index", "BACK")

    _protocol: TieredProtocol

    def __init__(self, alias: str = "default", **options: Any) -> None:
        super().__init__(alias, **options)
        seconds = self.options["FRONT_SECONDS"]
        is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if not is_number or not 1 <= seconds <= LONGEST_SECONDS:
            raise InvalidStore(
                f"SESSION_STORES[{alias!r}]['OPTIONS']['FRONT_SECONDS'] is {seconds!r}. It must be "
                f"a number of seconds, from 1 to {LONGEST_SECONDS}."
            )
        if self.options["FRONT"] == self.options["BACK"]:
            raise InvalidStore(
                f"SESSION_STORES[{alias!r}]['OPTIONS'] has {self.options['BACK']!r} as FRONT and "
                "as BACK. Name two stores."
            )
        self._front = Front(alias, self.options["FRONT"], seconds)
        self._protocol = TieredProtocol(self._front, self.options["BACK"])

    @property
    def _back(self) -> BaseStore:
        return stores[self.options["BACK"]]

    @property
    def configured_by(self) -> str:
        return self._back.configured_by

    @property
    def database(self) -> str | None:
        """The alias of the database of the back, if it has one."""
        return getattr(self._back, "database", None)

    # A hit is one question to the front, so read() is no protocol for run().

    def read(self, key: str) -> SessionRecord | None:
        if not self._front.may_read(key):
            return run(self._protocol.read_again(key))
        try:
            entry = self._front.store.read(key)
        except StoreUnavailable as error:
            self._front.note_outage(error)
            return self._back.read(key)
        copied = find_copied(entry)
        return run(self._protocol.fill(key, entry)) if copied is None else copied

    async def aread(self, key: str) -> SessionRecord | None:
        if not self._front.may_read(key):
            return await arun(self._protocol.read_again(key))
        try:
            entry = await self._front.store.aread(key)
        except StoreUnavailable as error:
            self._front.note_outage(error)
            return await self._back.aread(key)
        copied = find_copied(entry)
        return await arun(self._protocol.fill(key, entry)) if copied is None else copied

    def reread(self, key: str) -> SessionRecord | None:
        return self._back.reread(key)

    async def areread(self, key: str) -> SessionRecord | None:
        return await self._back.areread(key)

    def database_index(self) -> SessionRowQuerySet:
        return self._back.database_index()

    def remove_expired(self, cursor: _Cursor | None, size: int, *, dry_run: bool) -> Batch:
        is_in_front, there = cursor or (False, None)
        part = self._front.store if is_in_front else self._back
        size = min(size, part.max_batch_size or size)
        if not is_in_front:
            batch = part.remove_expired(there, size, dry_run=dry_run)
            if batch.cursor is not None:
                return Batch(batch.count, _Cursor(False, batch.cursor))
            return Batch(batch.count, None if dry_run else _Cursor(True, None))
        with suppress(StoreUnavailable):  # What isn't removed there expires.
            batch = part.remove_expired(there, size, dry_run=dry_run)
            return Batch(0, None if batch.cursor is None else _Cursor(True, batch.cursor))
        return Batch(0)

    def is_in_transaction(self) -> bool:
        return self._back.is_in_transaction()

    def after_commit(self, action: Callable[[], object]) -> None:
        self._back.after_commit(action)

    def fits(self, key: str, user_id: str | None, old_key: str | None = None) -> bool:
        return self._back.fits(key, user_id, old_key)

    def try_more(self, record: SessionRecord) -> None:
        self._back.try_more(record)

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        front, back = self._front.store, self._back
        where = f"SESSION_STORES[{self.alias!r}]['OPTIONS']['FRONT']"
        if front.place is not None and front.place == back.place:
            return [
                Error(
                    f"Session store {self.alias!r} has its FRONT and its BACK at one place: "
                    f"{back.place}.",
                    hint=f"Have {where} name a store with another place, a RedisStore for example.",
                    id="django_multistore.E028",
                )
            ]
        reason = front.unfit_for_copies
        if reason is None and not front.supports_users:
            reason = "which can't find the sessions of one user"
        if reason is None:
            return []
        return [
            Error(
                f"Session store {self.alias!r} would serve sessions after their end: its FRONT is "
                f"{front.alias!r} ({type(front).__name__}), {reason}.",
                hint=f"Have {where} name a RedisStore, or a CacheStore with EXACT.",
                id="django_multistore.E027",
            )
        ]


class TieredProtocol(Operations):
    """
    The steps of each operation: at the back first, which decides, and then at the front.

    docs/composed-stores.md has the orders, and why.
    """

    def __init__(self, front: Front, back: str) -> None:
        self._front = front
        self._back_alias = back

    @property
    def _back(self) -> BaseStore:
        return stores[self._back_alias]

    # Reading.

    def read_again(self, key: str) -> Steps[SessionRecord | None]:
        """Read a session while the front is down, or may have what is older."""
        is_up = not self._front.is_uncommitted(key) and (yield from self._front.recover(key))
        if not is_up:
            return (yield from self._read_back(key))
        front = self._front.store
        try:
            entry = yield from call(front.read, front.aread, key)
        except StoreUnavailable as error:
            self._front.note_outage(error)
            return (yield from self._read_back(key))
        copied = find_copied(entry)
        return copied if copied is not None else (yield from self.fill(key, entry))

    def fill(self, key: str, entry: SessionRecord | None) -> Steps[SessionRecord | None]:
        """
        Read a session of which the front has no copy, and put one there.

        Args:
            key: the session's.
            entry: what the front has in place of a copy.
        """
        # What is read in a transaction may be rolled back, or older than what is committed.
        if (yield from self._is_in_transaction()):
            return (yield from self._read_back(key))
        truth = entry
        if entry is None:
            # A lease is in the name of the user, so that the end of a user's sessions ends it.
            truth = yield from self._read_back(key)
        if truth is None:
            return None
        try:
            lease = yield from self._front.take_lease(entry, truth)
        except StoreUnavailable as error:
            self._front.note_outage(error)
            lease = None
        except ValueError:  # The front has no room for such a user.
            lease = None
        if lease is None:
            return truth if entry is None else (yield from self._read_back(key))
        # Whoever has changed or ended it since the lease was put there has touched the lease.
        since = clock.now()
        truth = yield from self._read_back(key)
        if truth is not None:
            try:
                yield from self._front.fill(lease, truth, since)
            except StoreUnavailable as error:
                self._front.note_outage(error)
            except ValueError:  # Nor for such a session.
                pass
        return truth

    # Writing.

    def create(self, record: SessionRecord) -> Steps[bool]:
        # There is no copy of a session that nobody knows.
        return call(self._back.create, self._back.acreate, record)

    def update(self, record: SessionRecord) -> Steps[Outcome]:
        back, since = self._back, clock.now()
        steps = call(back.update, back.aupdate, record)
        outcome = yield from self._decide(steps, empty(record.key, record.user_id))
        yield from self._note_write(record.key, record, outcome, since)
        return outcome

    def touch(self, record: SessionRecord) -> Steps[bool]:
        back, since = self._back, clock.now()
        debt = empty(record.key, record.user_id)
        is_done = yield from self._decide(call(back.touch, back.atouch, record), debt)
        publish = self._front.publish(record, since, is_touch=True) if is_done else None
        yield from self._tell([debt], publish)
        return is_done

    def rotate(self, old_key: str, record: SessionRecord) -> Steps[Outcome]:
        back = self._back
        steps = call(back.rotate, back.arotate, old_key, record)
        outcome = yield from self._decide(steps, empty(old_key, None))
        yield from self._note_write(old_key, record, outcome, clock.now())
        return outcome

    def modify(self, key: str, change: Callable[[SessionRecord], SessionRecord]) -> Steps[Outcome]:
        back, since = self._back, clock.now()
        written: list[SessionRecord] = []

        def note(stored: SessionRecord) -> SessionRecord:
            changed = change(stored)
            is_known = changed.version == stored.version
            written[:] = [successor(stored, changed)] if is_known else []
            return changed

        steps = call(back.modify, back.amodify, key, note)
        outcome = yield from self._decide(steps, empty(key, None))
        if outcome is Outcome.DONE and written and written[0].key == key:
            publish = self._front.publish(written[0], since)
            yield from self._tell([empty(key, written[0].user_id)], publish)
        else:
            is_moved = bool(written) and written[0].key != key
            is_over = outcome is Outcome.GONE or is_moved
            yield from self._tell([remove(key) if is_over else empty(key, None)])
        return outcome

    def admit(self, old_key: str | None, record: SessionRecord, limit: Limit) -> Steps[Admission]:
        back, since = self._back, clock.now()
        steps = call(back.admit, back.aadmit, old_key, record, limit)
        debts = [] if old_key is None else [empty(old_key, None)]
        admission = yield from self._decide(steps, *debts)
        if old_key is not None:
            yield from self._note_write(old_key, record, admission.outcome, since)
        ended = [remove_session(user_id_of(each.user_id), each.id) for each in admission.evicted]
        if ended:
            yield from self._tell(ended)
        return admission

    # Ending.

    def destroy(self, key: str) -> Steps[bool]:
        back = self._back
        is_ended = yield from self._decide(call(back.destroy, back.adestroy, key), empty(key, None))
        # Also where it was gone: who has ended it may have died before it came to the front.
        yield from self._tell([remove(key)])
        return is_ended

    def destroy_for_user(self, user_id: str, *, except_key: str | None = None) -> Steps[int]:
        back, debt = self._back, remove_of_user(user_id, except_key)

        def end() -> int:
            return back.destroy_for_user(user_id, except_key=except_key)

        async def aend() -> int:
            return await back.adestroy_for_user(user_id, except_key=except_key)

        count = yield from self._decide(call(end, aend), debt)
        yield from self._tell([debt])
        return count

    def destroy_session(self, user_id: str, id: int) -> Steps[bool]:
        back, debt = self._back, remove_session(user_id, id)
        steps = call(back.destroy_session, back.adestroy_session, user_id, id)
        is_ended = yield from self._decide(steps, debt)
        yield from self._tell([debt])
        return is_ended

    # Listing.

    def sessions_for_user(self, user_id: str) -> Steps[list[SessionRecord]]:
        return call(self._back.sessions_for_user, self._back.asessions_for_user, user_id)

    def page_for_user(self, user_id: str, *, start: int, size: int) -> Steps[Page]:
        back = self._back

        def page() -> Page:
            return back.page_for_user(user_id, start=start, size=size)

        async def apage() -> Page:
            return await back.apage_for_user(user_id, start=start, size=size)

        return call(page, apage)

    # What these are made of.

    def _read_back(self, key: str) -> Steps[SessionRecord | None]:
        return call(self._back.read, self._back.aread, key)

    def _decide(self, steps: Steps[Result], *debts: Debt) -> Steps[Result]:
        """Take a step at the back. If nobody knows whether it was done, no copy is trusted."""
        try:
            return (yield from steps)
        except (Exception, CancelledError):
            yield from to_its_end(self._front.tell(*debts))
            raise

    def _note_write(
        self, old_key: str, record: SessionRecord, outcome: Outcome, since: Any
    ) -> Steps[None]:
        """Have the front know how a compare-and-set has ended."""
        is_done = outcome is Outcome.DONE
        is_over = outcome is Outcome.GONE or record.expires_at <= since
        if outcome is Outcome.FULL:
            return
        if is_over or (is_done and record.key != old_key):
            yield from self._tell([remove(old_key)])
        elif is_done and record.version is not None:
            written = successor(record, record)
            debt = empty(old_key, record.user_id)
            yield from self._tell([debt], self._front.publish(written, since))
        else:
            yield from self._tell([empty(old_key, record.user_id)])

    def _tell(self, debts: Sequence[Debt], publish: Steps[None] | None = None) -> Steps[None]:
        """
        Tell the front what became of sessions, now and once it is committed.

        Args:
            debts: what it needs to know at least.
            publish: what to do instead, if nothing can undo it.
        """
        # A task that is cancelled has changed the session, and must not leave its copy.
        yield from to_its_end(self._tell_or_publish(debts, publish))

    def _tell_or_publish(self, debts: Sequence[Debt], publish: Steps[None] | None) -> Steps[None]:
        is_open = yield from self._await_commit(debts)
        if is_open:
            # A rollback would leave what has ended alive: it may not be ended at the front yet.
            debts = [empty(each.arguments[0], None) for each in debts if _has_key(each)]
            publish = None
        yield from self._front.tell(*debts) if publish is None else publish

    def _await_commit(self, debts: Sequence[Debt]) -> Steps[bool]:
        """Have the front told once more after the commit, and say whether that is to come."""
        if not self._has_transactions:
            return False
        return (yield from call_database(self._note_transaction, debts))

    def _note_transaction(self, debts: Sequence[Debt]) -> bool:
        back = self._back
        if not back.is_in_transaction():
            return False
        keys = [debt.arguments[0] for debt in debts if _has_key(debt)]
        for key in keys:
            self._front.note_uncommitted(key)
        back.after_commit(partial(self._note_commit, keys, debts))
        return True

    def _note_commit(self, keys: Sequence[str], debts: Sequence[Debt]) -> None:
        run(self._front.tell(*debts))
        for key in keys:
            self._front.note_committed(key)

    def _is_in_transaction(self) -> Steps[bool]:
        if not self._has_transactions:
            return False
        return (yield from call_database(self._back.is_in_transaction))

    @property
    def _has_transactions(self) -> bool:
        return type(self._back).is_in_transaction is not BaseStore.is_in_transaction


def _has_key(debt: Debt) -> bool:
    return debt.what in ("remove", "empty")
