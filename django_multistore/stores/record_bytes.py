"""
A record as bytes: the layout that stores share which keep a session as one value under its key.

     at  bytes
      0      1  kind: LIVE, or TAKEOVER where the record has an actor
      1      8  nonce, which tells this write from all others
      9      8  id
     17      8  created_at
     25      4  version
     29      8  authenticated_at
     37      8  last_seen_at
     45      8  expires_at
     53      4  listed_until, in seconds: until when an index has the session (Redis alone)
     57      2  length of the user id, NO_USER if there is none
     59      1  length of the ip address, NO_IP_ADDRESS if there is none
     60      2  length of the user agent
     62         user id, ip address, user agent; in a takeover the actor, after its length in 2
                bytes; the payload

Numbers are big-endian, times microseconds since the epoch. The key isn't in it.
"""

from __future__ import annotations

import secrets
import struct
from typing import NamedTuple

from ..records import USER_AGENT_MAX_LENGTH, USER_ID_MAX_LENGTH, Device, SessionRecord
from .timestamps import from_optional_timestamp, from_timestamp, to_timestamp

# 2 and 3 are what RedisStore leaves of sessions that ended or moved.
LIVE, TAKEOVER = 1, 4

HEAD = struct.Struct(">B8sqqIqqqIHBH")
NONCE = slice(1, 9)
BIRTH = slice(9, 25)  # id and created_at, which stay for the session's whole life
VERSION = slice(25, 29)
LISTED_UNTIL = slice(53, 57)
LENGTHS = slice(57, 62)
ACTOR_LENGTH = struct.Struct(">H")
LONGEST_ACTOR = ACTOR_LENGTH.size + 4 * USER_ID_MAX_LENGTH
LONGEST_HEAD = HEAD.size + 4 * USER_ID_MAX_LENGTH + 255 + 4 * USER_AGENT_MAX_LENGTH + LONGEST_ACTOR
NO_USER, NO_IP_ADDRESS = 2**16 - 1, 2**8 - 1
LAST_VERSION = 2**32 - 1  # The version after it is 1.

NO_DEVICE = Device()
# What unpack_record() raises for bytes that are no record.
DAMAGE = (struct.error, ValueError, OverflowError)


class Head(NamedTuple):
    """The fields of fixed length, as numbers."""

    kind: int
    nonce: bytes
    id: int
    created_at: int
    version: int
    authenticated_at: int
    last_seen_at: int
    expires_at: int
    listed_until: int
    user_length: int
    ip_address_length: int
    user_agent_length: int


def pack_record(alias: str, record: SessionRecord) -> bytes:
    """
    Return a record as the value of one write, with a nonce of its own.

    Args:
        alias: the store's, for messages.
        record: what shall be written. Its key is left out.

    Raises:
        ValueError: the user id or the device doesn't fit.
    """
    user, actor = encode_user_id(alias, record.user_id), encode_user_id(alias, record.actor_id)
    ip_address, user_agent = encode_device(alias, record.device)
    head = HEAD.pack(
        LIVE if record.actor_id is None else TAKEOVER,
        secrets.token_bytes(NONCE.stop - NONCE.start),
        record.id,
        to_timestamp(record.created_at),
        to_stored_version(record.version or 0),
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


def unpack_record(key: str, value: bytes, start: int = 0) -> SessionRecord:
    """
    Return the record that was packed.

    Args:
        key: the record's.
        value: has the record from `start` to its end; without its payload it is a list's.
        start: how many bytes come before the record.

    Raises:
        DAMAGE: this is no record, or one that could not be written again.
    """
    head = Head._make(HEAD.unpack_from(value, start))
    has_user = head.user_length != NO_USER
    has_ip_address = head.ip_address_length != NO_IP_ADDRESS
    user_start = start + HEAD.size
    user_end = user_start + (head.user_length if has_user else 0)
    ip_address_end = user_end + (head.ip_address_length if has_ip_address else 0)
    user_agent_end = payload_start = ip_address_end + head.user_agent_length
    actor_id = None
    if head.kind == TAKEOVER:
        actor_start = user_agent_end + ACTOR_LENGTH.size
        payload_start = actor_start + ACTOR_LENGTH.unpack_from(value, user_agent_end)[0]
        actor_id = value[actor_start:payload_start].decode()
    elif head.kind != LIVE:
        raise ValueError("This is no session.")
    if head.id < 0 or payload_start > min(len(value), start + LONGEST_HEAD):
        raise ValueError("This is no session.")
    user_id = value[user_start:user_end].decode()
    user_agent = value[ip_address_end:user_agent_end].decode("utf-8", "surrogatepass")
    is_too_long = max(len(user_id), len(actor_id or "")) > USER_ID_MAX_LENGTH
    if is_too_long or len(user_agent) > USER_AGENT_MAX_LENGTH:
        raise ValueError("No session has that.")
    ip_address = value[user_end:ip_address_end].decode("ascii") if has_ip_address else None
    has_device = has_ip_address or user_agent
    return SessionRecord(
        id=head.id,
        key=key,
        payload=value[payload_start:],
        version=head.version,
        user_id=user_id if has_user else None,
        created_at=from_timestamp(head.created_at),
        authenticated_at=from_optional_timestamp(head.authenticated_at),
        last_seen_at=from_timestamp(head.last_seen_at),
        expires_at=from_timestamp(head.expires_at),
        device=Device(ip_address=ip_address, user_agent=user_agent) if has_device else NO_DEVICE,
        actor_id=actor_id,
    )


def to_stored_version(version: int) -> int:
    """Return a version as 32 bits hold it: 0 for none, and no other as 0."""
    return version if version <= LAST_VERSION else (version - 1) % LAST_VERSION + 1


def encode_user_id(alias: str, user_id: str | None) -> bytes:
    """Return the bytes of a user id, or raise ValueError if it is too long."""
    user_id = user_id or ""
    if len(user_id) > USER_ID_MAX_LENGTH:
        raise ValueError(
            f"Session store {alias!r} takes user ids of up to {USER_ID_MAX_LENGTH} characters; "
            f"this one has {len(user_id)}."
        )
    return user_id.encode()


def encode_device(alias: str, device: Device) -> tuple[bytes, bytes]:
    """Return the bytes of an ip address and a user agent, or raise ValueError if they don't fit."""
    ip_address, user_agent = device.ip_address or "", device.user_agent
    if len(ip_address) >= NO_IP_ADDRESS or len(user_agent) > USER_AGENT_MAX_LENGTH:
        raise ValueError(
            f"Session store {alias!r} takes ip addresses of up to {NO_IP_ADDRESS - 1} "
            f"characters and user agents of up to {USER_AGENT_MAX_LENGTH}."
        )
    return ip_address.encode("ascii"), user_agent.encode("utf-8", "surrogatepass")
