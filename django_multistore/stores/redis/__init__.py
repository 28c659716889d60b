"""Sessions in Redis alone, the index of their users included."""

from .store import RedisStore

__all__ = ["RedisStore"]
