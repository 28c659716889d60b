"""How much a transaction sees of what others commit meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import connections, transaction

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

READ_COMMITTED = "read committed"
# At these levels a transaction sees what there was when it first looked.
SNAPSHOTS = {"repeatable read", "serializable"}


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

    Args:
        using: the database's alias.

    Returns:
        As "repeatable read"; empty where the level makes no difference to a session.
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
