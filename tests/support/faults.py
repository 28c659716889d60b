"""Errors that strike a statement, with all that they undo, as the database would have it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self
from unittest.mock import patch

from django.db import OperationalError, connections

from django_multistore.exceptions import StoreUnavailable
from django_multistore.stores.base import BaseStore
from django_multistore.testing import INTERFACE

Execute = Callable[..., Any]
Fault = Callable[[Execute, Any], None]


def _raised_by_postgres(code: str) -> Fault:
    # The server raises it itself, so that the transaction has failed as it would have.
    def strike(execute: Execute, context: Any) -> None:
        sql = f"DO $$ BEGIN RAISE EXCEPTION 'struck' USING ERRCODE = '{code}'; END $$"
        execute(sql, None, False, context)

    return strike


def _signalled_by_mysql(number: int, *, undoes_all: bool) -> Fault:
    def strike(execute: Execute, context: Any) -> None:
        if undoes_all:
            execute("ROLLBACK", None, False, context)
        sql = f"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {number}, MESSAGE_TEXT = 'struck'"
        execute(sql, None, False, context)

    return strike


def _said_by_sqlite(text: str, *, undoes_all: bool) -> Fault:
    def strike(execute: Execute, context: Any) -> None:
        if undoes_all and context["connection"].connection.in_transaction:
            context["connection"].connection.execute("ROLLBACK")
        raise OperationalError(text)

    return strike


def cut(execute: Execute, context: Any) -> None:
    """Have the server end the connection, from another one."""
    connection = context["connection"]
    if connection.vendor == "postgresql":
        end = f"SELECT pg_terminate_backend({connection.connection.info.backend_pid}, 5000)"
    else:
        end = f"KILL {connection.connection.thread_id()}"
    another = connection.copy()
    try:
        with another.cursor() as cursor:
            cursor.execute(end)
    finally:
        another.close()
    while True:  # Until the server has done it, statements still come through.
        execute("SELECT 1", None, False, context)


FAULTS: dict[str, dict[str, Fault]] = {
    "postgresql": {
        "deadlock": _raised_by_postgres("40P01"),
        "serialization failure": _raised_by_postgres("40001"),
        "lock timeout": _raised_by_postgres("55P03"),
        "cut connection": cut,
    },
    "mysql": {
        "deadlock": _signalled_by_mysql(1213, undoes_all=True),
        "record has changed": _signalled_by_mysql(1020, undoes_all=True),
        "lock timeout": _signalled_by_mysql(1205, undoes_all=False),
        "cut connection": cut,
    },
    "sqlite": {
        "locked": _said_by_sqlite("database is locked", undoes_all=False),
        "full": _said_by_sqlite("database or disk is full", undoes_all=True),
    },
}

# What undoes no more than the statement.
OF_A_STATEMENT = {("mysql", "lock timeout"), ("sqlite", "locked")}


class Strike:
    """A fault that comes up once: in place of one of the package's statements inside it."""

    def __init__(self, alias: str, fault: Fault, number: int) -> None:
        """
        Prepare for it.

        Args:
            alias: the database's.
            fault: what comes up.
            number: in place of which statement, counted from 1.
        """
        self._connection = connections[alias]
        self._fault = fault
        self._left = number

    @property
    def has_come(self) -> bool:
        return self._left <= 0

    def __enter__(self) -> Self:
        self._wrapper = self._connection.execute_wrapper(self._execute)
        self._wrapper.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._wrapper.__exit__(kind, error, traceback)

    def _execute(self, execute: Execute, sql: str, params: Any, many: bool, context: Any) -> Any:
        if _is_of_the_package():
            self._left -= 1
            if self._left == 0:
                return self._fault(execute, context)
        return execute(sql, params, many, context)


def _is_of_the_package() -> bool:
    """Say whether a statement is run by the package, or by a receiver that it calls."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        name = frame.f_globals["__name__"]
        # The whole view is called by the middleware.
        if name.startswith("django_multistore.") and name != "django_multistore.middleware":
            return True
    return False


class Outage:
    """A store that can't be asked, once: at one of the calls inside it."""

    def __init__(self, store: BaseStore, number: int) -> None:
        """
        Prepare for it.

        Args:
            store: what can't be asked.
            number: at which call of its methods or their async is_async, counted from 1.
        """
        self._store = store
        self._left = number
        self._patches = ExitStack()

    @property
    def has_come(self) -> bool:
        return self._left <= 0

    def __enter__(self) -> Self:
        for name in INTERFACE:
            self._patch(name, self._counted)
            self._patch(f"a{name}", self._acounted)
        return self

    def __exit__(self, *exception: object) -> None:
        self._patches.close()

    def _patch(self, name: str, counted: Callable[[Any], Any]) -> None:
        own = getattr(self._store, name)
        self._patches.enter_context(patch.object(self._store, name, counted(own)))

    def _counted(self, own: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            self._count()
            return own(*arguments, **options)

        return call

    def _acounted(self, own: Any) -> Any:
        async def call(*arguments: Any, **options: Any) -> Any:
            self._count()
            return await own(*arguments, **options)

        return call

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise StoreUnavailable("struck")
