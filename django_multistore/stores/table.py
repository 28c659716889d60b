"""One table in the database: its statements run, its outages told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from django.db import (
    DatabaseError,
    InterfaceError,
    ProgrammingError,
    connections,
    models,
    router,
)

from ..exceptions import InvalidStore
from .base import BaseStore
from .database_errors import OUTAGES, is_deadlock, is_table_missing
from .statements import Statement

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

DEADLOCK_ATTEMPTS = 10
TRANSLATED = (*OUTAGES, ProgrammingError)

Result = TypeVar("Result")


class Table:
    """A store's table, in the database that its option DATABASE names."""

    def __init__(
        self,
        store: BaseStore,
        model: type[models.Model],
        write_statements: Callable[[str], dict[str, Statement]],
    ) -> None:
        """
        Take the place of the store's option DATABASE.

        Args:
            store: whose table it is.
            model: the table.
            write_statements: writes the statements by name, for a database's alias.

        Raises:
            InvalidStore: DATABASES has no such alias.
        """
        chosen = store.options["DATABASE"]
        if chosen is not None and chosen not in connections:
            raise InvalidStore(
                f"SESSION_STORES[{store.alias!r}]['OPTIONS']['DATABASE'] is {chosen!r}, which "
                f"isn't in DATABASES. Name one of {', '.join(map(repr, connections))}."
            )
        self._store = store
        self._model = model
        self._chosen: str | None = chosen
        self._write_statements = write_statements
        self._statements: dict[str, dict[str, Statement]] = {}

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
            return connection.in_atomic_block or not connection.get_autocommit()

    def fetch(self, name: str, values: dict[str, Any]) -> list[list[Any]]:
        """Run a statement by its name and return its rows."""
        statement = self._statement(name)
        return self.run(lambda connection: _rows(statement, values, connection))

    def execute(self, name: str, values: dict[str, Any]) -> int:
        """Run a statement by its name and return how many rows it changed."""
        statement = self._statement(name)
        return self.run(lambda connection: _row_count(statement, values, connection))

    def run(self, statement: Callable[[BaseDatabaseWrapper], Result]) -> Result:
        """
        Run one statement, again if it was undone by a deadlock.

        Raises:
            StoreUnavailable: the database could not be asked.
            InvalidStore: the table isn't there.
        """
        connection = connections[self.database]
        for attempts_left in reversed(range(DEADLOCK_ATTEMPTS)):
            try:
                return statement(connection)
            except TRANSLATED as error:
                # MariaDB finds single statements in each other's way, which come to a row by
                # different indexes. Alone in its transaction one can simply go again.
                is_alone = not connection.in_atomic_block
                if not (attempts_left and is_alone and is_deadlock(error)):
                    self._raise_translated(error)
        raise AssertionError("The last attempt returns or raises.")

    @contextmanager
    def outages_translated(self) -> Iterator[None]:
        """Raise StoreUnavailable or InvalidStore in place of the database's errors."""
        try:
            yield
        except TRANSLATED as error:
            self._raise_translated(error)

    def _statement(self, name: str) -> Statement:
        using = self.database
        try:
            return self._statements[using][name]
        except KeyError:
            self._statements[using] = self._write_statements(using)
            return self._statements[using][name]

    def _raise_translated(self, error: DatabaseError | InterfaceError) -> NoReturn:
        if is_table_missing(error):
            raise InvalidStore(
                f"Session store {self._store.alias!r}: the database {self.database!r} has no "
                f"table {self._model._meta.db_table!r}. Run 'manage.py migrate "
                f"--database {self.database} django_multistore'."
            ) from error
        if isinstance(error, OUTAGES):
            raise self._store.unavailable(error) from error
        raise error


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
