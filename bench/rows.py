"""One session at a time: OrmStore beside the raw driver and the peers."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import ClassVar

from django.contrib.auth import get_user_model
from django.contrib.sessions.backends.db import SessionStore as DjangoStore
from django.contrib.sessions.serializers import JSONSerializer

from django_multistore.engine import SessionStore
from django_multistore.stores import stores

from . import rounds, timing
from .columns import PAYLOADS, Column, Driver, Engine, data_of

OPERATIONS = {
    "load": "load",
    "save": "load, modify, save",
    "create": "create",
    "delete": "delete",
}
TARGETS = {  # in times of the raw driver
    "postgres": {"load": 2.0, "save": 1.8, "create": 1.5, "delete": 1.3},
    "sqlite": {"load": 9.0, "save": 9.0, "create": 4.0, "delete": 4.0},
}
PEER_TARGET = 2.0  # in times of ours

RAW, OURS, PREPARED = "raw driver", "OrmStore", "OrmStore, prepared"
DJANGO, QSESSIONS = "Django db", "qsessions db"
PEERS = (DJANGO, QSESSIONS)


class PreparedStore(SessionStore):
    """Our engine on a connection that may prepare statements on the server."""

    store_alias = "prepared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One operation on sessions of one size."""

    raw: ClassVar[str] = RAW
    ours: ClassVar[str] = OURS
    peers: ClassVar[tuple[str, ...]] = PEERS

    operation: str
    payload: str
    times: timing.Times

    @property
    def raw_microseconds(self) -> float:
        return median(self.times[self.raw]) * 1e6

    @property
    def columns(self) -> list[str]:
        """What was measured beside the raw driver."""
        return [column for column in self.times if column != self.raw]

    def to_raw(self, column: str) -> float:
        """Return how many times as long as the raw driver a column takes."""
        return timing.ratio(self.times, column, self.raw)

    @property
    def best_peer(self) -> float:
        """How many times as long as ours the best peer takes."""
        return min(timing.ratio(self.times, peer, self.ours) for peer in self.peers)


def measure(turns: int) -> list[Row]:
    """
    Measure every row on the default database.

    Args:
        turns: how many rounds.
    """
    user = get_user_model().objects.create_user("bench")
    return [
        row
        for payload, letters in PAYLOADS.items()
        for row in _measure(payload, user.pk, letters, turns)
    ]


def _measure(payload: str, user_id: int, letters: int, turns: int) -> list[Row]:
    # Only now: as a module it could not be imported before Django has started.
    from qsessions.backends.db import SessionStore as QSessionsStore  # noqa: PLC0415

    data = data_of(user_id, letters)
    columns: dict[str, Column] = {
        RAW: Driver(data, JSONSerializer()),
        OURS: Engine(SessionStore, data),
        PREPARED: Engine(PreparedStore, data),
        DJANGO: Engine(DjangoStore, data),
        QSESSIONS: Engine(QSessionsStore, data),
    }
    if PreparedStore.store_alias not in stores:
        del columns[PREPARED]
    times = rounds.measured(columns, ("create", "load", "save", "delete"), turns)
    return [
        Row(operation=operation, payload=payload, times=times[operation])
        for operation in OPERATIONS
    ]
