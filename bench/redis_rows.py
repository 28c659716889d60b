"""One session at a time: RedisStore beside the raw driver and Django's cache engine."""

from __future__ import annotations

from typing import ClassVar

from . import rounds, rows
from .caches import django_engine, our_engine
from .columns import Column, Engine
from .redis_driver import RedisDriver
from .redis_sizes import SIZES, session_of

ALIAS = "redis"  # the store's
USER_ID = 1_000_000

TARGETS = {"load": 1.15, "save": 1.1, "create": 1.3, "delete": 1.1}  # in times of the raw driver
PEER_TARGET = 1.0  # in times of ours

RAW, OURS = "raw redis-py", "RedisStore"
PEERS = {  # each with its entry of CACHES
    "Django cache, Django's RedisCache": "redis",
    "Django cache, django-redis": "django_redis",
}


class Row(rows.Row):
    """One operation on sessions of one size, of users."""

    __slots__ = ()
    raw: ClassVar[str] = RAW
    ours: ClassVar[str] = OURS
    peers: ClassVar[tuple[str, ...]] = tuple(PEERS)


def measure(turns: int) -> list[Row]:
    """
    Measure every row, each column in the same Redis.

    Args:
        turns: how many rounds.
    """
    return [row for size in SIZES for row in _measure(size, turns)]


def _measure(size: str, turns: int) -> list[Row]:
    data = session_of(USER_ID, size)
    columns: dict[str, Column] = {
        RAW: RedisDriver(ALIAS, data),
        OURS: Engine(our_engine(ALIAS), data),
    }
    columns |= {peer: Engine(django_engine(cache), data) for peer, cache in PEERS.items()}
    times = rounds.measured(columns, ("create", "load", "save", "delete"), turns)
    return [
        Row(operation=operation, payload=size, times=times[operation])
        for operation in rows.OPERATIONS
    ]
