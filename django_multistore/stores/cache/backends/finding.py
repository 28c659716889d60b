"""Which class answers for a cache."""

from __future__ import annotations

from typing import Any

from . import local, memcached, redis
from .base import PYMEMCACHE, REDIS, Backend, names_of

# These are dotted names, so that no package of a backend is needed.
BACKENDS: dict[str, type[Backend]] = {
    "django.core.cache.backends.dummy.DummyCache": local.Dummy,
    "django.core.cache.backends.locmem.LocMemCache": local.LocMem,
    "django.core.cache.backends.filebased.FileBasedCache": local.FileBased,
    "django.core.cache.backends.db.DatabaseCache": local.Database,
    "django_mysql.cache.MySQLCache": local.MySQL,
    "diskcache.djangocache.DjangoCache": local.DiskCache,
    "django.core.cache.backends.memcached.BaseMemcachedCache": memcached.Memcached,
    "django.core.cache.backends.memcached.PyLibMCCache": memcached.PyLibMC,
    "django_bmemcached.memcached.BMemcached": memcached.BMemcached,
    PYMEMCACHE: memcached.PyMemcache,
    REDIS: redis.Redis,
    "django_redis.cache.RedisCache": redis.DjangoRedis,
    "django_valkey.base.BaseValkeyCache": redis.Valkey,
    "django_valkey.cache.ValkeyCache": redis.Valkey,
}


def find_backend(cache: Any) -> Backend:
    """Return who answers for a cache: for its class, or for the next one that it inherits from."""
    known = (BACKENDS[name] for name in names_of(cache) if name in BACKENDS)
    return next(known, Backend)(cache)


def is_known(cache: Any) -> bool:
    """Say whether a cache's own class is one of those; what inherits may differ."""
    return next(names_of(cache)) in BACKENDS
