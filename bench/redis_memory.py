"""What a session takes in Redis' memory, in RedisStore and in Django's cache engine."""

from __future__ import annotations

from dataclasses import dataclass

import redis
from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase

from .caches import django_engine, our_engine
from .columns import Data, Engine
from .redis_driver import client_of
from .redis_rows import ALIAS, USER_ID
from .redis_sizes import SIZES, SMALL, session_of

CACHE = "redis"  # Django's RedisCache
SESSIONS = 50  # of as many users: each pays for an index of its own
TARGETS, LARGE_TARGET = {SMALL: 1.5}, 0.7  # in times of Django's engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The bytes of one session, on average."""

    session: str
    target: float
    ours: float  # with the index
    index: float
    django: float

    @property
    def ratio(self) -> float:
        return self.ours / self.django


def measure() -> list[Row]:
    """Measure sessions of each size."""
    return [_row(size, TARGETS.get(size, LARGE_TARGET)) for size in SIZES]


def _row(size: str, target: float) -> Row:
    every = [session_of(USER_ID + number, size) for number in range(SESSIONS)]
    ours = _bytes(client_of(ALIAS), our_engine(ALIAS), every)
    location = settings.CACHES[CACHE]["LOCATION"]
    django = _bytes(redis.Redis.from_url(location), django_engine(CACHE), every)
    return Row(
        session=size,
        target=target,
        ours=sum(ours.values()),
        index=ours["zset"],
        django=sum(django.values()),
    )


def _bytes(client: redis.Redis, engine: type[SessionBase], every: list[Data]) -> dict[str, float]:
    """
    Return the bytes of a session, by the type of the values that they are in.

    What MEMORY USAGE counts: the name, the value and its place among the names, not the one
    among the times of expiry.
    """
    client.flushdb()
    for data in every:
        Engine(engine, data).create(1)
    found = {"string": 0.0, "zset": 0.0}
    for name in client.scan_iter():
        found[client.type(name).decode()] += client.memory_usage(name, samples=0) / SESSIONS
    client.flushdb()
    return found
