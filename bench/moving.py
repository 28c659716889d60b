"""
Move sessions from PostgreSQL to Redis, beside a raw copy of the same rows in the same run.

    python -m bench --moving 1000000

The raw copy is COPY out, nothing decoded, and SET in pipelines: it keeps no index, asks nobody
whether a session is still there, and leaves it where it was as well.
"""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass
from typing import Any

from django.db import connections

from django_multistore.stores import stores

from . import filling
from .redis_driver import client_of

PIPELINE = 1_000  # commands in one round trip
COPY = "COPY (SELECT key, payload FROM django_multistore_storedsession) TO STDOUT (FORMAT binary)"
TARGET = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What it took to move sessions, beside the raw copy."""

    count: int
    raw: float  # seconds
    moved: float
    before: int  # MiB, the most that the process had until then
    after: int

    @property
    def ratio(self) -> float:
        return self.moved / self.raw


def measure(count: int) -> Move:
    """Fill PostgreSQL with so many sessions, copy them, and move them."""
    filling.fill(filling.OURS, "default", count=count, begin=filling.LIVE, users=count // 5 + 1)
    filling.tidy("default")
    before, raw = peak(), copy_raw(COPY)
    moved, seconds = move()
    assert moved == count
    return Move(count=count, raw=raw, moved=seconds, before=before, after=peak())


def describe(move: Move) -> str:
    """Return the measure in words."""
    mark = "" if move.ratio <= TARGET else " !"
    return (
        f"{move.count:,} sessions: moved in {move.moved:.1f} s, copied raw in {move.raw:.1f} s: "
        f"{move.ratio:.1f} times{mark}. Peak memory {move.before} MiB before, {move.after} MiB "
        "after."
    )


def copy_raw(copy_out: str) -> float:
    """
    Copy rows without looking at them, and return the seconds that it took.

    Args:
        copy_out: the COPY of two columns, key and value.
    """
    client = client_of("redis_large")
    connection = connections["default"]
    connection.ensure_connection()
    began = time.perf_counter()
    pipeline = client.pipeline(transaction=False)
    waiting = 0
    driver: Any = connection.connection
    with driver.cursor() as cursor, cursor.copy(copy_out) as copy:
        for row in copy.rows():
            pipeline.set(b"raw:" + bytes(row[0]), bytes(row[1]))
            waiting += 1
            if waiting == PIPELINE:
                pipeline.execute()
                waiting = 0
    pipeline.execute()
    seconds = time.perf_counter() - began
    client.flushdb()
    return seconds


def move() -> tuple[int, float]:
    """Move all sessions, and return how many these were and the seconds that it took."""
    store = stores["moving"]
    # It can be imported once Django is set up, which is later than this module.
    from django_multistore.stores.composed import MigratingStore  # noqa: PLC0415

    assert isinstance(store, MigratingStore)
    counts: list[int] = []
    began = time.perf_counter()
    assert store.move_all().run(progress=counts.append)
    return sum(counts), time.perf_counter() - began


def peak() -> int:
    """Return the most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
