"""The same operations through several columns, in turn, round after round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from . import timing
from .columns import Column

CALLS = 50  # in a block
STEP = 47  # frames, from the depth of one round to the next's


def measured(
    columns: Mapping[str, Column], operations: Sequence[str], rounds: int
) -> dict[str, timing.Times]:
    """
    Measure operations side by side.

    Each round stores new sessions and does with them what is to be measured. Every operation
    goes through the columns in turn. A round comes first that is not counted.

    Args:
        columns: by name.
        operations: methods of Column, in their order: create first, delete last.
        rounds: how many of them.

    Returns:
        What each operation took.
    """
    _round(columns, _empty(columns, operations), turn=0)
    timing.settle()
    times = _empty(columns, operations)
    for turn in range(rounds):
        _round(columns, times, turn)
    return dict(times)


def _empty(
    columns: Mapping[str, Column], operations: Sequence[str]
) -> dict[str, dict[str, list[float]]]:
    return {operation: {name: [] for name in columns} for operation in operations}


def _round(
    columns: Mapping[str, Column], times: dict[str, dict[str, list[float]]], turn: int
) -> None:
    keys: dict[str, list[str]] = {}

    def call(operation: str, name: str) -> None:
        if operation == "create":
            keys[name] = columns[name].create(CALLS)
        else:
            getattr(columns[name], operation)(keys[name])

    depth = turn * STEP % timing.FRAMES
    for operation in times:
        for name in timing.in_turn(list(columns), turn):
            block = partial(call, operation, name)
            times[operation][name].append(timing.seconds(block, CALLS, depth))
