"""One table of a database: it runs statements, and translates the errors they meet."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from django.db import Error, connections, models, router

from ...exceptions import InvalidStore, NotSupported, StoreUnavailable
from ...records import Fate
from ...session import clock
from ..attempts import Outages, backoff
from . import lost_transactions, transactions
from .clocks import read_clock
from .dialect import Statement
from .errors import is_column_missing, is_conflict, is_outage, is_table_missing
from .transactions import SNAPSHOTS, own_transaction, read_level

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

# So often a statement or a transaction is run again that others crossed: half a second in all.
ATTEMPTS = 15

Result = TypeVar("Result")


class Table:
    """A store's table, in the database that its option DATABASE names."""

    def __init__(
        self,
        outages: Outages,
        chosen: str | None,
        model: type[models.Model],
        write_statements: Callable[[BaseDatabaseWrapper], dict[str, Statement]],
    ) -> None:
        """Take what the store's option DATABASE has chosen, or raise InvalidStore."""
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
        self._thread = threading.local()  # It has `is_in_own` within a transaction of transact().

    @property
    def database(self) -> str:
        """The alias of the table's database."""
        return self._chosen or router.db_for_write(self._model)

    @property
    def name(self) -> str:
        """The table's name in its database."""
        return self._model._meta.db_table

    @property
    def quoted_name(self) -> str:
        """The table's name, as its database's SQL has it."""
        return connections[self.database].ops.quote_name(self._model._meta.db_table)

    def is_in_transaction(self) -> bool:
        """Say whether what is written now can be rolled back."""
        connection = connections[self.database]
        with self.translate_errors():
            connection.ensure_connection()
        return transactions.is_open(connection)

    def is_in_snapshot(self) -> bool:
        """Say whether the caller's transaction doesn't see what is committed meanwhile."""
        if getattr(self._thread, "is_in_own", False) or not self.is_in_transaction():
            return False
        using = self.database
        if using not in self._levels:  # It is asked once: a server's default is seldom changed.
            with self.translate_errors():
                self._levels[using] = read_level(using)
        return self._levels[using] in SNAPSHOTS

    def now(self) -> datetime:
        """
        Return what time it is by the database's clock, or by this host's if that is behind.

        What ends sessions for others goes by it: a host whose clock is ahead must not end any.
        """
        here, there = clock.now(), self.run(read_clock)
        return here if there is None else min(here, there)

    def fetch(self, name: str, values: dict[str, Any]) -> list[list[Any]]:
        """Run a statement by its name and return its rows."""
        statement = self._find_statement(name)
        return self.run(partial(_fetch_rows, statement, values))

    def execute(self, name: str, values: dict[str, Any], fate: Fate | None = None) -> int:
        """
        Run a statement by its name and return how many rows it changed.

        Args:
            name: of the statement.
            values: of its parameters.
            fate: to be told what becomes of the write, if it changed any.
        """
        statement = self._find_statement(name)
        changed = self.run(partial(_count_changed, statement, values))
        if changed:
            self.follow(fate)
        return changed

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
            # On MariaDB two statements that come to a row by different indexes can deadlock, and at
            # higher isolation levels one can meet what has changed since. A statement that is
            # alone in its transaction can simply be run again.
            if transactions.is_open(connection) or not is_conflict(error):
                self._raise_translated(error)
        with self.translate_errors():
            return _try_again(lambda: statement(connection))

    def transact(self, action: Callable[[], Result]) -> Result:
        """
        Run statements in one transaction: the caller's, or else one of their own.

        In one of their own they are run again if that was undone by another one that crossed it.
        Errors are translated as in run().
        """
        if self.is_in_transaction():
            with self.translate_errors():
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
            with self.translate_errors():
                return _try_again(attempt)
        except StoreUnavailable as outage:
            outage.loses_transaction = False  # The transaction was this method's own.
            raise

    def repeat_after_commit(self, action: Callable[[], object]) -> None:
        """
        Run something again after the commit, when it sees what the caller's snapshot lacks.

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

    def after_commit(self, action: Callable[[], object]) -> None:
        """Call something once the caller's transaction is committed. See BaseStore."""
        connection = connections[self.database]
        if not transactions.is_open(connection):
            action()
        elif transactions.is_managed(connection):
            connection.on_commit(action)

    def follow(self, fate: Fate | None) -> None:
        """Tell what becomes of a write that was done just now."""
        transactions.follow(fate, connections[self.database])

    def build_timeout(self, what: str, seconds: float) -> StoreUnavailable:
        """Return the error to raise when others have held a lock for too long."""
        return StoreUnavailable(
            f"Session store {self._outages.alias!r}: {what} took longer than {seconds:g} s, and "
            "nothing was written. Look for a transaction that began with a login and is still "
            f"open in the database {self.database!r}."
        )

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Raise StoreUnavailable or InvalidStore in place of the database's errors."""
        try:
            yield
        except Error as error:
            self._raise_translated(error)

    def _find_statement(self, name: str) -> Statement:
        using = self.database
        try:
            return self._statements[using][name]
        except KeyError:
            self._statements[using] = self._write_statements(connections[using])
            return self._statements[using][name]

    def _raise_translated(self, error: Error) -> NoReturn:
        connection = connections[self.database]
        translated = self._translate(error)
        if transactions.is_open(connection) and lost_transactions.is_lost(connection, error):
            lost_transactions.doom(connection, translated)
            if isinstance(translated, StoreUnavailable):
                translated.loses_transaction = True
        if translated is error:
            raise error
        raise translated from error

    def _translate(self, error: Error) -> Exception:
        behind = explain_old_schema(self._outages.alias, self.database, self._model, error)
        if behind is not None:
            return behind
        return self._outages.unavailable(error) if is_outage(error) else error


def explain_old_schema(
    alias: str, using: str, model: type[models.Model], error: Error
) -> InvalidStore | None:
    """Return what to raise if a store's table, or a column, isn't there; else None."""
    table = model._meta.db_table
    if is_table_missing(error):
        flaw = f"has no table {table!r}"
    elif is_column_missing(error):
        flaw = f"has a table {table!r} of an older release: {' '.join(str(error).split())}"
    else:
        return None
    return InvalidStore(
        f"Session store {alias!r}: the database {using!r} {flaw}. Run 'manage.py migrate "
        f"--database {using} django_multistore'."
    )


def _try_again(attempt: Callable[[], Result]) -> Result:
    """Run something again, after pauses of random length, until no other transaction crosses it."""
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


def _fetch_rows(
    statement: Statement, values: dict[str, Any], connection: BaseDatabaseWrapper
) -> list[list[Any]]:
    with connection.cursor() as cursor:
        cursor.execute(statement.sql, statement.bind(values, connection))
        return [statement.convert(row, connection) for row in cursor.fetchall()]


def _count_changed(
    statement: Statement, values: dict[str, Any], connection: BaseDatabaseWrapper
) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement.sql, statement.bind(values, connection))
        count: int = cursor.rowcount
        return count
