"""The options of CacheStore, read and refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.cache import InvalidCacheKey, caches
from django.core.cache.backends.base import InvalidCacheBackendError

from ...exceptions import InvalidStore
from ...records import KEY_LENGTH
from ..indexed.options import (
    is_whole,
    make_namespace,
    read_max_age,
    refuse,
    remembered_for,
    require_short_alias,
)
from ..packages import explain_missing_package
from .replies import explain_unfit

# memcached counts whole seconds, of which the first may be nearly over.
MIN_LOCK_SECONDS = 2
# Requests wait for so long, and servers don't.
MAX_LOCK_SECONDS = 60
PREFIX = re.compile(r"[!-~]{0,150}")  # What memcached takes in a key, and room for the rest.


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheOptions:
    """What OPTIONS says, of the right types."""

    cache: str
    prefix: str
    is_exact: bool
    lock_seconds: int
    max_age: timedelta

    @property
    def tombstone_seconds(self) -> int:
        """For how many seconds the cache remembers that a session has ended."""
        return remembered_for(self.max_age)

    def namespace(self) -> str:
        """Return what stands for all that the names in the cache begin with."""
        # It is not kept: a KEY_FUNCTION may go by the tenant whose request this is.
        # KEY_PREFIX, VERSION and KEY_FUNCTION of the cache: what any of them makes of a name.
        make_key = getattr(caches[self.cache], "make_key", str)
        return make_namespace(str(make_key(f"{self.prefix}s:")))


def read_options(alias: str, options: dict[str, Any]) -> CacheOptions:
    """Read all options of a store, or raise InvalidStore for a value that can't work."""
    cache = _read_cache(alias, options["CACHE"])
    prefix, is_exact = options["KEY_PREFIX"], options["EXACT"]
    lock_seconds = options["LOCK_SECONDS"]
    if not isinstance(prefix, str) or not PREFIX.fullmatch(prefix):
        remedy = "It must be up to 150 ASCII characters without blanks."
        raise refuse(alias, options, "KEY_PREFIX", remedy)
    _require_short_names(alias, cache, prefix)
    require_short_alias(alias, "CacheStore")
    if not isinstance(is_exact, bool):
        raise refuse(alias, options, "EXACT", "It must be True or False.")
    if not is_whole(lock_seconds) or not MIN_LOCK_SECONDS <= lock_seconds <= MAX_LOCK_SECONDS:
        remedy = f"It must be a whole number, from {MIN_LOCK_SECONDS} to {MAX_LOCK_SECONDS}."
        raise refuse(alias, options, "LOCK_SECONDS", remedy)
    return CacheOptions(
        cache=cache,
        prefix=prefix,
        is_exact=is_exact,
        lock_seconds=lock_seconds,
        max_age=read_max_age(alias, options),
    )


def _read_cache(alias: str, option: Any) -> str:
    """Return the alias of a cache that can be asked."""
    cache: str = option or settings.SESSION_CACHE_ALIAS
    if cache not in caches.settings:
        known = ", ".join(map(repr, caches.settings))
        source = "['OPTIONS']['CACHE']" if option else " goes by SESSION_CACHE_ALIAS, which"
        raise InvalidStore(
            f"SESSION_STORES[{alias!r}]{source} is {cache!r}, which isn't in CACHES. Name one of "
            f"{known}."
        )
    try:
        reason = explain_unfit(caches[cache])
        getattr(caches[cache], "_cache", None)  # Django's RedisCache imports its library with it.
    except (InvalidCacheBackendError, ImportError) as error:
        if missing := explain_missing_package(error):
            raise InvalidStore(
                f"SESSION_STORES[{alias!r}]: the cache {cache!r} can't be used: {missing}"
            ) from error
        reason = str(error)
    if reason:
        raise InvalidStore(
            f"SESSION_STORES[{alias!r}]: the cache {cache!r} can't be used: {reason}. Set "
            f"CACHES[{cache!r}]['BACKEND'] to another, for example to "
            "'django.core.cache.backends.redis.RedisCache'."
        )
    return cache


def _require_short_names(alias: str, cache: str, prefix: str) -> None:
    # Not every backend has such a method. One that has it says what it makes of a name.
    validate = getattr(caches[cache], "make_and_validate_key", None)
    if validate is None:
        return
    try:
        validate(f"{prefix}s:{'0' * KEY_LENGTH}")
    except InvalidCacheKey as error:
        raise InvalidStore(
            f"SESSION_STORES[{alias!r}]: the cache {cache!r} can't have the names of sessions "
            f"({error}). Set CACHES[{cache!r}]['KEY_PREFIX'], and the store's option KEY_PREFIX, "
            "to few ASCII characters without blanks."
        ) from error
