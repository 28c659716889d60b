"""How much to do at a time, when others wait for the same locks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Batch"]

GC_BATCH_SIZE = 50_000
FIRST_BATCH = 1_000
TARGET_SECONDS = 0.1  # SQLite's other writers wait as long, and now and then longer
GROWTH = 4.0  # at the most, from one batch to the next
REST = 0.1  # of a batch's own time, which is left to the writers that wait


@dataclass(frozen=True, slots=True)
class Batch:
    """
    What one step of gc did.

    Attributes:
        count: how many expired records it removed, or found in a dry run.
        cursor: where the next step begins, in whatever form the store likes. None: nothing is left.
    """

    count: int
    cursor: Any = None


def batch_sizes(at_most: int, max_seconds: float | None = None) -> Iterator[int]:
    """
    Yield the size of each batch so that one takes about a tenth of a second.

    A fixed size is wrong somewhere: batches of 1,000 took twenty times as long as one
    DELETE on PostgreSQL, and one DELETE shut SQLite's other writers out for 20 seconds.

    Args:
        at_most: the largest size.
        max_seconds: yield nothing more after this time. None: no limit.
    """
    size = min(FIRST_BATCH, at_most)
    began = time.monotonic()
    while True:
        batch_began = time.monotonic()
        yield size
        now = time.monotonic()
        if max_seconds is not None and now - began >= max_seconds:
            return
        took = max(now - batch_began, 1e-6)
        size = max(1, min(at_most, int(size * min(GROWTH, TARGET_SECONDS / took))))
        time.sleep(took * REST)
