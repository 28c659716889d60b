"""How much to do at a time, when others wait for the same locks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
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


def batch_sizes(
    at_most: int, max_seconds: float | None = None, *, target_seconds: float = TARGET_SECONDS
) -> Iterator[int]:
    """
    Yield the size of each batch so that one takes about a tenth of a second.

    A fixed size is wrong somewhere: batches of 1,000 took twenty times as long as one
    DELETE on PostgreSQL, and one DELETE shut SQLite's other writers out for 20 seconds.

    Args:
        at_most: the largest size.
        max_seconds: yield nothing more after this time. None: no limit.
        target_seconds: another time for one, for who locks during a part of it only.
    """
    batches = _Batches(at_most, max_seconds, target_seconds)
    while not batches.are_over:
        yield batches.begin()
        time.sleep(batches.end())


async def abatch_sizes(at_most: int, max_seconds: float | None = None) -> AsyncIterator[int]:
    """See batch_sizes()."""
    batches = _Batches(at_most, max_seconds)
    while not batches.are_over:
        yield batches.begin()
        await asyncio.sleep(batches.end())


class _Batches:
    """How long batches have taken, and how large the next one may be."""

    def __init__(
        self, at_most: int, max_seconds: float | None, target_seconds: float = TARGET_SECONDS
    ) -> None:
        self._at_most, self._target_seconds = at_most, target_seconds
        self._size = min(FIRST_BATCH, at_most)
        self._ends_at = None if max_seconds is None else time.monotonic() + max_seconds
        self._began = 0.0
        self.are_over = False

    def begin(self) -> int:
        """Return the size of a batch that begins."""
        self._began = time.monotonic()
        return self._size

    def end(self) -> float:
        """Choose the next size by how long the batch took, and return the seconds to rest."""
        now = time.monotonic()
        self.are_over = self._ends_at is not None and now >= self._ends_at
        took = max(now - self._began, 1e-6)
        growth = min(GROWTH, self._target_seconds / took)
        self._size = max(1, min(self._at_most, int(self._size * growth)))
        return 0.0 if self.are_over else took * REST
