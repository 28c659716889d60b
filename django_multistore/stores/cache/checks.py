"""What CacheStore asks of its cache's settings."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from django.conf import settings
from django.core.cache import caches
from django.core.checks import CheckMessage, Error, Warning

from .backends import (
    ALWAYS_PICKLED,
    BMEMCACHED,
    CODECS,
    DATABASE,
    DISKCACHE,
    DJANGO_REDIS,
    DUMMY,
    FILES,
    HERD_CLIENT,
    LOCMEM,
    MEMCACHED,
    MYSQL,
    OUTAGE_OPTIONS,
    POOLS,
    PYLIBMC,
    PYMEMCACHE,
    REDIS,
    SERIALIZERS,
    SERVERS,
    SHARD_CLIENT,
    TIMEOUT_OPTIONS,
    VALKEY,
    VALKEY_HERD_CLIENT,
    VALKEY_SHARD_CLIENT,
    Codec,
    Found,
    Options,
    find,
    is_known,
    maxmemory_policy,
    places_of,
    pymemcache_client,
)
from .probe import Verdict, probe

MIN_ENTRIES = 100_000  # Sessions, and what is left of those that ended. Django's default is 300.
PROBE = b"\x00\xff"
OTHER_BACKEND = f"Set {{cache}}['BACKEND'] to {REDIS!r} or {PYMEMCACHE!r}."
IN_MEMCACHED = (
    f"Set {{cache}}['BACKEND'] to {PYMEMCACHE!r} and {{cache}}['OPTIONS'] to "
    '{"retry_attempts": 0, "dead_timeout": 0, "connect_timeout": 1, "timeout": 1}.'
)


class Problem(NamedTuple):
    """What a message says."""

    id: str
    text: str  # after "Session store … is in the cache …"
    remedy: str  # {cache} and {store} stand for their entries in CACHES and SESSION_STORES


@dataclass(frozen=True)
class CacheInUse:
    """A store's cache, by the aliases of both and the options of the store that matter here."""

    store: str
    alias: str
    key_prefix: str = ""
    max_age: int = 0  # seconds

    @cached_property
    def cache(self) -> Any:
        return caches[self.alias]

    def find(self, table: Mapping[str, Found]) -> Found | None:
        """Return what a table has for the cache's backend."""
        return find(table, self.cache)


def check_cache(
    alias: str, cache_alias: str, *, key_prefix: str = "", max_age: int
) -> list[CheckMessage]:
    """
    Warn of a cache with which the store can't keep what it promises.

    Args:
        alias: the store's.
        cache_alias: the cache's.
        key_prefix: the store's option KEY_PREFIX.
        max_age: the store's option MAX_AGE, in seconds.
    """
    used = CacheInUse(alias, cache_alias, key_prefix, max_age)
    return [_message(used, problem) for check in FOR_PRODUCTION for problem in check(used)]


def check_cache_always(alias: str, cache_alias: str) -> list[CheckMessage]:
    """
    Find what can never work.

    Args:
        alias: the store's.
        cache_alias: the cache's.
    """
    used = CacheInUse(alias, cache_alias)
    return [_message(used, problem) for check in ALWAYS for problem in check(used)]


def _message(used: CacheInUse, problem: Problem) -> CheckMessage:
    anchor = problem.id.rpartition(".")[2].lower()
    kind = Error if anchor.startswith("e") else Warning
    remedy = problem.remedy.replace("{cache}", f"CACHES[{used.alias!r}]")
    remedy = remedy.replace("{store}", f"SESSION_STORES[{used.store!r}]")
    return kind(
        f"Session store {used.store!r} is in the cache {used.alias!r}, {problem.text}",
        hint=f"{remedy} See docs/checks.md#{anchor}.",
        id=problem.id,
    )


def _set_options(options: str | None) -> str:
    return f"Set {options} in {{cache}}['OPTIONS']."


# The checks


def _keeps_nothing(used: CacheInUse) -> Iterator[Problem]:
    if used.find({DUMMY: True}):
        yield Problem("django_multistore.E005", "which keeps nothing.", OTHER_BACKEND)


def _keeps_no_bytes(used: CacheInUse) -> Iterator[Problem]:
    codec = _codec(used)
    if codec is not None and _attempt(codec.round_trip, PROBE) != PROBE:
        yield Problem(
            "django_multistore.E006",
            "whose serializer can't keep bytes.",
            _set_options(used.find(SERIALIZERS)),
        )


def _reads_no_answers(used: CacheInUse) -> Iterator[Problem]:
    if used.find({PYMEMCACHE: True}) and pymemcache_client(used.cache).default_noreply:
        yield Problem(
            "django_multistore.E007",
            "which does not read the server's answers: it can't tell whether a session was "
            "stored, nor who has its lock.",
            _set_options('"default_noreply": False'),
        )


def _outage_looks_like_a_miss(used: CacheInUse) -> Iterator[Problem]:
    if missing := _missing(used, OUTAGE_OPTIONS):
        yield Problem(
            "django_multistore.W003",
            "which reports an outage as a miss: visitors would be logged out.",
            _set_options(missing),
        )


