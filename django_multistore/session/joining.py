"""Spell a session's data, whose pieces are written as they are."""

from __future__ import annotations

from typing import Any

from .lazy import MISSING, LazyData
from .pieces import encode, encode_proven, recode

UNFIT = (TypeError, ValueError, RecursionError)


def join(data: dict[Any, Any], *, is_utf8: bool) -> bytes | None:
    """
    Spell data as one object of JSON.

    Args:
        data: which nobody else changes meanwhile.
        is_utf8: which spelling.

    Returns:
        It; None if the data are to be left to Django's serializer, which may refuse them.
    """
    parts, untouched = _take_apart(data, is_utf8=is_utf8)
    if set(map(type, parts)) - {str}:
        return None
    touched = [value for key, value in parts.items() if untouched.get(key, MISSING) is not value]
    content = encode_proven(parts, touched, is_utf8=is_utf8)
    if content is not None:
        return content
    each = spell_each(data, is_utf8=is_utf8)
    if each is None:
        return None
    pairs = (b"%b:%b" % (encode(key, is_utf8=is_utf8), piece) for key, piece in each.items())
    return b"{%b}" % b",".join(pairs)


def spell_each(data: dict[Any, Any], *, is_utf8: bool) -> dict[str, bytes] | None:
    """
    Spell data key by key.

    Returns:
        The spelling of each value; None if the data are to be left to Django's serializer.
    """
    parts, untouched = _take_apart(data, is_utf8=is_utf8)
    if set(map(type, parts)) - {str}:
        return None
    try:
        return {
            key: bytes(value)
            if untouched.get(key, MISSING) is value
            else encode(value, is_utf8=is_utf8)
            for key, value in parts.items()
        }
    except UNFIT:
        return None


def _take_apart(data: dict[Any, Any], *, is_utf8: bool) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """Return data as a plain dict with pieces of one spelling in it, and these pieces alone."""
    if not isinstance(data, LazyData):
        return data, {}
    untouched = data.untouched
    if data.is_utf8 is not is_utf8:
        untouched = {key: recode(piece, is_utf8=is_utf8) for key, piece in untouched.items()}
    return dict(dict.items(data)) | untouched, untouched
