"""What caches answer, read in one way for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import iscoroutinefunction
from typing import Any

NEEDED = ("get_many", "add", "set_many", "delete")
# What stands for a value that the cache has and its serializer can't read.
UNREADABLE = object()


class NoAnswer(Exception):
    """A client that does not raise its errors has returned something else in place of an answer."""


def explain_unfit(cache: Any) -> str | None:
    """Say why a store can't ask a cache at all, or return None."""
    # A backend need not inherit from Django's BaseCache, and some do not.
    missing = [name for name in NEEDED if not callable(getattr(cache, name, None))]
    if missing:
        return f"it has no {', '.join(f'{name}()' for name in missing)}"
    if any(iscoroutinefunction(getattr(cache, name)) for name in NEEDED):
        return (
            "it is for async code alone, and sessions are asked for by sync code too. The "
            "backend for sync code serves both"
        )
    return None


def read_values(answer: object) -> dict[str, Any]:
    """Return what get_many() has found, or raise NoAnswer."""
    if isinstance(answer, dict):
        return answer
    if isinstance(answer, Mapping):
        return dict(answer)
    raise NoAnswer(f"get_many() returned {type(answer).__name__}, not what it found")


def replace_none(values: Mapping[str, Any], *, means_missing: bool) -> dict[str, Any]:
    """
    Return values without None, which no store has given a cache to keep.

    It either means that a name is missing, or is what the cache's client says of a value that can't
    be read, as pymemcache does.
    """
    if means_missing:
        return {name: value for name, value in values.items() if value is not None}
    return {name: UNREADABLE if value is None else value for name, value in values.items()}


def has_stored(answer: object, count: int) -> bool:
    """Say whether set_many() has stored all of so many values."""
    # It returns the names that have failed, as Django says; None or True; how many were stored.
    if isinstance(answer, int):
        return answer is True or (answer is not False and answer == count)
    return not answer


def may_be_a_value(error: BaseException) -> bool:
    """
    Say whether reading may have failed for a value that is stored, and not for its server.

    A serializer can raise anything. What comes of a socket is an OSError, or was raised in
    place of one by every client that translates it. It has a number, or a class of its own; those
    that bz2 and gzip raise for bytes which aren't theirs have neither.
    """
    # A chain may be a ring: django-redis raises an error's cause while it handles the error.
    chain: list[BaseException] = []
    further: list[BaseException | None] = [error]
    while further:
        link = further.pop()
        if isinstance(link, NoAnswer) or _is_of_a_socket(link):
            return False
        if link is not None and not any(link is known for known in chain):
            chain.append(link)
            further += [link.__cause__, link.__context__]
    return True


def _is_of_a_socket(error: BaseException | None) -> bool:
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    return isinstance(error, OSError) and error.errno is not None
