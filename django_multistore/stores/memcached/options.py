"""The options of MemcachedStore: where its servers are, and how to ask them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.cache import InvalidCacheKey, caches
from django.core.cache.backends.base import InvalidCacheBackendError, default_key_func
from django.core.cache.backends.memcached import PyMemcacheCache
from pymemcache.client.base import normalize_server_spec
from pymemcache.client.rendezvous import RendezvousHash

from ...exceptions import InvalidStore
from ...records import KEY_LENGTH
from ..indexed.options import (
    make_namespace,
    read_max_age,
    refuse,
    remembered_for,
    require_short_alias,
)
from ..packages import explain_missing_package
from .connections import Server

DEFAULT_PREFIX = "ms:"
DEFAULT_TIMEOUTS = {"CONNECT_TIMEOUT": 1.0, "TIMEOUT": 2.0}  # seconds
LONGEST_NAME = 250  # bytes, memcached's limit
PREFIX = re.compile(r"[!-~]{0,150}")
# Of what an entry of CACHES says to pymemcache; the rest is the store's to decide.
TAKEN = ("tls_context", "socket_keepalive", "socket_module")
PROBE = "\N{SNOWMAN}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemcachedOptions:
    """What OPTIONS says, of the right types."""

    servers: tuple[Server, ...]
    cache: str | None  # The alias in CACHES whose servers they are.
    connect_timeout: float  # seconds
    timeout: float  # seconds
    max_age: timedelta
    # What every name begins with. A cache's may change with the tenant, whom its KEY_FUNCTION may
    # go by.
    prefix_or_maker: str | Callable[[], str]
    hasher: Callable[[], Any] = RendezvousHash
    arguments: dict[str, Any] = field(default_factory=dict, repr=False)  # pymemcache's, of a cache

    @property
    def prefix(self) -> str:
        """What every name begins with just now."""
        made = self.prefix_or_maker
        return made if isinstance(made, str) else made()

    @property
    def tombstone_seconds(self) -> int:
        """For how many seconds it is remembered that a session has ended."""
        return remembered_for(self.max_age)

    @property
    def place(self) -> str:
        """Where it is, in words for messages."""
        return f"memcached at {', '.join(map(name_server, self.servers))}"

    def namespace(self) -> str:
        """Return what stands for all that the names begin with."""
        return make_namespace(self.prefix)

    def client_arguments(self) -> dict[str, Any]:
        """Return the arguments of each of pymemcache's clients."""
        return self.arguments | {
            "connect_timeout": self.connect_timeout,
            "timeout": self.timeout,
            "no_delay": True,
            "default_noreply": False,
            "allow_unicode_keys": True,  # A cache's prefix may need it.
        }


def read_options(alias: str, options: Mapping[str, Any]) -> MemcachedOptions:
    """
    Read the options of a store, all of them with defaults.

    Raises:
        InvalidStore: one has a value that can't work, or two exclude each other.
    """
    require_short_alias(alias, "MemcachedStore")
    prefix = options["KEY_PREFIX"]
    if not isinstance(prefix, str) or not PREFIX.fullmatch(prefix):
        remedy = "It must be up to 150 ASCII characters without blanks."
        raise refuse(alias, options, "KEY_PREFIX", remedy)
    if options["SERVERS"] is not None and options["CACHE"]:
        raise refuse(alias, options, "CACHE", "Leave it out, or leave out SERVERS.")
    if options["SERVERS"] is not None:
        source = _Source(servers=_read_servers(alias, options), prefix_or_maker=prefix)
    else:
        source = _read_cache(alias, options)
    return MemcachedOptions(
        servers=source.servers,
        cache=source.cache,
        connect_timeout=_read_seconds(alias, options, "CONNECT_TIMEOUT", source.arguments),
        timeout=_read_seconds(alias, options, "TIMEOUT", source.arguments),
        max_age=read_max_age(alias, options),
        prefix_or_maker=source.prefix_or_maker,
        hasher=source.arguments.get("hasher", RendezvousHash),
        arguments={name: source.arguments[name] for name in TAKEN if name in source.arguments},
    )


