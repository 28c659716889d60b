"""
A record as bytes: the layout that stores share which keep a session as one value under its key.

    FIELDS, in 62 bytes      the user id      the ip address      the user agent      the payload

Where the record has an actor, the kind is TAKEOVER, and between user agent and payload stands the
actor: the length of the id (2 bytes), and the id.

Numbers are big-endian, times microseconds since the epoch. The key isn't in it.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise

from ..records import USER_AGENT_MAX_LENGTH, USER_ID_MAX_LENGTH, Device, SessionRecord

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
LATEST = (datetime.max.replace(tzinfo=UTC) - EPOCH) // MICROSECOND
NO_TIME = -(2**63)  # In place of a time that isn't there.

# 2 and 3 are the tombstones of RedisStore.
LIVE, TAKEOVER = 1, 4

NONCE_LENGTH = 8
NO_NONCE = bytes(NONCE_LENGTH)
NO_USER, NO_IP_ADDRESS = 2**16 - 1, 2**8 - 1  # In place of the length of what isn't there.
NO_DEVICE = Device()
LAST_VERSION = 2**32 - 1  # It is followed by 1: 0 says that there is none.

# The fields of a head, which are packed and unpacked in this order.
FIELDS = {
    "kind": "B",
    "nonce": f"{NONCE_LENGTH}s",  # It tells one write from all others.
    "id": "q",
    "created_at": "q",
    "version": "I",
    "authenticated_at": "q",
    "last_seen_at": "q",
    "expires_at": "q",
    "listed_until": "I",  # On a cluster: the second until which the user's index has the session.
    "user_length": "H",
    "ip_address_length": "B",
    "user_agent_length": "H",
}
HEAD = struct.Struct(">" + "".join(FIELDS.values()))
ENDS = [*accumulate(struct.calcsize(f">{format}") for format in FIELDS.values())]
SPANS = {name: slice(*span) for name, span in zip(FIELDS, pairwise([0, *ENDS]), strict=True)}
ACTOR_LENGTH = struct.Struct(">H")

LONGEST_USER = 4 * USER_ID_MAX_LENGTH
LONGEST_ACTOR = ACTOR_LENGTH.size + LONGEST_USER
LONGEST_HEAD = HEAD.size + LONGEST_USER + 255 + 4 * USER_AGENT_MAX_LENGTH + LONGEST_ACTOR

# What unpack_record() raises for bytes that are no record.
DAMAGE = (struct.error, ValueError, OverflowError)


def to_timestamp(time: datetime | None) -> int:
    """Return a time in microseconds since the epoch, in 63 bits and a sign."""
    # The last evening of the last year, west of Greenwich, is in no year by UTC.
    return NO_TIME if time is None else min((time - EPOCH) // MICROSECOND, LATEST)


def from_timestamp(number: int) -> datetime:
    """Return the time of which to_timestamp() made this, or raise OverflowError: none did."""
    return EPOCH + timedelta(microseconds=number)


def pack_record(alias: str, record: SessionRecord, nonce: bytes = NO_NONCE) -> bytes:
    """
    Return a record, without its key, as the value of one write.

    Args:
        alias: the store's, for messages.
        record: what shall be written.
        nonce: 8 bytes that no other write has, for a store that looks at them.

    Raises:
        ValueError: the user id or the device doesn't fit.
    """
    user = b"" if record.user_id is None else _encode_user(alias, record.user_id)
    actor = b""
    if record.actor_id is not None:
        actor = _encode_user(alias, record.actor_id)
        actor = ACTOR_LENGTH.pack(len(actor)) + actor
    ip_address, user_agent = encode_device(alias, record.device)
    head = HEAD.pack(
        LIVE if record.actor_id is None else TAKEOVER,
        nonce,
        record.id,
        to_timestamp(record.created_at),
        wrap_version(record.version or 0),
        to_timestamp(record.authenticated_at),
        to_timestamp(record.last_seen_at),
        to_timestamp(record.expires_at),
        0,
        NO_USER if record.user_id is None else len(user),
        NO_IP_ADDRESS if record.device.ip_address is None else len(ip_address),
        len(user_agent),
    )
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
    kind, _, id, created_at, version, *rest = HEAD.unpack_from(value, start)
    authenticated_at, last_seen_at, expires_at, _, *lengths = rest
    user_length, ip_length, user_agent_length = lengths
    user_start = start + HEAD.size
    user_end, ip_address_end, device_end = find_ends(
        user_start, user_length, ip_length, user_agent_length
    )
    actor_id, payload_start = None, device_end
    if kind == TAKEOVER:
        actor_start = device_end + ACTOR_LENGTH.size
        payload_start = actor_start + ACTOR_LENGTH.unpack_from(value, device_end)[0]
        actor_id = value[actor_start:payload_start].decode()
    is_record = kind in (LIVE, TAKEOVER) and id >= 0
    if not is_record or payload_start > min(len(value), start + LONGEST_HEAD):
        raise ValueError("This is no session.")
    user_id = value[user_start:user_end].decode()
    user_agent = value[ip_address_end:device_end].decode("utf-8", "surrogatepass")
    is_too_long = max(len(user_id), len(actor_id or "")) > USER_ID_MAX_LENGTH
    if is_too_long or len(user_agent) > USER_AGENT_MAX_LENGTH:
        raise ValueError("No session has that.")
    device = NO_DEVICE
    if ip_length != NO_IP_ADDRESS:
        ip_address = value[user_end:ip_address_end].decode("ascii")
        device = Device(ip_address=ip_address, user_agent=user_agent)
    elif user_agent:
        device = Device(user_agent=user_agent)
    return SessionRecord(
        id=id,
        key=key,
        payload=value[payload_start:],
        version=version,
        user_id=None if user_length == NO_USER else user_id,
        created_at=from_timestamp(created_at),
        authenticated_at=None if authenticated_at == NO_TIME else from_timestamp(authenticated_at),
        last_seen_at=from_timestamp(last_seen_at),
        expires_at=from_timestamp(expires_at),
        device=device,
        actor_id=actor_id,
    )


def find_ends(
    user_start: int, user_length: int, ip_address_length: int, user_agent_length: int
) -> tuple[int, int, int]:
    """Return where the user id, the ip address and the user agent of a value end."""
    user_end = user_start + (0 if user_length == NO_USER else user_length)
    has_ip_address = ip_address_length != NO_IP_ADDRESS
    ip_address_end = user_end + (ip_address_length if has_ip_address else 0)
    return user_end, ip_address_end, ip_address_end + user_agent_length


def wrap_version(version: int) -> int:
    """Return a version as 32 bits hold it: 0 for none, and no other as 0."""
    return version if version <= LAST_VERSION else (version - 1) % LAST_VERSION + 1


def encode_device(alias: str, device: Device) -> tuple[bytes, bytes]:
    """Return the bytes of an ip address and a user agent, or raise ValueError if they don't fit."""
    ip_address, user_agent = device.ip_address or "", device.user_agent
    if len(ip_address) >= NO_IP_ADDRESS or len(user_agent) > USER_AGENT_MAX_LENGTH:
        raise ValueError(
            f"Session store {alias!r} takes ip addresses of up to {NO_IP_ADDRESS - 1} "
            f"characters and user agents of up to {USER_AGENT_MAX_LENGTH}."
        )
    return ip_address.encode("ascii"), user_agent.encode("utf-8", "surrogatepass")


def _encode_user(alias: str, user_id: str) -> bytes:
    if len(user_id) > USER_ID_MAX_LENGTH:
        raise ValueError(
            f"Session store {alias!r} takes user ids of up to {USER_ID_MAX_LENGTH} characters; "
            f"this one has {len(user_id)}."
        )
    return user_id.encode()
