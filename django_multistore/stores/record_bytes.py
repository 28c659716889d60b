"""
A record as bytes: the layout that stores share which keep a session as one value under its key.

     at  bytes
      0      1  kind: LIVE, or TAKEOVER where the record has an actor
      1      8  nonce, which tells this write from all others; 0 where nobody looks at it
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

import struct

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

NO_NONCE = bytes(8)
NO_DEVICE = Device()
# What unpack_record() raises for bytes that are no record.
DAMAGE = (struct.error, ValueError, OverflowError)


def pack_record(alias: str, record: SessionRecord, nonce: bytes = NO_NONCE) -> bytes:
    """
    Return a record as the value of one write.

    Args:
        alias: the store's, for messages.
        record: what shall be written. Its key is left out.
        nonce: 8 bytes that no other write has, for a store that looks at them.

    Raises:
        ValueError: the user id or the device doesn't fit.
    """
    user_id, actor_id, device = record.user_id, record.actor_id, record.device
    user = b"" if user_id is None else encode_user_id(alias, user_id)
    actor = b"" if actor_id is None else encode_user_id(alias, actor_id)
    ip_address, user_agent = encode_device(alias, device)
    head = HEAD.pack(
        LIVE if actor_id is None else TAKEOVER,
        nonce,
        record.id,
        to_timestamp(record.created_at),
        to_stored_version(record.version or 0),
        to_timestamp(record.authenticated_at),
        to_timestamp(record.last_seen_at),
        to_timestamp(record.expires_at),
        0,
        NO_USER if user_id is None else len(user),
        NO_IP_ADDRESS if device.ip_address is None else len(ip_address),
        len(user_agent),
    )
    if actor_id is not None:
        actor = ACTOR_LENGTH.pack(len(actor)) + actor
    return b"".join((head, user, ip_address, user_agent, actor, record.payload))


def unpack_record(key: str, value: bytes, start: int = 0) -> SessionRecord:
    """
    Return the record that was packed.

    Args:
        key: the record's.
        value: has the record from `start` to its end, or all of it but the payload.
        start: how many bytes come before the record.

    Raises:
        DAMAGE: this is no record, or one that could not be written again.
    """
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
    ) = HEAD.unpack_from(value, start)
    has_user, has_ip_address = user_length != NO_USER, ip_address_length != NO_IP_ADDRESS
    user_start = start + HEAD.size
    user_end = user_start + user_length if has_user else user_start
    ip_address_end = user_end + ip_address_length if has_ip_address else user_end
    user_agent_end = payload_start = ip_address_end + user_agent_length
    actor_id = None
    if kind == TAKEOVER:
        actor_start = user_agent_end + ACTOR_LENGTH.size
        payload_start = actor_start + ACTOR_LENGTH.unpack_from(value, user_agent_end)[0]
        actor_id = value[actor_start:payload_start].decode()
    is_record = kind in (LIVE, TAKEOVER) and id >= 0
    if not is_record or payload_start > min(len(value), start + LONGEST_HEAD):
        raise ValueError("This is no session.")
    user_id = value[user_start:user_end].decode() if has_user else None
    device = NO_DEVICE
    if user_agent_end > user_end or has_ip_address:
        device = Device(
            ip_address=value[user_end:ip_address_end].decode("ascii") if has_ip_address else None,
            user_agent=value[ip_address_end:user_agent_end].decode("utf-8", "surrogatepass"),
        )
    is_too_long = max(len(user_id or ""), len(actor_id or "")) > USER_ID_MAX_LENGTH
    if is_too_long or len(device.user_agent) > USER_AGENT_MAX_LENGTH:
        raise ValueError("No session has that.")
    return SessionRecord(
        id=id,
        key=key,
        payload=value[payload_start:],
        version=version,
        user_id=user_id,
        created_at=from_timestamp(created_at),
        authenticated_at=from_optional_timestamp(authenticated_at),
        last_seen_at=from_timestamp(last_seen_at),
        expires_at=from_timestamp(expires_at),
        device=device,
        actor_id=actor_id,
    )


def to_stored_version(version: int) -> int:
    """Return a version as 32 bits hold it: 0 for none, and no other as 0."""
    return version if version <= LAST_VERSION else (version - 1) % LAST_VERSION + 1


def encode_user_id(alias: str, user_id: str) -> bytes:
    """Return the bytes of a user id, or raise ValueError if it is too long."""
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
