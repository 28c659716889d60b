"""
One session at a time: CacheStore beside Django's cache engine, on the same entry of CACHES.

On memcached MemcachedStore is beside them, which takes that entry's servers.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from django.contrib.auth import get_user_model
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.cache import SessionStore as DjangoStore
from django.core.cache import caches

from django_multistore.engine import SessionStore

from . import rounds, timing
from .columns import PAYLOADS, Data, Engine, data_of

CACHES = {
    "memcached": "memcached, PyMemcacheCache",
    "redis": "Redis, Django's RedisCache",
    "django_redis": "Redis, django-redis",
}
DJANGO, INEXACT, EXACT, BYTES = "Django cache", "EXACT False", "EXACT True", "EXACT True, bytes"
STORES = {INEXACT: "inexact", EXACT: "exact", BYTES: "bytes"}  # what their aliases end with
NATIVE = "MemcachedStore"
NATIVE_STORES = {NATIVE: "native"}  # on memcached alone

OPERATIONS = {  # of sessions of a user, but for the last two
    "load": "load",
    "save": "load, modify, save",
    "login": "create, with a user",
    "logout": "delete, with a user",
    "create": "create",
    "delete": "delete",
}
TARGETS = {  # in times of Django's engine; create is to be faster
    "load": {INEXACT: 1.1, EXACT: 1.1, BYTES: 1.1, NATIVE: 1.1},
    "save": {INEXACT: 2.0, EXACT: 3.0, BYTES: 3.0, NATIVE: 0.7},
    "create": {INEXACT: 1.0, EXACT: 1.0, BYTES: 1.0, NATIVE: 0.7},
}
NATIVE_TARGETS = {"save": 0.4}  # in times of CacheStore, EXACT


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One operation on sessions of one size."""

    operation: str
    payload: str
    times: timing.Times

    @property
    def django_microseconds(self) -> float:
        return median(self.times[DJANGO]) * 1e6

    @property
    def columns(self) -> list[str]:
        """Our stores."""
        return [column for column in self.times if column != DJANGO]

    @property
    def native_to_exact(self) -> float | None:
        """How many times as long as CacheStore MemcachedStore takes, where it is measured."""
        return timing.ratio(self.times, NATIVE, EXACT) if NATIVE in self.times else None

    def to_django(self, column: str) -> float:
        """Return how many times as long as Django's engine a column takes."""
        return timing.ratio(self.times, column, DJANGO)


def measure(cache: str, turns: int) -> list[Row]:
    """
    Measure every row in one cache, with the index in the default database.

    Args:
        cache: one of CACHES.
        turns: how many rounds.
    """
    user, _ = get_user_model().objects.get_or_create(username="bench")
    found = []
    for payload, letters in PAYLOADS.items():
        of_user = _measured(cache, data_of(user.pk, letters), turns)
        anonymous = _measured(cache, data_of(None, letters), turns)
        times = of_user | {
            "login": of_user["create"],
            "logout": of_user["delete"],
            "create": anonymous["create"],
            "delete": anonymous["delete"],
        }
        found += [
            Row(operation=operation, payload=payload, times=times[operation])
            for operation in OPERATIONS
        ]
    return found


def _measured(cache: str, data: Data, turns: int) -> dict[str, timing.Times]:
    columns = {DJANGO: Engine(django_engine(cache), data)} | {
        column: Engine(our_engine(f"{cache}_{end}"), data)
        for column, end in (STORES | (NATIVE_STORES if cache == "memcached" else {})).items()
    }
    of_user = "_auth_user_id" in data
    operations = ("create", "load", "save", "delete") if of_user else ("create", "delete")
    return rounds.measured(columns, operations, turns)


def django_engine(cache: str) -> type[SessionBase]:
    """Return Django's cache engine over one entry of CACHES."""

    class CacheSession(DjangoStore):
        """Django's engine, whose cache would be the same for the whole process."""

        def __init__(self, session_key: str | None = None) -> None:
            self._cache = caches[cache]
            SessionBase.__init__(self, session_key)

    return CacheSession


def our_engine(alias: str) -> type[SessionStore]:
    """Return our engine over one of SESSION_STORES."""

    class CacheSession(SessionStore):
        store_alias = alias

    return CacheSession
