"""Records and limits for the tests of a store."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from ..records import Device, Limit, SessionRecord, key_of, new_id
from ..session import clock
from ..session.keys import new_session_key

HOUR = timedelta(hours=1)
EVICTING, REFUSING = Limit(most=2, evicts=True), Limit(most=2, evicts=False)


def make_record(**changes: Any) -> SessionRecord:
    """
    Make a live record of a new session without a user.

    Args:
        changes: fields that shall be different.
    """
    now = clock.now()
    record = SessionRecord(
        id=new_id(),
        key=key_of(new_session_key()),
        payload=b"\x00payload\xff",
        version=1,
        user_id=None,
        created_at=now,
        authenticated_at=None,
        last_seen_at=now,
        expires_at=now + HOUR,
        device=Device(ip_address="192.0.2.7", user_agent="Firefox"),
    )
    return replace(record, **changes)


def expired(record: SessionRecord) -> SessionRecord:
    """Return the record as one that expired an hour ago."""
    return replace(record, expires_at=clock.now() - HOUR)
