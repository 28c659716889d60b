"""
Move sessions from PostgreSQL to Redis, beside a raw copy of the same rows in the same run.

    python -m bench.moving 1000000

The raw copy is COPY out, nothing decoded, and SET in pipelines: it keeps no index, asks nobody
whether a session is still there, and leaves it where it was as well.
"""

from __future__ import annotations

import argparse
import resource
import time
from typing import Any

from django.db import connections

from django_multistore.stores import stores
from django_multistore.stores.composed import MigratingStore

from . import databases, filling
from .redis_driver import client_of

PIPELINE = 1_000  # commands in one round trip
COPY = "COPY (SELECT key, payload FROM django_multistore_storedsession) TO STDOUT (FORMAT binary)"
TARGET = 3.0


def main() -> None:
    """Measure and print one line."""
    parser = argparse.ArgumentParser(prog="python -m bench.moving", description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=100_000, help="sessions (100,000)")
    count = parser.parse_args().count
    with databases.fresh("postgres", ["redis"]) as process:
        users = max(1, count // 5)
        begin = filling.LIVE
        process.call(filling.fill, filling.OURS, "default", count=count, begin=begin, users=users)
        process.call(filling.tidy, "default")
        before = process.call(peak)
        raw = process.call(copy_raw)
        moved, seconds = process.call(move)
        after = process.call(peak)
    assert moved == count
    ratio = seconds / raw
    mark = "" if ratio <= TARGET else " !"
    print(
        f"{count:,} sessions: moved in {seconds:.1f} s, copied raw in {raw:.1f} s: "
        f"{ratio:.1f} times{mark}; peak memory {before} MiB before, {after} MiB after"
    )


def copy_raw() -> float:
    """Copy the rows without looking at them, and return the seconds that it took."""
    client = client_of("redis_large")
    connection = connections["default"]
    connection.ensure_connection()
    began = time.perf_counter()
    pipeline = client.pipeline(transaction=False)
    waiting = 0
    driver: Any = connection.connection
    with driver.cursor() as cursor, cursor.copy(COPY) as copy:
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
    assert isinstance(store, MigratingStore)
    counts: list[int] = []
    began = time.perf_counter()
    assert store.move_all().run(progress=counts.append)
    return sum(counts), time.perf_counter() - began


def peak() -> int:
    """Return the most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
