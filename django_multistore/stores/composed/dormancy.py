"""
Records of a session that is moving, which are not alive: in any store, and told apart in lists.

A record says so by its last use, which lies decades before it was created. Nothing else of it
changes, so it is told by read() and by lists alike, and can be taken back.
"""

from __future__ import annotations

import enum
from dataclasses import replace
from datetime import datetime, timedelta

from ...records import SessionRecord

YEAR = timedelta(days=365)
MOVED_FOR, LEFT_FOR, PENDING_FOR = 20 * YEAR, 30 * YEAR, 40 * YEAR
# No session was last seen so long before it was created, whatever hosts' clocks show.
NEVER = 10 * YEAR
ROOM = 5 * YEAR


TOKEN_LENGTH = 16


class State(enum.Enum):
    """What a store has under a key."""

    ABSENT = "absent"
    LIVE = "live"
    PENDING = "pending"  # A place that is kept for a session that is about to come.
    MOVED = "moved"  # A session that is on its way to such a place.
    LEFT = "left"  # What a session leaves behind for a while that has come where it is alive.


def state_of(record: SessionRecord | None) -> State:
    """Return what a record, or None where there is none, says of its session."""
    if record is None:
        return State.ABSENT
    before = record.created_at - record.last_seen_at
    if before < NEVER:
        return State.LIVE
    if before < LEFT_FOR - ROOM:
        return State.MOVED
    return State.LEFT if before < PENDING_FOR - ROOM else State.PENDING


def pending(record: SessionRecord, token: bytes) -> SessionRecord:
    """Return what keeps a place for a live record, with a token in place of the payload."""
    return replace(record, last_seen_at=record.last_seen_at - PENDING_FOR, payload=token)


def moved(record: SessionRecord, token: bytes) -> SessionRecord:
    """Return a live record as one that is on its way to the place with this token."""
    payload = token + record.payload
    return replace(record, last_seen_at=record.last_seen_at - MOVED_FOR, payload=payload)


def left(mark: SessionRecord, until: datetime) -> SessionRecord:
    """Return what remains of a session that was moved(): it expires at this time, or before."""
    last_seen_at = mark.last_seen_at + MOVED_FOR - LEFT_FOR
    expires_at = min(mark.expires_at, until)
    return replace(mark, last_seen_at=last_seen_at, expires_at=expires_at, payload=b"")


def awake(mark: SessionRecord) -> SessionRecord:
    """Return the live record of which moved() was made; in a list no record has a payload."""
    payload = mark.payload[TOKEN_LENGTH:]
    return replace(mark, last_seen_at=mark.last_seen_at + MOVED_FOR, payload=payload)


def belong_together(mark: SessionRecord | None, place: SessionRecord | None) -> bool:
    """Say whether a session is on its way to this place, by what was read of both."""
    if mark is None or place is None or state_of(mark) is not State.MOVED:
        return False
    is_place = state_of(place) is State.PENDING
    return is_place and mark.payload[:TOKEN_LENGTH] == place.payload


def ended(record: SessionRecord) -> SessionRecord:
    """Return a record as one that is over, for a compare-and-set that ends it."""
    return replace(record, payload=b"", expires_at=min(record.created_at, record.last_seen_at))
