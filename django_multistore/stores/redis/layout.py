"""
The bytes of a session in Redis: a head, which the scripts read and splice, and the payload.

    FIELDS, in 62 bytes      the user id      the ip address      the user agent      the payload

In a takeover the kind is another, and between user agent and payload is who acts: the length of an
id (2 bytes), and the id. To the scripts that is a part of the payload, except where they list.

Numbers are big-endian and times microseconds since the epoch. Lua's numbers are doubles, which
can't hold an id: the scripts copy what is wider than 32 bits as it is. They get the offsets from
LUA_CONSTANTS.
"""

from __future__ import annotations

import logging
import secrets
import struct
from itertools import accumulate, pairwise

from ...records import USER_AGENT_MAX_LENGTH, USER_ID_MAX_LENGTH, Device, SessionRecord
from ..timestamps import from_optional_timestamp, from_timestamp, to_timestamp

# The kinds of values. A session that was ended or moved leaves a tombstone on a cluster.
LIVE, ENDED, MOVED, TAKEOVER = 1, 2, 3, 4
ALIVE, TOMBSTONES = (b"\1", b"\4"), (b"\2", b"\3")  # as values begin

NO_USER, NO_IP_ADDRESS = 2**16 - 1, 2**8 - 1  # In place of the length of what isn't there.
NO_DEVICE = Device()
KEY_LENGTH = 20
NONCE_LENGTH = 8
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
UNSIGNED = struct.Struct(">I")
DEVICE_LENGTHS = struct.Struct(">BH")
ACTOR_LENGTH = struct.Struct(">H")

LONGEST_USER = 4 * USER_ID_MAX_LENGTH
LONGEST_ACTOR = ACTOR_LENGTH.size + LONGEST_USER
LONGEST_HEAD = HEAD.size + LONGEST_USER + 255 + 4 * USER_AGENT_MAX_LENGTH + LONGEST_ACTOR

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
    """
    Return a record as the value of one write, with a nonce of its own. Its key is left out.

    Args:
        alias: the store's, for messages.
        record: what shall be written.

    Raises:
        ValueError: the user id or the device doesn't fit.
    """
    user, actor = _pack_user(alias, record.user_id), _pack_user(alias, record.actor_id)
    ip_address, user_agent = _pack_device(alias, record.device)
    head = HEAD.pack(
        LIVE if record.actor_id is None else TAKEOVER,
        secrets.token_bytes(NONCE_LENGTH),
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
    if record.actor_id is not None:
        actor = ACTOR_LENGTH.pack(len(actor)) + actor
    return b"".join((head, user, ip_address, user_agent, actor, record.payload))


def pack_device(alias: str, device: Device) -> tuple[bytes, bytes]:
    """Return the lengths of a device's parts, and the parts. See pack()."""
    ip_address, user_agent = _pack_device(alias, device)
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

    Returns:
        None for a session that isn't there, or was ended, or is damaged.
    """
    if value is None or value[:1] in TOMBSTONES:
        return None
    try:
        return _unpack(key, value)
    except (struct.error, ValueError, OverflowError):
        log_damage(alias)
        return None


def ends_of(user_length: int, ip_address_length: int, user_agent_length: int) -> tuple[int, ...]:
    """Return where the user id, the ip address and the user agent of a value end."""
    user_end = HEAD.size + (0 if user_length == NO_USER else user_length)
    has_ip_address = ip_address_length != NO_IP_ADDRESS
    ip_address_end = user_end + (ip_address_length if has_ip_address else 0)
    return user_end, ip_address_end, ip_address_end + user_agent_length


def log_damage(alias: str) -> None:
    """Write to the log that something in Redis can't be read."""
    suspicious.warning("Session data corrupted in session store %r.", alias)


def wrap_version(version: int) -> int:
    """Return a version as 32 bits hold it: 0 for none, and no other as 0."""
    return version if version <= LAST_VERSION else (version - 1) % LAST_VERSION + 1


def _unpack(key: str, value: bytes) -> SessionRecord:
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
    user_end, ip_address_end, device_end = ends_of(
        user_length, ip_address_length, user_agent_length
    )
    actor_id, payload_start = None, device_end
    if kind == TAKEOVER:
        actor_start = device_end + ACTOR_LENGTH.size
        payload_start = actor_start + ACTOR_LENGTH.unpack_from(value, device_end)[0]
        actor_id = value[actor_start:payload_start].decode()
    is_alive = kind in (LIVE, TAKEOVER)
    if not is_alive or id < 0 or payload_start > min(len(value), LONGEST_HEAD):
        raise ValueError("This is no session.")
    user_id = value[HEAD.size : user_end].decode()
    user_agent = value[ip_address_end:device_end].decode("utf-8", "surrogatepass")
    # Nothing is read that could not be written again. See pack().
    is_too_long = max(len(user_id), len(actor_id or "")) > USER_ID_MAX_LENGTH
    if is_too_long or len(user_agent) > USER_AGENT_MAX_LENGTH:
        raise ValueError("No session has that.")
    device = NO_DEVICE
    if ip_address_length != NO_IP_ADDRESS:
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
        authenticated_at=from_optional_timestamp(authenticated_at),
        last_seen_at=from_timestamp(last_seen_at),
        expires_at=from_timestamp(expires_at),
        device=device,
        actor_id=actor_id,
    )


def _pack_user(alias: str, user_id: str | None) -> bytes:
    user_id = user_id or ""
    if len(user_id) > USER_ID_MAX_LENGTH:
        raise ValueError(
            f"Session store {alias!r} takes user ids of up to {USER_ID_MAX_LENGTH} characters; "
            f"this one has {len(user_id)}."
        )
    return user_id.encode()


def _pack_device(alias: str, device: Device) -> tuple[bytes, bytes]:
    ip_address, user_agent = device.ip_address or "", device.user_agent
    if len(ip_address) >= NO_IP_ADDRESS or len(user_agent) > USER_AGENT_MAX_LENGTH:
        raise ValueError(
            f"Session store {alias!r} takes ip addresses of up to {NO_IP_ADDRESS - 1} "
            f"characters and user agents of up to {USER_AGENT_MAX_LENGTH}."
        )
    return ip_address.encode("ascii"), user_agent.encode("utf-8", "surrogatepass")
