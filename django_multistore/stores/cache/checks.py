"""What CacheStore asks of its cache's settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.conf import settings
from django.core.cache import caches
from django.core.checks import CheckMessage, Error, Warning

from .known_backends import local, servers
from .known_backends.base import OTHER_BACKEND, PYMEMCACHE, REDIS, Backend, Complaint, names_of
from .probe import Verdict, probe

# These are dotted names, so that no package of a backend is needed.
BACKENDS: dict[str, type[Backend]] = {
    "django.core.cache.backends.dummy.DummyCache": local.Dummy,
    "django.core.cache.backends.locmem.LocMemCache": local.LocMem,
    "django.core.cache.backends.filebased.FileBasedCache": local.FileBased,
    "django.core.cache.backends.db.DatabaseCache": local.Database,
    "django_mysql.cache.MySQLCache": local.MySQL,
    "diskcache.djangocache.DjangoCache": local.DiskCache,
    "django.core.cache.backends.memcached.BaseMemcachedCache": servers.Memcached,
    "django.core.cache.backends.memcached.PyLibMCCache": servers.PyLibMC,
    "django_bmemcached.memcached.BMemcached": servers.BMemcached,
    PYMEMCACHE: servers.PyMemcache,
    REDIS: servers.Redis,
    "django_redis.cache.RedisCache": servers.DjangoRedis,
    "django_valkey.base.BaseValkeyCache": servers.Valkey,
    "django_valkey.cache.ValkeyCache": servers.Valkey,
}


def find_backend(cache: Any) -> Backend:
    """Return who answers for a cache: for its class, or for the next one that it inherits from."""
    known = (BACKENDS[name] for name in names_of(cache) if name in BACKENDS)
    return next(known, Backend)(cache)


def is_known(cache: Any) -> bool:
    """Say whether a cache's own class is one of those; what inherits may differ."""
    return next(names_of(cache)) in BACKENDS


@dataclass(frozen=True)
class CacheInUse:
    """A store's cache, by the aliases of both and the options of the store that matter here."""

    store: str
    alias: str
    key_prefix: str = ""
    max_age: int = 0  # seconds

    @property
    def place(self) -> str:
        return f"the cache {self.alias!r}"

    @cached_property
    def cache(self) -> Any:
        return caches[self.alias]

    @cached_property
    def backend(self) -> Backend:
        return find_backend(self.cache)


def check_cache(
    alias: str, cache_alias: str, *, key_prefix: str = "", max_age: int
) -> list[CheckMessage]:
    """Warn of a cache with which the store can't keep what it promises."""
    used = CacheInUse(alias, cache_alias, key_prefix, max_age)
    return [*_ask(used, FOR_PRODUCTION), *_try_out(used)]


def check_cache_always(alias: str, cache_alias: str) -> list[CheckMessage]:
    """Find what can never work."""
    return list(_ask(CacheInUse(alias, cache_alias), ALWAYS))


# Questions whose answer is in the settings, and not in the backend


def is_shared(used: CacheInUse) -> Complaint | None:
    """Complain of a cache that is for something else as well."""
    own = _places_of(settings.CACHES[used.alias])
    others = [
        alias
        for alias, entry in settings.CACHES.items()
        if alias != used.alias and _places_of(entry) & own
    ]
    if used.alias == "default":
        shared = "which is for everything else as well"
    elif others:
        shared = f"at the LOCATION of {', '.join(map(repr, others))}"
    else:
        return None
    return Complaint(
        f"{shared}: its clear() would log everyone out.",
        "Make an entry CACHES['sessions'] whose 'LOCATION' no other has (a Redis database, "
        "a memcached server), and set {store}['OPTIONS']['CACHE'] to 'sessions'.",
    )


