"""One login of a user after the other, so that what each counts stays true until it is written."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from django.db import Error, connections

from ..sql.table import Table
from ..sql.transactions import is_open

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

PATIENCE = 10  # seconds
LONGEST_PAUSE = 0.05  # seconds
OTHERS = "another login of the user"

Result = TypeVar("Result")


def run_locked(table: Table, user_id: str, action: Callable[[], Result]) -> Result:
    """
    Run what counts a user's sessions and adds to them, while nobody else does.

    Args:
        table: that has the sessions.
        user_id: whose they are.
        action: reads and writes the table. Run again if it was undone by what crossed it.

    Raises:
        StoreUnavailable: the database could not be asked, or others took too long.
    """
    connection = connections[table.database]
    if connection.vendor == "mysql":
        return _with_named_lock(connection, table, user_id, action)
    wait = WAITS.get(connection.vendor)

    def turn() -> Result:
        if wait is not None:
            wait(connection, table, user_id)
        return action()

    return table.transact(turn)


def _wait_on_postgresql(connection: BaseDatabaseWrapper, table: Table, user_id: str) -> None:
    # The transaction's own lock, which a connection pool between can't lose. It is asked for again
    # and again: lock_timeout would have to be set for the caller's transaction, and what runs out
    # by that takes the transaction along.
    number, give_up_at = _number_of(user_id), time.monotonic() + PATIENCE
    with connection.cursor() as cursor:
        while True:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [number])
            if cursor.fetchone() == (True,):
                return
            if time.monotonic() >= give_up_at:
                raise table.took_too_long(OTHERS, PATIENCE)
            time.sleep(random.uniform(0, LONGEST_PAUSE))  # noqa: S311


def _wait_on_sqlite(connection: BaseDatabaseWrapper, table: Table, user_id: str) -> None:
    # There is one writer at a time: this becomes it.
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {table.quoted_name} WHERE 0")  # noqa: S608 - our own table


WAITS = {"postgresql": _wait_on_postgresql, "sqlite": _wait_on_sqlite}


def _with_named_lock(
    connection: BaseDatabaseWrapper, table: Table, user_id: str, action: Callable[[], Result]
) -> Result:
    # No transaction holds a named lock. In a caller's it is given up before that commits, so
    # that there two logins can miss each other.
    name = f"multistore:{_number_of(user_id)}"
    with table.outages_translated(), connection.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK(%s, %s)", [name, PATIENCE])
        if cursor.fetchone() != (1,):
            raise table.took_too_long(OTHERS, PATIENCE)
        try:
            return action()
        finally:
            try:
                cursor.execute("DO RELEASE_LOCK(%s)", [name])
            except Error:
                # What was part of a transaction may be gone; what was done by itself is done, and
                # with the connection the lock goes as well.
                if is_open(connection):
                    raise
                with suppress(Error):
                    connection.close()


def _number_of(user_id: str) -> int:
    digest = hashlib.sha256(f"django_multistore:{user_id}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)
