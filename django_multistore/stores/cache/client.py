"""A Django cache, asked so that an outage is never a miss."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.cache import BaseCache, caches
from django.core.cache.backends.memcached import BaseMemcachedCache

from ..indexed.failures import Failures
from ..steps import Call, Steps, call
from .options import CacheOptions
from .replies import UNREADABLE, has_stored, may_be_a_value, read_values, replace_none


class CacheClient:
    """
    The commands that a store of sessions gives to its cache, as steps: one may take several.

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
        """Whether the cache has a client for async code."""
        # BaseCache's own methods run each command in a thread, and those for several names once for
        # each name. A whole operation in one thread costs less. A backend may have none at all.
        backend = type(self._cache)
        return all(
            getattr(backend, name, None) not in (None, getattr(BaseCache, name))
            for name in ("aget_many", "aadd", "aset_many", "adelete")
        )

    # A request reads its session by these, without the steps that are hardly ever needed.

    def read(self, names: Sequence[str]) -> dict[str, Any] | None:
        """Return what is there, or None if it takes get_many() to say that."""
        try:
            return self._sift(self._cache.get_many(names))
        except Exception as error:
            # What can't be read is found without a list of what all serializers and clients raise.
            if may_be_a_value(error):
                return None
            raise self._failures.unavailable(error) from error

    async def aread(self, names: Sequence[str]) -> dict[str, Any] | None:
        """See read()."""
        try:
            return self._sift(await self._cache.aget_many(names))
        except Exception as error:
            # What can't be read is found without a list of what all serializers and clients raise.
            if may_be_a_value(error):
                return None
            raise self._failures.unavailable(error) from error

    def _sift(self, answer: object) -> dict[str, Any] | None:
        values = read_values(answer)
        if None not in values.values():
            return values
        if self._none_means_missing is None:
            return None
        return replace_none(values, means_missing=self._none_means_missing)

    def get_many(self, names: Sequence[str]) -> Steps[dict[str, Any]]:
        """
        Return the values of those that are there, in one round trip.

        One that is there and can't be read is UNREADABLE: it was written with another serializer
        perhaps. That takes some more round trips.
        """
        values = yield from call(self.read, self.aread, names)
        if values is None and self._none_means_missing is None:
            # Whether None is this cache's answer for a name that nobody has given it.
            nobody_s = f"{self._prefix}n:{secrets.token_hex(16)}"
            found = read_values((yield from self._ask("get_many", [nobody_s])))
            self._none_means_missing = nobody_s in found
            values = yield from call(self.read, self.aread, names)
        if values is not None:
            return values
        if len(names) > 1:
            half = len(names) // 2
            some = yield from self.get_many(names[:half])
            return some | (yield from self.get_many(names[half:]))
        # touch() reads no value, and asks the very server that has it, which may be down where
        # another one isn't. A session lives no longer for it: its record says until when.
        if not (yield from self._ask("touch", names[0], self._tombstone_seconds)):
            return {}
        values = yield from call(self.read, self.aread, names)
        return {names[0]: UNREADABLE} if values is None else values

    def add(self, name: str, value: bytes, seconds: int) -> Steps[bool | None]:
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
        if (yield from self._ask("add", name, value, seconds)):
            return True
        values = yield from call(self.read, self.aread, [name])
        if values is None:
            return False  # One that can't be read; the server has just answered for this name.
        return values[name] == value if name in values else None

    def set_many(self, values: Mapping[str, bytes], seconds: int) -> Steps[None]:
        """Store values, in one round trip, or raise StoreUnavailable if not all were stored."""
        # Not set(), which doesn't say whether memcached has stored anything.
        answer = yield from self._ask("set_many", dict(values), seconds)
        if not has_stored(answer, len(values)):
            raise self._failures.has_not_stored()

    def delete(self, name: str) -> Steps[None]:
        """Remove a value."""
        return self._ask("delete", name)

    def _ask(self, command: str, *arguments: Any) -> Steps[Any]:
        cache: Any = self._cache
        # A backend may have no methods for async code.
        variant: Any = getattr(cache, f"a{command}", None)
        try:
            return (yield Call(getattr(cache, command), variant, arguments))
        except Exception as error:
            raise self._failures.unavailable(error) from error
