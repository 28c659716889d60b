"""Locks by which the logins of one user follow each other, so that what each counts stays true."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from django.db import Error, connections

from ..sql.pooled_table import PooledTable
from ..sql.table import Table
from ..sql.transactions import is_open

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

PATIENCE = 10  # seconds
LONGEST_PAUSE = 0.05  # seconds
ASK_POSTGRESQL = "SELECT pg_try_advisory_xact_lock(%s)"

Result = TypeVar("Result")


def run_locked(table: Table, user_id: str, action: Callable[[], Result]) -> Result:
    """
    Count a user's sessions and add to them, while nobody else does.

    The action is run again if another transaction crossed it.

    Raises:
        StoreUnavailable: the database could not be asked, or others took too long.
    """
    connection = connections[table.database]
    if connection.vendor == "mysql":
        return _run_with_named_lock(connection, table, user_id, action)
    take_lock = LOCKS.get(connection.vendor)

    def act() -> Result:
        if take_lock is not None:
            take_lock(connection, table, user_id)
        return action()

    return table.transact(act)


async def arun_locked(
    table: PooledTable, user_id: str, action: Callable[[], Awaitable[Result]]
) -> Result:
    """See run_locked(). The table has a pool here, which is PostgreSQL's."""

    async def act() -> Result:
        await _alock_on_postgresql(table, user_id)
        return await action()

    return await table.atransact(act)


def _lock_on_postgresql(connection: BaseDatabaseWrapper, table: Table, user_id: str) -> None:
    # The lock is the transaction's own, which a connection pool between can't lose. It is asked for
    # again and again: lock_timeout would have to be set for the caller's transaction, and would
    # take that along when it runs out.
    number, give_up_at = compute_lock_number(user_id), time.monotonic() + PATIENCE
    with connection.cursor() as cursor:
        while True:
            cursor.execute(ASK_POSTGRESQL, [number])
            if cursor.fetchone() == (True,):
                return
            if time.monotonic() >= give_up_at:
                raise table.build_timeout("another login of the user", PATIENCE)
            time.sleep(random.uniform(0, LONGEST_PAUSE))  # noqa: S311


async def _alock_on_postgresql(table: PooledTable, user_id: str) -> None:
    number, give_up_at = compute_lock_number(user_id), time.monotonic() + PATIENCE
    while True:
        if await table.aask(ASK_POSTGRESQL, [number]) == [(True,)]:
            return
        if time.monotonic() >= give_up_at:
            raise table.build_timeout("another login of the user", PATIENCE)
        await asyncio.sleep(random.uniform(0, LONGEST_PAUSE))  # noqa: S311


def _lock_on_sqlite(connection: BaseDatabaseWrapper, table: Table, user_id: str) -> None:
    # SQLite has one writer at a time. By a DELETE of nothing this transaction becomes it.
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {table.quoted_name} WHERE 0")  # noqa: S608 - our own table


LOCKS = {"postgresql": _lock_on_postgresql, "sqlite": _lock_on_sqlite}


def _run_with_named_lock(
    connection: BaseDatabaseWrapper, table: Table, user_id: str, action: Callable[[], Result]
) -> Result:
    # A named lock belongs to no transaction. Within a caller's it is released before the commit,
    # so that two logins can miss each other there.
    name = f"multistore:{compute_lock_number(user_id)}"
    with table.translate_errors(), connection.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK(%s, %s)", [name, PATIENCE])
        if cursor.fetchone() != (1,):
            raise table.build_timeout("another login of the user", PATIENCE)
        try:
            return action()
        finally:
            try:
                cursor.execute("DO RELEASE_LOCK(%s)", [name])
            except Error:
                # What was part of a transaction may be gone. Otherwise all is committed, and the
                # lock goes with the connection.
                if is_open(connection):
                    raise
                with suppress(Error):
                    connection.close()


def compute_lock_number(user_id: str) -> int:
    """Return the number that stands for a user in the names of locks."""
    digest = hashlib.sha256(f"django_multistore:{user_id}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)
