"""
The payload of a record that follows a session of the old engine, and what it has beside the data.

It is one tag byte, an HMAC of 16 bytes, the length of the session key and the session key, and the
payload as the codec seals it. The session key is there because only that opens the old engine's
session, whoever ends it; it is masked, so that the store alone opens nothing, and goes with the
move. The codec doesn't know these tags: without the setting such a record is no session, for
nobody asks the old engine any more whether it has ended.
"""

from __future__ import annotations

import hmac
from dataclasses import replace
from typing import NamedTuple

from django.conf import settings
from django.utils.crypto import salted_hmac

from ..records import SessionRecord, key_of
from ..session.keys import Secret

IN_STEP = b"\x41"  # The old engine has what the record has, or something newer.
AHEAD = b"\x42"  # The record was written, and the old engine may not have been yet.
ENTERED = b"\x43"  # Nobody has looked yet whether its user was cut off meanwhile.
MAC_LENGTH = 16
LONGEST = 64  # letters of a session key
SALT = "django_multistore.adopting.envelopes"


class Opened(NamedTuple):
    """A record that follows, and the session key under which the old engine has its session."""

    secret: Secret
    record: SessionRecord  # Its payload is the codec's.
    tag: bytes


def is_following(record: SessionRecord) -> bool:
    """Say whether a record only follows what the old engine has."""
    return record.payload[:1] in (IN_STEP, AHEAD, ENTERED)


def seal(record: SessionRecord, secret: Secret, tag: bytes = IN_STEP) -> SessionRecord:
    """Return a record as one that follows the old engine's session of this session key."""
    session_key = secret.session_key.encode()
    rest = bytes([len(session_key)]) + _mask(session_key, record.key, settings.SECRET_KEY)
    rest += record.payload
    mac = _compute_mac(tag, record.key, rest, settings.SECRET_KEY)
    return replace(record, payload=tag + mac + rest)


def open_(record: SessionRecord) -> Opened | None:
    """Return what a record has that follows; None if it doesn't, or can't be opened."""
    if not is_following(record):
        return None
    tag, mac, rest = (
        record.payload[:1],
        record.payload[1 : 1 + MAC_LENGTH],
        record.payload[1 + MAC_LENGTH :],
    )
    for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        if hmac.compare_digest(mac, _compute_mac(tag, record.key, rest, key)):
            end = 1 + rest[0]
            secret = Secret(_mask(rest[1:end], record.key, key).decode())
            if key_of(secret.session_key) != record.key:
                return None
            return Opened(secret, replace(record, payload=rest[end:]), tag)
    return None


def _mask(text: bytes, key: str, secret: str | bytes) -> bytes:
    # Each record's key is another, so that no mask is used twice.
    mask = salted_hmac(f"{SALT}.mask", key, secret, algorithm="sha512").digest()
    return bytes(one ^ other for one, other in zip(text, mask, strict=False))


def _compute_mac(tag: bytes, key: str, rest: bytes, secret: str | bytes) -> bytes:
    value = b"%b%b:%b" % (tag, key.encode(), rest)
    return salted_hmac(SALT, value, secret, algorithm="sha256").digest()[:MAC_LENGTH]
