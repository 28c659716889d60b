"""
A session as one value: what it knows of its row in the index, then its record.

    1  kind: NOT_LISTED, LISTED or TENTATIVE        8  written_at        8  valid_until

The record follows as stores/record_bytes.py has it. Times are as there, 0 where there is no row.
"""

from __future__ import annotations

import ipaddress
import struct
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from ...records import SessionRecord
from ...session import clock
from ..record_bytes import (
    DAMAGE,
    NO_NONCE,
    from_timestamp,
    pack_record,
    to_timestamp,
    unpack_record,
)

# No record begins with one of these.
NOT_LISTED, LISTED, TENTATIVE = 16, 17, 18
LISTING = struct.Struct(">Bqq")
NO_LISTING = LISTING.pack(NOT_LISTED, 0, 0)


class Listing(NamedTuple):
    """What a session knows of its row in the index of users, so that it need not look."""

    written_at: datetime  # When the row was last brought up to date.
    valid_until: datetime  # The row's expires_at: no session that it lists outlives it.
    is_tentative: bool = False  # Written in a transaction, and not seen from outside it since.


class Entry(NamedTuple):
    """What is stored of one session."""

    record: SessionRecord
    listing: Listing | None  # None: the session has no user.

    @property
    def is_tentative(self) -> bool:
        """Whether it takes the session's row to tell whether it lives."""
        return self.listing is not None and self.listing.is_tentative

    @property
    def is_expired(self) -> bool:
        """Whether its time is over by this host's clock."""
        return self.record.expires_at <= clock.now()


def pack(alias: str, entry: Entry, nonce: bytes = NO_NONCE) -> bytes:
    """Return an entry as bytes, without its key. See pack_record()."""
    if entry.listing is None:
        return NO_LISTING + pack_record(alias, entry.record, nonce)
    kind = TENTATIVE if entry.listing.is_tentative else LISTED
    times = to_timestamp(entry.listing.written_at), to_timestamp(entry.listing.valid_until)
    return LISTING.pack(kind, *times) + pack_record(alias, entry.record, nonce)


def unpack(key: str, value: object) -> Entry | None:
    """Return the entry that was packed, or None for a value that is none of these."""
    if not isinstance(value, bytes):
        return None
    try:
        kind, written_at, valid_until = LISTING.unpack_from(value)
        if not NOT_LISTED <= kind <= TENTATIVE:
            return None
        listing = None
        if kind != NOT_LISTED:
            times = from_timestamp(written_at), from_timestamp(valid_until)
            listing = Listing(*times, is_tentative=kind == TENTATIVE)
        record = unpack_record(key, value, LISTING.size)
    except DAMAGE:
        return None
    return Entry(record, listing) if _can_be_listed(record) else None


def _can_be_listed(record: SessionRecord) -> bool:
    """Say whether the index can take what was read: a database refuses some damage."""
    ip_address, user_agent = record.device.ip_address, record.device.user_agent
    has_nul = "\0" in f"{record.user_id}{record.actor_id}{user_agent}"
    return not has_nul and (ip_address is None or _is_ip_address(ip_address))


@lru_cache(maxsize=1_000)
def _is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