def _waits_for_ever(used: CacheInUse) -> Iterator[Problem]:
    if missing := _missing(used, TIMEOUT_OPTIONS):
        yield Problem(
            "django_multistore.W004",
            "which waits for ever for a server that hangs.",
            _set_options(missing),
        )


def _has_unfit_backend(used: CacheInUse) -> Iterator[Problem]:
    yield from used.find(UNFIT_BACKENDS) or ()


def _fails_a_trial(used: CacheInUse) -> Iterator[Problem]:
    if is_known(used.cache):
        return
    for verdict, text in probe(used.alias, used.key_prefix):
        yield Problem(TRIALS[verdict], text, OTHER_BACKEND)


def _evicts(used: CacheInUse) -> Iterator[Problem]:
    eviction = used.find(EVICTIONS)
    if problem := eviction and eviction(used):
        yield problem


def _is_shared(used: CacheInUse) -> Iterator[Problem]:
    others = _others_there(used)
    shared = f"at the LOCATION of {', '.join(map(repr, others))}" if others else ""
    if used.alias == "default":
        shared = "which is for everything else as well"
    if shared:
        yield Problem(
            "django_multistore.W007",
            f"{shared}: its clear() would log everyone out.",
            "Make an entry CACHES['sessions'] whose 'LOCATION' no other has (a Redis database, "
            "a memcached server), and set {store}['OPTIONS']['CACHE'] to 'sessions'.",
        )


def _has_unfit_client(used: CacheInUse) -> Iterator[Problem]:
    default = used.find(DEFAULT_CLIENTS)
    if default and (flaw := find(UNFIT_CLIENTS, used.cache.client)):
        yield Problem(
            "django_multistore.W008",
            f"whose client {flaw}",
            _set_options(f'"CLIENT_CLASS": "{default}"'),
        )


def _reads_replicas(used: CacheInUse) -> Iterator[Problem]:
    servers = used.find(SERVERS)
    if servers and len(servers(used.cache)) > 1:
        yield Problem(
            "django_multistore.W009",
            "which reads from replicas. They lag: a new session may not be found, and one that "
            "was ended may be.",
            "Set {cache}['LOCATION'] to the primary's URL alone, with Sentinel "
            'to ["redis://SERVICE/0?is_master=1"].',
        )


def _has_no_prefix(used: CacheInUse) -> Iterator[Problem]:
    if not used.key_prefix and not getattr(used.cache, "key_prefix", ""):
        yield Problem(
            "django_multistore.W010",
            "without a prefix: another site that uses it has its sessions under the same names.",
            "Set {cache}['KEY_PREFIX'] to 'mysite', for example.",
        )


def _ends_sessions_early(used: CacheInUse) -> Iterator[Problem]:
    wanted = settings.SESSION_COOKIE_AGE
    if used.max_age < wanted:
        yield Problem(
            "django_multistore.W011",
            f"and ends sessions after {used.max_age} s, before the {wanted} s of "
            "SESSION_COOKIE_AGE.",
            f"Set {{store}}['OPTIONS']['MAX_AGE'] to {wanted}.",
        )


def _unpickles(used: CacheInUse) -> Iterator[Problem]:
    codec = _codec(used)
    # What takes a function from its module for us would call it as well.
    pickled = codec and _attempt(codec.read, pickle.dumps(check_cache)) is check_cache
    if pickled or used.find(ALWAYS_PICKLED):
        yield Problem(
            "django_multistore.W012",
            "which unpickles what it reads: whoever can write to it can run code in the site.",
            _set_options(used.find(SERIALIZERS)) if codec else OTHER_BACKEND,
        )


Check = Callable[[CacheInUse], Iterator[Problem]]

ALWAYS: tuple[Check, ...] = (_keeps_nothing, _keeps_no_bytes, _reads_no_answers)
FOR_PRODUCTION: tuple[Check, ...] = (
    _outage_looks_like_a_miss,
    _waits_for_ever,
    _has_unfit_backend,
    _evicts,
    _is_shared,
    _has_unfit_client,
    _reads_replicas,
    _has_no_prefix,
    _ends_sessions_early,
    _unpickles,
    _fails_a_trial,
)


# Backends and clients that are unfit whatever their options

