"""
Django's session API over one store: SESSION_ENGINE = "django_multistore.engine".

Twins for sync and async code differ only by `await`; all that thinks is a plain method
between the two.
"""

from __future__ import annotations

import base64
import logging
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, ClassVar, TypeGuard

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import CreateError, SessionBase, UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.utils import timezone

from . import codec, conf
from .merge import merge_theirs
from .records import Device, SessionRecord, Update, key_of, new_id
from .stores import stores
from .stores.base import BaseStore

SESSION_KEY_BYTES = 20
FIRST_VERSION = 1
UNKNOWN_VERSION = 0  # No stored version is: the next save meets a CONFLICT, and merges.
VALID_SESSION_KEY = re.compile(r"[a-z0-9]{8,128}")

logger = logging.getLogger("django.security.SuspiciousSession")


def new_session_key() -> str:
    """
    Draw a session key.

    Returns:
        160 bits from the system's random source, as 32 lower-case letters and digits.
    """
    return base64.b32encode(secrets.token_bytes(SESSION_KEY_BYTES)).decode().lower()


@dataclass(slots=True, kw_only=True)
class _Draft:
    """What is about to be written. Its repr tells no secret, for error reports show locals."""

    record: SessionRecord
    body: bytes = field(repr=False)  # The session, serialised.
    session_key: str | None = field(default=None, repr=False)  # A new one, if it gets one.
    ends_session: bool  # Its expiry was set into the past, which means: gone now.


