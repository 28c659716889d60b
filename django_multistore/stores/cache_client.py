"""A Django cache, asked so that an outage is never a miss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from asgiref.sync import sync_to_async
from django.core.cache import BaseCache, caches
from django.core.cache.backends.memcached import BaseMemcachedCache

from ..exceptions import StoreUnavailable
from .base import BaseStore

Twin = Callable[..., Any]


class CacheClient:
    """
    The commands that a store of sessions gives to its cache.

    Whatever a backend raises is taken for an outage: a store can't know the errors of every
    client library there is.
    """

    def __init__(self, store: BaseStore, cache_alias: str) -> None:
        self._store = store
        self._cache_alias = cache_alias

    @property
    def _cache(self) -> BaseCache:
        return caches[self._cache_alias]

    @property
    def limits_items(self) -> bool:
        """Whether an item may be too large for this cache."""
        return isinstance(self._cache, BaseMemcachedCache)

    @property
    def is_async(self) -> bool:
        """Whether the cache has a client for async code, and not the sync one in a thread."""
        return type(self._cache).aget_many is not BaseCache.aget_many

    def get_many(self, names: Iterable[str]) -> dict[str, Any]:
        """Return the values of those that are there, in one round trip."""
        try:
            return self._cache.get_many(names)
        except Exception as error:
            raise self._store.unavailable(error) from error

    async def aget_many(self, names: Iterable[str]) -> dict[str, Any]:
        """See get_many()."""
        try:
            return await _twin(self._cache, "get_many")(names)  # type: ignore[no-any-return]
        except Exception as error:
            raise self._store.unavailable(error) from error

    def add(self, name: str, value: bytes, seconds: int) -> bool:
        """
        Store a value if there is none yet.

        Args:
            name: where.
            value: different for each caller: a client that sends a command again, because
                the reply was lost, finds its own value there, and that is no failure.
            seconds: how long to keep it.
        """
        try:
            added: bool = self._cache.add(name, value, seconds)
            return added or self._cache.get(name) == value
        except Exception as error:
            raise self._store.unavailable(error) from error

    async def aadd(self, name: str, value: bytes, seconds: int) -> bool:
        """See add()."""
        try:
            added: bool = await _twin(self._cache, "add")(name, value, seconds)
            return added or await _twin(self._cache, "get")(name) == value
        except Exception as error:
            raise self._store.unavailable(error) from error

    def set_many(self, values: Mapping[str, bytes], seconds: int) -> None:
        """
        Store values, in one round trip.

        Raises:
            StoreUnavailable: not all were stored.
        """
        try:
            # Not set(), which doesn't say whether memcached has stored anything.
            failed = self._cache.set_many(dict(values), seconds)
        except Exception as error:
            raise self._store.unavailable(error) from error
        self._require_all(failed)

    async def aset_many(self, values: Mapping[str, bytes], seconds: int) -> None:
        """See set_many()."""
        try:
            failed = await _twin(self._cache, "set_many")(dict(values), seconds)
        except Exception as error:
            raise self._store.unavailable(error) from error
        self._require_all(failed)

    def delete(self, name: str) -> None:
        """Remove a value."""
        try:
            self._cache.delete(name)
        except Exception as error:
            raise self._store.unavailable(error) from error

    async def adelete(self, name: str) -> None:
        """See delete()."""
        try:
            await _twin(self._cache, "delete")(name)
        except Exception as error:
            raise self._store.unavailable(error) from error

    def _require_all(self, failed: object) -> None:
        # django-redis returns None, and raises if it fails.
        if failed:
            raise StoreUnavailable(
                f"Session store {self._store.alias!r}: the cache {self._cache_alias!r} did not "
                "store what it was given. Nothing is known about the session. Look whether it "
                "is out of memory."
            )


def _twin(cache: BaseCache, name: str) -> Twin:
    # As Django 6.1 does: what a backend has in one command for sync code only is one hop to a
    # thread. Django 5.2's aget_many() and aset_many() are a hop for each key, and its
    # aset_many() can't tell what memcached has refused.
    own, twin = type(cache), f"a{name}"
    is_for_sync_only = getattr(own, twin) is getattr(BaseCache, twin)
    if is_for_sync_only and getattr(own, name) is not getattr(BaseCache, name):
        return sync_to_async(getattr(cache, name))
    return getattr(cache, twin)  # type: ignore[no-any-return]
