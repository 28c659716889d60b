"""Records that are no sessions, and say something under a key that no cookie can have."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings

from ..records import SessionRecord, new_id
from ..session import clock, codec


def build_mark(key: str, body: bytes) -> SessionRecord:
    """Build a mark that lasts for as long as a session of the old engine may."""
    now = clock.now()
    return SessionRecord(
        id=new_id(),
        key=key,
        payload=codec.seal(body, key),
        version=1,
        user_id=None,
        created_at=now,
        # No anonymous session has a login: so what lists sessions can leave this out.
        authenticated_at=now,
        last_seen_at=now,
        expires_at=now + timedelta(seconds=settings.SESSION_COOKIE_AGE),
    )
