"""Where a store's Redis is: the options of RedisStore, read and refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.core.cache import InvalidCacheBackendError, caches
from django.core.cache.backends.base import default_key_func
from django.core.exceptions import ImproperlyConfigured
from redis.connection import SSLConnection, UnixDomainSocketConnection, parse_url

from ...exceptions import InvalidStore

DEFAULT_PREFIX = "ms:"
DEFAULT_MAX_CONNECTIONS = 100  # of an event loop; as redis-py's pools have it
PROBE = "\N{SNOWMAN}"
SHORTEST_WAIT = 0.001  # seconds; less would be 0, which is for ever

# What the store decides, whatever a URL or an entry in CACHES says: it reads bytes, by RESP2 and
# from masters, sends again by itself, and keeps its own connections.
DECIDED = (
    "cache",
    "cache_config",
    "cluster_error_retry_attempts",
    "command_packer",
    "connection_class",
    "decode_responses",
    "encoding",
    "encoding_errors",
    "is_master",
    "legacy_responses",
    "load_balancing_strategy",
    "maint_notifications_config",
    "parser_class",
    "protocol",
    "read_from_replicas",
    "reinitialize_steps",
    "retry",
    "retry_on_error",
    "retry_on_timeout",
    "ssl",
    "timeout",
    "url",
)
# Valkey's names for the schemes of redis-py.
SCHEMES = {"valkey://": "redis://", "valkeys://": "rediss://"}


@dataclass(frozen=True, slots=True)
class Always:
    """A prefix that stays the same."""

    prefix: bytes

    def __call__(self) -> bytes:
        return self.prefix


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What OPTIONS says, of the right types."""

    arguments: dict[str, Any] = field(repr=False)  # For each connection, as redis-py has them.
    is_tls: bool = False
    sentinels: list[tuple[str, int]] = field(default_factory=list)
    service: str = ""  # What the sentinels call the master and its replicas.
    sentinel_arguments: dict[str, Any] = field(repr=False, default_factory=dict)
    is_cluster: bool = False
    make_prefix: Callable[[], bytes] = field(repr=False)  # See prefix.
    connect_timeout: float  # seconds
    timeout: float  # seconds
    max_connections: int  # of an event loop
    wait_replicas: int = 0
    wait_timeout: float = 0  # seconds

    @property
    def prefix(self) -> bytes:
        """What every name begins with just now: a cache's KEY_FUNCTION may go by the tenant."""
        return self.make_prefix()

    @property
    def is_socket(self) -> bool:
        """Whether it is a socket in the file system."""
        return "path" in self.arguments

    @property
    def name(self) -> str:
        """Where it is, for messages: without user and password."""
        database = f", database {self.arguments['db']}" if self.arguments.get("db") else ""
        if self.sentinels:
            sentinels = ", ".join(f"{host}:{port}" for host, port in sorted(self.sentinels))
            return f"the Redis that {sentinels} call {self.service!r}{database}"
        if self.is_socket:
            return f"Redis at {self.arguments['path']}{database}"
        kind = "the Redis Cluster" if self.is_cluster else "Redis"
        host, port = self.arguments.get("host", "localhost"), self.arguments.get("port", 6379)
        return f"{kind} at {host}:{port}{database}"


class Source(NamedTuple):
    """What one of CACHE and URL says."""

    arguments: dict[str, Any]
    is_tls: bool
    sentinels: list[tuple[str, int]]
    service: str
    sentinel_arguments: dict[str, Any]
    make_prefix: Callable[[], bytes]


class Options:
    """The options of one store, and how to refuse them."""

    # They may hold a password.
    SECRET = ("URL", "CONNECTION", "SENTINEL_CONNECTION")

    def __init__(self, alias: str, options: Mapping[str, Any]) -> None:
        self.alias = alias
        self._options = options

    def __getitem__(self, name: str) -> Any:
        return self._options[name]

    def refused(self, name: str, remedy: str) -> InvalidStore:
        value = "not right" if name in self.SECRET else repr(self._options[name])
        return InvalidStore(
            f"SESSION_STORES[{self.alias!r}]['OPTIONS'][{name!r}] is {value}. {remedy}"
        )

    def seconds(self, name: str, least: float = 0) -> float:
        value = self._options[name]
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or value <= least:
            raise self.refused(name, f"It must be a number of seconds above {least}.")
        return float(value)

    def limit(self, arguments: dict[str, Any], name: str, kind: Any) -> Any:
        """Take a limit out of the arguments of connections; 0 and None are for the default."""
        value = arguments.pop(name, None)
        if not value:
            return None
        if isinstance(value, bool) or not isinstance(value, kind) or not 0 < value < math.inf:
            raise InvalidStore(
                f"SESSION_STORES[{self.alias!r}]['OPTIONS']: URL, CACHE or CONNECTION has the "
                f"argument {name!r}, which is {value!r}. It must be a number above 0."
            )
        return value

    def dictionary(self, name: str) -> dict[str, Any]:
        value = self._options[name]
        if not isinstance(value, dict):
            raise self.refused(name, "It must be a dictionary of redis-py's arguments.")
        return value


