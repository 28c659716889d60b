"""Where a store's Redis is: the options of RedisStore, read and refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.cache import caches

from ...exceptions import InvalidStore

SCHEMES = ("redis", "rediss", "unix")
# With a URL. With a cache of CACHES its own prefix is enough.
DEFAULT_PREFIX = "ms:"
PROBE = "\N{SNOWMAN}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What OPTIONS says, of the right types."""

    url: str = field(repr=False)  # It may hold a password.
    arguments: dict[str, Any] = field(repr=False)  # For each connection.
    sentinels: list[tuple[str, int]] = field(default_factory=list)
    service: str = ""  # What the sentinels call the master and its replicas.
    sentinel_arguments: dict[str, Any] = field(repr=False, default_factory=dict)
    is_cluster: bool = False
    prefix: bytes  # What every name begins with.
    connect_timeout: float  # seconds
    timeout: float  # seconds
    wait_replicas: int = 0
    wait_timeout: float = 0  # seconds

    @property
    def name(self) -> str:
        """Where it is, for messages: without user and password."""
        if self.sentinels:
            return f"the Redis that the sentinels call {self.service!r}"
        parts = urlsplit(self.url)
        kind = "the Redis Cluster" if self.is_cluster else "Redis"
        where = parts.path if parts.scheme == "unix" else f"{parts.hostname}:{parts.port or 6379}"
        database = "" if parts.scheme == "unix" else parts.path
        return f"{kind} at {where}{database}"


class _Options:
    def __init__(self, alias: str, options: Mapping[str, Any]) -> None:
        self._alias = alias
        self._options = options

    def __getitem__(self, name: str) -> Any:
        return self._options[name]

    def refused(self, name: str, remedy: str) -> InvalidStore:
        value = "set" if name == "URL" else repr(self._options[name])
        return InvalidStore(
            f"SESSION_STORES[{self._alias!r}]['OPTIONS'][{name!r}] is {value}. {remedy}"
        )

    def seconds(self, name: str) -> float:
        value = self._options[name]
        if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
            raise self.refused(name, "It must be a number of seconds above 0.")
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
    known = _Options(alias, options)
    connect_timeout, timeout = known.seconds("CONNECT_TIMEOUT"), known.seconds("TIMEOUT")
    wait_replicas = options["WAIT"]
    if not isinstance(wait_replicas, int) or isinstance(wait_replicas, bool) or wait_replicas < 0:
        raise known.refused("WAIT", "It must be a number of replicas, 0 for none.")
    if options["CLUSTER"] not in (True, False):
        raise known.refused("CLUSTER", "It must be True or False.")
    if options["CLUSTER"] and wait_replicas:
        raise known.refused("WAIT", "It can't be combined with CLUSTER: leave it out.")
    found = _from_url(known) if options["URL"] or options["SENTINELS"] else _from_cache(known)
    arguments = found.pop("arguments") | known.dictionary("CONNECTION")
    return Place(
        arguments=arguments,
        connect_timeout=arguments.pop("socket_connect_timeout", None) or connect_timeout,
        timeout=arguments.pop("socket_timeout", None) or timeout,
        wait_replicas=wait_replicas,
        wait_timeout=known.seconds("WAIT_TIMEOUT"),
        **found,
    )


def _from_url(options: _Options) -> dict[str, Any]:
    if options["CACHE"]:
        raise options.refused("CACHE", "Leave it out, or leave out URL and SENTINELS.")
    sentinels, service = options["SENTINELS"] or [], options["SERVICE"]
    if bool(sentinels) != bool(service):
        raise options.refused("SERVICE", "SENTINELS and SERVICE need each other.")
    if sentinels and options["CLUSTER"]:
        raise options.refused("CLUSTER", "A cluster has no sentinels: leave one of them out.")
    url = options["URL"] or f"redis://{service}"
    if not isinstance(url, str) or urlsplit(url).scheme not in SCHEMES:
        raise options.refused("URL", "It must begin with redis://, rediss:// or unix://.")
    return {
        "url": url,
        "arguments": {},
        "sentinels": _pairs(options, sentinels),
        "service": service or "",
        "sentinel_arguments": options.dictionary("SENTINEL_CONNECTION"),
        "is_cluster": options["CLUSTER"],
        "prefix": _prefix(options, DEFAULT_PREFIX),
    }


def _from_cache(options: _Options) -> dict[str, Any]:
    # Of django-redis's entry all that says where Redis is and how to connect to it. Not its
    # pool: by redis-py's defaults that one goes on trying for many seconds.
    if options["CLUSTER"]:
        raise options.refused("CLUSTER", "It needs the option URL, with one of the nodes.")
    alias = options["CACHE"] or settings.SESSION_CACHE_ALIAS
    source = "CACHE" if options["CACHE"] else "SESSION_CACHE_ALIAS"
    if alias not in caches.settings:
        known = ", ".join(map(repr, caches.settings))
        raise InvalidStore(
            f"SESSION_STORES[{options._alias!r}]: {source} is {alias!r}, which isn't in CACHES. "
            f"Name one of {known}, or set the option URL."
        )
    cache: Any = caches[alias]
    client = getattr(cache, "client", None)
    factory = getattr(client, "connection_factory", None)
    if factory is None or not hasattr(client, "make_key") or hasattr(client, "_ring"):
        raise InvalidStore(
            f"SESSION_STORES[{options._alias!r}]: {source} is {alias!r}, and "
            f"CACHES[{alias!r}] isn't django-redis with one server (it is "
            f"{type(client or cache).__name__}). Set its BACKEND to 'django_redis.cache."
            "RedisCache', or set the option URL instead."
        )
    entry = caches.settings[alias]
    location = entry["LOCATION"]
    url = (location.split(",") if isinstance(location, str) else [*location])[0].strip()
    parameters = factory.make_connection_params(url)
    arguments = {
        name: value for name, value in parameters.items() if name not in ("url", "parser_class")
    }
    entry_options = entry.get("OPTIONS", {})
    arguments |= entry_options.get("CONNECTION_POOL_KWARGS", {})
    sentinels = entry_options.get("SENTINELS") or []
    return {
        "url": url,
        "arguments": arguments,
        "sentinels": [(host, int(port)) for host, port in sentinels],
        "service": urlsplit(url).hostname or "" if sentinels else "",
        "sentinel_arguments": entry_options.get("SENTINEL_KWARGS") or {},
        "prefix": _cache_prefix(options, alias, client) + _prefix(options, ""),
    }


def _cache_prefix(options: _Options, alias: str, client: Any) -> bytes:
    name = str(client.make_key(PROBE))
    if not name.endswith(PROBE):
        raise InvalidStore(
            f"SESSION_STORES[{options._alias!r}]: CACHES[{alias!r}]['KEY_FUNCTION'] doesn't put "
            "the key at the end of the name. Use the option URL instead of CACHE."
        )
    return name.removesuffix(PROBE).encode()


def _prefix(options: _Options, default: str) -> bytes:
    prefix = options["KEY_PREFIX"]
    if prefix is None:
        return default.encode()
    if not isinstance(prefix, str):
        raise options.refused("KEY_PREFIX", "It must be text.")
    return prefix.encode()


def _pairs(options: _Options, sentinels: object) -> list[tuple[str, int]]:
    try:
        return [(str(host), int(port)) for host, port in sentinels]  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise options.refused(
            "SENTINELS", "It must be a list of pairs, as [('sentinel-1', 26379)]."
        ) from None
