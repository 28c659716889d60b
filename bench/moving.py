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
from typing import TYPE_CHECKING, Any, cast

from django.db import connections

from django_multistore.engine import SessionStore
from django_multistore.stores import stores

from . import filling
from .redis_driver import client_of

if TYPE_CHECKING:
    from django_multistore.stores.composed import MigratingStore

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
    fill(count)
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


def fill(count: int) -> None:
    """Add so many sessions to PostgreSQL."""
    filling.fill(filling.OURS, "default", count=count, begin=filling.LIVE, users=count // 5 + 1)
    filling.tidy("default")


def fill_for_site(count: int, visitors: int) -> list[str]:
    """Add so many sessions, and those of visitors, whose session keys are returned."""
    client_of("redis").flushdb(asynchronous=True)
    fill(count)
    return [_create() for _ in range(visitors)]


def _create() -> str:
    session = SessionStore()
    session["cart"] = [1, 2]
    session.create()
    return str(session.session_key)


def count_moved() -> int:
    """Return how many sessions are where they were to come to, and nowhere else."""
    assert not cast("MigratingStore", stores["moving"]).move_all().count().left
    keys, cursor = set[str](), None
    while True:
        records, cursor = stores["redis"].scan(cursor, PIPELINE)
        keys.update(each.key for each in records)
        if cursor is None:
            return len(keys)


def move() -> tuple[int, float]:
    """Move all sessions, and return how many these were and the seconds that it took."""
    store = cast("MigratingStore", stores["moving"])
    counts: list[int] = []
    began = time.perf_counter()
    assert store.move_all().run(progress=counts.append)
    return sum(counts), time.perf_counter() - began


def move_all() -> int:
    """Move all sessions, in the process of a command."""
    return move()[0]


def peak() -> int:
    """Return the most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
