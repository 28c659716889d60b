"""
Values of the old engine's sessions that SESSION_SERIALIZER can't keep.

Engines on a cache pickle, which keeps any type.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ..session.codec import Serializer

LONGEST_NAME = 100  # characters


class Loss(NamedTuple):
    """A top-level key whose value doesn't come over as it is."""

    key: str  # As text, cut; it may be anything.
    kind: str  # The type of the value.
    is_change: bool  # Whether another value comes over in its place: a list for a tuple, say.


def find_losses(data: dict[Any, Any], serializer: Serializer) -> Iterator[Loss]:
    """Find what a serializer doesn't keep, top-level key by top-level key."""
    if _is_kept(data, serializer):
        return
    for key, value in data.items():
        is_written = isinstance(key, str) and _is_written({key: value}, serializer)
        if not is_written or not _is_kept({key: value}, serializer):
            yield Loss(str(key)[:LONGEST_NAME], _name(type(value)), is_change=is_written)


def drop_losses(data: dict[Any, Any], serializer: Serializer) -> dict[str, Any]:
    """Return what a serializer can write, be it as something else."""
    return {
        key: value
        for key, value in data.items()
        if isinstance(key, str) and _is_written({key: value}, serializer)
    }


def _is_written(data: dict[Any, Any], serializer: Serializer) -> bool:
    try:
        serializer.dumps(data)
    except Exception:  # noqa: BLE001 - whatever a site's own serializer raises for what it can't keep
        return False
    return True


def _is_kept(data: dict[Any, Any], serializer: Serializer) -> bool:
    try:
        return _is_same(data, serializer.loads(serializer.dumps(data)))
    except Exception:  # noqa: BLE001 - likewise
        return False


def _is_same(one: Any, other: Any) -> bool:
    """Say whether two values are equal, and of the same types."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return (
            len(one) == len(other)
            and all(map(_is_same, one, other))
            and all(map(_is_same, one.values(), other.values()))
        )
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return bool(one == other)


def _name(kind: type) -> str:
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{module}{kind.__qualname__}"