def _places_of(entry: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Return what clear() clears."""
    location = entry.get("LOCATION", "")
    places = re.split("[;,]", location) if isinstance(location, str) else location
    places = places if isinstance(places, list | tuple | set) else [places]
    # Without a location it is the backend's own place, as LocMemCache's.
    return {(str(place), "" if place else entry["BACKEND"]) for place in places}


def _has_no_prefix(used: CacheInUse) -> Complaint | None:
    if used.key_prefix or getattr(used.cache, "key_prefix", ""):
        return None
    return Complaint(
        "without a prefix: another site that uses it has its sessions under the same names.",
        "Set {cache}['KEY_PREFIX'] to 'mysite', for example.",
    )


def ends_sessions_early(used: CacheInUse) -> Complaint | None:
    """Complain of sessions that can't live as long as their cookie."""
    wanted = settings.SESSION_COOKIE_AGE
    if used.max_age >= wanted:
        return None
    return Complaint(
        f"and ends sessions after {used.max_age} s, before the {wanted} s of SESSION_COOKIE_AGE.",
        f"Set {{store}}['OPTIONS']['MAX_AGE'] to {wanted}.",
    )


EVICTS = "django_multistore.W006"
SHARED = "django_multistore.W007"
ENDS_EARLY = "django_multistore.W011"

Question = Callable[[CacheInUse], Complaint | None]

ALWAYS: tuple[tuple[str, Question], ...] = (
    ("django_multistore.E005", lambda used: used.backend.keeps_nothing()),
    ("django_multistore.E006", lambda used: used.backend.keeps_no_bytes()),
    ("django_multistore.E007", lambda used: used.backend.reads_no_answers()),
)
FOR_PRODUCTION: tuple[tuple[str, Question], ...] = (
    ("django_multistore.W003", lambda used: used.backend.hides_outages()),
    ("django_multistore.W004", lambda used: used.backend.waits_for_ever()),
    ("django_multistore.W005", lambda used: used.backend.is_of_one_process()),
    ("django_multistore.W013", lambda used: used.backend.adds_in_steps()),
    ("django_multistore.W021", lambda used: used.backend.obeys_transactions()),
    (EVICTS, lambda used: used.backend.evicts()),
    (SHARED, is_shared),
    ("django_multistore.W008", lambda used: used.backend.has_unfit_client()),
    ("django_multistore.W009", lambda used: used.backend.reads_replicas()),
    ("django_multistore.W010", _has_no_prefix),
    (ENDS_EARLY, ends_sessions_early),
    ("django_multistore.W012", lambda used: used.backend.unpickles()),
)
# What a trial finds of a backend that isn't known.
TRIALS = {
    Verdict.UNFIT: "django_multistore.E014",
    Verdict.UNKNOWN: "django_multistore.W022",
    Verdict.DROPS_LARGE: "django_multistore.W023",
    Verdict.HIDES_OUTAGES: "django_multistore.W003",
}


def _ask(used: CacheInUse, questions: tuple[tuple[str, Question], ...]) -> Iterator[CheckMessage]:
    for id, question in questions:
        # A LOCATION that can't be read is a ValueError here, and a store that can't be asked there.
        with suppress(ValueError):
            if complaint := question(used):
                yield make_message(used.store, used.place, id, complaint, used.alias)


def _try_out(used: CacheInUse) -> Iterator[CheckMessage]:
    if is_known(used.cache):
        return
    for verdict, text in probe(used.alias, used.key_prefix):
        complaint = Complaint(text, OTHER_BACKEND)
        yield make_message(used.store, used.place, TRIALS[verdict], complaint, used.alias)


def make_message(
    store: str, place: str, id: str, complaint: Complaint, cache: str = ""
) -> CheckMessage:
    """
    Say what is wrong with where a store is.

    Args:
        store: its alias.
        place: where it is, in words.
        id: the check's.
        complaint: what is wrong.
        cache: the alias in CACHES that the remedy may name.
    """
    kind = Error if id.rpartition(".")[2].startswith("E") else Warning
    remedy = complaint.remedy.replace("{id}", id)
    remedy = remedy.replace("{cache}", f"CACHES[{cache!r}]")
    remedy = remedy.replace("{store}", f"SESSION_STORES[{store!r}]")
    return kind(f"Session store {store!r} is in {place}, {complaint.text}", hint=remedy, id=id)
