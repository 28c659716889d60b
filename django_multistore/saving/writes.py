"""The writes of a session, each of which may take several steps at the store."""

from __future__ import annotations

from functools import partial
from typing import Any

from .. import signals
from ..auth import session_hashes, unopenable
from ..records import Limit, Outcome
from ..rotation.following import MovedSession
from ..session import keys
from ..session.drafts import Draft
from ..signals import Reason
from ..stores.attempts import backoff
from ..stores.steps import Steps, call, pause

# How many session keys of 160 random bits may be taken before the store isn't believed.
FRESH_KEYS = 5


class WritingSession(MovedSession):
    """A session that can be written: the engine takes the steps."""

    def _create(self) -> Steps[None]:
        """Store a new session under a new session key."""
        for delay in backoff(FRESH_KEYS):
            yield from pause(delay)
            draft = self._draft_first(keys.draw_secret(self._fits_own))
            if (yield from self._insert(draft)):
                return self._note_creation(draft)
        why = "each fresh session key was taken, which can't be: it stores nothing"
        raise self.store.gave_up(why, FRESH_KEYS)

    def _write(self, draft: Draft) -> Steps[None]:
        """Save what was changed here, wherever the session is by now."""
        key = draft.record.key
        if draft.ends_session:
            return (yield from self._end(key))
        outcome = yield from self._replace(key, draft)
        if outcome is Outcome.GONE:
            if self._has_ended_itself():
                if self._keep_own_changes():
                    yield from call(self.create, self.acreate)
                return None
            outcome = yield from self._catch_up(draft)
        return self._note_update(draft, outcome)

    def _move(self, old_key: str | None) -> Steps[None]:
        """
        Move the session to a new session key.

        Args:
            old_key: under which it was when that was asked for.
        """
        if self.key != old_key:
            return None  # Another task of this request has just done it.
        if old_key is None:
            return (yield from call(self.create, self.acreate))
        if self.form is not None and self.is_out_of_reach:
            return None  # Another POST of the form finds one move, not two.
        renewal = yield from session_hashes.find_renewal(self._session_cache)
        secret = self._choose_key(renewal)
        draft = self._draft(secret.key, secret=secret)
        draft.is_followable = renewal is not None and renewal.hash is not None
        if draft.ends_session:
            return (yield from self._end(old_key))
        outcome = yield from self._rotate(old_key, draft)
        if outcome is Outcome.GONE:
            if (yield from self._follow_rotation(renews_hash=draft.is_followable)):
                return None
            if renewal is not None and (yield from self._stay_where_it_is()):
                return None
            if self._has_ended_itself():
                self._keep_own_changes()
                return (yield from call(self.create, self.acreate))
        if not self._note_rotation(draft, outcome):
            return (yield from call(self.create, self.acreate))
        return (yield from self._tell_end(Reason.ROTATED, **self._name_for_signals()))

    def _insert(self, draft: Draft) -> Steps[bool]:
        """Create a session, and say whether its key was free."""
        if draft.ends_session:
            return True
        store, limit = self.store, self._find_limit_for(draft.record)
        if limit is None:
            is_free = yield from call(store.create, store.acreate, draft.record)
        else:
            is_free = (yield from self._admit(None, draft, limit)) is Outcome.DONE
        if is_free:
            yield from call(signals.send_created, signals.asend_created, type(self), draft.record)
        return is_free

    def _rotate(self, old_key: str, draft: Draft) -> Steps[Outcome]:
        """Move a session to the new key of its draft."""
        if self.is_elsewhere:
            # To write takes no session key; who gets a new one has escaped from the rotation.
            return Outcome.GONE
        yield from self._leave_trail()
        return (yield from self._replace(old_key, draft))

    def _replace(self, old_key: str, draft: Draft) -> Steps[Outcome]:
        """Write a draft over what is stored, merged with what others have saved meanwhile."""
        store = self.store
        for delay in backoff():
            yield from pause(delay)
            limit = self._find_limit_for(draft.record)
            if limit is None:
                return (yield from self._write_over(old_key, draft))
            # A session that wasn't loaded may have this user already.
            if draft.record.version is not None:
                outcome = yield from self._admit(old_key, draft, limit)
                if outcome is not Outcome.CONFLICT:
                    return outcome
            stored = yield from call(store.reread, store.areread, old_key)
            if stored is None:
                return Outcome.GONE
            self._redrafting(draft)(stored)
        raise store.gave_up("other requests saved the session while its user logged in")

    def _write_over(self, old_key: str, draft: Draft) -> Steps[Outcome]:
        store = self.store
        if draft.secret is None:
            outcome = yield from call(store.update, store.aupdate, draft.record)
        else:
            outcome = yield from call(store.rotate, store.arotate, old_key, draft.record)
        if outcome is not Outcome.CONFLICT:
            return outcome
        return (yield from call(store.modify, store.amodify, old_key, self._redrafting(draft)))

    def _admit(self, old_key: str | None, draft: Draft, limit: Limit) -> Steps[Outcome]:
        """Write a session that its user has one more with, as far as the limit lets it."""
        store = self.store
        admission = yield from call(store.admit, store.aadmit, old_key, draft.record, limit)
        if admission.outcome is Outcome.FULL:
            widened = yield from call(
                unopenable.make_room, unopenable.amake_room, self, store, draft.record, limit
            )
            if widened is not None:
                admission = yield from call(
                    store.admit, store.aadmit, old_key, draft.record, widened
                )
        for record in admission.evicted:
            yield from self._tell_end(Reason.EVICTED, user_id=record.user_id, id=record.id)
        return self._note_admission(admission)

    def _end(self, key: str) -> Steps[None]:
        """End a session whose expiry was set into the past."""
        name, moved, store = self._name_for_signals(), self._get_name(), self.store
        was_there = yield from call(store.destroy, store.adestroy, key)
        if not was_there and moved is not None:
            was_there = yield from self._end_named(moved)
        yield from self._tell_end(Reason.EXPIRED, **name, count=self._note_end(was_there))

    def _flush(self) -> Steps[None]:
        """End the session, under whichever key it is by now."""
        key, name, store = self._find_key_to_flush(), self._name_for_signals(), self.store
        was_there = False
        if key is not None:
            was_there = yield from call(store.destroy, store.adestroy, key)
        if not was_there:
            was_there = yield from self._end_moved()
        yield from self._tell_end(Reason.LOGOUT, **name, count=self._note_flush(was_there))

    def _destroy(self, key: str) -> Steps[None]:
        """End a session under a key, which may be this one or another."""
        store = self.store
        reason, name = Reason.REVOKED, {"id": None, "user_id": None}
        if key == self.key:
            reason, name = Reason.LOGOUT, self._name_for_signals()
        was_there = yield from call(store.destroy, store.adestroy, key)
        count = self._note_deletion(key, was_there)
        yield from self._tell_end(reason, **name, count=count)

    def _end_left_behind(self) -> Steps[None]:
        """End another user's session that a login leaves with nobody to hold it."""
        name = yield from self._name_left_behind()
        yield from self._leave_trail_of_ended()
        if name is not None:
            count = int((yield from self._end_named(name)))
            yield from self._tell_end(Reason.LOGOUT, user_id=name.user_id, id=name.id, count=count)

    def _tell_end(self, reason: Reason, **name: Any) -> Steps[None]:
        ended = partial(signals.send_ended, type(self), reason, **name)
        yield from call(ended, partial(signals.asend_ended, type(self), reason, **name))
