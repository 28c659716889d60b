"""Remove many expired sessions while another process saves one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection

from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.contrib.sessions.backends.db import SessionStore as DjangoStore
from django.db import DatabaseError, connection

from django_multistore.engine import SessionStore
from django_multistore.exceptions import StoreUnavailable

from . import databases, filling

EXPIRED, LIVE = 300_000, 300_000  # sessions

WARM_UP = 50  # saves
# UpdateError: Django's engine takes a database that is locked for a session that was deleted.
LOST = (DatabaseError, StoreUnavailable, UpdateError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """What a process that saved one session all the time met with."""

    saves: int
    lost: int
    longest: float  # seconds that a save took


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One way to remove what has expired."""

    way: str
    removed: int
    live: int
    seconds: float
    writer: Writer


def measure(part: int = 1) -> list[Row]:
    """
    Measure each way on a fresh table.

    Args:
        part: measure 1/part of the sessions.
    """
    ways: dict[str, tuple[str, type[SessionBase], Callable[[], object]]] = {
        "OrmStore gc": (filling.OURS, SessionStore, SessionStore.clear_expired),
        "one DELETE": (filling.OURS, SessionStore, _delete),
        "Django db clear_expired": (filling.DJANGO, DjangoStore, DjangoStore.clear_expired),
    }
    return [_measure(way, *what, part=part) for way, what in ways.items()]


def _measure(
    way: str, statement: str, engine: type[SessionBase], remove: Callable[[], object], *, part: int
) -> Row:
    expired, live = EXPIRED // part, LIVE // part
    filling.empty(statement, "default")
    filling.fill(statement, "default", count=expired, begin=filling.EXPIRED)
    filling.fill(statement, "default", count=live, begin=filling.LIVE)
    filling.tidy("default")
    ours, theirs = get_context("spawn").Pipe()
    writer = get_context("spawn").Process(target=_write, args=(engine.__module__, theirs))
    writer.start()
    theirs.close()  # Should the writer die, recv() must not wait for it.
    ours.recv()
    began = time.perf_counter()
    remove()
    seconds = time.perf_counter() - began
    ours.send("enough")
    met = ours.recv()
    writer.join()
    return Row(way=way, removed=expired, live=live, seconds=seconds, writer=met)


def _delete() -> None:
    with connection.cursor() as cursor:
        now = "now()" if connection.vendor == "postgresql" else "strftime('%Y-%m-%d %H:%M:%f000')"
        cursor.execute(f"DELETE FROM django_multistore_storedsession WHERE expires_at <= {now}")


def _write(engine: str, pipe: Connection) -> None:
    databases.set_up()
    store = SessionStore if engine == SessionStore.__module__ else DjangoStore
    session = store()
    session["number"] = -1
    session.save()
    for number in range(WARM_UP):
        _save(store(session.session_key), number)
    pipe.send("ready")
    times: list[float] = []
    lost = 0
    while not pipe.poll():
        began = time.perf_counter()
        try:
            _save(store(session.session_key), len(times) + WARM_UP)
        except LOST:
            lost += 1
        times.append(time.perf_counter() - began)
    pipe.send(Writer(saves=len(times), lost=lost, longest=max(times)))


def _save(session: SessionBase, number: int) -> None:
    session["number"] = number
    session.save()
