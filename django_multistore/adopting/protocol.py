"""
What both phases of SESSION_ADOPT have in common, in steps for sync and for async code.

A session is known by its key in the store and by its session key in the old engine. What may be: it
is in one of them, in both, or in none; and the record in the store may be one that follows the old
engine's, or be the session itself.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from ..exceptions import StoreUnavailable
from ..records import Outcome, Page, SessionRecord
from ..session import clock, namespaces
from ..session.keys import Secret
from ..stores.attempts import backoff
from ..stores.base import BaseStore
from ..stores.steps import Steps, call, call_database, pause, run
from ..stores.stepwise import Operations
from . import envelopes
from .asking import OldEngineClient
from .configuration import Adoption
from .cutoffs import cut_off, is_cut_off
from .known_keys import KnownKeys
from .old_sessions import OldSession
from .translating import Translator, UserIdOf


@dataclass(frozen=True, slots=True)
class Met:
    """A session that is in the old engine, and has a record that follows it."""

    secret: Secret
    old: OldSession
    record: SessionRecord  # Its payload is the codec's.
    is_ahead: bool  # Whether the record may have been written, and the old engine not yet.


class AdoptingProtocol(Operations):
    """
    The steps of each operation; the phases differ in what is done about a session that is met.

    Args:
        store: where records are.
        adoption: what SESSION_ADOPT says.
        user_id_of: the engine's get_user_id().
        known: the session keys that the request has to do with.
    """

    def __init__(
        self, store: BaseStore, adoption: Adoption, user_id_of: UserIdOf, known: KnownKeys
    ) -> None:
        self._store, self._known = store, known
        self._old = OldEngineClient(adoption.old)
        self._can_scan = adoption.old.can_scan
        self._is_old_in = adoption.old.is_in_database
        self._keeps_any_type = adoption.old.keeps_any_type
        self._translator = Translator(user_id_of, adoption.on_loss)

    # What is read.

    def read(self, key: str) -> Steps[SessionRecord | None]:
        """Return the session under a key, wherever it is."""
        return (yield from self.settle(key, (yield from self._read(key))))

    def settle(self, key: str, record: SessionRecord | None) -> Steps[SessionRecord | None]:
        """
        Return the session under a key, whose record was read just now.

        Raises:
            StoreUnavailable: other requests came between each time, or there is an outage.
        """
        for delay in backoff():
            yield from pause(delay)
            if record is not None and not envelopes.is_following(record):
                return record
            settled, is_settled = yield from self._settle_once(key, record)
            if is_settled:
                return settled
            record = yield from self._read(key)
        raise self._store.gave_up("other requests came before it while a session was taken over")

    def _settle_once(
        self, key: str, record: SessionRecord | None
    ) -> Steps[tuple[SessionRecord | None, bool]]:
        """Take what follows, or is unknown, one step further; False: look at the record again."""
        opened = None if record is None else envelopes.open_(record)
        if record is not None and opened is None:
            return None, True  # Sealed with a SECRET_KEY that isn't known here.
        secret = self._known.find(key) if opened is None else opened.secret
        old = None if secret is None else (yield from self._old.load(secret))
        if secret is None or old is None:
            if record is None:
                return None, True
            # It was ended in the old engine, if others haven't just taken it over.
            return None, (yield from self._expire(record)) is not Outcome.CONFLICT
        if opened is None:
            # It is looked at once more, for it may have been ended before this was entered.
            return None, not (yield from self._enter(secret, old))
        if opened.tag == envelopes.ENTERED:
            return None, (yield from self._is_refused(opened))
        is_ahead = opened.tag == envelopes.AHEAD
        return (yield from self._meet(Met(secret, old, opened.record, is_ahead)))

    @abstractmethod
    def _meet(self, met: Met) -> Steps[tuple[SessionRecord | None, bool]]:
        """Do what this phase does with what it meets; False: look at the record again."""

    def _enter(self, secret: Secret, old: OldSession) -> Steps[bool]:
        """Enter a session that is unknown here, and say whether there may be a record of it now."""
        record = self._translator.build_record(secret.key, old)
        if record is None:
            return False
        is_safe = self._can_scan or record.user_id is None
        following = envelopes.seal(
            record, secret, envelopes.IN_STEP if is_safe else envelopes.ENTERED
        )
        if (yield from self._create(following)) or (yield from self._reread(secret.key)):
            return True
        # What has expired here may be in the way, and what was ended here: stores that remember
        # that refuse it once more.
        yield from self._destroy(secret.key)
        if (yield from self._create(following)):
            return True
        yield from self._old.delete(secret)
        return False

    def _is_refused(self, entered: envelopes.Opened) -> Steps[bool]:
        """
        Say whether the user of a session was cut off, which then ends.

        That can't be asked before it is entered: whoever cuts the user off in between would find
        nothing to end.
        """
        user_id = entered.record.user_id
        if user_id is not None and (yield from is_cut_off(self._store, user_id)):
            yield from self._end(entered.record.key, entered.secret)
            return True
        yield from self._update(envelopes.seal(entered.record, entered.secret))
        return False

    def _expire(self, record: SessionRecord) -> Steps[Outcome]:
        """End a record by compare-and-set: others may be taking it over."""
        over = replace(record, expires_at=record.created_at)
        outcome = yield from call(self._store.update, self._store.aupdate, over)
        if outcome is Outcome.DONE:
            yield from self._destroy(record.key)
        return outcome

    # What is written.

    def modify(self, key: str, change: Callable[[SessionRecord], SessionRecord]) -> Steps[Outcome]:
        for delay in backoff():
            yield from pause(delay)
            stored = yield from self.read(key)
            if stored is None:
                return Outcome.GONE
            changed = change(stored)
            write = self.update(changed) if changed.key == key else self.rotate(key, changed)
            outcome = yield from write
            if outcome is not Outcome.CONFLICT:
                return outcome
        raise self._store.gave_up("one session was saved by another request each time")

    @abstractmethod
    def update(self, record: SessionRecord) -> Steps[Outcome]: ...

    @abstractmethod
    def rotate(self, old_key: str, record: SessionRecord) -> Steps[Outcome]: ...

    def _rotate_own(self, old_key: str, record: SessionRecord) -> Steps[Outcome]:
        """Move a session that is here for good."""
        secret = self._known.find(old_key)
        if secret is not None:
            # A copy that a dead process has left would open under the old session key again.
            yield from self._remove(secret)
        return (yield from self._rotate(old_key, record))

    def _remove(self, secret: Secret) -> Steps[None]:
        """Remove the old session of one that is here by now, for as long as that is certain."""
        if not (yield from self._await_commit(partial(self._old.delete, secret))):
            yield from self._old.delete(secret)

    def _await_commit(self, steps: Callable[[], Steps[Any]]) -> Steps[bool]:
        """
        Have steps taken after the caller's transaction, and say whether there is one.

        It may undo what was written here, and not what the old engine does elsewhere: then the
        session would be in neither.
        """
        return (yield from call_database(self._defer, steps))

    def _defer(self, steps: Callable[[], Steps[Any]]) -> bool:
        if not self._store.is_in_transaction():
            return False
        database: str | None = getattr(self._store, "database", None)
        if database is not None and self._is_old_in(database):
            return False
        self._store.after_commit(lambda: _take_if_possible(steps()))
        return True

    # What is ended.

    def destroy(self, key: str) -> Steps[bool]:
        record = yield from self._read(key)
        opened = None if record is None else envelopes.open_(record)
        secret = self._known.find(key) if opened is None else opened.secret
        if secret is None:
            return (yield from self._destroy(key))
        if record is None:
            # It is entered first, for then it can be told whether it was there. That it was in the
            # old engine says nothing: it may be on its way to another session key.
            yield from self.settle(key, None)
        _, was_here = yield from self._end(key, secret)
        return was_here

    def _end(self, key: str, secret: Secret) -> Steps[tuple[bool, bool]]:
        """End a session in both, and say whether it was in the old engine, and here."""
        # The old engine first: what is gone there is dead, whatever the record says. The other way
        # round, whoever comes in between would enter it anew.
        was_there = yield from self._old.delete(secret)
        was_here = yield from self._destroy(key)
        # A save that has passed the record before it went may have brought it back.
        yield from self._old.delete(secret)
        return was_there, was_here

    def destroy_for_user(self, user_id: str, *, except_key: str | None = None) -> Steps[int]:
        if not self._can_scan:
            yield from cut_off(self._store, user_id)
        began, ended = clock.now(), (yield from self._end_listed(user_id, except_key))
        primary_key = namespaces.extract_primary_key(user_id)
        if primary_key is None:
            return ended
        # What has never been seen here, or was moved away from just now.
        found = yield from self._old.list_keys_of_user(primary_key)
        for secret in found:
            if secret.key != except_key:
                ended += any((yield from self._end(secret.key, secret)))
        if found:
            # Any of these may have been entered since the first look, and moved.
            ended += yield from self._end_listed(user_id, except_key, until=began)
        return ended

    def destroy_session(self, user_id: str, id: int) -> Steps[bool]:
        tried: set[str | None] = set()
        for delay in backoff():
            yield from pause(delay)
            listed = yield from self._list_untried(user_id, tried)
            named = [each.key for each in listed if each.id == id]
            if not named:
                return False
            tried.update(named)
            for key in named:
                if (yield from self.destroy(key)):
                    return True
        raise self._store.gave_up("the session moved to another key each time")

    def _end_listed(
        self, user_id: str, except_key: str | None, *, until: datetime = clock.LAST
    ) -> Steps[int]:
        tried: set[str | None] = {except_key}
        untried = yield from self._list_untried(user_id, tried)
        listed = [record for record in untried if record.created_at <= until]
        targets = {record.id for record in listed}
        ended = 0
        for delay in backoff():
            if not listed:
                return ended
            yield from pause(delay)
            for record in listed:
                tried.add(record.key)
                ended += yield from self.destroy(record.key)
            untried = yield from self._list_untried(user_id, tried)
            listed = [record for record in untried if record.id in targets]
        raise self._store.gave_up("a session of the user moved to another key each time")

    def _list_untried(self, user_id: str, tried: set[str | None]) -> Steps[list[SessionRecord]]:
        listed = yield from self.sessions_for_user(user_id)
        return [record for record in listed if record.key not in tried]

    # What is listed. Sessions of the old engine that nobody has seen here yet are not.

    def sessions_for_user(self, user_id: str) -> Steps[list[SessionRecord]]:
        store = self._store
        return call(store.sessions_for_user, store.asessions_for_user, user_id)

    def page_for_user(self, user_id: str, *, start: int, size: int) -> Steps[Page]:
        store, part = self._store, {"start": start, "size": size}
        return call(
            partial(store.page_for_user, **part), partial(store.apage_for_user, **part), user_id
        )

    # The store's own.

    def _read(self, key: str) -> Steps[SessionRecord | None]:
        return call(self._store.read, self._store.aread, key)

    def _reread(self, key: str) -> Steps[SessionRecord | None]:
        return call(self._store.reread, self._store.areread, key)

    def _create(self, record: SessionRecord) -> Steps[bool]:
        return call(self._store.create, self._store.acreate, record)

    def _update(self, record: SessionRecord) -> Steps[Outcome]:
        return call(self._store.update, self._store.aupdate, record)

    def _rotate(self, old_key: str, record: SessionRecord) -> Steps[Outcome]:
        return call(self._store.rotate, self._store.arotate, old_key, record)

    def _destroy(self, key: str) -> Steps[bool]:
        return call(self._store.destroy, self._store.adestroy, key)


def _take_if_possible(steps: Steps[Any]) -> None:
    # Who was told that it is done need not hear of an outage: a copy may stay.
    with suppress(StoreUnavailable):
        run(steps)
