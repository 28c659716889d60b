"""What the settings of a cache come to, for each backend that is known."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

# Classes go by their dotted names, so that nothing here needs any of these packages.
DUMMY = "django.core.cache.backends.dummy.DummyCache"
LOCMEM = "django.core.cache.backends.locmem.LocMemCache"
FILES = "django.core.cache.backends.filebased.FileBasedCache"
DATABASE = "django.core.cache.backends.db.DatabaseCache"
MEMCACHED = "django.core.cache.backends.memcached.BaseMemcachedCache"
PYMEMCACHE = "django.core.cache.backends.memcached.PyMemcacheCache"
PYLIBMC = "django.core.cache.backends.memcached.PyLibMCCache"
REDIS = "django.core.cache.backends.redis.RedisCache"
DJANGO_REDIS = "django_redis.cache.RedisCache"
VALKEY = "django_valkey.base.BaseValkeyCache"
VALKEY_SERVER = "django_valkey.cache.ValkeyCache"
BMEMCACHED = "django_bmemcached.memcached.BMemcached"
MYSQL = "django_mysql.cache.MySQLCache"
DISKCACHE = "diskcache.djangocache.DjangoCache"
HERD_CLIENT = "django_redis.client.herd.HerdClient"
SHARD_CLIENT = "django_redis.client.sharded.ShardClient"
VALKEY_HERD_CLIENT = "django_valkey.client.herd.HerdClient"
VALKEY_SHARD_CLIENT = "django_valkey.client.sharded.ShardClient"
SHARDED = {SHARD_CLIENT: True, VALKEY_SHARD_CLIENT: True}

# Backends of which no question is left that a trial would answer.
KNOWN = {
    DUMMY,
    LOCMEM,
    FILES,
    DATABASE,
    PYMEMCACHE,
    PYLIBMC,
    REDIS,
    DJANGO_REDIS,
    VALKEY_SERVER,
    BMEMCACHED,
    MYSQL,
    DISKCACHE,
}

QUESTION_TIMEOUT = 1  # seconds
PYMEMCACHE_PICKLE = 1  # pymemcache.serde.FLAG_PICKLE

Found = TypeVar("Found")


def find(table: Mapping[str, Found], instance: object) -> Found | None:
    """Return what a table has for an object's class, or for one that it inherits from."""
    names = (name_of(each) for each in type(instance).__mro__)
    return next((table[name] for name in names if name in table), None)


def name_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def is_known(cache: object) -> bool:
    """Say whether a cache's backend is one of those itself; what inherits may differ."""
    return name_of(type(cache)) in KNOWN


def pymemcache_client(cache: Any) -> Any:
    """Return one of the clients, of one server each, over which the cache's client spreads keys."""
    return next(iter(cache._cache.clients.values()))


def _redis_pools(cache: Any) -> list[Any]:
    return [cache._cache.get_client(write=True).connection_pool]


def _django_redis_pools(cache: Any) -> list[Any]:
    client = cache.client
    is_sharded = find(SHARDED, client)
    try:
        clients = client._serverdict.values() if is_sharded else [client.get_client(write=True)]
        return [each.connection_pool for each in clients]
    except Exception:  # noqa: BLE001 - RedisCluster connects when it is made, and has no pool
        return []


def _django_redis_servers(cache: Any) -> list[str]:
    return [] if find(SHARDED, cache.client) else cache.client._server


POOLS: dict[str, Callable[[Any], list[Any]]] = {
    REDIS: _redis_pools,
    DJANGO_REDIS: _django_redis_pools,
    VALKEY: _django_redis_pools,
}
SERVERS: dict[str, Callable[[Any], list[str]]] = {
    REDIS: lambda cache: cache._servers,
    DJANGO_REDIS: _django_redis_servers,
    VALKEY: _django_redis_servers,
}


def maxmemory_policy(pool: Any) -> str | None:
    """Return a Redis server's policy, or None if it doesn't tell within a moment."""
    if hasattr(pool, "sentinel_manager"):
        return None  # The sentinels would be asked first, with timeouts of their own.
    quickly = {
        "socket_connect_timeout": QUESTION_TIMEOUT,
        "socket_timeout": QUESTION_TIMEOUT,
        "retry": None,
    }
    connection = pool.connection_class(**pool.connection_kwargs | quickly)
    try:
        connection.connect()
        connection.send_command("CONFIG", "GET", "maxmemory-policy")
        reply = connection.read_response()
    except Exception:  # noqa: BLE001 - it is down, or refuses CONFIG, as hosted ones do
        return None
    finally:
        connection.disconnect()
    values = [*reply.values()] if isinstance(reply, dict) else reply[1::2]
    policy = values[0] if values else None
    return policy.decode() if isinstance(policy, bytes) else policy


