"""Where a store's Redis is, as one of the options URL and CACHE says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.core.cache import InvalidCacheBackendError, caches
from django.core.cache.backends.base import default_key_func
from django.core.exceptions import ImproperlyConfigured
from redis.connection import SSLConnection, UnixDomainSocketConnection, parse_url

from ...exceptions import InvalidStore
from .raw_options import RawOptions

PROBE = "\N{SNOWMAN}"
# Valkey's names for the schemes of redis-py.
SCHEMES = {"valkey://": "redis://", "valkeys://": "rediss://"}


@dataclass(frozen=True, slots=True)
class FixedPrefix:
    """What returns the same prefix each time."""

    prefix: bytes

    def __call__(self) -> bytes:
        return self.prefix


class Source(NamedTuple):
    """
    What one of URL and CACHE says.

    The prefix is what every name begins with. A cache's may change with the tenant, whom its
    KEY_FUNCTION may go by.
    """

    arguments: dict[str, Any]
    is_tls: bool
    sentinels: list[tuple[str, int]]
    service: str
    sentinel_arguments: dict[str, Any]
    make_prefix: Callable[[], bytes]


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
        sentinel_arguments={},
        make_prefix=FixedPrefix(_read_prefix(options)),
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
        make_prefix=_prefix_maker(options, alias, cache),
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
    return cache


def _client_class_of(factory: Any) -> Any:
    """Return the client that a cache would use: of django-valkey, or of django-redis."""
    names = ("base_client_cls", "redis_client_cls")
    return next((getattr(factory, name) for name in names if hasattr(factory, name)), None)


def _prefix_maker(options: RawOptions, alias: str, cache: Any) -> Callable[[], bytes]:
    own, client = _read_prefix(options), cache.client

    def make() -> bytes:
        return _find_cache_prefix(options, alias, client) + own

    now = make()
    is_fixed = cache.key_func is default_key_func and type(cache.key_prefix) is str
    return FixedPrefix(now) if is_fixed else make


def _find_cache_prefix(options: RawOptions, alias: str, client: Any) -> bytes:
    name = str(client.make_key(PROBE))
    if not name.endswith(PROBE):
        raise InvalidStore(
            f"SESSION_STORES[{options.alias!r}]: CACHES[{alias!r}]['KEY_FUNCTION'] doesn't put "
            "the key at the end of the name. Use the option URL instead of CACHE."
        )
    return name.removesuffix(PROBE).encode()


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