def name_server(server: Server) -> str:
    """Return a server's name, as pymemcache's HashClient has it: it is hashed with each key."""
    return server if isinstance(server, str) else f"{server[0]}:{server[1]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """What one of SERVERS and CACHE says."""

    servers: tuple[Server, ...]
    prefix_or_maker: str | Callable[[], str]
    cache: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict, repr=False)


def _read_servers(alias: str, options: Mapping[str, Any]) -> tuple[Server, ...]:
    found = options["SERVERS"]
    try:
        return _parse_servers([found] if isinstance(found, str) else found)
    except (TypeError, ValueError):
        raise refuse(
            alias,
            options,
            "SERVERS",
            "It must be a server or a list of servers, each as '192.0.2.1:11211' or "
            "'unix:/run/memcached.sock', and none of them twice.",
        ) from None


def _parse_servers(found: Sequence[Any]) -> tuple[Server, ...]:
    if not isinstance(found, list | tuple) or not found:
        raise TypeError
    servers: list[Server] = []
    for each in found:
        server: Server = normalize_server_spec(each)
        is_known = isinstance(server, str) or (len(server) == 2 and 0 < int(server[1]) < 2**16)
        if not is_known or not server[0] or re.search(r"[\s,;]", name_server(server)):
            raise ValueError
        servers.append(server)
    if len(set(servers)) < len(servers):
        raise ValueError
    return tuple(servers)


def _read_seconds(
    alias: str, options: Mapping[str, Any], name: str, arguments: Mapping[str, Any]
) -> float:
    """Return an option that is a number of seconds: the store's, or its cache's, or the default."""
    value = options[name]
    if value is None:
        value = arguments.get(name.lower()) or DEFAULT_TIMEOUTS[name]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value < math.inf:
        raise refuse(alias, options, name, "It must be a number of seconds above 0.")
    return float(value)


def _read_cache(alias: str, options: Mapping[str, Any]) -> _Source:
    """Read what an entry of CACHES says of where memcached is. Its client isn't used."""
    cache_alias = options["CACHE"] or settings.SESSION_CACHE_ALIAS
    cache = _find_cache(alias, cache_alias, "CACHE" if options["CACHE"] else "SESSION_CACHE_ALIAS")
    try:
        servers = _parse_servers(list(cache.client_servers))
    except (TypeError, ValueError):
        raise InvalidStore(
            f"SESSION_STORES[{alias!r}]: the LOCATION of CACHES[{cache_alias!r}] isn't a server or "
            "a list of servers, none of them twice. Correct it, or set the option SERVERS."
        ) from None
    return _Source(
        servers=servers,
        cache=cache_alias,
        prefix_or_maker=_prefix_or_maker(alias, cache_alias, cache, options["KEY_PREFIX"]),
        arguments=cache._options,
    )


def _find_cache(alias: str, cache_alias: str, source: str) -> Any:
    where = f"SESSION_STORES[{alias!r}]: {source} is {cache_alias!r}"
    if cache_alias not in caches.settings:
        known = ", ".join(map(repr, caches.settings))
        raise InvalidStore(
            f"{where}, which isn't in CACHES. Name one of {known}, or set the option SERVERS."
        )
    try:
        cache: Any = caches[cache_alias]
    except (InvalidCacheBackendError, ImportError) as error:
        reason = explain_missing_package(error) or str(error)
        raise InvalidStore(
            f"{where}, and CACHES[{cache_alias!r}] can't be built: {reason}"
        ) from error
    if not isinstance(cache, PyMemcacheCache):
        raise InvalidStore(
            f"{where}, and CACHES[{cache_alias!r}] isn't a PyMemcacheCache (it is "
            f"{type(cache).__module__}.{type(cache).__qualname__}). Set the option SERVERS instead."
        )
    return cache


def _prefix_or_maker(alias: str, cache_alias: str, cache: Any, own: str) -> str | Callable[[], str]:
    where = f"SESSION_STORES[{alias!r}]: CACHES[{cache_alias!r}]"
    try:
        name = cache.make_and_validate_key(f"{own}{'0' * KEY_LENGTH}")
    except InvalidCacheKey as error:
        raise InvalidStore(
            f"{where} can't have the names of sessions ({error}). Set its KEY_PREFIX, and the "
            "store's option KEY_PREFIX, to few ASCII characters without blanks."
        ) from error
    if len(name.encode()) > LONGEST_NAME:
        raise InvalidStore(
            f"{where} and the store have prefixes that are too long together: memcached's names "
            f"have up to {LONGEST_NAME} bytes. Shorten its KEY_PREFIX."
        )

    def make() -> str:
        name = str(cache.make_key(f"{own}{PROBE}"))
        if not name.endswith(PROBE):
            raise InvalidStore(
                f"{where}['KEY_FUNCTION'] doesn't put the key at the end of the name. Use the "
                "option SERVERS instead of CACHE."
            )
        return name.removesuffix(PROBE)

    now = make()
    is_fixed = cache.key_func is default_key_func and type(cache.key_prefix) is str
    return now if is_fixed else make
