"""Time blocks of calls so that noise hits every column alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from statistics import median

FRAMES = 150  # somewhat more than there are in one chunk of Python's stack

Times = Mapping[str, list[float]]  # seconds for one call, by column, one for each round


def settle() -> None:
    """Bring Python's garbage collector into a steady state, once everything is warm."""
    gc.collect()
    gc.freeze()


def seconds(block: Callable[[], object], calls: int, depth: int = 0) -> float:
    """
    Time one block.

    It begins without garbage. The collector stays on: what a column leaves behind is part of
    its cost.

    Args:
        block: does it all.
        calls: how many calls that is.
        depth: from how deep in the stack to call it, in frames below FRAMES. Python has its
            stack in chunks, and calls that cross the end of one again and again take up to
            three times as long. Where that is depends on the block: go through all depths.

    Returns:
        Seconds for each call.
    """
    gc.collect()
    return _deeper(block, depth) / calls


def _deeper(block: Callable[[], object], depth: int) -> float:
    if depth:
        return _deeper(block, depth - 1)
    began = time.perf_counter()
    block()
    return time.perf_counter() - began


def in_turn(columns: list[str], turn: int) -> list[str]:
    """Return the columns, beginning with another one each turn."""
    start = turn % len(columns)
    return columns[start:] + columns[:start]


def ratio(times: Times, column: str, to: str) -> float:
    """
    Return how many times as long one column takes as another.

    The median of each round's own ratio, not the ratio of two medians: what slows the machine
    down for a while slows both blocks of that round, and their ratio hardly moves.
    """
    return median(ours / theirs for ours, theirs in zip(times[column], times[to], strict=True))
