"""
A session as one value in Redis: a head, which the scripts read and splice, and the payload.

    1   format          8  nonce of the write      8  id             8  created_at
    4   version         8  authenticated_at        8  last_seen_at        8  expires_at
    4   listed_until    2  length of the user id, of the ip address 1, of the user agent 2
    the user id, the ip address, the user agent, the payload

In a takeover the format is another, and between user agent and payload is who acts: the length of
an id (2), the id. To the scripts that is a part of the payload, but for lists.

Numbers are big-endian, times microseconds. lua/head.lua has the same offsets. The scripts copy
what is wider than 32 bits as it is: Lua's numbers are doubles, which can't hold an id.

What was damaged in Redis is no session: it reads as nothing, with a line in the log, and raises
nothing.
"""

from __future__ import annotations

import logging
import secrets
import struct
from datetime import timedelta
from typing import Literal

from ...records import USER_AGENT_MAX_LENGTH, USER_ID_MAX_LENGTH, Device, SessionRecord, is_over
from ...session import clock
from ..timestamps import from_optional_timestamp, from_timestamp, to_timestamp

LIVE, ENDED, MOVED, TAKEOVER = 1, 2, 3, 4
ALIVE = (bytes([LIVE]), bytes([TAKEOVER]))
MARKERS = (bytes([ENDED]), bytes([MOVED]))
KEY_LENGTH = 20
NONCE_LENGTH = 8
HEAD = struct.Struct(">B8sqqIqqqIHBH")
BIRTH = slice(9, 25)  # id and created_at, which stay for the session's whole life
UNSIGNED = struct.Struct(">I")
LENGTHS = struct.Struct(">BH")
ACTOR_LENGTH = struct.Struct(">H")
MOMENTS = struct.Struct(">qq")
LISTED_UNTIL_AT = 53
MOST_OF_A_HEAD = 512  # bytes; a longer one is rare
LONGEST_ACTOR = ACTOR_LENGTH.size + 4 * USER_ID_MAX_LENGTH
LONGEST_HEAD = HEAD.size + 4 * USER_ID_MAX_LENGTH + 255 + 4 * USER_AGENT_MAX_LENGTH + LONGEST_ACTOR
LATEST = 2**32 - 1  # The last second that the head can say the index has it for, in 2106; or later.
LAST_VERSION = 2**32 - 1  # After which the first one comes.

NO_USER, NO_IP_ADDRESS = 2**16 - 1, 2**8 - 1
NO_DEVICE = Device()

MILLISECOND = timedelta(milliseconds=1)
AS_BEFORE: Literal[b""] = b""  # In place of a life: as long as what is there has to live.

suspicious = logging.getLogger("django.security.SuspiciousSession")


def pack(alias: str, record: SessionRecord) -> bytes:
    """
    Return a record as the value of one write, with a nonce of its own. Its key is left out.

    Args:
        alias: the store's, for messages.
        record: what shall be written.

    Raises:
        ValueError: the user id or the device doesn't fit.
    """
    user, actor = _user(alias, record.user_id), _user(alias, record.actor_id)
    ip_address, user_agent = _device(alias, record.device)
    head = HEAD.pack(
        LIVE if record.actor_id is None else TAKEOVER,
        secrets.token_bytes(NONCE_LENGTH),
        record.id,
        to_timestamp(record.created_at),
        _stored_version(record.version or 0),
        to_timestamp(record.authenticated_at),
        to_timestamp(record.last_seen_at),
        to_timestamp(record.expires_at),
        0,
        NO_USER if record.user_id is None else len(user),
        NO_IP_ADDRESS if record.device.ip_address is None else len(ip_address),
        len(user_agent),
    )
    if record.actor_id is not None:
        actor = ACTOR_LENGTH.pack(len(actor)) + actor
    return b"".join((head, user, ip_address, user_agent, actor, record.payload))


def unpack(key: str, value: bytes | None, *, alias: str = "default") -> SessionRecord | None:
    """
    Return the record that was packed.

    Args:
        key: the record's.
        value: what was found under it, or its head alone.
        alias: the store's, for the log.

    Returns:
        None for a session that isn't there, or was ended, or is damaged.
    """
    if value is None or value[:1] in MARKERS:
        return None
    try:
        return _unpacked(key, value)
    except (struct.error, ValueError, OverflowError):
        log_damage(alias)
        return None


