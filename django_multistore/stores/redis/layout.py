"""
The bytes of a session in Redis, which the scripts read and splice: see stores/record_bytes.py.

To the scripts the actor of a takeover is a part of the payload, except where they list. Lua's
numbers are doubles, which can't hold an id: the scripts copy what is wider than 32 bits as it is.
They get the offsets from LUA_CONSTANTS.
"""

from __future__ import annotations

import logging
import secrets
import struct
from datetime import timedelta
from typing import Literal

from ...records import Device, SessionRecord, is_over
from ...session import clock
from ..record_bytes import (
    ACTOR_LENGTH,
    DAMAGE,
    HEAD,
    LAST_VERSION,
    LIVE,
    LONGEST_ACTOR,
    LONGEST_USER,
    NO_IP_ADDRESS,
    NO_USER,
    NONCE_LENGTH,
    SPANS,
    TAKEOVER,
    encode_device,
    find_ends,
    pack_record,
    to_timestamp,
    unpack_record,
    wrap_version,
)

# The kinds of tombstones, which a session that was ended or moved leaves on a cluster.
ENDED, MOVED = 2, 3
TOMBSTONES = (bytes([ENDED]), bytes([MOVED]))

KEY_LENGTH = 20
UNSIGNED = struct.Struct(">I")
DEVICE_LENGTHS = struct.Struct(">BH")
TIMESTAMPS = struct.Struct(">qq")

NONCE, VERSION, LISTED_UNTIL = SPANS["nonce"], SPANS["version"], SPANS["listed_until"]
MOST_OF_A_HEAD = 512  # bytes, which few heads exceed
LATEST = 2**32 - 1  # The last second of which a head can say that the index has it, in 2106.

MILLISECOND = timedelta(milliseconds=1)
AS_BEFORE: Literal[b""] = b""  # In place of a life: as long as what is there has to live.

# What the scripts know by name. Lua counts from 1 and includes the end.
LUA_CONSTANTS: dict[str, int | str] = {
    **{name.upper(): span.start + 1 for name, span in SPANS.items()},
    **{f"{name.upper()}_END": span.stop for name, span in SPANS.items()},
    "LIVE": rf"'\{LIVE}'",
    "ENDED": rf"'\{ENDED}'",
    "MOVED": rf"'\{MOVED}'",
    "TAKEOVER": rf"'\{TAKEOVER}'",
    "HEAD": HEAD.size,
    "KEY_LENGTH": KEY_LENGTH,
    "LAST_VERSION": LAST_VERSION,
    "LONGEST_USER": LONGEST_USER,
    "LONGEST_ACTOR": LONGEST_ACTOR,
    "NO_USER": NO_USER,
    "NO_IP_ADDRESS": NO_IP_ADDRESS,
}

suspicious = logging.getLogger("django.security.SuspiciousSession")


def pack(alias: str, record: SessionRecord) -> bytes:
    """Return a record as the value of one write. See pack_record()."""
    return pack_record(alias, record, make_nonce())


def make_nonce() -> bytes:
    """Return what tells one write from all others."""
    return secrets.token_bytes(NONCE_LENGTH)


def pack_device(alias: str, device: Device) -> tuple[bytes, bytes]:
    """Return the lengths of a device's parts, and the parts."""
    ip_address, user_agent = encode_device(alias, device)
    ip_address_length = NO_IP_ADDRESS if device.ip_address is None else len(ip_address)
    return DEVICE_LENGTHS.pack(ip_address_length, len(user_agent)), ip_address + user_agent


def unpack(key: str, value: bytes | None, *, alias: str = "default") -> SessionRecord | None:
    """
    Return the record that was packed.

    What was damaged is no session: a line in the log says so, and no error is raised.

    Args:
        key: the record's.
        value: what was found under it, or its head alone.
        alias: the store's, for the log.
    """
    if value is None or value[:1] in TOMBSTONES:
        return None
    try:
        return unpack_record(key, value)
    except DAMAGE:
        log_damage(alias)
        return None


def log_damage(alias: str) -> None:
    suspicious.warning("Session data corrupted in session store %r.", alias)


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
    """Return a packed record that says until when (seconds) the index of its user has it."""
    return b"".join((value[: LISTED_UNTIL.start], pack_until(until), value[LISTED_UNTIL.stop :]))


def succeed(stored: bytes, value: bytes) -> bytes:
    """Return a packed record as the next version of a session, whose head is `stored`."""
    next_version = pack_version(int.from_bytes(stored[VERSION]) + 1)
    id_and_created_at = stored[NONCE.stop : VERSION.start]
    return b"".join((value[: NONCE.stop], id_and_created_at, next_version, value[VERSION.stop :]))


def pack_version(version: int | None) -> bytes:
    """Return the version that a script is to find; nothing for any."""
    return b"" if version is None else UNSIGNED.pack(wrap_version(version))


def pack_until(until: int) -> bytes:
    """Return until when an index has a session, as heads have it."""
    return UNSIGNED.pack(min(until, LATEST))


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
    ends = find_ends(HEAD.size, user_length, ip_address_length, user_agent_length)
    user_end, _, device_end = ends
    if kind == MOVED:
        return user_end + KEY_LENGTH
    if kind == LIVE:
        return device_end
    if kind != TAKEOVER:
        return HEAD.size
    actor_start = device_end + ACTOR_LENGTH.size
    return actor_start + int.from_bytes(value[device_end:actor_start])