def parsed(alias: str, options: Mapping[str, Any]) -> Place:
    """
    Read the options of a store.

    Args:
        alias: the store's.
        options: all of them, with defaults.

    Raises:
        InvalidStore: one has a value that can't work, or two exclude each other.
    """
    known = Options(alias, options)
    if not isinstance(options["CLUSTER"], bool):
        raise known.refused("CLUSTER", "It must be True or False.")
    is_by_url = options["URL"] or options["SENTINELS"] or options["SERVICE"]
    source = _from_url(known) if is_by_url else _from_cache(known)
    arguments = source.arguments | known.dictionary("CONNECTION")
    # What CONNECTION or the URL says of these comes before the defaults.
    connect_timeout = known.limit(arguments, "socket_connect_timeout", int | float)
    timeout = known.limit(arguments, "socket_timeout", int | float)
    max_connections = known.limit(arguments, "max_connections", int)
    not_ours = {*DECIDED, *(("host", "port") if source.sentinels else ())}
    if not arguments.get("db"):
        not_ours.add("db")  # A cluster takes none, not even 0.
    place = Place(
        arguments={name: arguments[name] for name in arguments if name not in not_ours},
        is_tls=source.is_tls or bool(arguments.get("ssl")),
        sentinels=source.sentinels,
        service=source.service,
        sentinel_arguments=source.sentinel_arguments | known.dictionary("SENTINEL_CONNECTION"),
        is_cluster=options["CLUSTER"],
        make_prefix=source.make_prefix,
        connect_timeout=connect_timeout or known.seconds("CONNECT_TIMEOUT"),
        timeout=timeout or known.seconds("TIMEOUT"),
        max_connections=max_connections or DEFAULT_MAX_CONNECTIONS,
        wait_replicas=options["WAIT"],
        wait_timeout=known.seconds("WAIT_TIMEOUT", SHORTEST_WAIT),
    )
    _require_what_goes_together(known, place)
    return place


def _require_what_goes_together(options: Options, place: Place) -> None:
    wait = options["WAIT"]
    if not isinstance(wait, int) or isinstance(wait, bool) or wait < 0:
        raise options.refused("WAIT", "It must be a number of replicas, 0 for none.")
    if wait and place.wait_timeout >= place.timeout:
        raise options.refused("WAIT_TIMEOUT", "It must be less than TIMEOUT.")
    if options["SENTINEL_CONNECTION"] and not place.sentinels:
        raise options.refused("SENTINEL_CONNECTION", "It needs SENTINELS: leave it out.")
    if place.sentinels and place.is_socket:
        raise options.refused("URL", "Sentinels name no unix sockets.")
    if not place.is_cluster:
        return
    if wait:
        raise options.refused("WAIT", "It can't be combined with CLUSTER: leave it out.")
    if place.sentinels:
        raise options.refused("CLUSTER", "A cluster has no sentinels: leave one of them out.")
    if place.is_socket or place.arguments.get("db"):
        raise options.refused("URL", "A cluster has no unix sockets, and no database but 0.")


def _from_url(options: Options) -> Source:
    if bool(options["SENTINELS"]) != bool(options["SERVICE"]):
        raise options.refused("SERVICE", "SENTINELS and SERVICE need each other.")
    if options["CACHE"]:
        raise options.refused("CACHE", "Leave it out, or leave out URL and SENTINELS.")
    arguments, is_tls = _read_url(options, options["URL"] or "redis://")
    return Source(
        arguments=arguments,
        is_tls=is_tls,
        sentinels=_pairs(options, options["SENTINELS"] or []),
        service=options["SERVICE"] or "",
        sentinel_arguments={},
        make_prefix=Always(_prefix(options)),
    )


