"""
Pack the bodies of payloads, and unpack them up to a limit.

Deflate is Python's own. zstd is Python's from 3.14 on; before, it is backports.zstd.
"""

from __future__ import annotations

import enum
import functools
import zlib
from typing import Any

from ..conf import UNPACKED, ZSTD, conf
from ..exceptions import StoreUnavailable
from .optional import import_first

# Bytes, below which to pack costs more than it saves. Who chooses zstd wants to save time, and
# to set it up, as to set up zlib, takes as long as all else that a small session needs.
ABOVE, ZSTD_ABOVE = 1024, 8192
DEFLATE_LEVEL = 1
ZSTD_LEVEL = 1
SAMPLE = 1024  # bytes, from the middle
WORTHWHILE = 2 / 3  # the part of its length to which a sample must deflate
MOST_PER_BYTE = 1032  # bytes that one byte of deflated data can become, by the format's nature
REMEDY = (
    "Install 'django-multistore[fast]' here as well (Python 3.14 has zstd itself, if it was built "
    "with it), or set SESSION_COMPRESSION to 'deflate' where sessions are written."
)


class Packing(enum.Enum):
    """How a payload's body is packed."""

    PLAIN = "none"
    DEFLATED = "deflate"
    ZSTD = "zstd"


class TooLarge(ValueError):
    """A payload would unpack to more than SESSION_MAX_BYTES."""


@functools.cache
def find_zstd() -> Any:
    """Import the library for zstd, which takes a MiB, when it is first needed; None if missing."""
    return import_first("compression.zstd", "backports.zstd")


def is_available(compression: str) -> bool:
    """Say whether this process can do what SESSION_COMPRESSION names."""
    return compression != ZSTD or find_zstd() is not None


def pack(body: bytes) -> tuple[Packing, bytes]:
    """
    Pack a body as SESSION_COMPRESSION says, where that pays.

    Raises:
        StoreUnavailable: the library for it is missing.
    """
    wanted = conf.compression
    if wanted == UNPACKED or len(body) <= (ZSTD_ABOVE if wanted == ZSTD else ABOVE):
        return Packing.PLAIN, body
    if wanted == ZSTD:
        packed: bytes = _require_zstd("written").compress(body, ZSTD_LEVEL)
        pays = len(packed) <= len(body) * WORTHWHILE
        return (Packing.ZSTD, packed) if pays else (Packing.PLAIN, body)
    if _deflates_well(body):
        return Packing.DEFLATED, zlib.compress(body, DEFLATE_LEVEL)
    return Packing.PLAIN, body


def unpack(packing: Packing, packed: bytes) -> bytes | None:
    """
    Return a body as it was before it was packed; None if it was damaged.

    Raises:
        TooLarge: it is longer than SESSION_MAX_BYTES.
        StoreUnavailable: the library for it is missing.
    """
    limit = conf.max_bytes
    if packing is Packing.ZSTD:
        return _unpack_zstd(packed, limit)
    if packing is Packing.DEFLATED:
        return _inflate(packed, limit)
    if limit is not None and len(packed) > limit:
        raise TooLarge
    return packed


def _inflate(packed: bytes, limit: int | None) -> bytes | None:
    try:
        if limit is None or len(packed) * MOST_PER_BYTE <= limit:
            return zlib.decompress(packed)
        inflater = zlib.decompressobj()
        body = inflater.decompress(packed, limit + 1)
    except zlib.error:
        return None
    if len(body) > limit:
        raise TooLarge
    return body if inflater.eof else None


def _unpack_zstd(packed: bytes, limit: int | None) -> bytes | None:
    library = _require_zstd("read")
    unpacker = library.ZstdDecompressor()
    try:
        body: bytes = unpacker.decompress(packed, -1 if limit is None else limit + 1)
    except library.ZstdError:
        return None
    if limit is not None and len(body) > limit:
        raise TooLarge
    return body if unpacker.eof else None


def _require_zstd(done: str) -> Any:
    library = find_zstd()
    if library is None:
        raise StoreUnavailable(
            f"A session whose payload is packed by zstd can't be {done} in this process, which has "
            f"no zstd. {REMEDY}"
        )
    return library


def _deflates_well(body: bytes) -> bool:
    # What is close to random, as tokens are, takes zlib five times as long as text does: 2 ms for
    # 64 KiB, and only a quarter is saved.
    middle = (len(body) - SAMPLE) // 2
    sample = zlib.compress(body[middle : middle + SAMPLE], DEFLATE_LEVEL)
    return len(sample) <= SAMPLE * WORTHWHILE
