"""
What each answer of the store says of a session.

All that the engine's variants have in common is here: it decides, and leaves asking to them.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from django.contrib.sessions.backends.base import CreateError, UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted

from ..exceptions import SessionLimitReached, StoreUnavailable
from ..records import Admission, Outcome, SessionRecord
from .drafts import Draft
from .keys import Secret, digest_if_valid
from .state import KeySource
from .tracking import TrackedSession

FIRST_VERSION = 1
UNKNOWN_VERSION = 0  # No stored version is this: the next save meets a CONFLICT, and merges.

outages = logging.getLogger("django_multistore")


class AnsweredSession(TrackedSession):
    """Django's session, which takes in what the store has answered."""

    def _note_failed_load(self, outage: StoreUnavailable) -> dict[str, Any]:
        self.was_out_of_reach = True
        if not self.tolerates_outage or outage.loses_transaction:
            raise outage
        self._outage = outage
        return {}

    def _note_load(self, record: SessionRecord | None) -> dict[str, Any]:
        opened = self._open_record(record) if record is not None else None
        has_cache = hasattr(self, "_session_cache")
        if record is None or opened is None:
            if self.session_key is not None:
                self._lost = Secret(self.session_key)
            self._forget_key()
            if has_cache:
                self._session_cache = {}
            return {}
        body, data = opened
        if not has_cache:
            # With a cache the base stays what that cache came from: measured against a
            # newer one, what others have added would look removed here.
            self._state.record, self._state.base = record, body
        self._state.was_stored = True
        return data

    def _draft_first(self, secret: Secret) -> Draft:
        """Build what is about to be written of a session that is new."""
        if self._state.was_stored and self.session_key is not None:
            # To store it again could bring back what was destroyed.
            raise CreateError("This session was stored before.")
        self._get_session(no_load=True)
        return self._draft(secret.key, secret=secret, version=FIRST_VERSION)

    def _draft_touch(self) -> SessionRecord | None:
        """Return the record with last-seen as of now; None if it isn't known under this key."""
        self._unlearn_undone()
        stored = self._state.record
        return None if stored is None or stored.key != self.key else self._mark_seen(stored)

    def _note_touch(self, touched: SessionRecord, is_done: bool) -> None:
        if is_done:
            self._keep_beliefs(touched.fate)
            self._state.record = touched
            self._state.was_written = True

    def _note_failed_touch(self, outage: StoreUnavailable) -> None:
        if outage.loses_transaction:
            raise outage
        # Only last-seen is lost, which is no reason to fail a request.
        outages.warning("Last-seen of a session did not move: %s", outage)

    def _note_admission(self, admission: Admission) -> Outcome:
        if admission.outcome is Outcome.FULL:
            raise SessionLimitReached(
                "The user has as many sessions as SESSION_MAX_PER_USER allows."
            )
        return admission.outcome

    def _note_insert(self, draft: Draft, is_free: bool) -> None:
        if not is_free:
            raise CreateError("The session key is taken.")
        self._note_creation(draft)

    def _note_creation(self, draft: Draft) -> None:
        if draft.ends_session:
            self._state.forget()
            self._session_key = draft.secret.session_key  # type: ignore[union-attr]
            self._state.key_source = KeySource.CREATION
            self.modified = True
        else:
            self._adopt(draft.record, draft)

    def _note_update(self, draft: Draft, outcome: Outcome) -> None:
        if outcome is Outcome.GONE:
            raise UpdateError("The session was destroyed or has expired since it was loaded.")
        written = draft.record
        # What was overwritten whichever version it had, has one that isn't known now.
        version = UNKNOWN_VERSION if written.version is None else written.version + 1
        self._adopt(replace(written, version=version), draft)

    def _note_rotation(self, draft: Draft, outcome: Outcome) -> bool:
        """
        Adopt the new key, or start anew where the session was ended.

        Returns:
            Whether the session was moved.

        Raises:
            SessionInterrupted: it was ended, and it is a user's.
        """
        if outcome is Outcome.DONE:
            self._note_update(draft, outcome)
            return True
        if self.get_user_id(self._session_cache) is not None:
            raise SessionInterrupted(
                "The session was ended while this request was under way, by a logout "
                "elsewhere for example."
            )
        self._start_anew()
        return False

    def _adopt(self, record: SessionRecord, draft: Draft) -> None:
        self._keep_beliefs(record.fate, moves=draft.secret is not None)
        state = self._state
        is_new = state.record is None and draft.record.version is not None
        elsewhere, gained_user = state.elsewhere, self._gains_user(record)
        state.forget()
        state.record, state.base = record, draft.body
        state.was_stored = state.was_written = True
        if draft.secret is None:
            state.elsewhere, state.gained_user = elsewhere, gained_user
            self.modified = self.modified or gained_user
            return
        self._session_key = draft.secret.session_key
        state.is_key_certain = False
        if is_new:
            state.key_source = KeySource.CREATION
        else:
            state.key_source = KeySource.RENEWAL if draft.is_followable else KeySource.ROTATION
        self.modified: bool = True

    def _gains_user(self, record: SessionRecord) -> bool:
        if record.user_id is None:
            return False
        if self._state.gained_user or self._state.record is None:
            return True
        return not self._is_of(self._state.record, record.user_id)

    def _note_end(self, was_there: bool) -> int:
        # It is forgotten, so that no later save takes the session for one that is there.
        self._state.forget()
        self._state.was_written = True
        return int(was_there)

    def _note_flush(self, was_there: bool) -> int:
        # What was ended elsewhere, or moved to a newer key, whose cookie the browser may have by
        # now, keeps its cookie, and so does what no store knows. What can't be a session key was
        # never anybody's.
        self.was_flushed: bool = self.was_flushed or was_there or self._is_malformed
        if was_there:
            self._lost = None
        elif self.session_key is not None:
            self._lost = Secret(self.session_key)
        self._history.clear()
        self._forget_key()
        return int(was_there)

    def _find_key_to_delete(self, session_key: str | None) -> str | None:
        self._require_known()
        self._unlearn_undone()
        return self.key if session_key is None else digest_if_valid(session_key)

    def _note_deletion(self, key: str, was_there: bool) -> int:
        if key == self.key:
            self._state.forget()
            self._state.was_stored = True
        return int(was_there)

    def _name_for_signals(self) -> dict[str, Any]:
        """Return the id and the user id, as far as they are known."""
        stored = self._state.record
        if stored is None:
            return {"id": None, "user_id": None}
        # What was overwritten without a look has kept an id that isn't known here.
        is_named = stored.version != UNKNOWN_VERSION
        return {"id": stored.id if is_named else None, "user_id": stored.user_id}
