"""
What a SplitStore leaves in its stores while a login takes a session from one to the other.

The anonymous session is marked with the key to which it moves. The user's is pending there: it is
not alive before its login is done, and void once another request has come before that.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from ...records import KEY_LENGTH, SessionRecord

# No sealed payload begins with this.
_MAGIC = bytes.fromhex("00d41c5fe0b7a9634e8c127d3a95f0be")
PENDING, VOID, MARK = _MAGIC + b"p", _MAGIC + b"v", _MAGIC + b"m"


class Found(NamedTuple):
    """What is under the key of an anonymous session."""

    entry: SessionRecord  # As it is stored, with its mark.
    target: str | None  # The key to which it is about to move.

    @property
    def record(self) -> SessionRecord:
        """The session as its requests see it, who can't save over the mark."""
        if self.target is None:
            return self.entry
        entry = self.entry
        payload = entry.payload[len(MARK) + KEY_LENGTH :]
        return replace(entry, payload=payload, version=(entry.version or 0) - 1)

    @property
    def latest(self) -> SessionRecord:
        """The session with the version that is stored, for who has seen to the mark."""
        return replace(self.record, version=self.entry.version)


def find(entry: SessionRecord) -> Found:
    """Read an anonymous session, which may have a mark."""
    if not entry.payload.startswith(MARK):
        return Found(entry, None)
    return Found(entry, entry.payload[len(MARK) : len(MARK) + KEY_LENGTH].decode())


def marked(stored: SessionRecord, target: str) -> SessionRecord:
    """Return an anonymous session that is about to move to a key."""
    return replace(stored, payload=MARK + target.encode() + stored.payload)


def is_waiting(record: SessionRecord) -> bool:
    """Say whether it is a session that no login has completed."""
    return record.payload in (PENDING, VOID)


def pending(new: SessionRecord, *, user_id: str | None, until: datetime) -> SessionRecord:
    """
    Return a session that isn't alive before its login is done.

    Args:
        new: what it is to be. No list of all sessions shows one with a login and without a user.
        user_id: whose it is meanwhile.
        until: when it goes, if nothing becomes of it.
    """
    at = new.authenticated_at or new.last_seen_at
    return replace(new, payload=PENDING, user_id=user_id, authenticated_at=at, expires_at=until)


def voided(there: SessionRecord) -> SessionRecord:
    """Return a pending session that its login finds changed."""
    return replace(there, payload=VOID)
