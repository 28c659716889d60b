"""One login of a user after the other, so that what each counts stays true until it is written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from django.db import OperationalError, connections, transaction

from ..exceptions import StoreUnavailable
from .database_errors import is_deadlock
from .table import DEADLOCK_ATTEMPTS, Table

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

PATIENCE = 10  # seconds

Result = TypeVar("Result")


def in_turn(table: Table, user_id: str, action: Callable[[], Result]) -> Result:
    """
    Run what counts a user's sessions and adds to them, while nobody else does.

    Args:
        table: that has the sessions.
        user_id: whose they are.
        action: reads and writes the table. Run again if it was undone by a deadlock.

    Raises:
        StoreUnavailable: the database could not be asked, or others took too long.
    """
    connection = connections[table.database]
    turn = TURNS.get(connection.vendor, _transaction)
    for attempts_left in reversed(range(DEADLOCK_ATTEMPTS)):
        try:
            with table.outages_translated(), turn(connection, table, user_id):
                return action()
        except StoreUnavailable as error:
            if not (attempts_left and is_deadlock(error.__cause__)) or connection.in_atomic_block:
                raise
    raise AssertionError("The last attempt returns or raises.")


@contextmanager
def _transaction(connection: BaseDatabaseWrapper, table: Table, user_id: str) -> Iterator[None]:
    with transaction.atomic(using=connection.alias, savepoint=False):
        yield


@contextmanager
def _postgresql(connection: BaseDatabaseWrapper, table: Table, user_id: str) -> Iterator[None]:
    # The transaction's own lock, which a connection pool between can't lose.
    with _transaction(connection, table, user_id), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_number_of(user_id)])
        yield


@contextmanager
def _sqlite(connection: BaseDatabaseWrapper, table: Table, user_id: str) -> Iterator[None]:
    # There is one writer at a time: this becomes it.
    with _transaction(connection, table, user_id), connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {table.quoted_name} WHERE 0")  # noqa: S608 - our own table
        yield


@contextmanager
def _mysql(connection: BaseDatabaseWrapper, table: Table, user_id: str) -> Iterator[None]:
    # No transaction holds a named lock. In a caller's it is given up before that commits, so
    # that there two logins can miss each other.
    name = f"multistore:{_number_of(user_id)}"
    with connection.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK(%s, %s)", [name, PATIENCE])
        if cursor.fetchone() != (1,):
            raise OperationalError("other logins of the user took too long")
        try:
            yield
        finally:
            cursor.execute("DO RELEASE_LOCK(%s)", [name])


TURNS = {"postgresql": _postgresql, "sqlite": _sqlite, "mysql": _mysql}


def _number_of(user_id: str) -> int:
    digest = hashlib.sha256(f"django_multistore:{user_id}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)