def _unpacked(key: str, value: bytes) -> SessionRecord:
    (
        kind,
        _,
        id,
        created_at,
        version,
        authenticated_at,
        last_seen_at,
        expires_at,
        _,
        user_length,
        ip_address_length,
        user_agent_length,
    ) = HEAD.unpack_from(value)
    has_user, has_ip_address = user_length != NO_USER, ip_address_length != NO_IP_ADDRESS
    user_end = HEAD.size + (user_length if has_user else 0)
    ip_address_end = user_end + (ip_address_length if has_ip_address else 0)
    head_end = ip_address_end + user_agent_length
    actor_id, payload_start = None, head_end
    if kind == TAKEOVER:
        (actor_length,) = ACTOR_LENGTH.unpack_from(value, head_end)
        payload_start = head_end + ACTOR_LENGTH.size + actor_length
        actor_id = value[head_end + ACTOR_LENGTH.size : payload_start].decode()
    is_alive = kind in (LIVE, TAKEOVER)
    if not is_alive or id < 0 or payload_start > min(len(value), LONGEST_HEAD):
        raise ValueError("This is no session.")
    user_id = value[HEAD.size : user_end].decode()
    user_agent = value[ip_address_end:head_end].decode("utf-8", "surrogatepass")
    # Nothing is read that could not be written again. See pack().
    is_too_long = max(len(user_id), len(actor_id or "")) > USER_ID_MAX_LENGTH
    if is_too_long or len(user_agent) > USER_AGENT_MAX_LENGTH:
        raise ValueError("No session has that.")
    return SessionRecord(
        id=id,
        key=key,
        payload=value[payload_start:],
        version=version,
        user_id=user_id if has_user else None,
        created_at=from_timestamp(created_at),
        authenticated_at=from_optional_timestamp(authenticated_at),
        last_seen_at=from_timestamp(last_seen_at),
        expires_at=from_timestamp(expires_at),
        device=(
            Device(
                ip_address=(
                    value[user_end:ip_address_end].decode("ascii") if has_ip_address else None
                ),
                user_agent=user_agent,
            )
            if has_ip_address or user_agent_length
            else NO_DEVICE
        ),
        actor_id=actor_id,
    )


def log_damage(alias: str) -> None:
    """Write to the log that something in Redis can't be read."""
    suspicious.warning("Session data corrupted in session store %r.", alias)


def is_cut(head: bytes) -> bool:
    """Say whether MOST_OF_A_HEAD bytes were not enough for this one."""
    return len(head) == MOST_OF_A_HEAD and _head_length(head) > len(head)


def head_alone(value: bytes) -> bytes:
    """Return the head of a session, or a whole marker."""
    return value[: _head_length(value)] if value[:1] in ALIVE else value


def user_of(head: bytes) -> bytes | None:
    """Return the user id in the head of a session, or in a marker."""
    if len(head) < HEAD.size:
        return None
    *_, length, _, _ = HEAD.unpack_from(head)
    return None if length == NO_USER else head[HEAD.size : HEAD.size + length]


def successor_of(head: bytes) -> str | None:
    """Return the key that a session went to, if this is the marker that says so."""
    if head[:1] != bytes([MOVED]) or len(head) != _head_length(head):
        return None
    return head[-KEY_LENGTH:].hex()


def listed(value: bytes, until: int) -> bytes:
    """
    Return a packed record with what the index of its user says.

    Args:
        value: what pack() returned.
        until: until when it has the session (seconds since the epoch).
    """
    rest = LISTED_UNTIL_AT + UNSIGNED.size
    return b"".join((value[:LISTED_UNTIL_AT], packed_until(until), value[rest:]))


def succeeding(stored: bytes, value: bytes) -> bytes:
    """
    Return a packed record as the next version of a session that moves to another key.

    Args:
        stored: the head of what it was.
        value: what pack() returned.
    """
    (version,) = UNSIGNED.unpack_from(stored, BIRTH.stop)
    rest = BIRTH.stop + UNSIGNED.size
    next_version = UNSIGNED.pack(_stored_version(version + 1))
    return b"".join((value[: BIRTH.start], stored[BIRTH], next_version, value[rest:]))


