"""The options of a store as SESSION_STORES has them, and where its Redis is by URL or CACHE."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.cache import InvalidCacheBackendError, caches
from django.core.cache.backends.base import default_key_func
from django.core.exceptions import ImproperlyConfigured
from redis.connection import SSLConnection, UnixDomainSocketConnection, parse_url

from ...exceptions import InvalidStore
from ..packages import explain_missing_package

SECRET = ("URL", "CONNECTION", "SENTINEL_CONNECTION")  # They may hold a password.
PROBE = "\N{SNOWMAN}"
# Valkey's names for the schemes of redis-py.
SCHEMES = {"valkey://": "redis://", "valkeys://": "rediss://"}


class RawOptions:
    """The options of one store, which are read with their types, or refused by InvalidStore."""

    def __init__(self, alias: str, options: Mapping[str, Any]) -> None:
        self.alias = alias
        self._options = options

    def __getitem__(self, name: str) -> Any:
        return self._options[name]

    def refuse(self, name: str, remedy: str) -> InvalidStore:
        """Say that the value of an option can't work, for the caller to raise."""
        value = "not right" if name in SECRET else repr(self._options[name])
        return InvalidStore(
            f"SESSION_STORES[{self.alias!r}]['OPTIONS'][{name!r}] is {value}. {remedy}"
        )

    def read_seconds(self, name: str, least: float = 0) -> float:
        """Return an option that is a number of seconds above `least`."""
        value = self._options[name]
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or value <= least:
            raise self.refuse(name, f"It must be a number of seconds above {least}.")
        return float(value)

    def read_dictionary(self, name: str) -> dict[str, Any]:
        value = self._options[name]
        if not isinstance(value, dict):
            raise self.refuse(name, "It must be a dictionary of redis-py's arguments.")
        return value

    def take_limit(self, arguments: dict[str, Any], name: str, kind: Any) -> Any:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What one of URL and CACHE says."""

    arguments: dict[str, Any] = field(repr=False)  # for each connection, as redis-py has them
    is_tls: bool = False
    sentinels: list[tuple[str, int]] = field(default_factory=list)
    service: str = ""  # what the sentinels call the master and its replicas
    sentinel_arguments: dict[str, Any] = field(repr=False, default_factory=dict)
    # What every name begins with. A cache's may change with the tenant, whom its KEY_FUNCTION may
    # go by.
    prefix_or_maker: bytes | Callable[[], bytes] = field(repr=False)


def read_url(options: RawOptions) -> Source:
    """Read what the options URL, SENTINELS and SERVICE say."""
    if bool(options["SENTINELS"]) != bool(options["SERVICE"]):
        raise options.refuse("SERVICE", "SENTINELS and SERVICE need each other.")
    if options["CACHE"]:
        raise options.refuse("CACHE", "Leave it out, or leave out URL and SENTINELS.")
    arguments, is_tls = _parse_url(options, options["URL"] or "redis://")
    return Source(
        arguments=arguments,
        is_tls=is_tls,
        sentinels=_read_sentinels(options),
        service=options["SERVICE"] or "",
        prefix_or_maker=_read_prefix(options),
    )


def _parse_url(options: RawOptions, url: object) -> tuple[dict[str, Any], bool]:
    if not isinstance(url, str):
        raise options.refuse("URL", "It must be text.")
    for scheme, known in SCHEMES.items():
        if url.startswith(scheme):
            url = known + url.removeprefix(scheme)
    try:
        arguments: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
    except ValueError:  # Its text may have a part of the password.
        raise options.refuse(
            "URL",
            "It must be as redis://user:password@host:6379/0, rediss://…, valkey://…, valkeys://… "
            "or unix://…, with what is special in a password as %2F, say.",
        ) from None
    connection_class = arguments.pop("connection_class", None)
    if connection_class is UnixDomainSocketConnection and "path" not in arguments:
        raise options.refuse("URL", "It has no path.")
    return arguments, connection_class is SSLConnection


def read_cache(options: RawOptions) -> Source:
    """
    Read what an entry of django-redis or django-valkey in CACHES says of where Redis is.

    The store doesn't use its pool: by redis-py's defaults that one goes on trying for many seconds.
    """
    if options["CLUSTER"]:
        raise options.refuse("CLUSTER", "It needs the option URL, with one of the nodes.")
    alias = options["CACHE"] or settings.SESSION_CACHE_ALIAS
    cache = _find_cache(options, alias)
    entry = caches.settings[alias]
    location = entry["LOCATION"]
    url = (location.split(",") if isinstance(location, str) else [*location])[0].strip()
    in_entry: dict[str, Any] = entry.get("OPTIONS", {})
    arguments, is_tls = _parse_url(options, url)
    parameters = cache.client.connection_factory.make_connection_params(url)
    sentinels = in_entry.get("SENTINELS") or []
    return Source(
        arguments=parameters | in_entry.get("CONNECTION_POOL_KWARGS", {}) | arguments,
        is_tls=is_tls,
        sentinels=[(host, int(port)) for host, port in sentinels],
        service=urlsplit(url).hostname or "" if sentinels else "",
        sentinel_arguments=in_entry.get("SENTINEL_KWARGS") or {},
        prefix_or_maker=_prefix_or_maker(options, alias, cache),
    )


def _find_cache(options: RawOptions, alias: str) -> Any:
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
        reason = explain_missing_package(error) or str(error)
        raise InvalidStore(f"{where}, and CACHES[{alias!r}] can't be built: {reason}") from error
    factory = getattr(client, "connection_factory", None)
    if factory is None or hasattr(client, "_ring"):
        found = type(client or cache)
        raise InvalidStore(
            f"{where}, and CACHES[{alias!r}] isn't django-redis with one server (it is "
            f"{found.__module__}.{found.__qualname__}). Set its BACKEND to "
            "'django_redis.cache.RedisCache', or set the option URL instead. django-valkey with "
            "one server will do as well."
        )
    # A cache of django-valkey has the first of these, one of django-redis the other.
    client_classes = ("base_client_cls", "redis_client_cls")
    if any(hasattr(getattr(factory, name, None), "get_primaries") for name in client_classes):
        raise InvalidStore(
            f"{where}, and CACHES[{alias!r}] is a cluster. Set the option URL, to one of its "
            "nodes, and CLUSTER to True instead of CACHE."
        )
    return cache


def _prefix_or_maker(options: RawOptions, alias: str, cache: Any) -> bytes | Callable[[], bytes]:
    own, client = _read_prefix(options), cache.client

    def make() -> bytes:
        name = str(client.make_key(PROBE))
        if not name.endswith(PROBE):
            raise InvalidStore(
                f"SESSION_STORES[{options.alias!r}]: CACHES[{alias!r}]['KEY_FUNCTION'] doesn't put "
                "the key at the end of the name. Use the option URL instead of CACHE."
            )
        return name.removesuffix(PROBE).encode() + own

    now = make()
    is_fixed = cache.key_func is default_key_func and type(cache.key_prefix) is str
    return now if is_fixed else make


def _read_prefix(options: RawOptions) -> bytes:
    prefix = options["KEY_PREFIX"]
    if not isinstance(prefix, str):
        raise options.refuse("KEY_PREFIX", "It must be text.")
    return prefix.encode()


def _read_sentinels(options: RawOptions) -> list[tuple[str, int]]:
    try:
        return [(str(host), int(port)) for host, port in options["SENTINELS"] or []]
    except (TypeError, ValueError):
        raise options.refuse(
            "SENTINELS", "It must be a list of pairs, as [('sentinel-1', 26379)]."
        ) from None
