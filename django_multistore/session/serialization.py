"""Serialise a session's data and back, and say what in them it is that can't be kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from django.core.signing import JSONSerializer

from ..conf import conf
from ..serializers import TaggedJSONSerializer
from . import joining, pieces
from .codec import Body, Serializer
from .lazy import LazyData

TAGGED = "django_multistore.serializers.TaggedJSONSerializer"
LONGEST_NAME = 100  # characters
DEEPEST = 50  # levels to look into, for a value may be nested in itself


def read(body: Body, serializer: Serializer) -> Any:
    """
    Return a session's data.

    They are decoded as they are touched where msgspec is there, and SESSION_SERIALIZER is Django's
    JSONSerializer. Another one is called as it is.

    Raises:
        Exception: whatever a serializer raises on bad input.
    """
    if pieces.IS_FAST and is_djangos(serializer):
        found = pieces.split(body.content, is_utf8=body.is_utf8)
        if found is not None:
            return LazyData(found, is_utf8=body.is_utf8)
    return (
        json.loads(str(body.content, "utf-8")) if body.is_utf8 else serializer.loads(body.content)
    )


def write(data: dict[Any, Any], serializer: Serializer) -> Body:
    """
    Serialise a session's data, as SESSION_SERIALIZER and SESSION_JSON_ENCODING say.

    Args:
        data: which nobody else changes meanwhile.
        serializer: the site's.

    Raises:
        TypeError: a value can't be kept; the message has its key and its type, never the value.
        ValueError: likewise; or they are more than SESSION_MAX_BYTES.
    """
    body = _write(data, serializer)
    if conf.max_bytes is not None and len(body.content) > conf.max_bytes:
        raise ValueError(
            f"The session can't be saved: it has {len(body.content)} bytes, and SESSION_MAX_BYTES "
            f"allows {conf.max_bytes}. Keep less in it, or allow more in each process."
        )
    return body


def recode(body: Body, serializer: Serializer, *, is_utf8: bool) -> Body:
    """Return a body as it would be if it had been written in this encoding."""
    if body.is_utf8 is is_utf8:
        return body
    return _write(read(body, serializer), serializer)


def is_djangos(serializer: Serializer) -> bool:
    """Say whether a serializer does what Django's JSONSerializer does, and no more."""
    kind = type(serializer)
    own = getattr(kind, "dumps", None), getattr(kind, "loads", None)
    return own == (JSONSerializer.dumps, JSONSerializer.loads)


def spells_utf8(serializer: Serializer) -> bool:
    """Say whether what this serializer keeps is written in UTF-8."""
    return conf.writes_utf8 and is_djangos(serializer)


def serialize(data: dict[Any, Any], serializer: Serializer) -> bytes:
    """
    Return a session's data as SESSION_SERIALIZER makes bytes of them.

    Raises:
        TypeError: it can't keep a value; the message has its key and its type, never the value.
        ValueError: likewise.
    """
    try:
        return serializer.dumps(data)
    except (TypeError, ValueError, RecursionError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(_explain(data, serializer)) from error


def _write(data: dict[Any, Any], serializer: Serializer) -> Body:
    is_utf8 = spells_utf8(serializer)
    if pieces.IS_FAST and is_djangos(serializer):
        joined = joining.join(data, is_utf8=is_utf8)
        if joined is not None:
            return Body(joined, is_utf8)
    content = serialize(data, serializer)
    return Body(_respell(content, data) if is_utf8 else content, is_utf8)


def _respell(content: bytes, data: dict[Any, Any]) -> bytes:
    """Return in UTF-8 what Django's serializer has made of data."""
    if b"\\u" not in content:
        return content
    try:
        return pieces.to_text(data).encode()
    except UnicodeEncodeError:  # What can't be in UTF-8 is in ASCII, key by key.
        joined = joining.join(data, is_utf8=True)
        if joined is None:  # Its keys aren't all text.
            joined = joining.join(json.loads(content), is_utf8=True)
        return content if joined is None else joined


def _explain(data: dict[Any, Any], serializer: Serializer) -> str:
    own = _name(type(serializer))
    for key, value in data.items():
        if not _is_kept({key: value}, serializer):
            is_named = isinstance(key, str)
            where = f"session[{key[:LONGEST_NAME]!r}]" if is_named else "A key of the session"
            unfit = _find_unfit(value, serializer) if is_named else key
            return (
                f"{where} can't be saved: SESSION_SERIALIZER, {own}, can't keep a value of type "
                f"{_name(type(unfit))}. {_find_remedy({key: value}, own)}"
            )
    return f"The session can't be saved by SESSION_SERIALIZER, {own}."


def _find_remedy(data: dict[Any, Any], own: str) -> str:
    if own != TAGGED and _is_kept(data, TaggedJSONSerializer()):
        return f"Set SESSION_SERIALIZER to {TAGGED!r}, which keeps it; or keep text."
    return "Keep what it can be had from instead: a primary key, text or numbers."


def _find_unfit(value: Any, serializer: Serializer) -> Any:
    """Return the innermost part of a value that can't be kept by itself."""
    for _ in range(DEEPEST):
        unfit = [part for part in _iterate_parts(value) if not _is_kept({"": part}, serializer)]
        if not unfit:
            break
        value = unfit[0]
    keys = value if isinstance(value, dict) else ()
    return next((key for key in keys if not _is_kept({key: ""}, serializer)), value)


def _iterate_parts(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from value


def _is_kept(data: dict[Any, Any], serializer: Serializer) -> bool:
    try:
        serializer.dumps(data)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _name(kind: type) -> str:
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{module}{kind.__qualname__}"
