"""The operations of a SplitStore, and how a session gets from one of its stores to the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from ...records import (
    Admission,
    Limit,
    Outcome,
    Page,
    SessionRecord,
    page_of,
    successor,
    user_id_of,
)
from ...session import clock
from ..attempts import MODIFY_ATTEMPTS, Outages, backoff
from ..base import BaseStore
from ..handler import stores
from ..steps import Steps, call, pause
from ..stepwise import Operations
from . import marks
from .marks import Found

# For so long a session is kept that is not alive yet, if nothing is marked with its key.
LIFE_OF_PENDING = timedelta(seconds=60)
ODD_DIGITS = frozenset("13579bdf")
MEETS = "other requests changed one session"


class _NotHere(Exception):
    """A change that one store can't make by itself."""


def belongs_to_user(key: str) -> bool:
    """Say whether the session under this key is in the store of users' sessions."""
    return key[-1] in ODD_DIGITS


class SplitProtocol(Operations):
    """
    The steps of each operation.

    An anonymous session that its login takes to the other store is alive there, and dead here, by
    one compare-and-set. docs/composed-stores.md has the steps, and what a crash leaves after each.
    """

    def __init__(self, outages: Outages, *, anonymous: str, users: str) -> None:
        self._outages = outages
        self._anonymous_alias = anonymous
        self._users_alias = users

    @property
    def _anonymous(self) -> BaseStore:
        return stores[self._anonymous_alias]

    @property
    def _users(self) -> BaseStore:
        return stores[self._users_alias]

    def part_of(self, key: str) -> BaseStore:
        """Return the store that has the session under this key."""
        return self._users if belongs_to_user(key) else self._anonymous

    # Reading.

    def resolve(self, entry: SessionRecord) -> Steps[SessionRecord | None]:
        """Return the session that is stored in an entry of the anonymous ones, if it lives."""
        found = marks.find(entry)
        return found.record if (yield from self._is_alive(found)) else None

    def reread(self, key: str) -> Steps[SessionRecord | None]:
        """Read the newest there is, to write over it."""
        part = self.part_of(key)
        entry = yield from call(part.reread, part.areread, key)
        if entry is None or marks.is_waiting(entry):
            return None
        return (yield from self.resolve(entry))

    def _find(self, key: str) -> Steps[Found | None]:
        """Find a live session to change it, as it is stored."""
        part = self.part_of(key)
        entry = yield from call(part.reread, part.areread, key)
        if entry is None or marks.is_waiting(entry):
            return None
        found = marks.find(entry)
        return found if (yield from self._is_alive(found)) else None

    def _is_alive(self, found: Found) -> Steps[bool]:
        if found.target is None:
            return True
        # What is no longer there was completed, and has ended since.
        there = yield from self._read_target(found.target)
        return there is not None and marks.is_waiting(there)

    def _read_target(self, key: str) -> Steps[SessionRecord | None]:
        return call(self._users.reread, self._users.areread, key)

    def _hold_back(self, found: Found) -> Steps[bool]:
        """Have a login that is under way fail, and say whether that came before its end."""
        if found.target is None:
            return True
        there = yield from self._read_target(found.target)
        if there is None or there.payload != marks.PENDING:
            return there is not None and there.payload == marks.VOID
        users, void = self._users, marks.voided(there)
        return (yield from call(users.update, users.aupdate, void)) is Outcome.DONE

    # Writing one session.

    def create(self, record: SessionRecord) -> Steps[bool]:
        part = self.part_of(record.key)
        return call(part.create, part.acreate, record)

    def update(self, record: SessionRecord) -> Steps[Outcome]:
        if record.version is None and not belongs_to_user(record.key):
            return self._write_over_any(record.key, record)
        # A mark has a version that nobody has seen.
        part = self.part_of(record.key)
        return call(part.update, part.aupdate, record)

    def touch(self, record: SessionRecord) -> Steps[bool]:
        part = self.part_of(record.key)
        return call(part.touch, part.atouch, record)

    def rotate(self, old_key: str, record: SessionRecord) -> Steps[Outcome]:
        if belongs_to_user(old_key) != belongs_to_user(record.key):
            return (yield from self._cross(old_key, record)).outcome
        if record.version is None and not belongs_to_user(old_key):
            return (yield from self._write_over_any(old_key, record))
        part = self.part_of(old_key)
        return (yield from call(part.rotate, part.arotate, old_key, record))

    def modify(self, key: str, change: Callable[[SessionRecord], SessionRecord]) -> Steps[Outcome]:
        part = self.part_of(key)

        def change_here(stored: SessionRecord) -> SessionRecord:
            if marks.is_waiting(stored) or marks.find(stored).target is not None:
                raise _NotHere
            changed = change(stored)
            if belongs_to_user(changed.key) != belongs_to_user(key):
                raise _NotHere
            return changed

        try:
            return (yield from call(part.modify, part.amodify, key, change_here))
        except _NotHere:
            return (yield from self._modify_by_steps(key, change))

    def destroy(self, key: str) -> Steps[bool]:
        part = self.part_of(key)
        if belongs_to_user(key):
            return (yield from call(part.destroy, part.adestroy, key))
        for delay in backoff():
            yield from pause(delay)
            found = yield from self._find(key)
            if found is None:
                yield from call(part.destroy, part.adestroy, key)
                return False
            if not (yield from self._hold_back(found)):
                continue
            # Not by destroy(): a login may mark it just now, and would take it along.
            entry = found.entry
            over = replace(entry, expires_at=entry.created_at)
            if (yield from call(part.update, part.aupdate, over)) is Outcome.DONE:
                yield from call(part.destroy, part.adestroy, key)
                return True
        raise self._outages.gave_up(MEETS, MODIFY_ATTEMPTS)

    def _write_over_any(self, old_key: str, record: SessionRecord) -> Steps[Outcome]:
        def change(stored: SessionRecord) -> SessionRecord:
            return replace(record, version=stored.version)

        return (yield from self.modify(old_key, change))

    def _modify_by_steps(
        self, key: str, change: Callable[[SessionRecord], SessionRecord]
    ) -> Steps[Outcome]:
        part = self.part_of(key)
        for delay in backoff():
            yield from pause(delay)
            found = yield from self._find(key)
            if found is None:
                return Outcome.GONE
            if not (yield from self._hold_back(found)):
                continue
            changed = change(found.latest)
            if belongs_to_user(changed.key) != belongs_to_user(key):
                outcome = (yield from self._cross(key, changed, found=found)).outcome
            elif changed.key == key:
                outcome = yield from call(part.update, part.aupdate, changed)
            else:
                outcome = yield from call(part.rotate, part.arotate, key, changed)
            if outcome is not Outcome.CONFLICT:
                return outcome
        raise self._outages.gave_up(MEETS, MODIFY_ATTEMPTS)

    # From one store to the other.

    def _cross(
        self,
        old_key: str,
        record: SessionRecord,
        limit: Limit | None = None,
        *,
        found: Found | None = None,
    ) -> Steps[Admission]:
        """
        Rotate a session to a key in the other store.

        Args:
            old_key: where it is.
            record: as it is to be.
            limit: of its user's sessions, if that is to be kept.
            found: what is there, if any login that was under way was held back.
        """
        if found is None:
            found = yield from self._find(old_key)
            if found is None:
                return Admission(outcome=Outcome.GONE)
            if record.version not in (None, found.record.version):
                return Admission(outcome=Outcome.CONFLICT)
            if not (yield from self._hold_back(found)):
                return Admission(outcome=Outcome.CONFLICT)
        stored = found.latest
        new = successor(stored, record)
        # An anonymous session is nobody's to end by its user, so that it can wait for its login.
        can_wait = belongs_to_user(record.key) and stored.user_id is None
        until = stored.expires_at if can_wait else clock.now() + LIFE_OF_PENDING
        user_id = None if can_wait else new.user_id
        pending = marks.pending(replace(new, version=stored.version), user_id=user_id, until=until)
        waiting = yield from self._put_pending(pending)
        if waiting is None:
            return Admission(outcome=Outcome.CONFLICT)
        complete = self._complete_marked if can_wait else self._complete_expired
        return (yield from complete(stored, waiting, new, limit))

    def _put_pending(self, pending: SessionRecord) -> Steps[SessionRecord | None]:
        """Put a session that isn't alive yet where it is to be; None if its key is another's."""
        part = self.part_of(pending.key)
        if (yield from call(part.create, part.acreate, pending)):
            return pending
        # It may be what an attempt before this one has left.
        there = yield from call(part.reread, part.areread, pending.key)
        if there is None or not marks.is_waiting(there) or there.id != pending.id:
            return None
        again = replace(pending, version=there.version)
        if (yield from call(part.update, part.aupdate, again)) is not Outcome.DONE:
            return None
        return replace(again, version=(there.version or 0) + 1)

    def _complete_marked(
        self, stored: SessionRecord, waiting: SessionRecord, new: SessionRecord, limit: Limit | None
    ) -> Steps[Admission]:
        """Move a session whose mark leads to the new one: it is alive until that is."""
        old, part = self._anonymous, self.part_of(new.key)
        marked = marks.marked(stored, new.key)
        outcome = yield from call(old.update, old.aupdate, marked)
        if outcome is not Outcome.DONE:
            return Admission(outcome=outcome)
        final = replace(new, version=waiting.version)
        if limit is None:
            outcome = yield from call(part.update, part.aupdate, final)
            admission = Admission(outcome=outcome)
        else:
            admission = yield from call(part.admit, part.aadmit, new.key, final, limit)
        if admission.outcome is Outcome.DONE:
            yield from call(old.destroy, old.adestroy, stored.key)
            return admission
        if admission.outcome is Outcome.FULL:
            plain = replace(stored, version=(stored.version or 0) + 1)
            yield from call(old.update, old.aupdate, plain)
            return admission
        # Somebody has held it back, and what is under the old key is newer now.
        return Admission(outcome=Outcome.CONFLICT)

    def _complete_expired(
        self, stored: SessionRecord, waiting: SessionRecord, new: SessionRecord, limit: Limit | None
    ) -> Steps[Admission]:
        """Move a session as BaseStore.rotate() does: it is dead before the new one is alive."""
        old, part = self.part_of(stored.key), self.part_of(new.key)
        over = replace(stored, expires_at=stored.created_at)
        outcome = yield from call(old.update, old.aupdate, over)
        if outcome is not Outcome.DONE:
            return Admission(outcome=outcome)
        yield from call(old.destroy, old.adestroy, stored.key)
        final = replace(new, version=waiting.version)
        outcome = yield from call(part.update, part.aupdate, final)
        return Admission(outcome=Outcome.DONE if outcome is Outcome.DONE else Outcome.GONE)

    def admit(self, old_key: str | None, record: SessionRecord, limit: Limit) -> Steps[Admission]:
        # Sessions that have got their user without a rotation are where they were.
        is_usual = belongs_to_user(record.key) and not (
            yield from self._list_of(self._anonymous, user_id_of(record.user_id))
        )
        if not is_usual:
            return (yield from super().admit(old_key, record, limit))
        users = self._users
        if old_key is not None and not belongs_to_user(old_key):
            if not limit.evicts:
                # Who is refused has lost nothing. Of those who come at once, admit() refuses some.
                listed = yield from self._list_of(users, user_id_of(record.user_id))
                if limit.refuses(record, listed):
                    return Admission(outcome=Outcome.FULL)
            return (yield from self._cross(old_key, record, limit))
        return (yield from call(users.admit, users.aadmit, old_key, record, limit))

    # One user's sessions.

    def sessions_for_user(self, user_id: str) -> Steps[list[SessionRecord]]:
        users = self._users
        own = yield from call(users.sessions_for_user, users.asessions_for_user, user_id)
        names = {record.id for record in own}
        others = yield from self._list_of(self._anonymous, user_id)
        return own + [record for record in others if record.id not in names]

    def page_for_user(self, user_id: str, *, start: int, size: int) -> Steps[Page]:
        if (yield from self._list_of(self._anonymous, user_id)):
            listed = yield from self.sessions_for_user(user_id)
            return page_of(listed, start, size)
        users = self._users

        def page() -> Page:
            return users.page_for_user(user_id, start=start, size=size)

        async def apage() -> Page:
            return await users.apage_for_user(user_id, start=start, size=size)

        return (yield from call(page, apage))

    def destroy_for_user(self, user_id: str, *, except_key: str | None = None) -> Steps[int]:
        count = 0
        # In the order in which a session moves that has a user already.
        for part in (self._anonymous, self._users):
            if part.supports_users or part is self._users:
                count += yield from _end_of_user(part, user_id, except_key)
        return count

    def destroy_session(self, user_id: str, id: int) -> Steps[bool]:
        is_ended = False
        for part in (self._anonymous, self._users):
            if part.supports_users or part is self._users:
                steps = call(part.destroy_session, part.adestroy_session, user_id, id)
                is_ended |= yield from steps
        return is_ended

    def _list_of(self, part: BaseStore, user_id: str) -> Steps[list[SessionRecord]]:
        if not part.supports_users:
            return []
        return (yield from call(part.sessions_for_user, part.asessions_for_user, user_id))


def _end_of_user(part: BaseStore, user_id: str, except_key: str | None) -> Steps[int]:
    def end() -> int:
        return part.destroy_for_user(user_id, except_key=except_key)

    async def aend() -> int:
        return await part.adestroy_for_user(user_id, except_key=except_key)

    return call(end, aend)
