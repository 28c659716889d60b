"""What makes redis-py's connections and clusters for a place, with time limits."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from inspect import signature
from typing import Any

import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.cluster
import redis.sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from ..options import Place

untyped: Any = redis.sentinel
async_untyped: Any = redis.asyncio.sentinel

# A master that has just gone is asked for once more, at its successor's address.
CLUSTER_RETRIES = 1


def pool(place: Place) -> redis.ConnectionPool:
    """
    Return a pool that knows how to make a connection.

    Raises:
        TypeError: redis-py knows no such argument.
    """
    arguments = _arguments(place) | {
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": place.timeout,
    }
    if place.sentinels:
        limits = {"retry": Retry(NoBackoff(), 0)} | _sentinel_limits(place)
        manager = untyped.Sentinel(
            place.sentinels, sentinel_kwargs=limits | place.sentinel_arguments
        )
        made: redis.ConnectionPool = untyped.SentinelConnectionPool(
            place.service, manager, ssl=place.is_tls, **arguments
        )
        return made
    connection_class: type[Any] = redis.Connection
    if place.is_socket:
        connection_class = redis.UnixDomainSocketConnection
    elif place.is_tls:
        connection_class = redis.SSLConnection
    return redis.ConnectionPool(connection_class=connection_class, **arguments)


def async_pool(place: Place) -> redis.asyncio.ConnectionPool:
    """See pool(). Its connections belong to the event loop that runs."""
    # Without a socket_timeout: one limit around a command costs less than redis-py's two.
    arguments = _arguments(place) | {"socket_timeout": None}
    arguments["retry"] = AsyncRetry(NoBackoff(), 0)
    if place.sentinels:
        limits = {"retry": AsyncRetry(NoBackoff(), 0)} | _sentinel_limits(place)
        manager = async_untyped.Sentinel(
            place.sentinels, sentinel_kwargs=limits | place.sentinel_arguments
        )
        made: redis.asyncio.ConnectionPool = async_untyped.SentinelConnectionPool(
            place.service, manager, ssl=place.is_tls, **arguments
        )
        return made
    connection_class: type[Any] = redis.asyncio.Connection
    if place.is_socket:
        connection_class = redis.asyncio.UnixDomainSocketConnection
    elif place.is_tls:
        connection_class = redis.asyncio.SSLConnection
    return redis.asyncio.ConnectionPool(connection_class=connection_class, **arguments)


class _Closed(asyncio.Transport):
    def is_closing(self) -> bool:
        return True


def abandon(connection: Any) -> None:
    """
    Close a connection whose event loop is closed, on which nothing can be awaited any more.

    Args:
        connection: one of redis.asyncio's.
    """
    writer, connection._writer, connection._reader = connection._writer, None, None
    if writer is None:
        return
    transport = writer.transport
    # Of TLS: the one that has the socket.
    below = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None)
    with suppress(RuntimeError):
        transport.abort()  # Can't tell the loop, but knows by then that it is closing.
    for each in (transport, below):
        # What the loop would call then, which closes the socket.
        end = getattr(each, "_call_connection_lost", None)
        if end is not None and getattr(each, "_sock", None) is not None:
            with suppress(RuntimeError):
                end(None)
    if not transport.is_closing():
        # uvloop has closed the socket, but doesn't say so, of which the writer would warn.
        writer._transport = _Closed()


def abandon_pool(pool: redis.asyncio.ConnectionPool) -> None:
    """See abandon() and aclose()."""
    manager = getattr(pool, "sentinel_manager", None)
    for sentinel in manager.sentinels if manager else ():
        for connection in (
            *sentinel.connection_pool._available_connections,
            *sentinel.connection_pool._in_use_connections,
        ):
            abandon(connection)


def abandon_cluster(client: redis.asyncio.RedisCluster) -> None:
    """See abandon()."""
    known: Any = client
    for nodes in (known.nodes_manager.nodes_cache, known.nodes_manager.startup_nodes):
        for node in nodes.values():
            for connection in node._connections:
                abandon(connection)
    known._initialize = True  # It has nothing open, which it would warn of.


async def aclose(pool: redis.asyncio.ConnectionPool) -> None:
    """Close what a pool keeps open: connections to the sentinels that it asks."""
    await pool.disconnect()
    manager = getattr(pool, "sentinel_manager", None)
    for sentinel in manager.sentinels if manager else ():
        await sentinel.aclose()


def cluster(place: Place) -> redis.RedisCluster:
    """
    Return a new client of a cluster, which asks it at once who has which slots.

    Raises:
        redis.exceptions.RedisClusterException: no node answers.
    """
    return redis.RedisCluster(
        retry=Retry(NoBackoff(), CLUSTER_RETRIES),
        socket_timeout=place.timeout,
        ssl=place.is_tls,
        **_arguments(place),
    )


def async_cluster(place: Place) -> redis.asyncio.RedisCluster:
    """See cluster(). It belongs to the event loop that runs."""
    return redis.asyncio.RedisCluster(
        # Else it closes all connections now and then, while slots move, also those that other tasks
        # are using.
        reinitialize_steps=0,
        retry=AsyncRetry(NoBackoff(), CLUSTER_RETRIES),
        socket_timeout=place.timeout,
        ssl=place.is_tls,
        **_arguments(place),
    )


def unknown_to_clusters(place: Place) -> set[str]:
    """Return the arguments that a cluster's client knows neither in sync nor in async code."""
    known = {*redis.cluster.REDIS_ALLOWED_KEYS}
    for client in (redis.RedisCluster, redis.asyncio.RedisCluster):
        known |= signature(client).parameters.keys()
    return place.arguments.keys() - known


def _arguments(place: Place) -> dict[str, Any]:
    # RESP2: in RESP3 some replies have other shapes.
    return place.arguments | {
        "protocol": 2,
        "socket_connect_timeout": place.connect_timeout,
    }


def _sentinel_limits(place: Place) -> dict[str, Any]:
    return {
        "socket_connect_timeout": place.connect_timeout,
        "socket_timeout": place.connect_timeout,
    }
