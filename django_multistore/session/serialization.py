"""Serialise a session's data, and say what in them it is that a serializer can't keep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..serializers import TaggedJSONSerializer
from .codec import Serializer

TAGGED = "django_multistore.serializers.TaggedJSONSerializer"
LONGEST_NAME = 100  # characters
DEEPEST = 50  # levels to look into, for a value may be nested in itself


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
