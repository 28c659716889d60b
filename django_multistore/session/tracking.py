"""What a request and the instance of its session know of that, and may ask it."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..records import Fate, SessionRecord, key_of
from . import clock
from .drafts import DraftingSession
from .endings import Endings
from .keys import Secret, is_session_key
from .locks import SessionLock
from .state import Beliefs, History, KeySource, State

logger = logging.getLogger("django.security.SuspiciousSession")


class TrackedSession(DraftingSession):
    """
    Django's session, which knows what it was when it was loaded.

    Attributes:
        tolerates_outage: whether the request may be served as an anonymous one.
        own_endings: which sessions the request has ended.
        lock: of the request's tasks and threads.
        next_actor_id: who acts in the session from the next login on.
        form: what only the form has that was posted, and a second POST of it.
        is_logging_out: whether the next flush is a logout.
        was_out_of_reach: whether there was an outage when the session was to be loaded.
        was_flushed: whether this request has ended the session, and nobody else had.
        is_overtaken: whether the browser has, or will have, a newer cookie.
    """

    tolerates_outage: bool = False
    own_endings: Endings = frozenset()
    lock: SessionLock
    next_actor_id: str | None = None
    form: Secret | None = None
    is_logging_out: bool = False
    was_out_of_reach: bool = False
    was_flushed: bool = False
    is_overtaken: bool = False

    _history: History
    _is_key_seen: bool = False  # Whether the store was asked if the session is still under its key.
    _is_malformed: bool = False  # Whether what came as the session key can't be one.
    _lost: Secret | None = None  # The cookie's session key, if no store knows it.

    def __init__(self, session_key: str | None = None) -> None:
        self._state = State()
        self._history = History()
        self.lock = SessionLock()
        super().__init__(session_key)

    @property
    def key(self) -> str | None:
        """The key under which the store knows this session; None if it has none yet."""
        elsewhere = self._state.elsewhere
        if elsewhere is not None and elsewhere.is_open:
            return elsewhere.key
        return key_of(self.session_key) if self.session_key else None

    @property
    def record(self) -> SessionRecord | None:
        """What is stored of it, as loaded or written last; None for a new session."""
        return self._state.record

    @property
    def authenticated_at(self) -> datetime | None:
        """When its user last logged in; None without a user. Async code loads it before."""
        user_id = self.stored_user_id(self._get_session())
        if user_id is None or self._state.login_at is not None:
            return self._state.login_at if user_id is not None else None
        stored = self._state.record
        return stored.authenticated_at if stored and self._is_of(stored, user_id) else None

    @property
    def is_loaded(self) -> bool:
        """Whether the store was asked for it, or need not be."""
        return hasattr(self, "_session_cache") or self.session_key is None

    @property
    def is_unknown(self) -> bool:
        """Whether an outage was tolerated: it looks like an anonymous one, and can't be saved."""
        return self._outage is not None

    @property
    def has_new_key(self) -> bool:
        """Whether this instance has given it a session key, or has followed it to one."""
        return not self._state.key_source.is_request

    @property
    def was_written(self) -> bool:
        """Whether this instance has written, so that the cookie's expiry may have moved."""
        return self._state.was_written

    @property
    def has_fresh_key(self) -> bool:
        """Whether this request has given it a key that nobody can have who has the one before."""
        self._unlearn_undone()
        return self.has_new_key and not self._state.key_source.is_followable

    @property
    def is_out_of_reach(self) -> bool:
        """Whether its user's session is so for whoever has the key that it had before."""
        if not self.has_fresh_key or self._state.record is None:
            return False
        user_id = self.stored_user_id(self._session_cache)
        return user_id is not None and self._is_of(self._state.record, user_id)

    @property
    def is_elsewhere(self) -> bool:
        """Whether others have moved it to a session key that this instance doesn't know."""
        elsewhere = self._state.elsewhere
        return elsewhere is not None and elsewhere.is_open

    @property
    def needs_new_key(self) -> bool:
        """Whether it has a user whom it didn't have under this key, which others may know."""
        self._unlearn_undone()
        if self.session_key is None or self.has_new_key or not hasattr(self, "_session_cache"):
            return False
        user_id = self.stored_user_id(self._session_cache)
        if user_id is None:
            return False
        state = self._state
        # What was cleared without being loaded may have been anybody's.
        return state.gained_user or state.record is None or not self._is_of(state.record, user_id)

    @property
    def is_stored_for_user(self) -> bool:
        """Whether it was saved with the user whom it didn't have."""
        return self._state.gained_user

    @property
    def is_moved(self) -> bool:
        """Whether it is stored under a session key that the browser can't have yet."""
        self._unlearn_undone()
        if self.is_elsewhere or self.is_overtaken:
            return False
        # A session that was created has no cookie that the browser needs in place of an old one.
        state = self._state
        return (
            state.key_source.is_move and state.record is not None and self.session_key is not None
        )

    @property
    def was_created_for_user(self) -> bool:
        """Whether this request has created it, and stored it with a user."""
        self._unlearn_undone()
        state = self._state
        if state.key_source is not KeySource.CREATION or state.record is None:
            return False
        return state.record.user_id is not None

    @property
    def may_have_moved_on(self) -> bool:
        """Whether its new key is one that others follow to, and may have moved it from."""
        return self._state.key_source.is_followable and not self._is_key_seen

    @property
    def may_be_overtaken(self) -> bool:
        """Whether its user may just have got a new cookie, and this request came with the old."""
        if self._lost is None or not hasattr(self, "_session_cache"):
            return False
        return self.get_user_id(self._session_cache) is None

    @property
    def has_followed_form(self) -> bool:
        """Whether it was found by its form where the first POST of that has moved it."""
        return self._state.key_source is KeySource.FORM

    @property
    def is_move_certain(self) -> bool:
        """Whether the new key was acknowledged outside of a transaction of unknown end."""
        fate = None if self._state.record is None else self._state.record.fate
        return fate is None or not fate.is_unknown

    def restart_authentication(self) -> None:
        """Count SESSION_ABSOLUTE_AGE and "recent login" from now on; saved with the session."""
        self._state.login_at = clock.now()
        self.modified = True

    def clear(self) -> None:
        """Remove all data, and what other requests may save before this one does."""
        super().clear()
        self._state.is_cleared = True

    def forget_ended(self) -> None:
        """Go on as an anonymous session that isn't stored, after a SessionInterrupted."""
        self._start_anew()

    if TYPE_CHECKING:  # They are Django's, and not in its stubs.

        def _get_session(self, no_load: bool = False) -> dict[str, Any]: ...

        async def _aget_session(self, no_load: bool = False) -> dict[str, Any]: ...

    def _validate_session_key(self, key: object) -> bool:
        if key is None:
            return False
        if is_session_key(key):
            return True
        logger.warning("A malformed session key was ignored.")
        self._is_malformed = True
        return False

    def _keep_beliefs(self, fate: Fate | None, *, moves: bool = False) -> None:
        """Keep what is believed now, before a write is believed that may be undone."""
        if fate is not None and not fate.is_settled:
            beliefs = Beliefs(self.session_key, replace(self._state))
            self._history.keep(beliefs, fate, moves=moves)

    def _unlearn_undone(self) -> None:
        """Believe again what was so before a write that was rolled back."""
        beliefs = self._history.undo()
        if beliefs is not None:
            self._session_key, self._state = beliefs.session_key, beliefs.state

    def _start_anew(self) -> None:
        self._require_known()
        self._history.clear()
        if self.session_key is not None:
            self._forget_key()
            self._session_cache = {}

    def _forget_key(self) -> None:
        self._session_key = None
        self._state.forget()
        self._state.was_stored = False
