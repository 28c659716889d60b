"""How payloads were sealed and opened before there was a choice of formats (8c1b266), in short."""

from __future__ import annotations

import hashlib
import hmac
import zlib
from typing import Any

from django.conf import settings
from django.core.signing import JSONSerializer
from django.utils.encoding import force_bytes

PLAIN, DEFLATED = b"\x01", b"\x02"
HEAD = 17  # bytes


def dump(data: dict[str, Any], key: str) -> bytes:
    """Return the payload of a session's data."""
    tag, body = PLAIN, JSONSerializer().dumps(data)
    if len(body) > 1024:
        middle = (len(body) - 1024) // 2
        if len(zlib.compress(body[middle : middle + 1024], 1)) <= 1024 * 2 / 3:
            tag, body = DEFLATED, zlib.compress(body, 1)
    return tag + _sign(tag, key, body) + body


def load(payload: bytes, key: str) -> dict[str, Any] | None:
    """Return the data of a payload; None for what it takes for damaged: a new session."""
    tag, mac, body = payload[:1], payload[1:HEAD], payload[HEAD:]
    if tag not in (PLAIN, DEFLATED) or not hmac.compare_digest(mac, _sign(tag, key, body)):
        return None
    data: dict[str, Any] = JSONSerializer().loads(
        zlib.decompress(body) if tag == DEFLATED else body
    )
    return data


def _sign(tag: bytes, key: str, body: bytes) -> bytes:
    secret = b"django_multistore.session.codec" + force_bytes(settings.SECRET_KEY)
    text = b"%b%d:%b%b" % (tag, len(key), key.encode(), body)
    return hmac.digest(hashlib.sha256(secret).digest(), text, "sha256")[:16]