IN_TRANSACTIONS = Problem(
    "django_multistore.W021",
    "which writes within the site's transactions: where one is rolled back, a session that was "
    "ended in it lives on, and a lock keeps others waiting until its end.",
    "Set {store}['BACKEND'] to 'django_multistore.stores.orm.OrmStore'.",
)
UNFIT_BACKENDS: dict[str, tuple[Problem, ...]] = {
    LOCMEM: (
        Problem(
            "django_multistore.W005",
            "in the memory of one process: other processes don't see these sessions, and a "
            "restart logs everyone out.",
            OTHER_BACKEND,
        ),
    ),
    PYLIBMC: (
        Problem(
            "django_multistore.W003",
            "whose get_many() finds nothing in a server that is down or hangs: visitors would be "
            "logged out.",
            IN_MEMCACHED,
        ),
    ),
    BMEMCACHED: (
        Problem(
            "django_multistore.W003",
            "whose client reports no outage: what it asks of a server that is down is not there, "
            "so that visitors would be logged out.",
            IN_MEMCACHED,
        ),
    ),
    DATABASE: (
        Problem(
            "django_multistore.W003",
            "which drops what the database refuses, without an error: a session that was ended "
            "may live on.",
            "Set {store}['BACKEND'] to 'django_multistore.stores.orm.OrmStore'.",
        ),
        IN_TRANSACTIONS,
    ),
    MYSQL: (IN_TRANSACTIONS,),
    DISKCACHE: (
        Problem(
            "django_multistore.W003",
            "which finds nothing in a file that is busy or damaged: visitors would be logged out.",
            OTHER_BACKEND,
        ),
    ),
    FILES: (
        Problem(
            "django_multistore.W013",
            "whose add() is no single step: two requests can have one lock, and what one of them "
            "saves is lost.",
            OTHER_BACKEND,
        ),
    ),
}
DEFAULT_CLIENTS = {
    DJANGO_REDIS: "django_redis.client.DefaultClient",
    VALKEY: "django_valkey.client.DefaultClient",
}
KEEPS_LONGER = (
    "HerdClient keeps sessions and locks for a minute after their time, and hides them at random "
    "meanwhile."
)
SPLITS = (
    "ShardClient keeps a session and the mark that it has ended on different servers, and asks "
    "them one after the other."
)
UNFIT_CLIENTS = {
    HERD_CLIENT: KEEPS_LONGER,
    VALKEY_HERD_CLIENT: KEEPS_LONGER,
    SHARD_CLIENT: SPLITS,
    VALKEY_SHARD_CLIENT: SPLITS,
}
TRIALS = {
    Verdict.UNFIT: "django_multistore.E014",
    Verdict.UNKNOWN: "django_multistore.W022",
    Verdict.DROPS_LARGE: "django_multistore.W023",
    Verdict.HIDES_OUTAGES: "django_multistore.W003",
}


# Eviction


def _culling(used: CacheInUse) -> Problem | None:
    entries = used.cache._max_entries
    if entries >= MIN_ENTRIES or (entries < 0 and used.find({MYSQL: True})):
        return None
    return Problem(
        "django_multistore.W006",
        f"which removes sessions once it has {entries} entries.",
        _set_options('"MAX_ENTRIES": 1_000_000'),
    )


def _disk_eviction(used: CacheInUse) -> Problem | None:
    files = used.cache._cache
    if files.eviction_policy == "none":
        return None
    size = files.size_limit * files._count / 2**30
    return Problem(
        "django_multistore.W006",
        f"which removes sessions once it has {size:.2g} GiB.",
        _set_options('"eviction_policy": "none"'),
    )


def _memcached_eviction(used: CacheInUse) -> Problem:
    return Problem(
        "django_multistore.W006",
        "and memcached removes the sessions that were not used for longest when its memory is "
        "full, and all of them when it restarts.",
        "Give it more memory than the sessions will ever need (memcached -m 1024), then set "
        "SILENCED_SYSTEM_CHECKS = ['django_multistore.W006'].",
    )


def _redis_eviction(used: CacheInUse) -> Problem | None:
    pools = used.find(POOLS)
    policies = {maxmemory_policy(pool) for pool in pools(used.cache)} if pools else set()
    evicting = sorted(policy for policy in policies if policy not in (None, "noeviction"))
    if not evicting:
        return None
    return Problem(
        "django_multistore.W006",
        "and Redis removes sessions when its memory is full: its maxmemory-policy is "
        f"{', '.join(evicting)}.",
        "Write 'maxmemory-policy noeviction' into redis.conf, of a server for sessions alone.",
    )


EVICTIONS: dict[str, Callable[[CacheInUse], Problem | None]] = {
    LOCMEM: _culling,
    FILES: _culling,
    DATABASE: _culling,
    MYSQL: _culling,
    DISKCACHE: _disk_eviction,
    MEMCACHED: _memcached_eviction,
    REDIS: _redis_eviction,
    DJANGO_REDIS: _redis_eviction,
    VALKEY: _redis_eviction,
}


# What the checks look at


def _missing(used: CacheInUse, table: Mapping[str, Options]) -> str:
    options = used.find(table)
    wanted = options(used.cache) if options else {}
    return ", ".join(option for option, is_so in wanted.items() if not is_so)


def _codec(used: CacheInUse) -> Codec | None:
    codec = used.find(CODECS)
    return codec(used.cache) if codec else None


def _attempt(function: Callable[[bytes], object], value: bytes) -> object:
    try:
        return function(value)
    except Exception:  # noqa: BLE001 - whatever a serializer raises for what it can't take
        return None


def _others_there(used: CacheInUse) -> list[str]:
    """Return the aliases of the other caches that clear() of ours clears, and the other way."""
    own = places_of(settings.CACHES[used.alias])
    return [
        alias
        for alias, entry in settings.CACHES.items()
        if alias != used.alias and places_of(entry) & own
    ]
