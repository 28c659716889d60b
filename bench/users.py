"""All sessions of one user, among few and among many others."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial
from statistics import median

from django_multistore.stores import stores

from . import filling, timing

SMALL, LARGE = "default", "large"  # databases and stores
COUNTS = {SMALL: 10_000, LARGE: 1_000_000}
SESSIONS = 20  # of each user
USERS_IN_BLOCK = 4
TARGET = 1.5  # times as long in the large table

OPERATIONS = ("sessions_for_user", "destroy_for_user")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One operation on all sessions of a user."""

    operation: str
    counts: tuple[int, int]
    times: timing.Times

    @property
    def microseconds(self) -> tuple[float, float]:
        small, large = (median(self.times[name]) * 1e6 for name in (SMALL, LARGE))
        return small, large

    @property
    def ratio(self) -> float:
        return timing.ratio(self.times, LARGE, SMALL)


def measure(rounds: int, part: int = 1) -> list[Row]:
    """
    List and destroy the sessions of one user after the other, in both tables in turn.

    Each user comes once: what was read before is in a cache.

    Args:
        rounds: how many blocks of users in each table; fewer where the small one runs out.
        part: measure a table of 1/part of the sessions.
    """
    counts = {name: count // part for name, count in COUNTS.items()}
    for name, count in counts.items():
        filling.fill(filling.OURS, name, count=count, begin=filling.LIVE, users=count // SESSIONS)
        filling.tidy(name)
    strangers = {name: _shuffled(count // SESSIONS) for name, count in counts.items()}
    # The small table is not to become empty: a third of its users are destroyed at most.
    rounds = min(rounds, counts[SMALL] // SESSIONS // 3 // USERS_IN_BLOCK)
    times: dict[str, dict[str, list[float]]] = {
        operation: {name: [] for name in COUNTS} for operation in OPERATIONS
    }
    for turn in range(-1, rounds):
        if turn == 0:
            timing.settle()
        for operation in OPERATIONS:
            for name in timing.in_turn(list(COUNTS), turn):
                users = [strangers[name].pop() for _ in range(USERS_IN_BLOCK)]
                block = partial(_all, operation, name, users)
                took = timing.seconds(block, USERS_IN_BLOCK)
                if turn >= 0:  # Before it, everything gets warm.
                    times[operation][name].append(took)
    return [
        Row(operation=operation, counts=(counts[SMALL], counts[LARGE]), times=times[operation])
        for operation in OPERATIONS
    ]


def _shuffled(users: int) -> list[int]:
    return random.sample(range(users), users)


def _all(operation: str, name: str, users: list[int]) -> None:
    call = getattr(stores[name], operation)
    for user in users:
        done = call(user)
        assert (done if isinstance(done, int) else len(done)) == SESSIONS
