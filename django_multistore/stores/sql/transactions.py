"""
The transactions that are open around a statement: the site's, which must not end in silence.

Django ends a block without an error, and answers as if all were well, when the transaction was
undone by something that nobody raised to its end: PostgreSQL takes a COMMIT of a transaction that
has failed for a ROLLBACK, MariaDB and MySQL undo a deadlock's victim as a whole, and Django itself
rolls back what needs_rollback says.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

from asgiref.sync import sync_to_async
from django.db import Error, connections, transaction

from ...exceptions import TransactionLost
from ...records import Fate
from .errors import MYSQL_LOCK_WAIT_TIMEOUT, codes_of, undoes_transaction

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

# Of PQtransactionStatus(), as psycopg and psycopg2 have them.
# https://www.postgresql.org/docs/current/libpq-status.html
POSTGRES_IS_WHOLE, POSTGRES_HAS_FAILED, POSTGRES_IS_GONE = 2, 3, 4


def is_open(connection: BaseDatabaseWrapper) -> bool:
    """Say whether what was written just now can be rolled back."""
    is_connected = connection.connection is not None
    return connection.in_atomic_block or (is_connected and not connection.autocommit)


def is_managed(connection: BaseDatabaseWrapper) -> bool:
    """Say whether Django ends the open transaction, and not the site, with autocommit off."""
    return connection.in_atomic_block and connection.commit_on_exit


def open_transactions() -> list[BaseDatabaseWrapper]:
    """Return the connections of this thread that are in a transaction."""
    return [
        connection for connection in connections.all(initialized_only=True) if is_open(connection)
    ]


@contextmanager
def savepoints() -> Iterator[None]:
    """Leave every transaction that is open as it was, if what is inside fails."""
    with _savepoints(open_transactions()):
        yield


@contextmanager
def _savepoints(open_ones: Sequence[BaseDatabaseWrapper]) -> Iterator[None]:
    # Not by an ExitStack, which takes their contexts from the errors that pass it: see _Doom.
    if not open_ones:
        yield
        return
    with _savepoint(open_ones[0]), _savepoints(open_ones[1:]):
        yield


@contextmanager
def _savepoint(connection: BaseDatabaseWrapper) -> Iterator[None]:
    was_in_block, is_entered = connection.in_atomic_block, False
    try:
        with transaction.atomic(using=connection.alias):
            is_entered = True
            yield
    except Error:
        if not is_entered:
            # With autocommit off, Django takes the block for entered though it was not.
            connection.in_atomic_block = was_in_block
        raise


def is_lost(connection: BaseDatabaseWrapper, error: BaseException) -> bool:
    """
    Say whether an error has undone more of an open transaction than the statement that met it.

    Args:
        connection: that has it.
        error: the last one that came up in it.
    """
    if connection.needs_rollback or connection.connection is None:
        return True
    return LOOKS.get(connection.vendor, _is_unusable)(connection, error)


def loss_by(errors: Iterable[Exception]) -> Exception | None:
    """
    Look for the error that has lost a transaction which is open, and have that end in it.

    Args:
        errors: that came up and were caught.

    Returns:
        One to raise; None if each transaction is as whole as before.
    """
    for connection in open_transactions():
        for error in errors:
            if is_lost(connection, error):
                doom(connection, error)
                return error
    return None


async def aloss_by(errors: Iterable[Exception]) -> Exception | None:
    """See loss_by(). It looks in the thread that has the connections."""
    return await sync_to_async(loss_by)(errors)


def doom(connection: BaseDatabaseWrapper, error: Exception) -> None:
    """
    Have an open transaction that is lost end in an error, whoever catches this one.

    A rollback to a savepoint from before the error lifts it, where there still is one.

    Args:
        connection: that has the transaction.
        error: what to raise in place of a commit, or of a rollback in silence.
    """
    standing = getattr(vars(connection).get("commit"), "__self__", None)
    if isinstance(standing, _Doom) and standing.is_in_force:
        return
    _Doom(connection, error)
    if connection.vendor == "sqlite":
        with suppress(Error), connection.cursor() as cursor:
            cursor.execute("BEGIN")  # Else each statement to come would be committed by itself.


def follow(fate: Fate | None, connection: BaseDatabaseWrapper) -> None:
    """Tell what becomes of a write that was done just now, if a transaction may undo it."""
    if fate is None or not is_open(connection):
        return
    blocks: list[Any] = connection.atomic_blocks
    if blocks and all(block._from_testcase for block in blocks):
        return  # The end of a test undoes it, which is nobody's news; and tests count hooks.
    if not is_managed(connection):
        fate.is_unknown = True  # Django tells nobody how a transaction ends that it didn't begin.
        return
    hook = fate.settle
    connection.on_commit(hook)
    fate.depends_on(lambda: _has_hook(connection, hook))
    _settle_first(connection)


def _settle_first(connection: BaseDatabaseWrapper) -> None:
    # Before the hooks of the site: one may write the session once more, or fail, and then Django
    # calls none of the others, though all is committed.
    name = "run_and_clear_commit_hooks"
    if name in vars(connection):
        return

    def run() -> None:
        delattr(connection, name)  # The class's is there again.
        hooks: list[Any] = connection.run_on_commit
        for _, hook, _ in hooks:
            if isinstance(getattr(hook, "__self__", None), Fate):
                hook()
        connection.run_and_clear_commit_hooks()

    setattr(connection, name, run)


class _Doom:
    """
    Stands in for a connection's commit() and rollback(), of which the next one ends the block.

    Django has no hook for a rollback. It has one for a commit, and forgets it with each savepoint
    that is rolled back: so the mark is one, which is looked for and not meant to be called.
    set_rollback() is for the site to call; Django itself sets needs_rollback.
    """

    METHODS = ("commit", "rollback", "set_rollback")

    def __init__(self, connection: BaseDatabaseWrapper, error: Exception) -> None:
        self._connection = connection
        self._error = error
        # What was being handled already when the error came up does not leave the block.
        self._handled = [each for each in _contexts(sys.exception()) if each is not error]
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
        return _has_hook(self._connection, self._mark)

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
            self._lift()  # Then it is no news to the site. Of an inner block it says nothing more.
        type(self._connection).set_rollback(self._connection, rollback)

    def _is_healed(self) -> bool:
        # By a savepoint that the site has made by hand, which Django's hooks know nothing of. There
        # can be none from after the error: PostgreSQL refuses all until it is rolled back to one.
        if self._connection.vendor != "postgresql" or self._connection.connection is None:
            return False
        return _postgres_status(self._connection) == POSTGRES_IS_WHOLE

    def _lift(self) -> bool:
        is_in_force = self.is_in_force
        for name in self.METHODS:
            delattr(self._connection, name)  # The class's are there again.
        return is_in_force

    def _roll_back(self) -> None:
        try:
            self._connection.rollback()
        except Error:
            with suppress(Error):  # As Django does; a driver may refuse to close twice.
                self._connection.close()

    def _raise(self) -> NoReturn:
        if not isinstance(self._error, Error):
            raise self._error
        # Django takes an error of the database in a rollback for a lost connection, and drops it.
        raise TransactionLost(
            f"A transaction of the database {self._connection.alias!r} was undone by an error that "
            f"was caught ({type(self._error).__name__}). Nothing of it was written. Catch such an "
            "error outside of an atomic() block of its own."
        ) from self._error


def _contexts(error: BaseException | None) -> list[BaseException]:
    chain: list[BaseException] = []
    # Which may be a ring: some raise an error's cause while they handle the error.
    while error is not None and not any(error is known for known in chain):
        chain.append(error)
        error = error.__context__
    return chain


def _has_hook(connection: BaseDatabaseWrapper, hook: Callable[[], Any]) -> bool:
    hooks: list[Any] = connection.run_on_commit
    return any(function is hook for _, function, _ in hooks)


def _has_savepoints(connection: BaseDatabaseWrapper, error: BaseException) -> bool:
    """Say whether the server still has those of a transaction that is lost."""
    if connection.connection is None:
        return False
    if connection.vendor == "postgresql":
        return _postgres_status(connection) != POSTGRES_IS_GONE
    # It may be lost because Django says so: needs_rollback.
    return not LOOKS.get(connection.vendor, _is_unusable)(connection, error)


# Of a transaction that an error came up in: whether it is lost. To ask costs what an error may.


def _is_lost_on_postgresql(connection: BaseDatabaseWrapper, error: BaseException) -> bool:
    return _postgres_status(connection) in (POSTGRES_HAS_FAILED, POSTGRES_IS_GONE)


def _postgres_status(connection: Any) -> int:
    return int(connection.connection.info.transaction_status)


def _is_lost_on_mysql(connection: Any, error: BaseException) -> bool:
    if not connection.errors_occurred:
        return False  # It is another database's, whose numbers may mean as much.
    if undoes_transaction(error):
        return True
    try:
        # Not by Django's cursor, which refuses while needs_rollback is set; nor by ping(), by which
        # PyMySQL connects again.
        with connection.wrap_database_errors, connection.connection.cursor() as cursor:
            cursor.execute("SELECT @@innodb_rollback_on_timeout")
            (undoes_on_timeout,) = cursor.fetchone()
    except Error:
        return True
    return bool(undoes_on_timeout) and MYSQL_LOCK_WAIT_TIMEOUT in codes_of(error)


def _is_lost_on_sqlite(connection: Any, error: BaseException) -> bool:
    # A full disk, for one, makes it roll back by itself.
    return not connection.connection.in_transaction


def _is_unusable(connection: BaseDatabaseWrapper, error: BaseException) -> bool:
    return not connection.is_usable()


LOOKS: dict[str, Callable[[Any, BaseException], bool]] = {
    "postgresql": _is_lost_on_postgresql,
    "mysql": _is_lost_on_mysql,
    "sqlite": _is_lost_on_sqlite,
}
