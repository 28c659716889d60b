"""Settings with a store that moves sessions between two others."""

from __future__ import annotations

import itertools
from typing import Any

from django_multistore.stores.composed import MigratingStore
from django_multistore.stores.handler import stores
from tests import servers
from tests.settings import OWN_PREFIX

PHASES = ("follow", "move", "return")
COMPOSED = "django_multistore.stores.composed.MigratingStore"

_numbers = itertools.count()


def memory() -> dict[str, Any]:
    return {"BACKEND": "django_multistore.stores.memory.MemoryStore"}


def smallest() -> dict[str, Any]:
    return {"BACKEND": "tests.support.smallest_store.SmallestIndexedStore"}


def orm(database: str = "default") -> dict[str, Any]:
    backend = "django_multistore.stores.orm.OrmStore"
    return {"BACKEND": backend, "OPTIONS": {"DATABASE": database}}


def cache() -> dict[str, Any]:
    options = {"CACHE": "locmem", "KEY_PREFIX": f"moving{next(_numbers)}:"}
    return {"BACKEND": "django_multistore.stores.cache.CacheStore", "OPTIONS": options}


def memcached() -> dict[str, Any]:
    options = {
        "SERVERS": servers.require("memcached"),
        "KEY_PREFIX": f"{OWN_PREFIX}:m{next(_numbers)}:",
    }
    return {"BACKEND": "django_multistore.stores.memcached.MemcachedStore", "OPTIONS": options}


def redis() -> dict[str, Any]:
    address = servers.require("redis")
    options = {"URL": f"redis://{address}/4", "KEY_PREFIX": f"{OWN_PREFIX}:m{next(_numbers)}:"}
    return {"BACKEND": "django_multistore.stores.redis.RedisStore", "OPTIONS": options}


def moving(old: dict[str, Any], new: dict[str, Any], phase: str = "move") -> dict[str, Any]:
    """Return SESSION_STORES with all phases of one move, the given one as the default."""
    return {
        "default": _composed(phase),
        "old": old,
        "new": new,
        **{each: _composed(each) for each in PHASES},
    }


def _composed(phase: str) -> dict[str, Any]:
    return {"BACKEND": COMPOSED, "OPTIONS": {"OLD": "old", "NEW": "new", "PHASE": phase}}


def store_in(phase: str) -> MigratingStore:
    """Return the store of one phase."""
    store = stores[phase]
    assert isinstance(store, MigratingStore)
    return store
