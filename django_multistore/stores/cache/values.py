"""A session as one value, for stores that keep values under keys: a head and the payload."""

from __future__ import annotations

import struct
from datetime import datetime
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple

from ...records import USER_AGENT_MAX_LENGTH, USER_ID_MAX_LENGTH, Device, SessionRecord
from ..timestamps import from_optional_timestamp, from_timestamp, to_timestamp

FORMAT = 1
IS_TENTATIVE, HAS_USER, HAS_IP_ADDRESS, HAS_ACTOR = 1, 2, 4, 8
NO_DEVICE = Device()
HEAD = struct.Struct(">BBqqqqqqqqHBH")
ACTOR_LENGTH = struct.Struct(">H")  # Before the actor, which only sessions in a takeover have.


class Listing(NamedTuple):
    """What a session knows of its entry in the index of users, so that it need not look."""

    written_at: datetime  # When the entry was last brought up to date.
    valid_until: datetime  # The entry's expires_at: no session that it lists outlives it.
    is_tentative: bool = False  # Written in a transaction, and not seen from outside it since.


class Entry(NamedTuple):
    """What is stored of one session."""

    record: SessionRecord
    listing: Listing | None  # None: the session has no user.


def pack(entry: Entry) -> bytes:
    """Return an entry as bytes. Its key is left out."""
    record, listing, device = entry.record, entry.listing, entry.record.device
    user = b"" if record.user_id is None else record.user_id.encode()
    address = b"" if device.ip_address is None else device.ip_address.encode()
    user_agent = device.user_agent.encode("utf-8", "surrogatepass")
    flags = (
        (IS_TENTATIVE if listing is not None and listing.is_tentative else 0)
        | (0 if record.user_id is None else HAS_USER)
        | (0 if device.ip_address is None else HAS_IP_ADDRESS)
        | (0 if record.actor_id is None else HAS_ACTOR)
    )
    head = HEAD.pack(
        FORMAT,
        flags,
        record.id,
        record.version or 0,
        to_timestamp(record.created_at),
        to_timestamp(record.authenticated_at),
        to_timestamp(record.last_seen_at),
        to_timestamp(record.expires_at),
        to_timestamp(None if listing is None else listing.written_at),
        to_timestamp(None if listing is None else listing.valid_until),
        len(user),
        len(address),
        len(user_agent),
    )
    return b"".join((head, user, address, user_agent, _packed_actor(record), record.payload))


def unpack(key: str, value: object) -> Entry | None:
    """
    Return the entry that was packed.

    Args:
        key: the record's.
        value: what was found under it.

    Returns:
        None for a value that is none of these.
    """
    if not isinstance(value, bytes) or len(value) < HEAD.size or value[0] != FORMAT:
        return None
    (
        _,
        flags,
        id,
        version,
        created_at,
        authenticated_at,
        last_seen_at,
        expires_at,
        written_at,
        valid_until,
        user_length,
        ip_address_length,
        user_agent_length,
    ) = HEAD.unpack_from(value)
    user_end = HEAD.size + user_length
    ip_address_end = user_end + ip_address_length
    user_agent_end = ip_address_end + user_agent_length
    if id < 0 or user_agent_end > len(value):
        return None
    try:
        actor_id, head_end = None, user_agent_end
        if flags & HAS_ACTOR:
            actor_id, head_end = _actor_at(value, user_agent_end)
        record = SessionRecord(
            id=id,
            key=key,
            payload=value[head_end:],
            version=version,
            user_id=value[HEAD.size : user_end].decode() if flags & HAS_USER else None,
            created_at=from_timestamp(created_at),
            authenticated_at=from_optional_timestamp(authenticated_at),
            last_seen_at=from_timestamp(last_seen_at),
            expires_at=from_timestamp(expires_at),
            device=(
                NO_DEVICE
                if user_agent_end == user_end
                else Device(
                    ip_address=(
                        value[user_end:ip_address_end].decode() if flags & HAS_IP_ADDRESS else None
                    ),
                    user_agent=value[ip_address_end:user_agent_end].decode(
                        "utf-8", "surrogatepass"
                    ),
                )
            ),
            actor_id=actor_id,
        )
        listed_at = from_optional_timestamp(written_at)
        listing = (
            None
            if listed_at is None
            else Listing(
                written_at=listed_at,
                valid_until=from_timestamp(valid_until),
                is_tentative=bool(flags & IS_TENTATIVE),
            )
        )
    except (struct.error, ValueError, OverflowError):
        return None
    return Entry(record=record, listing=listing) if _can_be_listed(record) else None


def _packed_actor(record: SessionRecord) -> bytes:
    if record.actor_id is None:
        return b""
    actor = record.actor_id.encode()
    return ACTOR_LENGTH.pack(len(actor)) + actor


def _actor_at(value: bytes, start: int) -> tuple[str, int]:
    """Return the actor that is there, and where it ends."""
    (length,) = ACTOR_LENGTH.unpack_from(value, start)
    start += ACTOR_LENGTH.size
    end: int = start + length
    if end > len(value):
        raise ValueError("This is no session.")
    return value[start:end].decode(), end


def _can_be_listed(record: SessionRecord) -> bool:
    """Say whether the index can take what was read: a database refuses some damage."""
    user_ids, device = (record.user_id or "", record.actor_id or ""), record.device
    return (
        all(len(user_id) <= USER_ID_MAX_LENGTH for user_id in user_ids)
        and len(device.user_agent) <= USER_AGENT_MAX_LENGTH
        and not any("\0" in user_id for user_id in user_ids)
        and "\0" not in device.user_agent
        and (device.ip_address is None or _is_ip_address(device.ip_address))
    )


@lru_cache(maxsize=1_000)
def _is_ip_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
