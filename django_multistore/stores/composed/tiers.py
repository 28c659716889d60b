"""How the copies of a TieredStore keep in step with what they are copies of."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ...exceptions import StoreUnavailable
from ...records import Admission, Limit, Outcome, Page, SessionRecord, successor, user_id_of
from ...session import clock
from ..base import BaseStore
from ..handler import stores
from ..steps import Result, Steps, call, call_database, run, to_its_end
from ..stepwise import Operations
from .copies import find_copied
from .front import Debt, Front, empty, remove, remove_of_user, remove_session


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
