"""
The way from a serialised session to its payload, and back.

A payload is one tag byte, a 16-byte HMAC-SHA256 and the body: JSON in UTF-8, or what
SESSION_SERIALIZER made of the dict; packed where that pays. The tag says both. The HMAC covers the
key as well, so that a payload copied under another key is refused, and is cut to half its length,
which RFC 2104 (section 5) allows: 128 bits.

django.core.signing is not used: its base64, timestamp and key derivation on each call cost more
than the database's work for a small session.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
from typing import Any, NamedTuple, Protocol

from django.conf import settings
from django.utils.encoding import force_bytes

from .compression import Packing, TooLarge, pack, unpack

MAC_LENGTH = 16
HEAD_LENGTH = 1 + MAC_LENGTH
PURPOSE = b"django_multistore.session.codec"

# Each format by its tag: whether it is JSON in UTF-8, and how it is packed. A tag is given once.
FORMATS = {
    b"\x01": (False, Packing.PLAIN),
    b"\x02": (False, Packing.DEFLATED),
    b"\x03": (False, Packing.ZSTD),
    b"\x04": (True, Packing.PLAIN),
    b"\x05": (True, Packing.DEFLATED),
    b"\x06": (True, Packing.ZSTD),
}
TAGS = {format: tag for tag, format in FORMATS.items()}


class Serializer(Protocol):
    """The shape of SESSION_SERIALIZER."""

    def dumps(self, obj: Any) -> bytes: ...

    def loads(self, data: bytes) -> Any: ...


class Body(NamedTuple):
    """
    A serialised session.

    Attributes:
        content: its bytes.
        is_utf8: whether they are JSON in UTF-8; else they are what SESSION_SERIALIZER made.
    """

    content: bytes
    is_utf8: bool = False


def seal(content: bytes, key: str, *, is_utf8: bool = False) -> bytes:
    """
    Make the payload that only this key opens.

    Args:
        content: the serialised session.
        key: the record's key, see records.key_of().
        is_utf8: as in Body.

    Returns:
        The payload for a store.

    Raises:
        StoreUnavailable: the library that SESSION_COMPRESSION needs is missing.
    """
    packing, packed = pack(content)
    tag = TAGS[is_utf8, packing]
    return tag + _compute_mac(settings.SECRET_KEY, tag, key, packed) + packed


def unseal(payload: bytes, key: str) -> bytes | None:
    """
    Return the content of a payload, or None unless it was sealed for this key.

    See open_payload(), but for what is longer than SESSION_MAX_BYTES, which is None as well.
    """
    try:
        body = open_payload(payload, key)
    except TooLarge:
        return None
    return None if body is None else body.content


def open_payload(payload: bytes, key: str) -> Body | None:
    """
    Return the body of a payload, or None unless it was sealed for this key.

    Payloads sealed under one of SECRET_KEY_FALLBACKS are opened too.

    Args:
        payload: what seal() returned.
        key: the record's key.

    Raises:
        TooLarge: it is longer than SESSION_MAX_BYTES.
        StoreUnavailable: the library that unpacks it is missing.
    """
    tag, mac, packed = payload[:1], payload[1:HEAD_LENGTH], payload[HEAD_LENGTH:]
    if tag not in FORMATS:
        return None
    for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        if hmac.compare_digest(mac, _compute_mac(secret, tag, key, packed)):
            # What is packed is only touched once its HMAC held. It can be large all the same, where
            # a site keeps what visitors send.
            is_utf8, packing = FORMATS[tag]
            content = unpack(packing, packed)
            return None if content is None else Body(content, is_utf8)
    return None


def _compute_mac(secret: str | bytes, tag: bytes, key: str, body: bytes) -> bytes:
    mac = _prepare_hmac(secret).copy()
    mac.update(b"%b%d:%b%b" % (tag, len(key), key.encode(), body))
    return mac.digest()[:MAC_LENGTH]


@functools.lru_cache(maxsize=16)
def _prepare_hmac(secret: str | bytes) -> hmac.HMAC:
    # It is only ever copied, which takes half the time of hmac.digest().
    return hmac.new(hashlib.sha256(PURPOSE + force_bytes(secret)).digest(), digestmod="sha256")
