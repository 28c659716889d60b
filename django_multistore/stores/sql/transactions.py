"""Transactions: what they see of others, which are open, and what follows from how they end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import Error, connections, transaction

from ...records import Fate

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


READ_COMMITTED = "read committed"
# At these levels a transaction sees what there was when it first looked.
SNAPSHOTS = {"repeatable read", "serializable"}


def is_open(connection: BaseDatabaseWrapper) -> bool:
    """Say whether what was written just now can be rolled back."""
    is_connected = connection.connection is not None
    return connection.in_atomic_block or (is_connected and not connection.autocommit)


def is_managed(connection: BaseDatabaseWrapper) -> bool:
    """Say whether Django ends the open transaction, and not the site, with autocommit off."""
    return connection.in_atomic_block and connection.commit_on_exit


def list_open() -> list[BaseDatabaseWrapper]:
    """Return the connections of this thread that are in a transaction."""
    return [each for each in connections.all(initialized_only=True) if is_open(each)]


@contextmanager
def savepoints() -> Iterator[None]:
    """Leave every open transaction as it was, if what is inside fails."""
    with _savepoints(list_open()):
        yield


@contextmanager
def _savepoints(open_ones: Sequence[BaseDatabaseWrapper]) -> Iterator[None]:
    # lost_transactions.py reads the contexts of errors, which an ExitStack would take from them.
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


def follow(fate: Fate | None, connection: BaseDatabaseWrapper) -> None:
    """Tell what becomes of a write that was done just now, if a transaction may undo it."""
    if fate is None or not is_open(connection):
        return
    blocks: list[Any] = connection.atomic_blocks
    if blocks and all(block._from_testcase for block in blocks):
        return  # Nobody needs to hear what the end of a test undoes; and tests count hooks.
    if not is_managed(connection):
        fate.is_unknown = True  # Django tells nobody how a transaction ends that it didn't begin.
        return
    hook = fate.settle
    connection.on_commit(hook)
    fate.depends_on(lambda: has_hook(connection, hook))
    _settle_first(connection)


def _settle_first(connection: BaseDatabaseWrapper) -> None:
    # These hooks come before the site's: one of those may write the session once more, or fail, and
    # then Django calls none of the others, though all is committed.
    name = "run_and_clear_commit_hooks"
    if name in vars(connection):
        return

    def run() -> None:
        delattr(connection, name)  # This brings the method of the class back.
        hooks: list[Any] = connection.run_on_commit
        for _, hook, _ in hooks:
            if isinstance(getattr(hook, "__self__", None), Fate):
                hook()
        connection.run_and_clear_commit_hooks()

    setattr(connection, name, run)


def has_hook(connection: BaseDatabaseWrapper, hook: Callable[[], Any]) -> bool:
    """Say whether a function still waits for the commit: no rollback has taken it away."""
    hooks: list[Any] = connection.run_on_commit
    return any(function is hook for _, function, _ in hooks)


@contextmanager
def own_transaction(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """
    Run a transaction that sees at each statement what has been committed until then.

    It costs no statement where that is the level of the connection's transactions anyhow.
    """
    begin = BEGINNINGS.get(connection.vendor, _leave_as_it_is)
    with begin(connection), transaction.atomic(using=connection.alias, savepoint=False):
        yield


@contextmanager
def _leave_as_it_is(connection: BaseDatabaseWrapper) -> Iterator[None]:
    yield


@contextmanager
def _begin_on_postgresql(connection: Any) -> Iterator[None]:
    # The driver sends the level with the BEGIN. Django sets the same attribute, from OPTIONS.
    from django.db.backends.postgresql.psycopg_any import IsolationLevel  # noqa: PLC0415

    driver = connection.connection
    before = driver.isolation_level
    driver.isolation_level = IsolationLevel.READ_COMMITTED
    try:
        yield
    finally:
        if not driver.closed:
            driver.isolation_level = before


@contextmanager
def _begin_on_mysql(connection: Any) -> Iterator[None]:
    # Django sets the level when it connects, by default to this one.
    if connection.isolation_level != READ_COMMITTED:
        with connection.cursor() as cursor:
            # The level holds for the next transaction only.
            cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
    yield


BEGINNINGS = {"postgresql": _begin_on_postgresql, "mysql": _begin_on_mysql}


def read_level(using: str) -> str:
    """
    Return the isolation level of a database's transactions, as far as settings and server say.

    It is written as "repeatable read", and empty where it makes no difference to a session.
    """
    connection = connections[using]
    ask = QUESTIONS.get(connection.vendor)
    if ask is None:
        return ""
    connection.ensure_connection()  # With that Django reads the settings.
    return ask(connection).lower().replace("-", " ").replace("_", " ")


def _ask_postgresql(connection: Any) -> str:
    if "isolation_level" in connection.settings_dict["OPTIONS"]:
        name: str = connection.isolation_level.name
        return name
    with connection.cursor() as cursor:  # The default is the server's, or the role's.
        cursor.execute("SHOW default_transaction_isolation")
        (level,) = cursor.fetchone()
    return str(level)


def _ask_mysql(connection: Any) -> str:
    if connection.isolation_level:
        return str(connection.isolation_level)
    with connection.cursor() as cursor:
        # MariaDB calls it tx_isolation, and only newer ones know the other name.
        cursor.execute(
            "SHOW VARIABLES WHERE Variable_name IN ('transaction_isolation', 'tx_isolation')"
        )
        ((_, level), *_) = cursor.fetchall()
    return str(level)


QUESTIONS: dict[str, Callable[[Any], str]] = {"postgresql": _ask_postgresql, "mysql": _ask_mysql}
