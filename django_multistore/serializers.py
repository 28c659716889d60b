"""
Serializers for a cache that keeps sessions and nothing else.

They take bytes only and never unpickle, so that whoever can write to the cache can't run code in
the site. Settings may import this module.
"""

from __future__ import annotations

__all__ = ["BytesSerializer", "bytes_serde"]

# Both Redis backends read a value that looks like a number as an int: b"12" would come back as 12.
MARK = b"="


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
