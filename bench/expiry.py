"""
Remove many expired sessions while another process saves one.

What that process meets with is compared with what it meets with while nothing is removed.
"""

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

EXPIRED, LIVE = 1_000_000, 100_000  # sessions
ALONE = 5  # seconds in which the other process saves, and nothing is removed
# At most: times as long as one DELETE; times as long for 99 of 100 saves as alone; seconds of a
# statement; and on SQLite, where others wait for the whole file, seconds of any save.
TARGET, SAVE_TARGET, STATEMENT_TARGET = 2.0, 2.0, 0.5
SQLITE_SAVE_TARGET = 0.3
OURS, ONE_DELETE = "OrmStore gc", "one DELETE"

WARM_UP = 50  # saves
# UpdateError: Django's engine takes a database that is locked for a session that was deleted.
LOST = (DatabaseError, StoreUnavailable, UpdateError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """What a process that saved one session all the time met with."""

    saves: int
    lost: int
    longest: float  # seconds that a save took
    usual: float  # seconds that 99 of 100 saves took at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One way to remove what has expired."""

    way: str
    removed: int
    live: int
    seconds: float
    longest: float  # seconds that a statement took
    alone: Writer
    writer: Writer

    @property
    def save_ratio(self) -> float:
        """How many times as long 99 of 100 saves took at most as they take alone."""
        return self.writer.usual / self.alone.usual


def measure(part: int = 1) -> list[Row]:
    """
    Measure each way on a fresh table.

    Args:
        part: measure 1/part of the sessions.
    """
    ways: dict[str, tuple[str, type[SessionBase], Callable[[], object]]] = {
        OURS: (filling.OURS, SessionStore, SessionStore.clear_expired),
        ONE_DELETE: (filling.OURS, SessionStore, _delete),
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
    alone = ours.recv()
    longest = 0.0

    def timed(execute: Callable[..., object], *args: object) -> object:
        nonlocal longest
        statement_began = time.perf_counter()
        try:
            return execute(*args)
        finally:
            longest = max(longest, time.perf_counter() - statement_began)

    began = time.perf_counter()
    with connection.execute_wrapper(timed):
        remove()
    seconds = time.perf_counter() - began
    ours.send("enough")
    met = ours.recv()
    writer.join()
    return Row(
        way=way,
        removed=expired,
        live=live,
        seconds=seconds,
        longest=longest,
        alone=alone,
        writer=met,
    )


def _delete() -> None:
    with connection.cursor() as cursor:
        now = filling.EXPRESSIONS[connection.vendor]["now"].replace("%%", "%")
        cursor.execute(f"DELETE FROM django_multistore_storedsession WHERE expires_at <= {now}")


def _write(engine: str, pipe: Connection) -> None:
    databases.set_up()
    store = SessionStore if engine == SessionStore.__module__ else DjangoStore
    session = store()
    session["number"] = -1
    session.save()
    for number in range(WARM_UP):
        _save(store(session.session_key), number)
    quiet_until = time.perf_counter() + ALONE
    pipe.send(_save_until(lambda: time.perf_counter() > quiet_until, store, session.session_key))
    pipe.send(_save_until(pipe.poll, store, session.session_key))


def _save_until(
    is_over: Callable[[], bool], store: Callable[[str | None], SessionBase], key: str | None
) -> Writer:
    times: list[float] = []
    lost = 0
    while not is_over():
        began = time.perf_counter()
        try:
            _save(store(key), time.monotonic_ns())
        except LOST:
            lost += 1
        times.append(time.perf_counter() - began)
    times.sort()
    usual = times[len(times) * 99 // 100]
    return Writer(saves=len(times), lost=lost, longest=times[-1], usual=usual)


def _save(session: SessionBase, number: int) -> None:
    session["number"] = number
    session.save()
