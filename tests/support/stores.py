"""Settings that put the sessions of a test into another store than the default one."""

from __future__ import annotations

from django.test import override_settings

from tests import servers
from tests.settings import OWN_PREFIX

MEMORY = {"default": {"BACKEND": "django_multistore.stores.memory.MemoryStore"}}
ON_A_CACHE = override_settings(
    SESSION_STORES={
        "default": {
            "BACKEND": "django_multistore.stores.cache.CacheStore",
            "OPTIONS": {"CACHE": "locmem"},
        }
    }
)

_MEMCACHED = servers.address("memcached")
ON_MEMCACHED = override_settings(
    SESSION_STORES={
        "default": {
            "BACKEND": "django_multistore.stores.memcached.MemcachedStore",
            "OPTIONS": {"SERVERS": _MEMCACHED or "127.0.0.1:1", "KEY_PREFIX": f"{OWN_PREFIX}:"},
        }
    }
)

_REDIS = servers.address("redis")
ON_REDIS = override_settings(
    SESSION_STORES={
        "default": {
            "BACKEND": "django_multistore.stores.redis.RedisStore",
            "OPTIONS": {"URL": f"redis://{_REDIS}/6", "KEY_PREFIX": f"{OWN_PREFIX}:"},
        }
    }
)
