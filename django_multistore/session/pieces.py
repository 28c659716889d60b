"""
JSON in pieces, by msgspec, wherever that is proven to mean what Django's JSONSerializer means.

What msgspec refuses, or may take for something else, is for Python's json, which Django uses. It
writes as text or as a number what json refuses (dates, UUID, enumerations, bytes, dataclasses), and
NaN as null; so what it may write is looked through before. What it reads is checked by itself: it
refuses whatever it would read differently.

Each value has one spelling in each of two encodings, by which pieces can be compared as bytes:
ASCII, as Django's serializer spells it, and UTF-8, as json.dumps(…, ensure_ascii=False) does.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterable
from types import NoneType
from typing import Any

from .optional import import_first

msgspec = import_first("msgspec")

SCALARS = frozenset({str, int, bool, NoneType})
CONTAINERS = frozenset({dict, list, tuple})
KNOWN = SCALARS | CONTAINERS | {float}
DEEPEST = 50  # levels that are looked through, since a value may be nested in itself
MOST = 100_000  # containers on one level, since one may be in many places
COMPACT = (",", ":")
DELETE = b"\x7f"  # the only ASCII character that is spelled differently in the two encodings

# Its own errors are ValueErrors since 0.23 only.
OWN_ERRORS = () if msgspec is None else (msgspec.MsgspecError,)
UNREADABLE = (ValueError, RecursionError, *OWN_ERRORS)
UNWRITABLE = (TypeError, *UNREADABLE)


class _NoPiece:
    """What nothing is an instance of, where there is no msgspec."""


def _can_prove() -> bool:
    """Say whether the libraries that are here do what the proofs rely on."""
    if msgspec is None:
        return False
    try:
        decoded = msgspec.json.decode(b"[-0,-0.0,18446744073709551616,1.5]")
        encoded = msgspec.json.encode(
            {"a": [1 << 64, True, None, -0.0, "\x00\x7f\u00e9/"], "1": ()}
        )
    except (AttributeError, *UNWRITABLE):
        return False
    unlike: list[Any] = [object(), frozenset(), 1j, b""]
    return (
        repr(decoded) == "[0, -0.0, 18446744073709551616, 1.5]"
        and encoded
        == '{"a":[18446744073709551616,true,null,-0.0,"\\u0000\x7f\u00e9/"],"1":[]}'.encode()
        # Nobody promises that this visits everything, so it is tried.
        and len(gc.get_referents([*unlike], dict(enumerate(unlike)), tuple(unlike))) == 4 * 4
        and len(gc.get_referents({"a": object(), "b": 1})) == 2
    )


IS_FAST = _can_prove()
Piece: Any = msgspec.Raw if IS_FAST else _NoPiece
if IS_FAST:
    _split = msgspec.json.Decoder(dict[str, Piece]).decode
    _decode = msgspec.json.Decoder().decode
    _encode = msgspec.json.Encoder().encode


def split(content: bytes, *, is_utf8: bool) -> dict[str, Any] | None:
    """
    Parse a JSON object into a piece for each of its keys.

    Args:
        content: the object.
        is_utf8: whether it is in UTF-8; else bytes beyond ASCII are Latin-1, as Django reads them.

    Returns:
        The pieces by key; None if it is none, or has what only json can read.
    """
    try:
        if not content.isascii():
            if not is_utf8:
                return None
            str(content, "utf-8")
        pieces: dict[str, Any] = _split(content)
    except UNREADABLE:
        return None
    return pieces


def decode(piece: Any) -> Any:
    """
    Decode a piece of what split() took apart.

    Raises:
        ValueError: it is a number with more digits than Python lets itself read. This is the one
            fault that split() doesn't find.
    """
    try:
        return _decode(piece)
    except UNREADABLE:
        return json.loads(bytes(piece))


def encode(value: Any, *, is_utf8: bool) -> bytes:
    """
    Spell a value.

    Raises:
        TypeError: Django's serializer can't keep it.
        ValueError: likewise.
        RecursionError: likewise.
    """
    proven = encode_proven(value, (value,), is_utf8=is_utf8)
    if proven is not None:
        return proven
    content = _to_ascii(value)
    if not is_utf8:
        return content
    try:
        return to_text(value).encode()
    except UnicodeEncodeError:
        # Two halves of a surrogate pair are one character once they were read.
        value = json.loads(content)
    try:
        return to_text(value).encode()
    except UnicodeEncodeError:  # One half alone is none in UTF-8.
        return _to_ascii(value)


def encode_proven(value: Any, touched: Iterable[Any], *, is_utf8: bool) -> bytes | None:
    """
    Spell a value by msgspec.

    Args:
        value: it, in which pieces stand for themselves.
        touched: all of it that isn't pieces, and is to be looked through.
        is_utf8: which spelling.

    Returns:
        It; None if it isn't proven that json spells it like this.
    """
    if not IS_FAST or not is_plain(touched):
        return None
    try:
        content: bytes = _encode(value)
    except UNWRITABLE:
        return None
    return content if is_utf8 or is_same_in_ascii(content) else None


def recode(piece: Any, *, is_utf8: bool) -> Any:
    """Return a piece in the spelling of the other encoding, which may be the same."""
    content = bytes(piece)
    is_same = b"\\u" not in content if is_utf8 else is_same_in_ascii(content)
    return piece if is_same else Piece(encode(json.loads(content), is_utf8=is_utf8))


def to_text(value: Any) -> str:
    """Spell a value as text, in which may be what UTF-8 has not."""
    return json.dumps(value, separators=COMPACT, ensure_ascii=False)


def is_same_in_ascii(content: bytes) -> bool:
    """Say whether what is spelled in UTF-8 is spelled so in ASCII as well."""
    return content.isascii() and DELETE not in content


def is_plain(values: Iterable[Any]) -> bool:
    """
    Say whether msgspec spells values as json does.

    It does if there is nothing in them but exact str, int, bool, None, dict, list and tuple, and
    floats that both write without an exponent. Keys that json and msgspec treat differently are
    refused by msgspec itself.
    """
    level: tuple[Any, ...] = (tuple(values),)
    for _ in range(DEEPEST):
        # An eighth of what a loop over the parts would take. A dict whose keys are all exact str
        # has its values alone visited.
        parts = gc.get_referents(*level)
        kinds = set(map(type, parts)) - SCALARS
        if not kinds:
            return True
        if not kinds <= KNOWN:
            return False
        if float in kinds and not all(map(_has_no_exponent, parts)):
            return False
        level = tuple(part for part in parts if type(part) in CONTAINERS)
        if not level:
            return True
        if len(level) > MOST:
            return False
    return False


def _has_no_exponent(part: Any) -> bool:
    # False for NaN and infinity, too.
    return type(part) is not float or part == 0 or 1e-4 <= abs(part) < 1e16


def _to_ascii(value: Any) -> bytes:
    # As Django's JSONSerializer.
    return json.dumps(value, separators=COMPACT).encode("latin-1")
