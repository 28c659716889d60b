"""The options that stores with an index in a database have in common."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from typing import Any

from django.conf import settings

from ...exceptions import InvalidStore
from ...models import STORE_MAX_LENGTH
from .index import NAMESPACE_LENGTH

# Browsers keep no cookie for longer than 400 days, but for so long each session that has ended
# would be remembered.
DEFAULT_MAX_AGE = timedelta(days=30)
# memcached's times end in 2038, and no cookie lives so long.
LONGEST_MAX_AGE = timedelta(days=5 * 365)
# A tombstone outlives what a writer may leave behind that died before it could look for it.
AFTERLIFE = timedelta(days=1)


def read_max_age(alias: str, options: Mapping[str, Any]) -> timedelta:
    """Return the option MAX_AGE or its default, or raise InvalidStore."""
    max_age = options["MAX_AGE"]
    if max_age is None:
        cookie_age = timedelta(seconds=settings.SESSION_COOKIE_AGE)
        return min(max(DEFAULT_MAX_AGE, cookie_age), LONGEST_MAX_AGE)
    longest = int(LONGEST_MAX_AGE.total_seconds())
    if not is_whole(max_age) or not 0 < max_age <= longest:
        remedy = f"It must be a whole number of seconds, from 1 to {longest}."
        raise refuse(alias, options, "MAX_AGE", remedy)
    return timedelta(seconds=max_age)


def remembered_for(max_age: timedelta) -> int:
    """Return for how many seconds it is remembered that a session has ended."""
    return math.ceil((max_age + AFTERLIFE).total_seconds())


def require_short_alias(alias: str, kind: str) -> None:
    """Raise InvalidStore if the index has no room for a store's alias."""
    longest = STORE_MAX_LENGTH - NAMESPACE_LENGTH - 1
    if len(alias) > longest:
        raise InvalidStore(
            f"SESSION_STORES has a {kind} {alias!r}. The index of users has no room for such "
            f"a name: take one of up to {longest} characters."
        )


def refuse(alias: str, options: Mapping[str, Any], option: str, remedy: str) -> InvalidStore:
    """Say that the value of an option can't work, for the caller to raise."""
    return InvalidStore(
        f"SESSION_STORES[{alias!r}]['OPTIONS'][{option!r}] is {options[option]!r}. {remedy}"
    )


@lru_cache(maxsize=1024)
def make_namespace(name: str) -> str:
    """Return what stands in the index for all names that are made like this one."""
    return hashlib.sha256(name.encode()).hexdigest()[:NAMESPACE_LENGTH]


def is_whole(value: object) -> bool:
    """Say whether an option is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)
