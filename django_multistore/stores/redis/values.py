"""What the protocols ask of the values in Redis, and what they splice into them. See layout.py."""

from __future__ import annotations

import secrets
import struct
from datetime import timedelta
from typing import Literal

from ...records import SessionRecord, is_over
from ...session import clock
from ..record_bytes import (
    ACTOR_LENGTH,
    HEAD,
    LIVE,
    NO_USER,
    NONCE_LENGTH,
    SPANS,
    TAKEOVER,
    find_ends,
    to_timestamp,
    wrap_version,
)
from .layout import KEY_LENGTH, MOVED, UNSIGNED

NONCE, VERSION, LISTED_UNTIL = SPANS["nonce"], SPANS["version"], SPANS["listed_until"]
TIMESTAMPS = struct.Struct(">qq")
MOST_OF_A_HEAD = 512  # bytes, which few heads exceed
LATEST = 2**32 - 1  # The last second of which a head can say that the index has it, in 2106.

MILLISECOND = timedelta(milliseconds=1)
AS_BEFORE: Literal[b""] = b""  # In place of a life: as long as what is there has to live.


def make_nonce() -> bytes:
    """Return what tells one write from all others."""
    return secrets.token_bytes(NONCE_LENGTH)


def nonce_of(value: bytes) -> bytes:
    """Return the nonce of a write."""
    return value[NONCE]


def is_cut(head: bytes) -> bool:
    """Say whether MOST_OF_A_HEAD bytes were not enough for this one."""
    return len(head) == MOST_OF_A_HEAD and _head_length(head) > len(head)


def head_alone(value: bytes) -> bytes:
    """Return the head of a session without its payload. A tombstone stays whole."""
    return value[: _head_length(value)] if value[:1] in (b"%c" % LIVE, b"%c" % TAKEOVER) else value


def user_of(head: bytes) -> bytes | None:
    """Return the user id in the head of a session, or in a tombstone."""
    if len(head) < HEAD.size:
        return None
    length = int.from_bytes(head[SPANS["user_length"]])
    return None if length == NO_USER else head[HEAD.size : HEAD.size + length]


def successor_of(head: bytes) -> str | None:
    """Return the key that a session went to, if this is the tombstone that says so."""
    if head[:1] != b"%c" % MOVED or len(head) != _head_length(head):
        return None
    return head[-KEY_LENGTH:].hex()


def set_listed_until(value: bytes, until: int) -> bytes:
    """
    Return a packed record with what the index of its user says.

    Args:
        value: what pack() returned.
        until: until when the index has the session (seconds since the epoch).
    """
    return b"".join((value[: LISTED_UNTIL.start], pack_until(until), value[LISTED_UNTIL.stop :]))


def succeed(stored: bytes, value: bytes) -> bytes:
    """
    Return a packed record as the next version of a session that moves to another key.

    Args:
        stored: the head of the session, of which id and created_at stay.
        value: what pack() returned.
    """
    next_version = pack_version(int.from_bytes(stored[VERSION]) + 1)
    birth = stored[NONCE.stop : VERSION.start]
    return b"".join((value[: NONCE.stop], birth, next_version, value[VERSION.stop :]))


def pack_version(version: int | None) -> bytes:
    """Return the version that a script is to find; nothing for any."""
    return b"" if version is None else UNSIGNED.pack(wrap_version(version))


def pack_until(until: int) -> bytes:
    """Return until when an index has a session, as heads have it."""
    return UNSIGNED.pack(min(until, LATEST))


def pack_id(id: int) -> bytes:
    """Return an id as heads have it."""
    return id.to_bytes(8, "big", signed=True)


def pack_timestamps(record: SessionRecord) -> bytes:
    """Return what a touch moves: last_seen_at and expires_at."""
    return TIMESTAMPS.pack(to_timestamp(record.last_seen_at), to_timestamp(record.expires_at))


def milliseconds_left(record: SessionRecord) -> int | Literal[b""]:
    """
    Return how long a record has to live: 0 if it is over, nothing if that can't be told.

    A record that has expired by this host's clock, and not by its own times, may be alive by
    Redis' clock, and only that counts.
    """
    # A clock that is behind doesn't prolong a life either.
    left = (record.expires_at - max(clock.now(), record.last_seen_at)) // MILLISECOND
    return max(left, 0) or (0 if is_over(record) else AS_BEFORE)


def whole_life(record: SessionRecord) -> int:
    """Return how many milliseconds a record lives after its last use, by its own times."""
    return max(1, (record.expires_at - record.last_seen_at) // MILLISECOND)


def _head_length(value: bytes) -> int:
    """Return how long the head of a session, or a tombstone, says that it is."""
    if len(value) < HEAD.size:
        return HEAD.size
    kind, *_, user_length, ip_address_length, user_agent_length = HEAD.unpack_from(value)
    user_end, _, device_end = find_ends(
        HEAD.size, user_length, ip_address_length, user_agent_length
    )
    if kind == MOVED:
        return user_end + KEY_LENGTH
    if kind == LIVE:
        return device_end
    if kind != TAKEOVER:
        return HEAD.size
    actor_start = device_end + ACTOR_LENGTH.size
    return actor_start + int.from_bytes(value[device_end:actor_start])
