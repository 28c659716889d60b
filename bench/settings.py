"""
Django settings of the measurements.

MULTISTORE_BENCH_DATABASE says which database is measured ("sqlite", "postgres" or "mariadb"),
MULTISTORE_BENCH_NAME where: a directory, or what the names of its databases begin with. See
databases.py, which sets both. Caches are there where MULTISTORE_MEMCACHED and MULTISTORE_REDIS say
where their servers are.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django_multistore.serializers import bytes_serde
from tests import servers

DATABASE = os.environ["MULTISTORE_BENCH_DATABASE"]
NAME = os.environ["MULTISTORE_BENCH_NAME"]


def _database(name: str) -> dict[str, Any]:
    if DATABASE == "sqlite":
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(Path(NAME) / name),
            "CONN_MAX_AGE": None,
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
            },
        }
    host, port = servers.require(DATABASE).split(":")
    backend = "mysql" if DATABASE == "mariadb" else "postgresql"
    return {
        "ENGINE": f"django.db.backends.{backend}",
        "NAME": f"{NAME}_{name}",
        "USER": servers.USER,
        "HOST": host,
        "PORT": port,
        "CONN_MAX_AGE": None,
    }


def _store(database: str) -> dict[str, Any]:
    return {
        "BACKEND": "django_multistore.stores.orm.OrmStore",
        "OPTIONS": {"DATABASE": database},
    }


DATABASES = {name: _database(name) for name in ("default", "large")}
SESSION_STORES = {database: _store(database) for database in DATABASES}
if DATABASE == "postgres":
    # The default database once more, where the driver may prepare statements on the server.
    # Django leaves that to the site: not every connection pooler can do it.
    prepared = {"server_side_binding": True, "prepare_threshold": 0}
    DATABASES["prepared"] = _database("default") | {"OPTIONS": prepared}
    SESSION_STORES["prepared"] = _store("prepared")
    SESSION_STORES["pooled"] = {
        "BACKEND": "django_multistore.stores.orm.OrmStore",
        "OPTIONS": {"ASYNC_POOL": {}},
    }

# Each with what `manage.py check --deploy` asks for. Django's engine and ours have the same entry;
# only we can use the one beside it, which keeps nothing but bytes.
SECONDS = 2
MEMCACHED = {
    "timeout": SECONDS,
    "connect_timeout": SECONDS,
    "retry_attempts": 0,
    "dead_timeout": 0,
}
REDIS = {"socket_connect_timeout": SECONDS, "socket_timeout": SECONDS}
DJANGO_REDIS = {name.upper(): value for name, value in REDIS.items()}
BYTES = "django_multistore.serializers.BytesSerializer"


def _cache(backend: str, location: str, options: dict[str, Any]) -> dict[str, Any]:
    return {
        "BACKEND": backend,
        "LOCATION": location,
        "OPTIONS": options,
        "KEY_PREFIX": "bench",
    }


def _caches() -> dict[str, dict[str, Any]]:
    memcached, redis = servers.address("memcached"), servers.address("redis")
    found: dict[str, dict[str, Any]] = {}
    if memcached:
        backend = "django.core.cache.backends.memcached.PyMemcacheCache"
        found["memcached"] = _cache(backend, memcached, MEMCACHED)
        found["memcached_bytes"] = _cache(backend, memcached, MEMCACHED | {"serde": bytes_serde})
    if redis:
        for name, backend, options, serializer in (
            ("redis", "django.core.cache.backends.redis.RedisCache", REDIS, "serializer"),
            ("django_redis", "django_redis.cache.RedisCache", DJANGO_REDIS, "SERIALIZER"),
        ):
            location = f"redis://{redis}/0"
            found[name] = _cache(backend, location, options)
            found[f"{name}_bytes"] = _cache(backend, location, options | {serializer: BYTES})
    return found


def _cache_store(cache: str, prefix: str, database: str = "default", **options: Any) -> Any:
    return {
        "BACKEND": "django_multistore.stores.cache.CacheStore",
        "OPTIONS": {"CACHE": cache, "KEY_PREFIX": prefix, "DATABASE": database, **options},
    }


CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}} | _caches()
for name in ("memcached", "redis", "django_redis"):
    if name in CACHES:
        SESSION_STORES |= {
            f"{name}_exact": _cache_store(name, "e:"),
            f"{name}_inexact": _cache_store(name, "i:", EXACT=False),
            f"{name}_bytes": _cache_store(f"{name}_bytes", "b:"),
        }
if "memcached" in CACHES:
    SESSION_STORES["memcached_native"] = {
        "BACKEND": "django_multistore.stores.memcached.MemcachedStore",
        "OPTIONS": {"CACHE": "memcached", "KEY_PREFIX": "n:"},
    }
if "redis" in CACHES:
    SESSION_STORES |= {
        alias: {
            "BACKEND": "django_multistore.stores.redis.RedisStore",
            "OPTIONS": {"URL": f"redis://{servers.address('redis')}/{number}"},
        }
        # Not 0, which is the caches'.
        for alias, number in (("redis", 1), ("redis_default", 7), ("redis_large", 8))
    }
    SESSION_STORES["moving"] = {
        "BACKEND": "django_multistore.stores.composed.MigratingStore",
        "OPTIONS": {"OLD": "default", "NEW": "redis", "PHASE": "move"},
    }
if "memcached" in CACHES:
    SESSION_STORES |= {
        f"indexed_{database}": _cache_store("memcached", f"{database}:", database)
        for database in ("default", "large")
    }

DEBUG = False
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django_multistore",
    "qsessions",
]
SECRET_KEY = "not a secret: for measurements only"
SESSION_ENGINE = "django_multistore.engine"
USE_TZ = True
