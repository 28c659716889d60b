"""
What a session was when it was loaded, and so what has changed in it since.

All that the engine's twins have in common: it thinks, and leaves asking the store to them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import CreateError, UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted

from ..conf import conf
from ..exceptions import SessionLimitReached, StoreUnavailable
from ..records import (
    ACTOR_SESSION_KEY,
    Admission,
    Device,
    Fate,
    Limit,
    Outcome,
    SessionRecord,
    key_of,
    new_id,
)
from ..rotation.trails import Name
from ..signals import Reason
from . import clock, codec, namespaces, users
from .endings import Endings
from .expiring import KEPT_AS, ExpiringSession
from .keys import Secret, digest_if_valid, is_session_key
from .lifetimes import compute_absolute_limit, is_too_old
from .locks import SessionLock
from .merge import is_same, merge_theirs

FIRST_VERSION = 1
UNKNOWN_VERSION = 0  # No stored version is: the next save meets a CONFLICT, and merges.

logger = logging.getLogger("django.security.SuspiciousSession")
outages = logging.getLogger("django_multistore")


# What an instance believes of what is stored, which a rollback may belie.
BELIEFS = (
    "_session_key",
    "_record",
    "_base",
    "_is_cleared",
    "_login_at",
    "_was_stored",
    "_is_key_certain",
    "_elsewhere",
    "_elsewhere_until",
    "_gained_user",
    "has_new_key",
    "_has_fresh_key",
    "_was_rotated",
    "was_written",
)

Beliefs: TypeAlias = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Draft:
    """What is about to be written."""

    record: SessionRecord
    body: bytes = field(repr=False)  # The session, serialised.
    secret: Secret | None = None
    is_followable: bool = False  # By whoever has the old session key alone.
    ends_session: bool  # Its expiry was set into the past, which means: gone now.

    @property
    def session_key(self) -> str | None:
        """The new session key, if the session gets one."""
        return None if self.secret is None else self.secret.session_key


class TrackedSession(ExpiringSession):
    """
    Django's session, which knows what it was when it was loaded.

    That is kept as it was serialised. Against it a save finds out what changed here, and
    merges it with what other requests have saved meanwhile.
    """

    # What the middleware knows of the request.
    device: Device | None = None  # Where it comes from. None: leave what the record has.
    tolerates_outage: bool = False  # It may be served as a visitor's.
    own_endings: Endings = frozenset()  # Which sessions it has ended.
    lock: SessionLock  # Of its tasks and threads.
    next_actor_id: str | None = None  # Who acts from the next login on. See takeovers.py.

    # What views and receivers know.
    form: Secret | None = None  # What only the form has that was posted, and a second POST of it.
    is_logging_out: bool = False

    # What the middleware wants to know.
    was_out_of_reach: bool  # When it was to be loaded.
    has_new_key: bool  # That this instance gave it, or followed it to.
    was_written: bool  # By this instance, so that the cookie's expiry may have moved.
    _is_key_seen: bool = False  # Since it was given.
    _was_rotated: bool = False  # By this instance.
    _has_followed: bool = False  # To a session key that another request has given it.
    _is_malformed: bool = False  # What came as its session key.
    is_overtaken: bool = False  # The browser has, or will have, a newer cookie.
    was_flushed: bool  # And ended by that: nobody else had.

    _record: SessionRecord | None  # As loaded or written last.
    _base: bytes | None  # Its data, serialised.
    _is_cleared: bool  # By clear(), and not saved yet.
    _login_at: datetime | None  # Of a login that isn't saved yet.
    _was_stored: bool  # Under the session key that this instance has.
    _is_key_certain: bool  # Not so for a key from a transaction that may be rolled back.
    _has_fresh_key: bool  # Which nobody can have who has the old one and nothing else.
    _elsewhere: str | None  # The key to which others have moved it; its session key isn't known.
    _elsewhere_until: datetime | None  # As long as who came before the move is let there.
    _gained_user: bool  # By a save, under a key that whoever planted it may know.
    _has_left_trail: bool = False  # For a rotation of its own.
    _lost: Secret | None  # The cookie's session key, which no store knows.
    _ended_by_flush: tuple[Secret, Name] | None  # The user's session that was.
    _left: Name | None  # The session that a flush found moved, and let live.
    _outage: StoreUnavailable | None  # That was tolerated: nothing is known of the session.
    # What was believed before each write that a rollback may still undo, the last one at the end.
    _unsettled: list[tuple[Beliefs, Fate]]
    _session_cache: dict[str, Any]  # Django's: the data, once they were asked for.

    def __init__(self, session_key: str | None = None) -> None:
        self._forget()
        self._was_stored = False
        self._outage = None
        self._unsettled = []
        self._lost = self._left = self._ended_by_flush = None
        self.lock = SessionLock()
        self.was_out_of_reach = self._has_fresh_key = False
        self.has_new_key = self.was_written = self.was_flushed = False
        super().__init__(session_key)

    @staticmethod
    def get_user_id(data: dict[str, Any]) -> str | None:
        """
        Return the primary key, as text, of the user whose session this is.

        As the database spells it. Called at each save; a subclass overrides it if its site logs
        users in by other means than django.contrib.auth.

        Args:
            data: the session.
        """
        user_id = data.get(SESSION_KEY)
        return None if user_id in (None, "") else users.spell(user_id)

    def stored_user_id(self, data: dict[str, Any]) -> str | None:
        """
        Return what stores have as the user of this session: with SESSION_USER_NAMESPACE.

        Args:
            data: the session.
        """
        user_id, stored = self.get_user_id(data), self._record
        if user_id is None:
            return None
        return namespaces.qualify(user_id, None if stored is None else stored.user_id)

    @classmethod
    def spellings_of(cls, user_id: str) -> tuple[str, ...]:
        """
        Return how sessions may have a user, that one last: see namespaces.list_spellings().

        Args:
            user_id: as stores have it.
        """
        return namespaces.list_spellings(user_id) if cls._has_users_of_django() else (user_id,)

    def get_actor_id(self, data: dict[str, Any]) -> str | None:
        """
        Return the user who acts in place of the session's own, as stores have users.

        Called at each save, as get_user_id() is. None: it is the user's own session.

        Args:
            data: the session.
        """
        mark, user_id = data.get(ACTOR_SESSION_KEY), self.stored_user_id(data)
        # It names the user as well, so that it is worth nothing in another's session.
        if user_id is None or not isinstance(mark, dict) or mark.get("user_id") != user_id:
            return None
        actor_id = mark.get("actor_id")
        return actor_id if isinstance(actor_id, str) else None

    @property
    def key(self) -> str | None:
        """The key under which the store knows this session; None if it has none yet."""
        if self.is_elsewhere:
            return self._elsewhere
        return key_of(self.session_key) if self.session_key else None

    @property
    def record(self) -> SessionRecord | None:
        """What is stored of it, as loaded or written last; None for a new session."""
        return self._record

    @property
    def authenticated_at(self) -> datetime | None:
        """When its user last logged in; None without a user. Async code loads it before."""
        user_id = self.stored_user_id(self._get_session())
        if user_id is None or self._login_at is not None:
            return self._login_at if user_id is not None else None
        stored = self._record
        return stored.authenticated_at if stored and self._is_of(stored, user_id) else None

    @property
    def is_loaded(self) -> bool:
        """Whether the store was asked for it, or need not be."""
        return hasattr(self, "_session_cache") or self.session_key is None

    @property
    def is_unknown(self) -> bool:
        """Whether an outage was tolerated: it looks like a visitor's, and can't be saved."""
        return self._outage is not None

    @property
    def has_fresh_key(self) -> bool:
        """Whether this request has given it a key that nobody can have who has the one before."""
        self._unlearn_undone()
        return self._has_fresh_key

    @property
    def is_out_of_reach(self) -> bool:
        """Whether its user's session is so for whoever has the key that it had before."""
        if not self.has_fresh_key or self._record is None:
            return False
        user_id = self.stored_user_id(self._session_cache)
        return user_id is not None and self._is_of(self._record, user_id)

    @property
    def is_elsewhere(self) -> bool:
        """Whether others have moved it to a session key that this instance doesn't know."""
        return self._elsewhere_until is not None and clock.now() < self._elsewhere_until

    @property
    def needs_new_key(self) -> bool:
        """Whether it has another user than it had, under the key that was the visitor's."""
        self._unlearn_undone()
        if self.session_key is None or self.has_new_key or not hasattr(self, "_session_cache"):
            return False
        user_id = self.stored_user_id(self._session_cache)
        if user_id is None:
            return False
        # What was cleared without a look may have been anybody's.
        return self._gained_user or self._record is None or not self._is_of(self._record, user_id)

    @property
    def is_stored_for_user(self) -> bool:
        """Whether it was saved with the user whom it didn't have."""
        return self._gained_user

    @property
    def is_moved(self) -> bool:
        """Whether it is stored under a session key that the browser can't have yet."""
        self._unlearn_undone()
        if self.is_elsewhere or self.is_overtaken:
            return False
        # One that is new has no cookie that the browser needs in place of an old one.
        was_moved = self._was_rotated or self._has_followed
        return was_moved and self._record is not None and self.session_key is not None

    @property
    def may_have_moved_on(self) -> bool:
        """Whether its new key is one that others follow to, and may have moved it from."""
        return self.has_new_key and not self._has_fresh_key and not self._is_key_seen

    @property
    def may_be_overtaken(self) -> bool:
        """Whether its user may just have got a new cookie, and this request came with the old."""
        if self._lost is None or not hasattr(self, "_session_cache"):
            return False
        return self.get_user_id(self._session_cache) is None

    @property
    def has_followed_form(self) -> bool:
        """Whether it was found by its form where the first POST of that has moved it."""
        return self._has_followed and self._has_fresh_key

    @property
    def is_move_certain(self) -> bool:
        """Whether the new key was acknowledged outside of a transaction of unknown end."""
        fate = None if self._record is None else self._record.fate
        return fate is None or not fate.is_unknown

    def restart_authentication(self) -> None:
        """Count SESSION_ABSOLUTE_AGE and "recent login" from now on; saved with the session."""
        self._login_at = clock.now()
        self.modified = True

    def clear(self) -> None:
        """Remove all data, and what other requests may save before this one does."""
        super().clear()
        self._is_cleared = True

    if TYPE_CHECKING:  # Django's, and not in its stubs.

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

    def _forget(self) -> None:
        self._elsewhere = self._elsewhere_until = None
        self._gained_user = False
        self._record = None
        self._base = None
        self._is_cleared = False
        self._login_at = None
        self._is_key_certain = True

    def _remember(self, fate: Fate | None, *, moves: bool = False) -> None:
        """Keep what is believed now, before a write is believed that may be undone."""
        if fate is None or fate.is_settled:
            return
        if fate.is_unknown and moves:
            return  # Under which of two keys it is can't be known. The new one is not certain.
        self._unsettled.append(({name: getattr(self, name) for name in BELIEFS}, fate))

    def _unlearn_undone(self) -> None:
        """Believe again what was so before a write that was rolled back."""
        while self._unsettled:
            before, fate = self._unsettled[-1]
            if fate.is_settled:
                return self._unsettled.clear()
            if not (fate.is_undone or fate.is_unknown):
                return None
            # If a write of unknown fate is there after all, the next save meets it and merges.
            self._unsettled.pop()
            for name, belief in before.items():
                setattr(self, name, belief)

    def _start_anew(self) -> None:
        self._require_known()
        self._unsettled.clear()
        if self.session_key is not None:
            self._session_key = None
            self._forget()
            self._was_stored = False
            self._session_cache = {}

    def forget_ended(self) -> None:
        """Go on as a visitor, for whom nothing is stored, after a SessionInterrupted."""
        self._start_anew()

    def _require_known(self) -> None:
        if self._outage is not None:
            raise StoreUnavailable(
                "The session can't be written: it could not be loaded before."
            ) from self._outage

    def _not_loaded(self, outage: StoreUnavailable) -> dict[str, Any]:
        self.was_out_of_reach = True
        if not self.tolerates_outage or outage.loses_transaction:
            raise outage
        self._outage = outage
        return {}

    def _loaded(self, record: SessionRecord | None) -> dict[str, Any]:
        opened = self._opened(record) if record is not None else None
        has_cache = hasattr(self, "_session_cache")
        if record is None or opened is None:
            if self.session_key is not None:
                self._lost = Secret(self.session_key)
            self._session_key = None
            self._forget()
            self._was_stored = False
            if has_cache:
                self._session_cache = {}
            return {}
        body, data = opened
        if not has_cache:
            # With a cache the base stays what that cache came from: measured against a
            # newer one, what others have added would look removed here.
            self._record, self._base = record, body
        self._was_stored = True
        return data

    def _opened(self, record: SessionRecord) -> tuple[bytes, dict[str, Any]] | None:
        if is_too_old(record) or not namespaces.is_here(record.user_id):
            return None
        body = codec.unseal(record.payload, record.key)
        if body is not None:
            try:
                data = self.serializer().loads(body)
            except Exception:  # noqa: BLE001 - whatever a serializer raises on bad input
                data = None
            if isinstance(data, dict):
                return body, data
        logger.warning("Session data corrupted in session %s.", record.id)
        return None

    def _first_draft(self, secret: Secret) -> Draft:
        if self._was_stored and self.session_key is not None:
            # Storing it again could bring it back from the dead.
            raise CreateError("This session was stored before.")
        self._get_session(no_load=True)
        return self._draft(secret.key, secret=secret, version=FIRST_VERSION)

    def _draft(
        self, key: str | None, *, secret: Secret | None = None, version: int | None = None
    ) -> Draft:
        self._require_known()
        if key is None:
            raise UpdateError("The session is unknown or has expired.")
        # A copy, since other threads of the request may go on to write into it.
        clock_now, data = clock.now(), dict(self._session_cache)
        stored = self._record or _blank_record(key, version, clock_now)
        # A session's time doesn't go back where this host's clock is behind another's.
        now = max(clock_now, stored.last_seen_at)
        body = self.serializer().dumps(data)
        is_as_stored = body == self._base and key == stored.key
        user_id = self.stored_user_id(data)
        authenticated_at = self._authentication(stored, user_id, clock_now)
        expires_at = self._expiry(authenticated_at or stored.created_at, now)
        is_over = expires_at <= now
        # Where it had expired by itself since it was loaded, the store says so.
        had_expired = self._record is not None and self._record.expires_at <= now
        if is_over and not self._is_expiry_new(data):
            # Then only this host's clock says that it is over, and the store has one of its own.
            is_over, now, expires_at = False, stored.last_seen_at, stored.expires_at
        record = SessionRecord(
            id=stored.id,
            key=key,
            payload=stored.payload if is_as_stored else codec.seal(body, key),
            version=stored.version,
            user_id=user_id,
            created_at=stored.created_at,
            authenticated_at=authenticated_at,
            last_seen_at=now,
            expires_at=expires_at,
            device=self.device or stored.device,
            actor_id=self.get_actor_id(data),
            fate=Fate(),
        )
        ends_session = is_over and not had_expired
        return Draft(record=record, body=body, secret=secret, ends_session=ends_session)

    def _authentication(
        self, stored: SessionRecord, user_id: str | None, now: datetime
    ) -> datetime | None:
        if user_id is None:
            return None
        if self._login_at is not None:
            return self._login_at
        return stored.authenticated_at if self._is_of(stored, user_id) else now

    def _is_of(self, stored: SessionRecord, user_id: str) -> bool:
        """Say whether a session is a user's, who may have been spelled otherwise in it."""
        if stored.user_id == user_id:
            return True
        if stored.user_id is None or not self._has_users_of_django():
            return False
        return namespaces.respell(stored.user_id) == user_id

    @classmethod
    def _has_users_of_django(cls) -> bool:
        return cls.get_user_id is TrackedSession.get_user_id

    def _redrafting(
        self, draft: Draft, key: str | None = None
    ) -> Callable[[SessionRecord], SessionRecord]:
        def redraft(stored: SessionRecord) -> SessionRecord:
            self._merge(stored)
            fresh = self._draft(key or draft.record.key)
            draft.record, draft.body = fresh.record, fresh.body
            return draft.record

        return redraft

    def _merge(self, stored: SessionRecord) -> None:
        opened = self._opened(stored)
        if opened is None:
            raise UpdateError("What is stored of the session by now can't be read.")
        body, theirs = opened
        if self._base is not None and not self._is_cleared:
            serializer = self.serializer()
            base = serializer.loads(self._base)
            merge_theirs(self._session_cache, base=base, theirs=theirs, serializer=serializer)
        self._record, self._base = stored, body

    def _is_unmodified(self, draft: Draft) -> bool:
        # By what would be written, not by the flag: session["cart"].append(…) counts, and
        # an assignment of what was there doesn't.
        return (
            self._record is not None
            and self._is_key_certain
            and not self._is_cleared
            and self._base is not None
            and is_same(self._base, draft.body, self.serializer())
            and self._record.user_id == draft.record.user_id
            and self._record.authenticated_at == draft.record.authenticated_at
        )

    def _due_touch(self, moved: SessionRecord | None) -> SessionRecord | None:
        stored = self._record
        if stored is None or moved is None:
            return None
        interval = conf.get_touch_interval(moved.expires_at - moved.last_seen_at)
        ahead = stored.last_seen_at - clock.now()  # Of this host's clock, by another's.
        renews = settings.SESSION_SAVE_EVERY_REQUEST or self.modified
        # A request that renewed nothing may have moved last-seen just now.
        gains = renews and moved.expires_at - stored.expires_at >= interval
        if not gains and -ahead < interval and 2 * ahead < moved.expires_at - moved.last_seen_at:
            return None
        if renews:
            return replace(moved, expires_at=max(moved.expires_at, stored.expires_at))
        # Where it has expired by this host's clock, that has not seen it in its life.
        is_late = moved.last_seen_at >= stored.expires_at
        return None if is_late else replace(moved, expires_at=stored.expires_at)

    def _seen_now(self) -> SessionRecord | None:
        self._unlearn_undone()
        stored = self._record
        if stored is None or stored.key != self.key:
            return None
        now = max(clock.now(), stored.last_seen_at)
        return replace(
            stored,
            last_seen_at=now,
            expires_at=self._expiry(stored.authenticated_at or stored.created_at, now),
            device=self.device or stored.device,
            fate=Fate(),
        )

    def _expiry(self, start: datetime, now: datetime) -> datetime:
        expires_at = self._expires_at(self.get(KEPT_AS), now)
        limit = compute_absolute_limit(start)
        return expires_at if limit is None else min(expires_at, limit)

    def _is_expiry_new(self, data: dict[str, Any]) -> bool:
        """Say whether the session is new, or its expiry was set since it was loaded."""
        if self._record is None or self._base is None:
            return True
        return bool(data.get(KEPT_AS) != self.serializer().loads(self._base).get(KEPT_AS))

    def _touched(self, touched: SessionRecord, is_done: bool) -> None:
        if is_done:
            self._remember(touched.fate)
            self._record = touched
            self.was_written = True

    def _touch_failed(self, outage: StoreUnavailable) -> None:
        if outage.loses_transaction:
            raise outage
        # Nothing is lost but last-seen: no reason to fail a request.
        outages.warning("Last-seen of a session did not move: %s", outage)

    def _limit_for(self, record: SessionRecord) -> Limit | None:
        limit = conf.session_limit
        if limit is None or record.user_id is None or record.actor_id is not None:
            return None
        stored = self._record
        if stored is None or stored.actor_id is not None:
            return limit
        return None if self._is_of(stored, record.user_id) else limit  # It counts already.

    def _admitted(self, admission: Admission) -> Outcome:
        if admission.outcome is Outcome.FULL:
            raise SessionLimitReached(
                "The user has as many sessions as SESSION_MAX_PER_USER allows."
            )
        return admission.outcome

    def _updated(self, draft: Draft, outcome: Outcome) -> None:
        if outcome is Outcome.GONE:
            raise UpdateError("The session was destroyed or has expired since it was loaded.")
        written = draft.record
        # What was overwritten whichever version it had, has one that isn't known now.
        version = UNKNOWN_VERSION if written.version is None else written.version + 1
        self._adopt(replace(written, version=version), draft)

    def _adopt(self, record: SessionRecord, draft: Draft) -> None:
        self._remember(record.fate, moves=draft.session_key is not None)
        elsewhere = self._elsewhere, self._elsewhere_until
        gained_user = self._gains_user(record)
        was_there = self._record is not None or draft.record.version is None
        self._forget()
        self._record, self._base = record, draft.body
        self._was_stored = self.was_written = True
        if draft.session_key is not None:
            self._session_key = draft.session_key
            self._is_key_certain = False
            self.has_new_key = self.modified = True
            self._has_fresh_key = not draft.is_followable
            self._was_rotated = was_there
        else:
            self._elsewhere, self._elsewhere_until = elsewhere
            self._gained_user = gained_user
            self.modified = self.modified or gained_user

    def _gains_user(self, record: SessionRecord) -> bool:
        if record.user_id is None:
            return False
        if self._gained_user or self._record is None:
            return True
        return not self._is_of(self._record, record.user_id)

    def _inserted(self, draft: Draft, is_free: bool) -> None:
        if not is_free:
            raise CreateError("The session key is taken.")
        self._created(draft)

    def _created(self, draft: Draft) -> None:
        if draft.ends_session:
            self._forget()
            self._session_key = draft.session_key
            self.has_new_key = self._has_fresh_key = self.modified = True
        else:
            self._adopt(draft.record, draft)

    def _is_rotated(self, draft: Draft, outcome: Outcome) -> bool:
        if outcome is Outcome.DONE:
            self._updated(draft, outcome)
            return True
        if self.get_user_id(self._session_cache) is not None:
            raise SessionInterrupted(
                "The session was ended while this request was under way, by a logout "
                "elsewhere for example."
            )
        self._start_anew()
        return False

    def _ended(self, was_there: bool) -> int:
        # Forgotten, so that no later save takes the session for one that is there.
        self._forget()
        self.was_written = True
        return int(was_there)

    def _flushed(self, was_there: bool) -> int:
        # What was ended elsewhere, or moved to a newer key, whose cookie the browser may have by
        # now, keeps its cookie. So does what no store knows.
        # What can't be a session key never was anybody's.
        self.was_flushed = self.was_flushed or was_there or self._is_malformed
        if was_there:
            self._lost = self._left = None
        elif self.session_key is not None:
            self._lost = Secret(self.session_key)
        self._forget()
        self._unsettled.clear()
        self._was_stored = False
        self._session_key = None
        return int(was_there)

    def _key_to_delete(self, session_key: str | None) -> str | None:
        self._require_known()
        self._unlearn_undone()
        if session_key is None:
            return self.key
        return digest_if_valid(session_key)

    def _deleted(self, key: str, was_there: bool) -> int:
        if key == self.key:
            self._forget()
            self._was_stored = True
        return int(was_there)

    def _reason_to_delete(self, key: str) -> tuple[Reason, dict[str, Any]]:
        if key == self.key:
            return Reason.LOGOUT, self._stored_name()
        return Reason.REVOKED, {"id": None, "user_id": None}

    def _stored_name(self) -> dict[str, Any]:
        """Return the id and the user id, as far as they are known, for signals."""
        stored = self._record
        if stored is None:
            return {"id": None, "user_id": None}
        # What was overwritten without a look has kept a name that isn't known here.
        is_named = stored.version != UNKNOWN_VERSION
        return {"id": stored.id if is_named else None, "user_id": stored.user_id}


def _blank_record(key: str, version: int | None, now: datetime) -> SessionRecord:
    return SessionRecord(
        id=new_id(),
        key=key,
        payload=b"",
        version=version,
        user_id=None,
        created_at=now,
        authenticated_at=None,
        last_seen_at=now,
        expires_at=now,
    )