def places_of(entry: Mapping[str, Any]) -> set[tuple[str, str]]:
    location = entry.get("LOCATION", "")
    places = re.split("[;,]", location) if isinstance(location, str) else location
    places = places if isinstance(places, list | tuple | set) else [places]
    # Without a location it is the backend's own place, as LocMemCache's.
    return {(str(place), "" if place else entry["BACKEND"]) for place in places}


# What must be in OPTIONS: each option as it is to be written, and whether it is so

Options = Callable[[Any], dict[str, bool]]


def _pymemcache_outages(cache: Any) -> dict[str, bool]:
    # By default a server that has failed is not asked for a second, which looks like a miss, and
    # later another one is asked for a minute. One that is given up at once, for 0 seconds, is
    # asked each time, and each time its failure is raised.
    client = cache._cache
    return {
        '"retry_attempts": 0': client.retry_attempts <= 0,
        '"dead_timeout": 0': client.dead_timeout <= 0,
        '"ignore_exc": False': not client.ignore_exc,
    }


def _pymemcache_timeouts(cache: Any) -> dict[str, bool]:
    client = pymemcache_client(cache)
    return {
        '"connect_timeout": 1': client.connect_timeout is not None,
        '"timeout": 1': client.timeout is not None,
    }


def _django_redis_outages(cache: Any) -> dict[str, bool]:
    return {'"IGNORE_EXCEPTIONS": False': not cache._ignore_exceptions}


def _django_redis_timeouts(cache: Any) -> dict[str, bool]:
    timeouts = _redis_timeouts(_django_redis_pools(cache))
    return {option.upper(): is_so for option, is_so in timeouts.items()}


def _redis_timeouts(pools: list[Any]) -> dict[str, bool]:
    # Asked of a connection: OPTIONS, the URL, a pool's class and redis-py all have a say.
    connections = [pool.connection_class(**pool.connection_kwargs) for pool in pools]
    return {
        f'"{name}": 1': all(getattr(each, name) is not None for each in connections)
        for name in ("socket_connect_timeout", "socket_timeout")
    }


OUTAGE_OPTIONS: dict[str, Options] = {
    PYMEMCACHE: _pymemcache_outages,
    DJANGO_REDIS: _django_redis_outages,
    VALKEY: _django_redis_outages,
}
TIMEOUT_OPTIONS: dict[str, Options] = {
    PYMEMCACHE: _pymemcache_timeouts,
    REDIS: lambda cache: _redis_timeouts(_redis_pools(cache)),
    DJANGO_REDIS: _django_redis_timeouts,
    VALKEY: _django_redis_timeouts,
}


# What a backend makes of bytes


class Codec(NamedTuple):
    round_trip: Callable[[bytes], object]
    read: Callable[[bytes], object]


def _redis_codec(cache: Any) -> Codec:
    serializer = cache._cache._serializer
    return Codec(lambda value: serializer.loads(serializer.dumps(value)), serializer.loads)


def _django_redis_codec(cache: Any) -> Codec:
    client = cache.client
    return Codec(lambda value: client.decode(client.encode(value)), client.decode)


def _pymemcache_codec(cache: Any) -> Codec:
    serde = pymemcache_client(cache).serde
    return Codec(
        lambda value: serde.deserialize("key", *serde.serialize("key", value)),
        lambda data: serde.deserialize("key", data, PYMEMCACHE_PICKLE),
    )


CODECS: dict[str, Callable[[Any], Codec]] = {
    REDIS: _redis_codec,
    DJANGO_REDIS: _django_redis_codec,
    VALKEY: _django_redis_codec,
    PYMEMCACHE: _pymemcache_codec,
}
SERIALIZERS = {
    REDIS: '"serializer": "django_multistore.serializers.BytesSerializer"',
    DJANGO_REDIS: '"SERIALIZER": "django_multistore.serializers.BytesSerializer"',
    VALKEY: '"SERIALIZER": "django_multistore.serializers.BytesSerializer"',
    PYMEMCACHE: '"serde": bytes_serde (from django_multistore.serializers import bytes_serde)',
}
ALWAYS_PICKLED = dict.fromkeys((PYLIBMC, BMEMCACHED, FILES, DATABASE, MYSQL, DISKCACHE), True)