def _read_url(options: Options, url: object) -> tuple[dict[str, Any], bool]:
    if not isinstance(url, str):
        raise options.refused("URL", "It must be text.")
    for scheme, known in SCHEMES.items():
        if url.startswith(scheme):
            url = known + url.removeprefix(scheme)
    try:
        arguments: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
    except ValueError:  # Of which the text may have a part of the password.
        raise options.refused(
            "URL",
            "It must be as redis://user:password@host:6379/0, rediss://…, valkey://…, valkeys://… "
            "or unix://…, with what is special in a password as %2F, say.",
        ) from None
    connection_class = arguments.pop("connection_class", None)
    if connection_class is UnixDomainSocketConnection and "path" not in arguments:
        raise options.refused("URL", "It has no path.")
    return arguments, connection_class is SSLConnection


def _from_cache(options: Options) -> Source:
    # Of the entry of django-redis or django-valkey all that says where Redis is and how to connect
    # to it. Not its pool: by redis-py's defaults that one goes on trying for many seconds.
    if options["CLUSTER"]:
        raise options.refused("CLUSTER", "It needs the option URL, with one of the nodes.")
    alias = options["CACHE"] or settings.SESSION_CACHE_ALIAS
    source = "CACHE" if options["CACHE"] else "SESSION_CACHE_ALIAS"
    where = f"SESSION_STORES[{options.alias!r}]: {source} is {alias!r}"
    if alias not in caches.settings:
        known = ", ".join(map(repr, caches.settings))
        raise InvalidStore(
            f"{where}, which isn't in CACHES. Name one of {known}, or set the option URL."
        )
    try:
        cache: Any = caches[alias]
        client = getattr(cache, "client", None)
    except (ImproperlyConfigured, InvalidCacheBackendError, ImportError) as error:
        raise InvalidStore(f"{where}, and CACHES[{alias!r}] can't be built: {error}") from error
    factory = getattr(client, "connection_factory", None)
    if factory is None or hasattr(client, "_ring"):
        found = type(client or cache)
        raise InvalidStore(
            f"{where}, and CACHES[{alias!r}] isn't django-redis with one server (it is "
            f"{found.__module__}.{found.__qualname__}). Set its BACKEND to "
            "'django_redis.cache.RedisCache', or set the option URL instead. django-valkey with "
            "one server will do as well."
        )
    if hasattr(_client_class_of(factory), "get_primaries"):
        raise InvalidStore(
            f"{where}, and CACHES[{alias!r}] is a cluster. Set the option URL, to one of its "
            "nodes, and CLUSTER to True instead of CACHE."
        )
    entry = caches.settings[alias]
    location = entry["LOCATION"]
    url = (location.split(",") if isinstance(location, str) else [*location])[0].strip()
    in_entry: dict[str, Any] = entry.get("OPTIONS", {})
    arguments, is_tls = _read_url(options, url)
    parameters = factory.make_connection_params(url)
    sentinels = in_entry.get("SENTINELS") or []
    return Source(
        arguments=parameters | in_entry.get("CONNECTION_POOL_KWARGS", {}) | arguments,
        is_tls=is_tls,
        sentinels=[(host, int(port)) for host, port in sentinels],
        service=urlsplit(url).hostname or "" if sentinels else "",
        sentinel_arguments=in_entry.get("SENTINEL_KWARGS") or {},
        make_prefix=_prefix_maker(options, alias, cache),
    )


def _client_class_of(factory: Any) -> Any:
    """Return the client that a cache would use: of django-valkey, or of django-redis."""
    names = ("base_client_cls", "redis_client_cls")
    return next((getattr(factory, name) for name in names if hasattr(factory, name)), None)


def _prefix_maker(options: Options, alias: str, cache: Any) -> Callable[[], bytes]:
    own, client = _prefix(options), cache.client

    def make() -> bytes:
        return _cache_prefix(options, alias, client) + own

    now = make()
    is_fixed = cache.key_func is default_key_func and type(cache.key_prefix) is str
    return Always(now) if is_fixed else make


def _cache_prefix(options: Options, alias: str, client: Any) -> bytes:
    name = str(client.make_key(PROBE))
    if not name.endswith(PROBE):
        raise InvalidStore(
            f"SESSION_STORES[{options.alias!r}]: CACHES[{alias!r}]['KEY_FUNCTION'] doesn't put "
            "the key at the end of the name. Use the option URL instead of CACHE."
        )
    return name.removesuffix(PROBE).encode()


def _prefix(options: Options) -> bytes:
    prefix = options["KEY_PREFIX"]
    if not isinstance(prefix, str):
        raise options.refused("KEY_PREFIX", "It must be text.")
    return prefix.encode()


def _pairs(options: Options, sentinels: object) -> list[tuple[str, int]]:
    try:
        return [(str(host), int(port)) for host, port in sentinels]  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise options.refused(
            "SENTINELS", "It must be a list of pairs, as [('sentinel-1', 26379)]."
        ) from None
