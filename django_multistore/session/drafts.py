"""What a save is about to write: the session as it is here, merged with what others have saved."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.base import UpdateError

from ..conf import conf
from ..exceptions import StoreUnavailable
from ..records import Device, Fate, Limit, SessionRecord, new_id
from . import client_hints, clock, codec, namespaces
from .codec import Body
from .compression import TooLarge
from .keys import Secret
from .lazy import snapshot
from .lifetimes import KEPT_AS, compute_absolute_limit, is_too_old
from .merge import is_same_body, merge_theirs
from .owners import OwnedSession
from .serialization import read, write

logger = logging.getLogger("django.security.SuspiciousSession")


@dataclass(slots=True, kw_only=True)
class Draft:
    """
    What is about to be written.

    Attributes:
        record: it.
        body: the session, serialised.
        secret: its new session key, if it gets one.
        is_followable: whether whoever has the old session key alone can find the new one.
        ends_session: whether its expiry was set into the past, which ends it now.
    """

    record: SessionRecord
    body: Body = field(repr=False)
    secret: Secret | None = None
    is_followable: bool = False
    ends_session: bool


class DraftingSession(OwnedSession):
    """Django's session, which knows what is to be written of it."""

    device: Device | None = None  # None leaves what the record has.
    _session_cache: dict[str, Any]
    _outage: StoreUnavailable | None = None  # One that was tolerated when it was to be loaded.

    def _require_known(self) -> None:
        if self._outage is not None:
            raise StoreUnavailable(
                "The session can't be written: it could not be loaded before."
            ) from self._outage

    def _open_record(self, record: SessionRecord) -> tuple[Body, dict[str, Any]] | None:
        """Return a record's data, serialised and not; None if they can't be opened here."""
        if is_too_old(record) or not namespaces.is_here(record.user_id):
            return None
        opened = self._read_payload(record)
        if opened is None:
            logger.warning("Session data corrupted in session %s.", record.id)
        return opened

    def _read_payload(self, record: SessionRecord) -> tuple[Body, dict[str, Any]] | None:
        try:
            body = codec.open_payload(record.payload, record.key)
        except TooLarge:
            logger.warning("Session %s is larger than SESSION_MAX_BYTES allows.", record.id)
            return None
        if body is None:
            return None
        try:
            data = read(body, self.serializer())
        except Exception:  # noqa: BLE001 - whatever a serializer raises on bad input
            return None
        return (body, data) if isinstance(data, dict) else None

    def _read_base(self) -> dict[str, Any]:
        """Return the data as they were loaded or written last, and none for a new session."""
        base = self._state.base
        return {} if base is None else read(base, self.serializer())

    def _draft(
        self, key: str | None, *, secret: Secret | None = None, version: int | None = None
    ) -> Draft:
        """
        Build what is about to be written.

        Args:
            key: under which it will be; None if it was found to be under none.
            secret: the session key that this is the key of, if the session gets a new one.
            version: of the record, if the session is new.

        Raises:
            UpdateError: the session is under no key.
            StoreUnavailable: it could not be loaded before, and that was tolerated.
        """
        self._require_known()
        if key is None:
            raise UpdateError("The session is unknown or has expired.")
        # A copy, since other threads of the request may go on to write into it.
        clock_now, data = clock.now(), snapshot(self._session_cache)
        state = self._state
        stored = state.record or _build_blank_record(key, version, clock_now)
        # A session's time doesn't go back where this host's clock is behind another's.
        now = max(clock_now, stored.last_seen_at)
        body = write(data, self.serializer())
        user_id = self.stored_user_id(data)
        authenticated_at = self._find_authentication(stored, user_id, clock_now)
        expires_at = self._compute_expiry(authenticated_at or stored.created_at, now)
        is_over = expires_at <= now
        # Where it had expired by itself since it was loaded, the store says so.
        had_expired = state.record is not None and state.record.expires_at <= now
        if is_over and not self._has_new_expiry(data):
            # Then only this host's clock says that it is over, and the store has one of its own.
            is_over, now, expires_at = False, stored.last_seen_at, stored.expires_at
        record = SessionRecord(
            id=stored.id,
            key=key,
            payload=self._seal(body, key, stored),
            version=stored.version,
            user_id=user_id,
            created_at=stored.created_at,
            authenticated_at=authenticated_at,
            last_seen_at=now,
            expires_at=expires_at,
            device=self._find_device(stored),
            actor_id=self.get_actor_id(data),
            fate=Fate(),
            token=stored.token,
        )
        return Draft(
            record=record, body=body, secret=secret, ends_session=is_over and not had_expired
        )

    def _find_device(self, stored: SessionRecord) -> Device:
        if self.device is None:
            return stored.device
        user_agent = client_hints.keep(stored.device.user_agent, self.device.user_agent)
        is_as_sent = user_agent == self.device.user_agent
        return self.device if is_as_sent else replace(self.device, user_agent=user_agent)

    def _seal(self, body: Body, key: str, stored: SessionRecord) -> bytes:
        is_as_stored = body == self._state.base and key == stored.key
        if is_as_stored:
            return stored.payload
        return codec.seal(body.content, key, is_utf8=body.is_utf8)

    def _find_authentication(
        self, stored: SessionRecord, user_id: str | None, now: datetime
    ) -> datetime | None:
        if user_id is None:
            return None
        if self._state.login_at is not None:
            return self._state.login_at
        return stored.authenticated_at if self._is_of(stored, user_id) else now

    def _compute_expiry(self, start: datetime, now: datetime) -> datetime:
        expires_at = self._add_expiry(self.get(KEPT_AS), now)
        limit = compute_absolute_limit(start)
        return expires_at if limit is None else min(expires_at, limit)

    def _has_new_expiry(self, data: dict[str, Any]) -> bool:
        """Say whether the session is new, or its expiry was set since it was loaded."""
        if self._state.record is None or self._state.base is None:
            return True
        return bool(data.get(KEPT_AS) != self._read_base().get(KEPT_AS))

    def _is_unmodified(self, draft: Draft) -> bool:
        # What would be written decides, not the flag: session["cart"].append(…) is a change, and
        # an assignment of what was there is none.
        state = self._state
        return (
            state.record is not None
            and state.is_key_certain
            and not state.is_cleared
            and state.base is not None
            and is_same_body(state.base, draft.body, self.serializer())
            and state.record.user_id == draft.record.user_id
            and state.record.authenticated_at == draft.record.authenticated_at
        )

    def _redrafting(
        self, draft: Draft, key: str | None = None
    ) -> Callable[[SessionRecord], SessionRecord]:
        """
        Return what merges a draft with what a store has by now, for its modify().

        Args:
            draft: to bring up to date.
            key: under which the session is by now, if others have moved it.
        """

        def redraft(stored: SessionRecord) -> SessionRecord:
            self._merge(stored)
            fresh = self._draft(key or draft.record.key)
            draft.record, draft.body = fresh.record, fresh.body
            return draft.record

        return redraft

    def _merge(self, stored: SessionRecord) -> None:
        """Take over what others have changed in a session since it was loaded here."""
        opened = self._open_record(stored)
        if opened is None:
            raise UpdateError("What is stored of the session by now can't be read.")
        state, (body, theirs) = self._state, opened
        if state.base is not None and not state.is_cleared:
            base = self._read_base()
            merge_theirs(
                self._session_cache, base=base, theirs=theirs, serializer=self.serializer()
            )
        state.record, state.base = stored, body

    def _find_limit_for(self, record: SessionRecord) -> Limit | None:
        """Return the limit that a write has to keep; None if it adds no session to a user's."""
        limit = conf.session_limit
        if limit is None or record.user_id is None or record.actor_id is not None:
            return None
        stored = self._state.record
        if stored is None or stored.actor_id is not None:
            return limit
        return None if self._is_of(stored, record.user_id) else limit

    def _mark_seen(self, stored: SessionRecord) -> SessionRecord:
        """Return a record as it would be if only last-seen moved."""
        now = max(clock.now(), stored.last_seen_at)
        return replace(
            stored,
            last_seen_at=now,
            expires_at=self._compute_expiry(stored.authenticated_at or stored.created_at, now),
            device=self._find_device(stored),
            fate=Fate(),
        )

    def _find_due_touch(self, moved: SessionRecord | None) -> SessionRecord | None:
        """
        Return what to touch a session with, if that is due.

        Args:
            moved: its record with last-seen and expiry as of now; None if it isn't known.
        """
        stored = self._state.record
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
        # A touch can't renew what has expired by this host's clock, and would show a time after it.
        is_late = moved.last_seen_at >= stored.expires_at
        return None if is_late else replace(moved, expires_at=stored.expires_at)


def _build_blank_record(key: str, version: int | None, now: datetime) -> SessionRecord:
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
