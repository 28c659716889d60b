"""
Serializers: one for a session's data, and some for a cache that keeps sessions and nothing else.

None of them unpickles, so that whoever can write to a store or a cache can't run code in the site.
Settings may import this module.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.utils.functional import Promise

__all__ = ["BytesSerializer", "TaggedJSONSerializer", "bytes_serde"]

# An object of JSON with this name and no other stands for what JSON has not.
TAG = "__multistore__"

# Both Redis backends read a value that looks like a number as an int: b"12" would come back as 12.
MARK = b"="


class TaggedJSONSerializer:
    """
    Keep what Django's JSONSerializer keeps, and dates, Decimal, UUID, bytes, tuples, sets as well.

    It is for SESSION_SERIALIZER. A dict's keys keep their types, and text that is translated lazily
    becomes text. What only Django's serializer has written it reads, and the other way round
    where nothing has a tag. An instance of a subclass comes back as one of the type itself.
    """

    def dumps(self, obj: Any) -> bytes:
        """
        Return a value as JSON, in which values of other types are tagged.

        Raises:
            TypeError: it has a value of a type that can't be kept.
            ValueError: it is nested too deeply, perhaps in itself.
        """
        try:
            return json.dumps(_tag(obj), separators=(",", ":")).encode("latin-1")
        except RecursionError:
            raise ValueError("It is nested too deeply, perhaps in itself.") from None

    def loads(self, data: bytes) -> Any:
        """
        Return what dumps() was given.

        Raises:
            ValueError: it is no JSON, or has a tag that isn't known or whose value doesn't fit.
        """
        try:
            return json.loads(data.decode("latin-1"), object_hook=_untag)
        except RecursionError:
            raise ValueError("It is nested too deeply.") from None


class BytesSerializer:
    """
    Keep bytes as they are, for Django's RedisCache and for django-redis.

    Django's takes it as `"OPTIONS": {"serializer": …}`, django-redis as
    `"OPTIONS": {"SERIALIZER": …}`, both by its dotted path.
    """

    def __init__(self, options: object = None) -> None:  # django-redis passes the cache's OPTIONS
        pass

    def dumps(self, value: object) -> bytes:
        return MARK + _only_bytes(value)

    def loads(self, data: bytes) -> bytes:
        # What another serializer wrote comes back as it is: neither a session nor an outage.
        return data.removeprefix(MARK)


class BytesSerde:
    """
    Keep bytes as they are, for PyMemcacheCache: `"OPTIONS": {"serde": bytes_serde}`.

    They look as pymemcache's own serdes write them, so a cache may change from one to the other.
    """

    def serialize(self, key: object, value: object) -> tuple[bytes, int]:
        return _only_bytes(value), 0

    def deserialize(self, key: object, value: bytes, flags: int) -> bytes:
        return value


bytes_serde: BytesSerde = BytesSerde()  # pymemcache takes no dotted path


def _only_bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    raise TypeError(
        f"This cache is for sessions only and takes bytes, not {type(value).__name__}. "
        "Use another entry of CACHES for anything else."
    )


def _tag(value: Any) -> Any:
    """Return a value as one that json.dumps() keeps."""
    if isinstance(value, (str, int, float, type(None))):
        return value
    if isinstance(value, list):
        return [_tag(each) for each in value]
    if isinstance(value, dict):
        if value.keys() != {TAG} and all(isinstance(key, str) for key in value):
            return {key: _tag(each) for key, each in value.items()}
        return {TAG: ["dict", [[_tag(key), _tag(each)] for key, each in value.items()]]}
    for base in type(value).__mro__:
        if base in WRITERS:
            name, write = WRITERS[base]
            return {TAG: [name, write(value)]}
    if isinstance(value, Promise):
        return str(value)
    raise TypeError(f"A {type(value).__module__}.{type(value).__qualname__} can't be kept as JSON.")


def _untag(found: dict[str, Any]) -> Any:
    """Return what an object of JSON stands for, whose own values have no tags any more."""
    if found.keys() != {TAG}:
        return found
    try:
        name, value = found[TAG]
        return READERS[name](value)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError("A tag isn't known, or its value doesn't fit.") from error


def _write_time(value: time) -> str:
    # A zone without a date says no offset, and would be lost.
    if value.tzinfo is not None and value.utcoffset() is None:
        raise TypeError("A datetime.time whose zone has no fixed offset can't be kept as JSON.")
    return time.isoformat(value)


def _write_duration(value: timedelta) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


def _write_set(values: Iterable[Any]) -> list[Any]:
    # In one order, so that the same set is the same bytes in each process.
    return sorted((_tag(each) for each in values), key=json.dumps)


# Each type with the name of its tag, and what makes JSON of it; and back.
WRITERS: dict[type, tuple[str, Callable[[Any], Any]]] = {
    datetime: ("datetime", datetime.isoformat),
    date: ("date", date.isoformat),
    time: ("time", _write_time),
    timedelta: ("timedelta", _write_duration),
    # A subclass may have another text, for people, which nobody could read back.
    Decimal: ("decimal", Decimal.__str__),
    UUID: ("uuid", UUID.__str__),
    bytes: ("bytes", lambda value: base64.b64encode(value).decode("ascii")),
    complex: ("complex", lambda value: [value.real, value.imag]),
    tuple: ("tuple", lambda value: [_tag(each) for each in value]),
    set: ("set", _write_set),
    frozenset: ("frozenset", _write_set),
}
READERS: dict[str, Callable[[Any], Any]] = {
    "dict": lambda pairs: dict(_only(list, pairs)),
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "timedelta": lambda parts: timedelta(*_only(list, parts)),
    "decimal": lambda text: Decimal(_only(str, text)),
    "uuid": UUID,
    "bytes": lambda text: base64.b64decode(_only(str, text), validate=True),
    "complex": lambda parts: complex(*_only(list, parts)),
    "tuple": lambda values: tuple(_only(list, values)),
    "set": lambda values: set(_only(list, values)),
    "frozenset": lambda values: frozenset(_only(list, values)),
}


def _only(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError(kind)
    return value
