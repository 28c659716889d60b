"""All sessions of one user, among few and among many others."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from statistics import median
from typing import ClassVar

from django.core.cache import caches
from django.utils import timezone

from django_multistore.records import SessionRecord, key_of, new_id
from django_multistore.stores import stores

from . import filling, redis_filling, timing

SMALL, LARGE = "default", "large"  # databases
COUNTS = {SMALL: 10_000, LARGE: 1_000_000}
SESSIONS = 20  # of each user
USERS_IN_BLOCK = 4
TARGET = 1.5  # times as long in the large table

OPERATIONS = ("sessions_for_user", "destroy_for_user")


class Stored:
    """Sessions of many users in OrmStore's table."""

    statement: ClassVar[str] = filling.OURS
    prefix: ClassVar[str] = ""  # of the stores' aliases

    def fill(self, database: str, count: int) -> None:
        """Spread sessions over users who have as many as the next."""
        filling.fill(
            self.statement,
            database,
            count=count,
            begin=filling.LIVE,
            users=count // SESSIONS,
            store=self.alias(database),
        )
        filling.tidy(database)

    def alias(self, database: str) -> str:
        """Return the alias of the store that has its table there."""
        return f"{self.prefix}{database}"

    def prepare(self, database: str, users: Sequence[int], count: int) -> None:
        """Have the sessions of users who are about to be measured."""


class Indexed(Stored):
    """Sessions of many users in CacheStore's index, of whom only those measured have live ones."""

    statement = filling.INDEX
    prefix = "indexed_"

    def prepare(self, database: str, users: Sequence[int], count: int) -> None:
        # Only where Django is set up, which it isn't where the measurements are begun.
        from django_multistore.stores.indexed.values import Entry, Listing, pack  # noqa: PLC0415

        # Past the store, which would look at the rows and so have the database warm them.
        alias, every, now = self.alias(database), count // SESSIONS, timezone.now()
        expires_at = now + timedelta(days=1)
        listing = Listing(written_at=now, valid_until=expires_at)
        values = {}
        for user in users:
            for number in range(user or every, count + 1, every):
                record = SessionRecord(
                    id=new_id(),
                    key=key_of(f"{alias}{number}"),
                    payload=bytes(filling.PAYLOAD),
                    version=1,
                    user_id=str(user),
                    created_at=now,
                    authenticated_at=now,
                    last_seen_at=now,
                    expires_at=expires_at,
                )
                entry = Entry(record=record, listing=listing)
                values[f"{database}:s:{record.key}"] = pack(database, entry)
        assert not caches["memcached"].set_many(values)


class InRedis(Stored):
    """Sessions of many users in RedisStore."""

    prefix = "redis_"

    def fill(self, database: str, count: int) -> None:
        redis_filling.fill(self.alias(database), count=count, users=count // SESSIONS)


SUBJECTS = {"orm": Stored(), "cache": Indexed(), "redis": InRedis()}


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


def measure(subject: str, rounds: int, part: int = 1) -> list[Row]:
    """
    List and destroy the sessions of one user after the other, in both tables in turn.

    Each user comes once: what was read before is in a cache.

    Args:
        subject: one of SUBJECTS.
        rounds: how many blocks of users in each table; fewer where the small one runs out.
        part: measure a table of 1/part of the sessions.
    """
    of = SUBJECTS[subject]
    counts = {name: count // part for name, count in COUNTS.items()}
    for name, count in counts.items():
        of.fill(name, count)
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
                of.prepare(name, users, counts[name])
                block = partial(_all, operation, of.alias(name), users)
                took = timing.seconds(block, USERS_IN_BLOCK)
                if turn >= 0:  # Before it, everything gets warm.
                    times[operation][name].append(took)
    return [
        Row(operation=operation, counts=(counts[SMALL], counts[LARGE]), times=times[operation])
        for operation in OPERATIONS
    ]


def _shuffled(users: int) -> list[int]:
    return random.sample(range(users), users)


def _all(operation: str, alias: str, users: list[int]) -> None:
    call = getattr(stores[alias], operation)
    for user in users:
        done = call(user)
        assert (done if isinstance(done, int) else len(done)) == SESSIONS
