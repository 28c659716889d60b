"""The options of RedisStore: where its Redis is, and how to ask it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .sources import RawOptions, Source, read_cache, read_url

DEFAULT_PREFIX = "ms:"
DEFAULT_MAX_CONNECTIONS = 100  # of an event loop; as redis-py's pools have it
SHORTEST_WAIT = 0.001  # seconds; less would be 0, which is for ever

# What the store decides, whatever a URL or an entry in CACHES says.
DECIDED = {
    # It keeps its own connections.
    *("connection_class", "ssl", "url", "timeout", "maint_notifications_config"),
    # It reads bytes, by RESP2.
    *("protocol", "parser_class", "command_packer", "legacy_responses"),
    *("decode_responses", "encoding", "encoding_errors", "cache", "cache_config"),
    # It reads from masters.
    *("is_master", "read_from_replicas", "load_balancing_strategy"),
    # It sends again by itself.
    *("retry", "retry_on_error", "retry_on_timeout"),
    *("cluster_error_retry_attempts", "reinitialize_steps"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisOptions(Source):
    """What OPTIONS says, of the right types."""

    is_cluster: bool = False
    connect_timeout: float  # seconds
    timeout: float  # seconds
    max_connections: int  # of an event loop
    wait_replicas: int = 0
    wait_timeout: float = 0  # seconds

    @property
    def prefix(self) -> bytes:
        """What every name begins with just now."""
        made = self.prefix_or_maker
        return made if isinstance(made, bytes) else made()

    @property
    def is_socket(self) -> bool:
        return "path" in self.arguments

    @property
    def address(self) -> str:
        """Where it is, in words for messages: without user and password."""
        database = f", database {self.arguments['db']}" if self.arguments.get("db") else ""
        if self.sentinels:
            sentinels = ", ".join(f"{host}:{port}" for host, port in sorted(self.sentinels))
            return f"the Redis that {sentinels} call {self.service!r}{database}"
        if self.is_socket:
            return f"Redis at {self.arguments['path']}{database}"
        kind = "the Redis Cluster" if self.is_cluster else "Redis"
        host, port = self.arguments.get("host", "localhost"), self.arguments.get("port", 6379)
        return f"{kind} at {host}:{port}{database}"


def read_options(alias: str, options: Mapping[str, Any]) -> RedisOptions:
    """
    Read the options of a store, all of them with defaults.

    Raises:
        InvalidStore: one has a value that can't work, or two exclude each other.
    """
    raw = RawOptions(alias, options)
    if not isinstance(raw["CLUSTER"], bool):
        raise raw.refuse("CLUSTER", "It must be True or False.")
    is_by_url = raw["URL"] or raw["SENTINELS"] or raw["SERVICE"]
    source = read_url(raw) if is_by_url else read_cache(raw)
    arguments = source.arguments | raw.read_dictionary("CONNECTION")
    # What CONNECTION or the URL says of these comes before the defaults.
    connect_timeout = raw.take_limit(arguments, "socket_connect_timeout", int | float)
    timeout = raw.take_limit(arguments, "socket_timeout", int | float)
    max_connections = raw.take_limit(arguments, "max_connections", int)
    not_ours = {*DECIDED, *(("host", "port") if source.sentinels else ())}
    if not arguments.get("db"):
        not_ours.add("db")  # A cluster takes none, not even 0.
    read = RedisOptions(
        arguments={name: arguments[name] for name in arguments if name not in not_ours},
        is_tls=source.is_tls or bool(arguments.get("ssl")),
        sentinels=source.sentinels,
        service=source.service,
        sentinel_arguments=source.sentinel_arguments | raw.read_dictionary("SENTINEL_CONNECTION"),
        is_cluster=raw["CLUSTER"],
        prefix_or_maker=source.prefix_or_maker,
        connect_timeout=connect_timeout or raw.read_seconds("CONNECT_TIMEOUT"),
        timeout=timeout or raw.read_seconds("TIMEOUT"),
        max_connections=max_connections or DEFAULT_MAX_CONNECTIONS,
        wait_replicas=raw["WAIT"],
        wait_timeout=raw.read_seconds("WAIT_TIMEOUT", SHORTEST_WAIT),
    )
    _refuse_combinations(raw, read)
    return read


def _refuse_combinations(raw: RawOptions, read: RedisOptions) -> None:
    wait = raw["WAIT"]
    if not isinstance(wait, int) or isinstance(wait, bool) or wait < 0:
        raise raw.refuse("WAIT", "It must be a number of replicas, 0 for none.")
    if wait and read.wait_timeout >= read.timeout:
        raise raw.refuse("WAIT_TIMEOUT", "It must be less than TIMEOUT.")
    if raw["SENTINEL_CONNECTION"] and not read.sentinels:
        raise raw.refuse("SENTINEL_CONNECTION", "It needs SENTINELS: leave it out.")
    if read.sentinels and read.is_socket:
        raise raw.refuse("URL", "Sentinels name no unix sockets.")
    if not read.is_cluster:
        return
    if wait:
        raise raw.refuse("WAIT", "It can't be combined with CLUSTER: leave it out.")
    if read.sentinels:
        raise raw.refuse("CLUSTER", "A cluster has no sentinels: leave one of them out.")
    if read.is_socket or read.arguments.get("db"):
        raise raw.refuse("URL", "A cluster has no unix sockets, and no database but 0.")
