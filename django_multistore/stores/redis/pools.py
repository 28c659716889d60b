"""redis-py's pools and clusters for a place, with time limits and without its own resending."""

from __future__ import annotations

from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.asyncio.sentinel import SentinelConnectionPool as AsyncSentinelPool
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from .places import Place

# A master that has just gone is asked for once more, at its successor's address.
CLUSTER_RETRIES = 1


def pool(place: Place) -> redis.ConnectionPool:
    """Return a new pool of connections."""
    arguments = _arguments(place) | {"socket_timeout": place.timeout}
    arguments["retry"] = Retry(NoBackoff(), 0)
    if not place.sentinels:
        return redis.ConnectionPool.from_url(place.url, **arguments)
    limits = {"retry": Retry(NoBackoff(), 0)} | _sentinel_limits(place)
    manager: Any = Sentinel(place.sentinels, sentinel_kwargs=limits | place.sentinel_arguments)  # type: ignore[no-untyped-call]
    found: redis.ConnectionPool = SentinelConnectionPool.from_url(
        place.url, service_name=place.service, sentinel_manager=manager, **arguments
    )
    return found


def async_pool(place: Place) -> redis.asyncio.ConnectionPool:
    """Return a new pool of connections, for the event loop that runs."""
    # Without a socket_timeout: one limit around a command costs less than redis-py's two.
    arguments = _arguments(place) | {"socket_timeout": None}
    arguments["retry"] = AsyncRetry(NoBackoff(), 0)
    if not place.sentinels:
        return redis.asyncio.ConnectionPool.from_url(place.url, **arguments)
    limits = {"retry": AsyncRetry(NoBackoff(), 0)} | _sentinel_limits(place)
    manager: Any = AsyncSentinel(  # type: ignore[no-untyped-call]
        place.sentinels, sentinel_kwargs=limits | place.sentinel_arguments
    )
    found: redis.asyncio.ConnectionPool = AsyncSentinelPool.from_url(
        place.url, service_name=place.service, sentinel_manager=manager, **arguments
    )
    return found


async def aclose(pool: redis.asyncio.ConnectionPool) -> None:
    """Close the connections of a pool, and those to the sentinels that it asks."""
    await pool.disconnect()
    manager = getattr(pool, "sentinel_manager", None)
    for sentinel in manager.sentinels if manager else ():
        await sentinel.aclose()


def cluster(place: Place) -> redis.RedisCluster:
    """
    Return a new client of a cluster, which asks it at once who has which slots.

    Raises:
        redis.RedisError: no node answers.
    """
    arguments = _arguments(place) | {"socket_timeout": place.timeout}
    return redis.RedisCluster.from_url(
        place.url, retry=Retry(NoBackoff(), CLUSTER_RETRIES), **arguments
    )


def async_cluster(place: Place) -> redis.asyncio.RedisCluster:
    """Return a new client of a cluster, for the event loop that runs."""
    arguments = _arguments(place) | {"socket_timeout": place.timeout}
    return redis.asyncio.RedisCluster.from_url(
        place.url, retry=AsyncRetry(NoBackoff(), CLUSTER_RETRIES), **arguments
    )


def _arguments(place: Place) -> dict[str, Any]:
    # RESP2: RESP3 would only add messages that nobody here reads.
    return (
        {"protocol": 2}
        | place.arguments
        | {"decode_responses": False, "socket_connect_timeout": place.connect_timeout}
    )


def _sentinel_limits(place: Place) -> dict[str, Any]:
    return {
        "socket_connect_timeout": place.connect_timeout,
        "socket_timeout": place.connect_timeout,
    }
