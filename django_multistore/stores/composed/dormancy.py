"""
Records of a session that is moving, which are not alive: in any store, and told apart in lists.

A record says so by its last use, which lies decades before it was created. Nothing else of it
changes, so it is told by read() and by lists alike, and can be taken back.
"""

from __future__ import annotations

import enum
from dataclasses import replace
from datetime import timedelta

from ...records import SessionRecord

PENDING_FOR = timedelta(days=40 * 365)
MOVED_FOR = timedelta(days=20 * 365)
# No session was last seen so long before it was created, whatever hosts' clocks show.
PENDING_FROM = timedelta(days=30 * 365)
MOVED_FROM = timedelta(days=10 * 365)


TOKEN_LENGTH = 16


class State(enum.Enum):
    """What a store has under a key."""

    ABSENT = "absent"
    LIVE = "live"
    PENDING = "pending"  # A place for a session that is about to come.
    MOVED = "moved"  # A session that is on its way, or has come where it is alive.


def state_of(record: SessionRecord | None) -> State:
    """Return what a record, or None where there is none, says of its session."""
    if record is None:
        return State.ABSENT
    before = record.created_at - record.last_seen_at
    if before < MOVED_FROM:
        return State.LIVE
    return State.MOVED if before < PENDING_FROM else State.PENDING


def pending(record: SessionRecord, token: bytes) -> SessionRecord:
    """Return what keeps a place for a live record, with a token in place of the payload."""
    return replace(record, last_seen_at=record.last_seen_at - PENDING_FOR, payload=token)


def moved(record: SessionRecord, token: bytes) -> SessionRecord:
    """Return a live record as one that is on its way to the place with this token."""
    payload = token + record.payload
    return replace(record, last_seen_at=record.last_seen_at - MOVED_FOR, payload=payload)


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
