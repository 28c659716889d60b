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

from ...records import Device, SessionRecord
from ..record_bytes import (
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
    pack_record,
    unpack_record,
)

# The kinds of tombstones, which a session that was ended or moved leaves on a cluster.
ENDED, MOVED = 2, 3
TOMBSTONES = (bytes([ENDED]), bytes([MOVED]))

KEY_LENGTH = 20
UNSIGNED = struct.Struct(">I")
DEVICE_LENGTHS = struct.Struct(">BH")

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
    """Return a record as the value of one write, with a nonce of its own. See pack_record()."""
    return pack_record(alias, record, secrets.token_bytes(NONCE_LENGTH))


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

    Returns:
        None for a session that isn't there, or was ended, or is damaged.
    """
    if value is None or value[:1] in TOMBSTONES:
        return None
    try:
        return unpack_record(key, value)
    except DAMAGE:
        log_damage(alias)
        return None


def log_damage(alias: str) -> None:
    """Write to the log that something in Redis can't be read."""
    suspicious.warning("Session data corrupted in session store %r.", alias)