def nonce_of(value: bytes) -> bytes:
    """Return what tells this write from all others."""
    return value[1 : BIRTH.start]


def packed_version(version: int | None) -> bytes:
    """Return the version that a script is to find; nothing for any."""
    return b"" if version is None else UNSIGNED.pack(_stored_version(version))


def packed_until(until: int) -> bytes:
    """Return until when an index has a session, as heads have it."""
    return UNSIGNED.pack(min(until, LATEST))


def is_id(id: int) -> bool:
    """Say whether a session may have this id at all."""
    return -(2**63) <= id < 2**63


def packed_id(id: int) -> bytes:
    """Return an id as heads have it."""
    return id.to_bytes(8, "big", signed=True)


def pack_timestamps(record: SessionRecord) -> bytes:
    """Return what a touch moves: last_seen_at and expires_at."""
    return MOMENTS.pack(to_timestamp(record.last_seen_at), to_timestamp(record.expires_at))


def packed_device(alias: str, device: Device) -> tuple[bytes, bytes]:
    """Return the lengths of a device's parts, and the parts. See pack()."""
    ip_address, user_agent = _device(alias, device)
    ip_address_length = NO_IP_ADDRESS if device.ip_address is None else len(ip_address)
    return LENGTHS.pack(ip_address_length, len(user_agent)), ip_address + user_agent


def milliseconds_left(record: SessionRecord) -> int | Literal[b""]:
    """
    Return how long a record has to live: 0 if it is over, nothing if that can't be told.

    A record that has expired by this host's clock, and not by its own times, may be alive by
    Redis' clock, and only that counts.
    """
    # Nor does a clock that is behind prolong a life.
    left = (record.expires_at - max(clock.now(), record.last_seen_at)) // MILLISECOND
    return max(left, 0) or (0 if is_over(record) else AS_BEFORE)


def whole_life(record: SessionRecord) -> int:
    """Return how many milliseconds a record lives after its last use, by its own times."""
    return max(1, (record.expires_at - record.last_seen_at) // MILLISECOND)


def _head_length(value: bytes) -> int:
    """Return how long the head of a session, or a marker, says that it is."""
    if len(value) < HEAD.size:
        return HEAD.size
    kind, *_, user_length, ip_address_length, user_agent_length = HEAD.unpack_from(value)
    to_user: int = HEAD.size + (0 if user_length == NO_USER else user_length)
    if kind == MOVED:
        return to_user + KEY_LENGTH
    if kind not in (LIVE, TAKEOVER):
        return HEAD.size
    ip_address_length = 0 if ip_address_length == NO_IP_ADDRESS else ip_address_length
    length: int = to_user + ip_address_length + user_agent_length
    if kind == TAKEOVER:
        actor = value[length : length + ACTOR_LENGTH.size]
        length += ACTOR_LENGTH.size + int.from_bytes(actor)
    return length


def _stored_version(version: int) -> int:
    """Return a version as 32 bits hold it: 0 for none, and no other as 0."""
    return version if version <= LAST_VERSION else (version - 1) % LAST_VERSION + 1


def _user(alias: str, user_id: str | None) -> bytes:
    user_id = user_id or ""
    if len(user_id) > USER_ID_MAX_LENGTH:
        raise ValueError(
            f"Session store {alias!r} takes user ids of up to {USER_ID_MAX_LENGTH} characters; "
            f"this one has {len(user_id)}."
        )
    return user_id.encode()


def _device(alias: str, device: Device) -> tuple[bytes, bytes]:
    ip_address, user_agent = device.ip_address or "", device.user_agent
    if len(ip_address) >= NO_IP_ADDRESS or len(user_agent) > USER_AGENT_MAX_LENGTH:
        raise ValueError(
            f"Session store {alias!r} takes ip addresses of up to {NO_IP_ADDRESS - 1} "
            f"characters and user agents of up to {USER_AGENT_MAX_LENGTH}."
        )
    return ip_address.encode("ascii"), user_agent.encode("utf-8", "surrogatepass")
