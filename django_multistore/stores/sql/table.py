"""One table in the database: its statements run, its outages told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from django.db import Error, connections, models, router

from ...exceptions import InvalidStore, NotSupported, StoreUnavailable
from ...records import Fate
from ...session import clock
from ..outages import Outages
from ..retries import backoff
from . import transactions
from .clocks import time_there
from .errors import is_conflict, is_outage, is_table_missing
from .isolation import SNAPSHOTS, level_of, own_transaction
from .writer import Statement

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

# Of what was undone only because another transaction crossed it. All of them take half a second.
ATTEMPTS = 15

Result = TypeVar("Result")


class Table:
    """A store's table, in the database that its option DATABASE names."""

    def __init__(
        self,
        outages: Outages,
        chosen: str | None,
        model: type[models.Model],
        write_statements: Callable[[str], dict[str, Statement]],
    ) -> None:
        """
        Take the store's option DATABASE, and its table there.

        Args:
            outages: of the store whose table it is.
            chosen: the alias of its database. None: the database routers say which it is.
            model: the table.
            write_statements: writes the statements by name, for a database's alias.

        Raises:
            InvalidStore: DATABASES has no such alias.
        """
        if chosen is not None and chosen not in connections:
            raise InvalidStore(
                f"SESSION_STORES[{outages.alias!r}]['OPTIONS']['DATABASE'] is {chosen!r}, which "
                f"isn't in DATABASES. Name one of {', '.join(map(repr, connections))}."
            )
        self._outages = outages
        self._model = model
        self._chosen = chosen
        self._write_statements = write_statements
        self._statements: dict[str, dict[str, Statement]] = {}
        self._levels: dict[str, str] = {}
        self._thread = threading.local()  # Has `is_in_own` in a transaction of transact().

    @property
    def database(self) -> str:
        """The alias of the table's database."""
        return self._chosen or router.db_for_write(self._model)

    @property
    def quoted_name(self) -> str:
        """The table's name, as its database's SQL has it."""
        return connections[self.database].ops.quote_name(self._model._meta.db_table)

    def is_in_transaction(self) -> bool:
        """Say whether what is written now can be rolled back."""
        connection = connections[self.database]
        with self.outages_translated():
            connection.ensure_connection()
        return transactions.is_open(connection)

    def is_in_snapshot(self) -> bool:
        """Say whether this is in a transaction that doesn't see what is committed meanwhile."""
        if getattr(self._thread, "is_in_own", False) or not self.is_in_transaction():
            return False
        using = self.database
        if using not in self._levels:  # Asked for once: a server's default is seldom changed.
            with self.outages_translated():
                self._levels[using] = level_of(using)
        return self._levels[using] in SNAPSHOTS

    def now(self) -> datetime:
        """
        Return what time it is by the database's clock, or by this host's if that is behind.

        For what ends sessions for others: a host whose clock is ahead must not.
        """
        here, there = clock.now(), self.run(time_there)
        return here if there is None else min(here, there)

    def fetch(self, name: str, values: dict[str, Any]) -> list[list[Any]]:
        """Run a statement by its name and return its rows."""
        statement = self._statement(name)
        return self.run(lambda connection: _rows(statement, values, connection))

    def execute(self, name: str, values: dict[str, Any]) -> int:
        """Run a statement by its name and return how many rows it changed."""
        statement = self._statement(name)
        return self.run(lambda connection: _row_count(statement, values, connection))

    def rows(self, queryset: models.QuerySet[Any, Result]) -> list[Result]:
        """Run a query on the table's database and return what it finds."""
        return self.run(lambda connection: list(queryset.all()))

    def run(self, statement: Callable[[BaseDatabaseWrapper], Result]) -> Result:
        """
        Run one statement, again if it was undone by another transaction that crossed it.

        Raises:
            StoreUnavailable: the database could not be asked.
            InvalidStore: the table isn't there.
        """
        connection = connections[self.database]
        try:
            return statement(connection)
        except Error as error:
            # MariaDB finds single statements in each other's way, which come to a row by
            # different indexes; and at higher isolation levels one meets what has changed since.
            # Alone in its transaction it can simply go again.
            if transactions.is_open(connection) or not is_conflict(error):
                self._raise_translated(error)
        with self.outages_translated():
            return _again(lambda: statement(connection))

    def transact(self, action: Callable[[], Result]) -> Result:
        """
        Run statements in one transaction: the caller's, or else one of their own.

        Args:
            action: what runs them. In a transaction of its own it is run again if that was undone
                by another one that crossed it.

        Raises:
            StoreUnavailable: the database could not be asked.
            InvalidStore: the table isn't there.
        """
        if self.is_in_transaction():
            with self.outages_translated():
                return action()
        connection = connections[self.database]

        def attempt() -> Result:
            self._thread.is_in_own = True
            try:
                with own_transaction(connection):
                    return action()
            finally:
                self._thread.is_in_own = False

        try:
            with self.outages_translated():
                return _again(attempt)
        except StoreUnavailable as outage:
            outage.loses_transaction = False  # It was no one else's.
            raise

    def once_more_after_commit(self, action: Callable[[], object]) -> None:
        """
        Have done after the commit what can't look past the snapshot of the caller's transaction.

        Args:
            action: finds nothing more to do, if all was seen.

        Raises:
            NotSupported: nobody tells when the transaction ends.
        """
        connection = connections[self.database]
        if not transactions.is_managed(connection):
            raise NotSupported(
                f"Session store {self._outages.alias!r}: with autocommit off, and the database "
                f"{self.database!r} at isolation level {self._levels[self.database]!r}, sessions "
                "that were committed since the transaction began can't be seen, nor ended. Do it "
                "in transaction.atomic() with autocommit on, or set the isolation level to "
                "'read committed'."
            )
        connection.on_commit(action)

    def follow(self, fate: Fate | None) -> None:
        """Tell what becomes of a write that was done just now."""
        transactions.follow(fate, connections[self.database])

    def took_too_long(self, what: str, seconds: float) -> StoreUnavailable:
        """Say that others kept this from its turn, for the caller to raise."""
        return StoreUnavailable(
            f"Session store {self._outages.alias!r}: {what} took longer than {seconds:g} s, and "
            "nothing was written. Look for a transaction that began with a login and is still "
            f"open in the database {self.database!r}."
        )

    @contextmanager
    def outages_translated(self) -> Iterator[None]:
        """Raise StoreUnavailable or InvalidStore in place of the database's errors."""
        try:
            yield
        except Error as error:
            self._raise_translated(error)

    def _statement(self, name: str) -> Statement:
        using = self.database
        try:
            return self._statements[using][name]
        except KeyError:
            self._statements[using] = self._write_statements(using)
            return self._statements[using][name]

    def _raise_translated(self, error: Error) -> NoReturn:
        connection = connections[self.database]
        translated = self._translated(error)
        if transactions.is_open(connection) and transactions.is_lost(connection, error):
            transactions.doom(connection, translated)
            if isinstance(translated, StoreUnavailable):
                translated.loses_transaction = True
        if translated is error:
            raise error
        raise translated from error

    def _translated(self, error: Error) -> Exception:
        if is_table_missing(error):
            return InvalidStore(
                f"Session store {self._outages.alias!r}: the database {self.database!r} has no "
                f"table {self._model._meta.db_table!r}. Run 'manage.py migrate "
                f"--database {self.database} django_multistore'."
            )
        return self._outages.unavailable(error) if is_outage(error) else error


def _again(attempt: Callable[[], Result]) -> Result:
    """Try until no other transaction crosses this one, with pauses of random length."""
    *pauses, last_pause = backoff(ATTEMPTS)
    for pause in pauses:
        time.sleep(pause)
        try:
            return attempt()
        except (Error, StoreUnavailable) as error:
            if not is_conflict(error):
                raise
    time.sleep(last_pause)
    return attempt()


def _rows(
    statement: Statement, values: dict[str, Any], connection: BaseDatabaseWrapper
) -> list[list[Any]]:
    with connection.cursor() as cursor:
        cursor.execute(statement.sql, statement.bind(values, connection))
        return [statement.convert(row, connection) for row in cursor.fetchall()]


def _row_count(
    statement: Statement, values: dict[str, Any], connection: BaseDatabaseWrapper
) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement.sql, statement.bind(values, connection))
        count: int = cursor.rowcount
        return count
