"""CacheStore: sessions in any cache of Django's. Its index of users stands on stores/sql/."""

from .store import CacheStore

__all__ = ["CacheStore"]
