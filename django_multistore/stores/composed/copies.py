"""
What a front keeps: copies of sessions, and leases for copies that are to come.

Both are records under the session's key and of its user, so that whatever ends a user's sessions
there ends them. A copy has the true record in its payload. A lease has none, and is never served.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from ...records import SessionRecord, new_first_version
from ...session import clock
from ..record_bytes import DAMAGE, pack_record, unpack_record

# What a payload begins with, or is.
COPY, IDLE, BEING_FILLED = b"c", b"", b"f"
# For so long nobody else fills a lease that a reader has taken.
PATIENCE = timedelta(seconds=5)


def lease_for(truth: SessionRecord, lasting: timedelta) -> SessionRecord:
    """Return a lease that the reader is about to fill who puts it there."""
    return _entry(truth, lasting, payload=BEING_FILLED, version=new_first_version())


def taken_over(entry: SessionRecord, lasting: timedelta) -> SessionRecord:
    """Return what is there as a lease that the reader is about to fill who puts it there."""
    return _entry(entry, lasting, payload=BEING_FILLED, version=entry.version)


def emptied(
    entry: SessionRecord, user_id: str | None, lasting: timedelta, *, version: int | None
) -> SessionRecord:
    """Return what is there as a lease that anyone may fill, in the name of this user."""
    return _entry(replace(entry, user_id=user_id), lasting, payload=IDLE, version=version)


def blank_lease(key: str, user_id: str | None, lasting: timedelta) -> SessionRecord:
    """Return a lease that anyone may fill, to put over whatever is there."""
    now = clock.now()
    return SessionRecord(
        id=0,
        key=key,
        payload=IDLE,
        version=None,
        user_id=user_id,
        created_at=now,
        authenticated_at=None,
        last_seen_at=now,
        expires_at=now + lasting,
    )


def copy_of(
    truth: SessionRecord, alias: str, *, version: int | None, until: datetime
) -> SessionRecord:
    """
    Return a copy.

    Args:
        truth: the record as the back has it.
        alias: the store's, for messages.
        version: of what it is written over.
        until: when nobody trusts it any more.
    """
    now = clock.now()
    return SessionRecord(
        id=truth.id,
        key=truth.key,
        payload=COPY + pack_record(alias, truth),
        version=version,
        user_id=truth.user_id,
        created_at=now,
        authenticated_at=None,
        last_seen_at=now,
        expires_at=min(truth.expires_at, until),
    )


def find_copied(entry: SessionRecord | None) -> SessionRecord | None:
    """Return the record of which this is a copy that may be served; None if it is none."""
    if entry is None or not entry.payload.startswith(COPY):
        return None
    try:
        truth = unpack_record(entry.key, entry.payload, len(COPY))
    except DAMAGE:
        return None
    return truth if truth.expires_at > clock.now() else None


def is_being_filled(entry: SessionRecord) -> bool:
    """Say whether a reader has taken this lease a moment ago."""
    ago = clock.now() - entry.last_seen_at
    return entry.payload == BEING_FILLED and -PATIENCE < ago < PATIENCE


def _entry(
    of: SessionRecord, lasting: timedelta, *, payload: bytes, version: int | None
) -> SessionRecord:
    return replace(
        blank_lease(of.key, of.user_id, lasting), id=of.id, payload=payload, version=version
    )
