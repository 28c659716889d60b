"""A Django cache, asked so that an outage is never a miss."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.core.cache import BaseCache, caches
from django.core.cache.backends.memcached import BaseMemcachedCache

from .answers import UNREADABLE, has_stored, may_be_a_value, read_values, replace_none
from .failures import Failures
from .options import CacheOptions


class CacheClient:
    """
    The commands that a store of sessions gives to its cache.

    Whatever a backend raises is taken for an outage: a store can't know the errors of every
    client library there is. A single value that can't be read is none: see get_many().
    """

    def __init__(self, options: CacheOptions, failures: Failures) -> None:
        self._failures = failures
        self._cache_alias = options.cache
        self._tombstone_seconds = options.tombstone_seconds
        self._prefix = options.prefix
        self._none_means_missing: bool | None = None  # None: the cache was not asked yet.

    @property
    def _cache(self) -> BaseCache:
        return caches[self._cache_alias]

    @property
    def limits_items(self) -> bool:
        """Whether an item may be too large for this cache."""
        return isinstance(self._cache, BaseMemcachedCache)

    @property
    def is_async(self) -> bool:
        """Whether the cache has a client for async code. If not, the a… methods are not for it."""
        return _has_async_commands(type(self._cache))

    def get_many(self, names: Iterable[str]) -> dict[str, Any]:
        """
        Return the values of those that are there, in one round trip.

        One that is there and can't be read is UNREADABLE: it was written with another serializer
        perhaps. That takes some more round trips.
        """
        values = self._read(names)
        return self._read_halves(list(names)) if values is None else values

    async def aget_many(self, names: Iterable[str]) -> dict[str, Any]:
        """See get_many()."""
        values = await self._aread(names)
        return await self._aread_halves(list(names)) if values is None else values

    def add(self, name: str, value: bytes, seconds: int) -> bool | None:
        """
        Store a value if there is none yet.

        Args:
            name: where.
            value: different for each caller: a client that sends a command again, because
                the reply was lost, finds its own value there, and that is no failure.
            seconds: how long to keep it.

        Returns:
            False if another value is there. None if the cache has not stored it, and nothing is
            there: what was there has just gone, or the cache answers so in an outage.
        """
        try:
            is_added = self._cache.add(name, value, seconds)
        except Exception as error:
            raise self._failures.unavailable(error) from error
        return True if is_added else _is_own(value, name, self._read([name]))

    async def aadd(self, name: str, value: bytes, seconds: int) -> bool | None:
        """See add()."""
        try:
            is_added = await self._cache.aadd(name, value, seconds)
        except Exception as error:
            raise self._failures.unavailable(error) from error
        return True if is_added else _is_own(value, name, await self._aread([name]))

    def set_many(self, values: Mapping[str, bytes], seconds: int) -> None:
        """
        Store values, in one round trip.

        Raises:
            StoreUnavailable: not all were stored.
        """
        try:
            # Not set(), which doesn't say whether memcached has stored anything.
            answer = self._cache.set_many(dict(values), seconds)
        except Exception as error:
            raise self._failures.unavailable(error) from error
        self._require_all(answer, values)

    async def aset_many(self, values: Mapping[str, bytes], seconds: int) -> None:
        """See set_many()."""
        try:
            answer = await self._cache.aset_many(dict(values), seconds)
        except Exception as error:
            raise self._failures.unavailable(error) from error
        self._require_all(answer, values)

    def delete(self, name: str) -> None:
        """Remove a value."""
        try:
            self._cache.delete(name)
        except Exception as error:
            raise self._failures.unavailable(error) from error

    async def adelete(self, name: str) -> None:
        """See delete()."""
        try:
            await self._cache.adelete(name)
        except Exception as error:
            raise self._failures.unavailable(error) from error

    def _require_all(self, answer: object, values: Mapping[str, bytes]) -> None:
        if not has_stored(answer, len(values)):
            raise self._failures.has_not_stored()

    # What can't be read, without a list of what all serializers and clients raise.

    def _read(self, names: Iterable[str]) -> dict[str, Any] | None:
        """Return what is there, or None if it may be for one of the values that it failed."""
        try:
            values = read_values(self._cache.get_many(names))
            if None in values.values():
                means_missing = self._ask_for_nothing()
                values = replace_none(values, means_missing=means_missing)
            return values
        except Exception as error:
            if may_be_a_value(error):
                return None
            raise self._failures.unavailable(error) from error

    async def _aread(self, names: Iterable[str]) -> dict[str, Any] | None:
        try:
            values = read_values(await self._cache.aget_many(names))
            if None in values.values():
                means_missing = await self._aask_for_nothing()
                values = replace_none(values, means_missing=means_missing)
            return values
        except Exception as error:
            if may_be_a_value(error):
                return None
            raise self._failures.unavailable(error) from error

    def _ask_for_nothing(self) -> bool:
        """Say whether None is this cache's answer for a name that nobody has given it."""
        if self._none_means_missing is None:
            name = self._make_name()
            self._none_means_missing = name in read_values(self._cache.get_many([name]))
        return self._none_means_missing

    async def _aask_for_nothing(self) -> bool:
        if self._none_means_missing is None:
            name = self._make_name()
            self._none_means_missing = name in read_values(await self._cache.aget_many([name]))
        return self._none_means_missing

    def _make_name(self) -> str:
        return f"{self._prefix}n:{secrets.token_hex(16)}"

    def _read_halves(self, names: Sequence[str]) -> dict[str, Any]:
        if len(names) == 1:
            return self._read_alone(names[0])
        half = len(names) // 2
        return self.get_many(names[:half]) | self.get_many(names[half:])

    async def _aread_halves(self, names: Sequence[str]) -> dict[str, Any]:
        if len(names) == 1:
            return await self._aread_alone(names[0])
        half = len(names) // 2
        return await self.aget_many(names[:half]) | await self.aget_many(names[half:])

    def _read_alone(self, name: str) -> dict[str, Any]:
        if not self._is_there(name):
            return {}
        values = self._read([name])
        return {name: UNREADABLE} if values is None else values

    async def _aread_alone(self, name: str) -> dict[str, Any]:
        if not await self._ais_there(name):
            return {}
        values = await self._aread([name])
        return {name: UNREADABLE} if values is None else values

    def _is_there(self, name: str) -> bool:
        # touch() reads no value, and asks the very server that has it, which may be down where
        # another one isn't. A session lives no longer for it: its record says until when.
        try:
            return bool(self._cache.touch(name, self._tombstone_seconds))
        except Exception as error:
            raise self._failures.unavailable(error) from error

    async def _ais_there(self, name: str) -> bool:
        try:
            return bool(await self._cache.atouch(name, self._tombstone_seconds))
        except Exception as error:
            raise self._failures.unavailable(error) from error


def _is_own(value: bytes, name: str, values: Mapping[str, Any] | None) -> bool | None:
    if values is None:
        return False  # One that can't be read; the server has just answered for this name.
    return values[name] == value if name in values else None


def _has_async_commands(backend: type[BaseCache]) -> bool:
    # BaseCache's own run each command in a thread, and those for several names once for each name.
    # A whole operation in one thread costs less. A backend may have no such methods at all.
    return all(
        getattr(backend, name, None) not in (None, getattr(BaseCache, name))
        for name in ("aget_many", "aadd", "aset_many", "adelete")
    )
