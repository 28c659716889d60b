"""Serialise a session's data, and say what in them it is that a serializer can't keep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..serializers import TaggedJSONSerializer
from .codec import Serializer

TAGGED = "django_multistore.serializers.TaggedJSONSerializer"
LONGEST_NAME = 100  # characters


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
            remedy = "Keep what it can be had from instead: a primary key, text or numbers"
            if own != TAGGED and _is_kept(
                {"": value} if is_named else {key: ""}, TaggedJSONSerializer()
            ):
                remedy = f"Set SESSION_SERIALIZER to {TAGGED!r}, which keeps it; or keep text"
            return (
                f"{where} can't be saved: SESSION_SERIALIZER, {own}, can't keep a value of type "
                f"{_name(type(unfit))}. {remedy}."
            )
    return f"The session can't be saved by SESSION_SERIALIZER, {own}."


def _find_unfit(value: Any, serializer: Serializer) -> Any:
    """Return the innermost part of a value that can't be kept by itself."""
    for part in _iterate_parts(value):
        try:
            if not _is_kept({"": part}, serializer):
                return _find_unfit(part, serializer)
        except RecursionError:
            return value
    if isinstance(value, dict):
        for key in value:
            if not _is_kept({key: ""}, serializer):
                return key
    return value


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
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )
