"""
The way from a serialised session to its payload, and back.

A payload is one tag byte, a 16-byte HMAC-SHA256 and the body: what SESSION_SERIALIZER
made of the dict, deflated where that pays, which the tag says. The HMAC covers the key as
well, so that a payload copied under another key is refused, and is cut to half its length,
which RFC 2104 (section 5) allows: 128 bits.

django.core.signing is not used: its base64, timestamp and key derivation on each call cost more
than the database's work for a small session.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import zlib
from typing import Any, Protocol

from django.conf import settings
from django.utils.encoding import force_bytes

PLAIN = b"\x01"
DEFLATED = b"\x02"
MAC_LENGTH = 16
HEAD_LENGTH = 1 + MAC_LENGTH
DEFLATE_ABOVE = 1024  # bytes; below, deflating costs more than it saves
DEFLATE_LEVEL = 1
SAMPLE = 1024  # bytes, from the middle
WORTHWHILE = 2 / 3  # the part of its length to which a sample must deflate
PURPOSE = b"django_multistore.session.codec"


class Serializer(Protocol):
    """The shape of SESSION_SERIALIZER."""

    def dumps(self, obj: Any) -> bytes: ...

    def loads(self, data: bytes) -> Any: ...


def seal(body: bytes, key: str) -> bytes:
    """
    Make the payload that only this key opens.

    Args:
        body: the serialised session.
        key: the record's key, see records.key_of().

    Returns:
        The payload for a store.
    """
    tag = PLAIN
    if len(body) > DEFLATE_ABOVE and _deflates_well(body):
        tag, body = DEFLATED, zlib.compress(body, DEFLATE_LEVEL)
    return tag + _compute_mac(settings.SECRET_KEY, tag, key, body) + body


def unseal(payload: bytes, key: str) -> bytes | None:
    """
    Return the body of a payload, or None unless it was sealed for this key.

    Payloads sealed under one of SECRET_KEY_FALLBACKS are opened too.

    Args:
        payload: what seal() returned.
        key: the record's key.
    """
    tag, mac, body = payload[:1], payload[1:HEAD_LENGTH], payload[HEAD_LENGTH:]
    if tag not in (PLAIN, DEFLATED):
        return None
    for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        if hmac.compare_digest(mac, _compute_mac(secret, tag, key, body)):
            # Deflated data is only touched once its HMAC held, so it can't be a bomb.
            return _inflate(body) if tag == DEFLATED else body
    return None


def _inflate(body: bytes) -> bytes | None:
    try:
        return zlib.decompress(body)
    except zlib.error:  # It was damaged before it was sealed.
        return None


def _deflates_well(body: bytes) -> bool:
    # What is close to random, as tokens are, takes zlib five times as long as text does: 2 ms for
    # 64 KiB, and only a quarter is saved.
    middle = (len(body) - SAMPLE) // 2
    sample = zlib.compress(body[middle : middle + SAMPLE], DEFLATE_LEVEL)
    return len(sample) <= SAMPLE * WORTHWHILE


def _compute_mac(secret: str | bytes, tag: bytes, key: str, body: bytes) -> bytes:
    mac = _prepare_hmac(secret).copy()
    mac.update(b"%b%d:%b%b" % (tag, len(key), key.encode(), body))
    return mac.digest()[:MAC_LENGTH]


@functools.lru_cache(maxsize=16)
def _prepare_hmac(secret: str | bytes) -> hmac.HMAC:
    # It is only ever copied, which takes half the time of hmac.digest().
    return hmac.new(hashlib.sha256(PURPOSE + force_bytes(secret)).digest(), digestmod="sha256")
