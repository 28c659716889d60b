"""Settings of stores that are made of others, and the servers that these are in."""

from __future__ import annotations

from typing import Any

from tests import servers
from tests.settings import OWN_PREFIX

TIERED = "django_multistore.stores.composed.TieredStore"
SPLIT = "django_multistore.stores.composed.SplitStore"

MEMORY = {"BACKEND": "django_multistore.stores.memory.MemoryStore"}
ORM = {"BACKEND": "django_multistore.stores.orm.OrmStore"}
CACHE = {
    "BACKEND": "django_multistore.stores.cache.CacheStore",
    "OPTIONS": {"CACHE": "locmem", "KEY_PREFIX": "composed:"},
}


def redis(name: str) -> dict[str, Any]:
    """Return the entry of a RedisStore under a name of its own; without a server, of any."""
    address = servers.address("redis") or "127.0.0.1:1"
    return {
        "BACKEND": "django_multistore.stores.redis.RedisStore",
        "OPTIONS": {"URL": f"redis://{address}/6", "KEY_PREFIX": f"{OWN_PREFIX}:{name}:"},
    }


def memcached(name: str) -> dict[str, Any]:
    """Return the entry of a MemcachedStore under a name of its own. See redis()."""
    address = servers.address("memcached") or "127.0.0.1:1"
    return {
        "BACKEND": "django_multistore.stores.memcached.MemcachedStore",
        "OPTIONS": {"SERVERS": address, "KEY_PREFIX": f"{OWN_PREFIX}:{name}:"},
    }


def tiered(front: dict[str, Any], back: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Return SESSION_STORES with a TieredStore over two others."""
    parts = {"FRONT": "front", "BACK": "back"}
    return {
        "default": {"BACKEND": TIERED, "OPTIONS": parts | options},
        "front": front,
        "back": back,
    }


def split(anonymous: dict[str, Any], users: dict[str, Any]) -> dict[str, Any]:
    """Return SESSION_STORES with a SplitStore over two others."""
    parts = {"ANONYMOUS": "anonymous", "USERS": "users"}
    return {
        "default": {"BACKEND": SPLIT, "OPTIONS": parts},
        "anonymous": anonymous,
        "users": users,
    }