class SessionStore(SessionBase):
    """
    One visitor's session.

    It keeps what it loaded, as it was serialised: against that a save finds out what
    changed here, and merges it with what other requests have saved meanwhile.
    """

    store_alias: ClassVar[str] = "default"

    # Where this request comes from. None: leave what the record has.
    device: Device | None = None

    def __init__(self, session_key: str | None = None) -> None:
        self._forget()
        super().__init__(session_key)

    # Hooks and public names beyond Django's.

    @classmethod
    def get_store(cls) -> BaseStore:
        """Return the store that this engine keeps sessions in."""
        return stores[cls.store_alias]

    @staticmethod
    def get_user_id(data: dict[str, Any]) -> str | None:
        """
        Return the primary key, as text, of the user whose session this is.

        Called at each save; a subclass overrides it if its site logs users in by other
        means than django.contrib.auth.

        Args:
            data: the session.
        """
        user_id = data.get(SESSION_KEY)
        return None if user_id in (None, "") else str(user_id)

    @property
    def key(self) -> str | None:
        """The key under which the store knows this session; None if it has none yet."""
        return key_of(self.session_key) if self.session_key else None

    def restart_authentication(self) -> None:
        """Count SESSION_ABSOLUTE_AGE and "recent login" from now on; saved with the session."""
        self._authenticated_at = timezone.now()

    # Loading.

    def load(self) -> dict[str, Any]:
        """
        Return the session as the store has it now.

        Changes made here stay, unless the session turns out to be dead: then they go, and
        so does its key.

        Raises:
            StoreUnavailable: the store could not be asked.
        """
        return self._loaded(self.get_store().read(self.key) if self.key else None)

    async def aload(self) -> dict[str, Any]:
        """See load()."""
        return self._loaded(await self.get_store().aread(self.key) if self.key else None)

    def exists(self, session_key: str | None) -> bool:
        """Say whether a live session has this session key."""
        if not _is_session_key(session_key):
            return False
        return self.get_store().read(key_of(session_key)) is not None

    async def aexists(self, session_key: str | None) -> bool:
        """See exists()."""
        if not _is_session_key(session_key):
            return False
        return await self.get_store().aread(key_of(session_key)) is not None

    # Saving.

    def save(self, must_create: bool = False) -> None:
        """
        Save what was changed here, beside what other requests have saved meanwhile.

        Without a change it moves last-seen, at most once in SESSION_TOUCH_INTERVAL.

        Args:
            must_create: store a new session, under the session key if there is one.

        Raises:
            CreateError: must_create, and the session key is taken or was loaded before.
            UpdateError: the session was destroyed or has expired since it was loaded.
            StoreUnavailable: the store could not be asked.
        """
        if self.session_key is None:
            return self.create()
        if must_create:
            draft = self._first_draft(self.session_key)
            is_free = draft.ends_session or self.get_store().create(draft.record)
            return self._inserted(draft, is_free)
        self._get_session()
        draft = self._draft(self.key)
        if self._is_unmodified(draft):
            if touched := self._due_touch(draft):
                self._touched(touched, self.get_store().touch(touched))
            return None
        if draft.ends_session:
            return self._ended(self.get_store().destroy(draft.record.key))
        outcome = self.get_store().update(draft.record)
        if outcome is Update.CONFLICT:
            outcome = self.get_store().modify(draft.record.key, self._redrafting(draft))
        return self._updated(draft, outcome)

    async def asave(self, must_create: bool = False) -> None:
        """See save()."""
        if self.session_key is None:
            return await self.acreate()
        if must_create:
            draft = self._first_draft(self.session_key)
            is_free = draft.ends_session or await self.get_store().acreate(draft.record)
            return self._inserted(draft, is_free)
        await self._aget_session()
        draft = self._draft(self.key)
        if self._is_unmodified(draft):
            if touched := self._due_touch(draft):
                self._touched(touched, await self.get_store().atouch(touched))
            return None
        if draft.ends_session:
            return self._ended(await self.get_store().adestroy(draft.record.key))
        outcome = await self.get_store().aupdate(draft.record)
        if outcome is Update.CONFLICT:
            outcome = await self.get_store().amodify(draft.record.key, self._redrafting(draft))
        return self._updated(draft, outcome)

    def create(self) -> None:
        """
        Store a new session under a new session key, with what was set so far.

        An instance that had a session key starts empty: what it loaded may be a session
        that was ended since.

        Raises:
            StoreUnavailable: the store could not be asked.
        """
        self._start_anew()
        while True:
            draft = self._first_draft(new_session_key())
            if draft.ends_session or self.get_store().create(draft.record):
                return self._created(draft)

    async def acreate(self) -> None:
        """See create()."""
        self._start_anew()
        while True:
            draft = self._first_draft(new_session_key())
            if draft.ends_session or await self.get_store().acreate(draft.record):
                return self._created(draft)

    def cycle_key(self) -> None:
        """
        Move the session to a new session key; the old one is dead from then on.

        A session that was destroyed meanwhile does not come back. One without a user then
        starts anew, empty.

        Raises:
            SessionInterrupted: it was destroyed, and it is a user's.
            StoreUnavailable: the store could not be asked.
        """
        self._get_session()
        if self.key is None:
            return self.create()
        old_key, draft = self.key, self._rotation_draft(new_session_key())
        if draft.ends_session:
            return self._ended(self.get_store().destroy(old_key))
        outcome = self.get_store().rotate(old_key, draft.record)
        if outcome is Update.CONFLICT:
            outcome = self.get_store().modify(old_key, self._redrafting(draft))
        if not self._is_rotated(draft, outcome):
            self.create()

    async def acycle_key(self) -> None:
        """See cycle_key()."""
        await self._aget_session()
        if self.key is None:
            return await self.acreate()
        old_key, draft = self.key, self._rotation_draft(new_session_key())
        if draft.ends_session:
            return self._ended(await self.get_store().adestroy(old_key))
        outcome = await self.get_store().arotate(old_key, draft.record)
        if outcome is Update.CONFLICT:
            outcome = await self.get_store().amodify(old_key, self._redrafting(draft))
        if not self._is_rotated(draft, outcome):
            await self.acreate()

    def delete(self, session_key: str | None = None) -> None:
        """
        End the session under this session key.

        Args:
            session_key: None for this session's own.

        Raises:
            StoreUnavailable: the store could not be asked.
        """
        key = self._key_to_delete(session_key)
        if key is not None:
            self._deleted(key, self.get_store().destroy(key))

    async def adelete(self, session_key: str | None = None) -> None:
        """See delete()."""
        key = self._key_to_delete(session_key)
        if key is not None:
            self._deleted(key, await self.get_store().adestroy(key))

    def clear(self) -> None:
        """Remove all data, and what other requests may save before this one does."""
        super().clear()
        self._is_cleared = True

    @classmethod
    def clear_expired(cls) -> int:
        """
        Remove expired sessions from the store.

        Returns:
            How many there were.
        """
        return cls.get_store().gc()

    @classmethod
    async def aclear_expired(cls) -> int:
        """See clear_expired()."""
        return await cls.get_store().agc()

    # What thinks, between the twins. None of it does I/O.

    def _validate_session_key(self, key: object) -> bool:
        if key is None:
            return False
        if _is_session_key(key):
            return True
        logger.warning("A malformed session key was ignored.")
        return False

    def _forget(self) -> None:
        self._record: SessionRecord | None = None  # As loaded or written last.
        self._base: bytes | None = None  # Its data, serialised.
        self._is_cleared = False
        self._authenticated_at: datetime | None = None  # A login that isn't saved yet.

    def _start_anew(self) -> None:
        if self.session_key is not None:
            self._session_key = None
            self._forget()
            self._session_cache: dict[str, Any] = {}

    def _loaded(self, record: SessionRecord | None) -> dict[str, Any]:
        opened = self._opened(record) if record is not None else None
        has_cache = hasattr(self, "_session_cache")
        if record is None or opened is None:
            self._session_key = None
            self._forget()
            if has_cache:
                self._session_cache = {}
            return {}
        body, data = opened
        if not has_cache:
            # With a cache the base stays what that cache came from: measured against a
            # newer one, what others have added would look removed here.
            self._record, self._base = record, body
        return data

    def _opened(self, record: SessionRecord) -> tuple[bytes, dict[str, Any]] | None:
        if (limit := _absolute_limit(record)) is not None and limit <= timezone.now():
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

    def _first_draft(self, session_key: str) -> _Draft:
        if self._record is not None:
            # It was stored once. Storing it again could bring it back from the dead.
            raise CreateError("This session was stored before.")
        self._get_session(no_load=True)
        draft = self._draft(key_of(session_key))
        draft.session_key = session_key
        draft.record = replace(draft.record, version=FIRST_VERSION)
        return draft

    def _rotation_draft(self, session_key: str) -> _Draft:
        draft = self._draft(key_of(session_key))
        draft.session_key = session_key
        return draft

    def _draft(self, key: str | None) -> _Draft:
        if key is None:
            raise UpdateError("The session is unknown or has expired.")
        now, data = timezone.now(), self._session_cache
        stored = self._record or _blank_record(key, now)
        body = self.serializer().dumps(data)
        is_as_stored = body == self._base and key == stored.key
        user_id = self.get_user_id(data)
        record = replace(
            stored,
            key=key,
            payload=stored.payload if is_as_stored else codec.seal(body, key),
            user_id=user_id,
            authenticated_at=self._authentication(stored, user_id, now),
            seen_at=now,
            device=self.device or stored.device,
        )
        expires_at = _in_current_timezone(self.get_expiry_date(modification=now))
        limit = _absolute_limit(record)
        expires_at = expires_at if limit is None else min(expires_at, limit)
        # Where it had expired by itself since it was loaded, the store says so.
        had_expired = self._record is not None and self._record.expires_at <= now
        return _Draft(
            record=replace(record, expires_at=expires_at),
            body=body,
            ends_session=expires_at <= now and not had_expired,
        )

    def _authentication(
        self, stored: SessionRecord, user_id: str | None, now: datetime
    ) -> datetime | None:
        if user_id is None:
            return None
        if stored.user_id == user_id:
            return self._authenticated_at or stored.authenticated_at
        return self._authenticated_at or now

    def _redrafting(self, draft: _Draft) -> Callable[[SessionRecord], SessionRecord]:
        def redraft(stored: SessionRecord) -> SessionRecord:
            self._merge(stored)
            fresh = self._draft(draft.record.key)
            draft.record, draft.body = fresh.record, fresh.body
            return draft.record

        return redraft

    def _merge(self, stored: SessionRecord) -> None:
        opened = self._opened(stored)
        if opened is None:
            raise UpdateError("The session was replaced by one that can't be read.")
        body, theirs = opened
        if self._base is not None and not self._is_cleared:
            serializer = self.serializer()
            base = serializer.loads(self._base)
            merge_theirs(self._session_cache, base=base, theirs=theirs, serializer=serializer)
        self._record, self._base = stored, body

    def _is_unmodified(self, draft: _Draft) -> bool:
        # By what would be written, not by the flag: session["cart"].append(…) counts, and
        # an assignment of what was there doesn't.
        return (
            self._record is not None
            and not self._is_cleared
            and self._base == draft.body
            and self._record.user_id == draft.record.user_id
            and self._record.authenticated_at == draft.record.authenticated_at
        )

    def _due_touch(self, draft: _Draft) -> SessionRecord | None:
        moved, stored = draft.record, self._record
        interval = min(conf.touch_interval(), (moved.expires_at - moved.seen_at) / 10)
        if stored is None or moved.seen_at - stored.seen_at < interval:
            return None
        if settings.SESSION_SAVE_EVERY_REQUEST or self.modified:
            return moved
        return replace(moved, expires_at=stored.expires_at)

    def _touched(self, touched: SessionRecord, is_done: bool) -> None:
        if is_done:
            self._record = touched

    def _updated(self, draft: _Draft, outcome: Update) -> None:
        if outcome is Update.GONE:
            raise UpdateError("The session was destroyed or has expired since it was loaded.")
        written = draft.record
        # What was overwritten whichever version it had, has one that isn't known now.
        version = UNKNOWN_VERSION if written.version is None else written.version + 1
        self._adopt(replace(written, version=version), draft.body)

    def _adopt(self, record: SessionRecord, body: bytes) -> None:
        self._forget()
        self._record, self._base = record, body

    def _inserted(self, draft: _Draft, is_free: bool) -> None:
        if not is_free:
            raise CreateError("The session key is taken.")
        self._created(draft)

    def _created(self, draft: _Draft) -> None:
        self._session_key = draft.session_key
        if draft.ends_session:
            self._forget()
        else:
            self._adopt(draft.record, draft.body)
        self.modified = True

    def _is_rotated(self, draft: _Draft, outcome: Update) -> bool:
        if outcome is Update.DONE:
            self._updated(draft, outcome)
            self._session_key = draft.session_key
            self.modified = True
            return True
        if self.get_user_id(self._session_cache) is not None:
            raise SessionInterrupted(
                "The session was ended while this request was under way, by a logout "
                "elsewhere for example."
            )
        self._start_anew()
        return False

    def _ended(self, was_there: bool) -> None:
        # Forgotten, so that no later save takes the session for one that is there.
        self._forget()

    def _key_to_delete(self, session_key: str | None) -> str | None:
        if session_key is None:
            return self.key
        return key_of(session_key) if _is_session_key(session_key) else None

    def _deleted(self, key: str, was_there: bool) -> None:
        if key == self.key:
            self._forget()


def _is_session_key(session_key: object) -> TypeGuard[str]:
    return isinstance(session_key, str) and VALID_SESSION_KEY.fullmatch(session_key) is not None


def _blank_record(key: str, now: datetime) -> SessionRecord:
    return SessionRecord(
        id=new_id(),
        key=key,
        payload=b"",
        version=None,
        user_id=None,
        created_at=now,
        authenticated_at=None,
        seen_at=now,
        expires_at=now,
    )


def _absolute_limit(record: SessionRecord) -> datetime | None:
    age = conf.absolute_age()
    return None if age is None else (record.authenticated_at or record.created_at) + age


def _in_current_timezone(moment: datetime) -> datetime:
    """Make a datetime that was passed to set_expiry() comparable with timezone.now()."""
    if settings.USE_TZ and timezone.is_naive(moment):
        return timezone.make_aware(moment)
    if not settings.USE_TZ and timezone.is_aware(moment):
        return timezone.make_naive(moment)
    return moment
