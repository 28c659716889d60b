"""
MemcachedStore: sessions in memcached by its compare-and-set, with pymemcache.

It stands on stores/indexed/, and shares what stores/cache/ asks of an entry in CACHES.
"""

from .store import MemcachedStore

__all__ = ["MemcachedStore"]
