"""
The site's transactions that are lost, which must not end in silence.

Django ends a block without an error, and answers as if all were well, when the transaction was
undone by something that nobody raised to its end: PostgreSQL takes a COMMIT of a transaction that
has failed for a ROLLBACK, MariaDB and MySQL undo a deadlock's victim as a whole, and Django itself
rolls back what needs_rollback says.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from asgiref.sync import sync_to_async
from django.db import Error

from ...exceptions import TransactionLost
from .errors import MYSQL_LOCK_WAIT_TIMEOUT, list_codes, undoes_transaction
from .transactions import has_hook, is_managed, list_open

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

# What PQtransactionStatus() returns, as psycopg and psycopg2 have it.
# https://www.postgresql.org/docs/current/libpq-status.html
POSTGRES_IS_WHOLE, POSTGRES_HAS_FAILED, POSTGRES_IS_GONE = 2, 3, 4


def is_lost(connection: BaseDatabaseWrapper, error: BaseException) -> bool:
    """Say whether the last error in an open transaction has undone more than its statement."""
    if connection.needs_rollback or connection.connection is None:
        return True
    return LOOKS.get(connection.vendor, _is_unusable)(connection, error)


def find_loss(errors: Iterable[Exception]) -> Exception | None:
    """
    Look for an error that has lost an open transaction, and have the transaction end in it.

    Args:
        errors: came up and were caught.
    """
    for connection in list_open():
        for error in errors:
            if is_lost(connection, error):
                doom(connection, error)
                return error
    return None


async def afind_loss(errors: Iterable[Exception]) -> Exception | None:
    """See find_loss(). The search runs in the thread that has the connections."""
    return await sync_to_async(find_loss)(errors)


def doom(connection: BaseDatabaseWrapper, error: Exception) -> None:
    """
    Have a lost transaction end in an error, even if the site catches this one.

    The error is raised in place of a commit, or of a rollback in silence. A rollback to a savepoint
    from before the error lifts the doom, if the server still has one.
    """
    standing = getattr(vars(connection).get("commit"), "__self__", None)
    if isinstance(standing, _Doom) and standing.is_in_force:
        return
    _Doom(connection, error)
    if connection.vendor == "sqlite":
        with suppress(Error), connection.cursor() as cursor:
            # Without a transaction each statement to come would be committed by itself.
            cursor.execute("BEGIN")


class _Doom:
    """
    It stands in for a connection's commit() and rollback(), of which the next one ends the block.

    Django has no hook for a rollback. It forgets the hooks for a commit that are younger than a
    savepoint to which it rolls back: so a hook is the mark, which is looked for and never called.
    Only the site calls set_rollback(); Django itself sets needs_rollback.
    """

    METHODS = ("commit", "rollback", "set_rollback")

    def __init__(self, connection: BaseDatabaseWrapper, error: Exception) -> None:
        self._connection = connection
        self._error = error
        # What was being handled already when the error came up does not leave the block.
        self._handled = [each for each in _list_contexts(sys.exception()) if each is not error]
        # With autocommit off, the site's own rollback() is what should follow an error.
        self._is_managed = is_managed(connection)
        self._mark: Callable[[], Any] = self._raise
        names = set(connection.savepoint_ids) if _has_savepoints(connection, error) else set()
        self._entry = (names, self._mark, False)
        self._hooks.append(self._entry)
        for name in self.METHODS:
            setattr(connection, name, getattr(self, f"_{name}"))

    @property
    def is_in_force(self) -> bool:
        return has_hook(self._connection, self._mark)

    @property
    def _hooks(self) -> list[Any]:
        hooks: list[Any] = self._connection.run_on_commit
        return hooks

    def _commit(self) -> None:
        is_in_force = self._lift()
        if is_in_force and self._is_healed():
            self._hooks.remove(self._entry)
            is_in_force = False
        if not is_in_force:
            return self._connection.commit()
        self._roll_back()
        self._raise()

    def _rollback(self) -> None:
        is_in_force = self._lift()
        if not is_in_force or not self._is_managed:
            return self._connection.rollback()
        self._roll_back()
        # An exception that leaves the block says by itself that all of it is undone.
        leaving = sys.exception()
        if leaving is None or any(leaving is each for each in self._handled):
            self._raise()

    def _set_rollback(self, rollback: bool) -> None:
        savepoints = [sid for sid in self._connection.savepoint_ids if sid is not None]
        if rollback and not savepoints:
            self._lift()  # The site knows. In an inner block it would speak of that block alone.
        type(self._connection).set_rollback(self._connection, rollback)

    def _is_healed(self) -> bool:
        # A rollback to a savepoint that the site has made by hand heals, and Django's hooks don't
        # know of it. The savepoint is from before the error: after it PostgreSQL makes none.
        if self._connection.vendor != "postgresql" or self._connection.connection is None:
            return False
        return _read_postgres_status(self._connection) == POSTGRES_IS_WHOLE

    def _lift(self) -> bool:
        was_in_force = self.is_in_force
        for name in self.METHODS:
            delattr(self._connection, name)  # This brings the methods of the class back.
        return was_in_force

    def _roll_back(self) -> None:
        try:
            self._connection.rollback()
        except Error:
            with suppress(Error):  # A driver may refuse to close twice.
                self._connection.close()

    def _raise(self) -> NoReturn:
        if not isinstance(self._error, Error):
            raise self._error
        # Django takes a database's error in a rollback for a lost connection, and drops the error.
        raise TransactionLost(
            f"A transaction of the database {self._connection.alias!r} was undone by an error that "
            f"was caught ({type(self._error).__name__}). Nothing of it was written. Catch such an "
            "error outside of an atomic() block of its own."
        ) from self._error


def _list_contexts(error: BaseException | None) -> list[BaseException]:
    chain: list[BaseException] = []
    # The chain may be a ring: some code raises an error's cause while it handles the error.
    while error is not None and not any(error is known for known in chain):
        chain.append(error)
        error = error.__context__
    return chain


def _has_savepoints(connection: BaseDatabaseWrapper, error: BaseException) -> bool:
    """Say whether the server still has the savepoints of a lost transaction."""
    if connection.connection is None:
        return False
    if connection.vendor == "postgresql":
        return _read_postgres_status(connection) != POSTGRES_IS_GONE
    # The transaction may be lost only because Django has set needs_rollback.
    return not LOOKS.get(connection.vendor, _is_unusable)(connection, error)


# These say whether an error has lost the transaction it came up in. Errors are rare, so that they
# may ask the server.


def _is_lost_on_postgresql(connection: BaseDatabaseWrapper, error: BaseException) -> bool:
    return _read_postgres_status(connection) in (POSTGRES_HAS_FAILED, POSTGRES_IS_GONE)


def _read_postgres_status(connection: Any) -> int:
    return int(connection.connection.info.transaction_status)


def _is_lost_on_mysql(connection: Any, error: BaseException) -> bool:
    if not connection.errors_occurred:
        return False  # The error is another database's, whose numbers may mean as much.
    if undoes_transaction(error):
        return True
    try:
        # Django's cursor refuses while needs_rollback is set, and PyMySQL's ping() connects again.
        with connection.wrap_database_errors, connection.connection.cursor() as cursor:
            cursor.execute("SELECT @@innodb_rollback_on_timeout")
            (undoes_on_timeout,) = cursor.fetchone()
    except Error:
        return True
    return bool(undoes_on_timeout) and MYSQL_LOCK_WAIT_TIMEOUT in list_codes(error)


def _is_lost_on_sqlite(connection: Any, error: BaseException) -> bool:
    # A full disk, for one, makes SQLite roll back by itself.
    return not connection.connection.in_transaction


def _is_unusable(connection: BaseDatabaseWrapper, error: BaseException) -> bool:
    return not connection.is_usable()


LOOKS: dict[str, Callable[[Any, BaseException], bool]] = {
    "postgresql": _is_lost_on_postgresql,
    "mysql": _is_lost_on_mysql,
    "sqlite": _is_lost_on_sqlite,
}
