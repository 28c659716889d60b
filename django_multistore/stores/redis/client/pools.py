"""What makes and closes redis-py's pools and clusters, with the store's time limits."""

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

from ..options import RedisOptions

# A master that has just gone is asked for once more, at its successor's address.
CLUSTER_RETRIES = 1


def make_pool(options: RedisOptions) -> Any:
    """Return a pool that knows how to make a connection."""
    return _make_pool(redis, Retry, options, options.timeout)


def make_async_pool(options: RedisOptions) -> Any:
    """See make_pool(). Its connections belong to the event loop that runs."""
    # Without a socket_timeout: one limit around a command costs less than redis-py's two.
    return _make_pool(redis.asyncio, AsyncRetry, options, None)


def _make_pool(library: Any, retry: Any, options: RedisOptions, timeout: float | None) -> Any:
    arguments = _arguments(options) | {"retry": retry(NoBackoff(), 0), "socket_timeout": timeout}
    if options.sentinels:
        limits = {
            "retry": retry(NoBackoff(), 0),
            "socket_connect_timeout": options.connect_timeout,
            "socket_timeout": options.connect_timeout,
        }
        manager = library.sentinel.Sentinel(
            options.sentinels, sentinel_kwargs=limits | options.sentinel_arguments
        )
        return library.sentinel.SentinelConnectionPool(
            options.service, manager, ssl=options.is_tls, **arguments
        )
    connection_class = library.Connection
    if options.is_socket:
        connection_class = library.UnixDomainSocketConnection
    elif options.is_tls:
        connection_class = library.SSLConnection
    return library.ConnectionPool(connection_class=connection_class, **arguments)


async def send(connection: Any, data: bytes) -> None:
    """
    Send bytes on a connection of redis.asyncio's.

    redis-py's own way, StreamWriter.writelines(), has the event loop watch the socket and stop to
    watch it, which takes longer than to send.
    """
    if connection.is_connected:
        connection._writer.write(data)
    else:
        await connection.send_packed_command([data], check_health=False)


class _Closed(asyncio.Transport):
    def is_closing(self) -> bool:
        return True


def abandon(connection: Any) -> None:
    """Close a connection whose event loop is closed, on which nothing can be awaited any more."""
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


def abandon_pool(pool: Any) -> None:
    """See abandon() and close_pool()."""
    for sentinel in _sentinels_of(pool):
        asking = sentinel.connection_pool
        for connection in (*asking._available_connections, *asking._in_use_connections):
            abandon(connection)


def abandon_cluster(client: Any) -> None:
    """See abandon()."""
    for nodes in (client.nodes_manager.nodes_cache, client.nodes_manager.startup_nodes):
        for node in nodes.values():
            for connection in node._connections:
                abandon(connection)
    client._initialize = True  # It has nothing open, which it would warn of.


async def close_pool(pool: Any) -> None:
    """Close what a pool keeps open: connections to the sentinels that it asks."""
    await pool.disconnect()
    for sentinel in _sentinels_of(pool):
        await sentinel.aclose()


def _sentinels_of(pool: Any) -> list[Any]:
    manager = getattr(pool, "sentinel_manager", None)
    return manager.sentinels if manager else []


def make_cluster(options: RedisOptions) -> redis.RedisCluster:
    """Return a new client of a cluster, which asks it at once who has which slots."""
    return redis.RedisCluster(
        retry=Retry(NoBackoff(), CLUSTER_RETRIES),
        socket_timeout=options.timeout,
        ssl=options.is_tls,
        **_arguments(options),
    )


def make_async_cluster(options: RedisOptions) -> redis.asyncio.RedisCluster:
    """See make_cluster(). It belongs to the event loop that runs."""
    return redis.asyncio.RedisCluster(
        # Else it closes all connections now and then, while slots move, also those that other tasks
        # are using.
        reinitialize_steps=0,
        retry=AsyncRetry(NoBackoff(), CLUSTER_RETRIES),
        socket_timeout=options.timeout,
        ssl=options.is_tls,
        **_arguments(options),
    )


def unknown_to_clusters(options: RedisOptions) -> set[str]:
    """Return the arguments that a cluster's client knows neither in sync nor in async code."""
    known = {*redis.cluster.REDIS_ALLOWED_KEYS}
    for client in (redis.RedisCluster, redis.asyncio.RedisCluster):
        known |= signature(client).parameters.keys()
    return options.arguments.keys() - known


def _arguments(options: RedisOptions) -> dict[str, Any]:
    # RESP2: in RESP3 some replies have other shapes.
    return options.arguments | {"protocol": 2, "socket_connect_timeout": options.connect_timeout}
