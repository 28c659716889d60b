"""What a database's error means, by the codes that its server gives."""

from __future__ import annotations

import re
from collections.abc import Iterator

from django.db import Error, InterfaceError, InternalError, OperationalError

# InternalError: the server has become a read-only replica, or the transaction is already
# broken. Neither says anything about the session.
OUTAGES = (OperationalError, InterfaceError, InternalError)

# https://www.postgresql.org/docs/current/errcodes-appendix.html
POSTGRES_UNDEFINED_TABLE = "42P01"
POSTGRES_UNDEFINED_COLUMN = "42703"
POSTGRES_SERIALIZATION_FAILURE = "40001"
POSTGRES_DEADLOCK = "40P01"
# https://mariadb.com/kb/en/mariadb-error-code-reference/
MARIADB_RECORD_HAS_CHANGED = 1020  # It comes from 11.6 on, for a row newer than the snapshot.
MYSQL_NO_SUCH_TABLE = 1146
MYSQL_NO_SUCH_COLUMN = 1054
MYSQL_LOCK_WAIT_TIMEOUT = 1205
MYSQL_LOCK_TABLE_FULL = 1206
MYSQL_DEADLOCK = 1213
MYSQL_CLIENT_ERRORS = range(2000, 3000)  # The connection is gone, or out of step.
# https://www.sqlite.org/rescode.html
SQLITE_CORRUPT = 11
SQLITE_NOT_A_DATABASE = 26

MISSING_TABLE = {POSTGRES_UNDEFINED_TABLE, MYSQL_NO_SUCH_TABLE}
MISSING_COLUMN = {POSTGRES_UNDEFINED_COLUMN, MYSQL_NO_SUCH_COLUMN}
# SQLite has no code of its own for it.
SQLITE_MISSING_COLUMN = re.compile("no such column|has no column named")
CONFLICTS = {
    POSTGRES_SERIALIZATION_FAILURE,
    POSTGRES_DEADLOCK,
    MARIADB_RECORD_HAS_CHANGED,
    MYSQL_DEADLOCK,
}
UNDOING = {MARIADB_RECORD_HAS_CHANGED, MYSQL_LOCK_TABLE_FULL, MYSQL_DEADLOCK}
# These are outages whatever class a driver gives them: mysql-connector raises a bare DatabaseError
# for a lock, and sqlite3 one for a file that is no database.
OUTAGE_CODES = CONFLICTS | {MYSQL_LOCK_WAIT_TIMEOUT, SQLITE_CORRUPT, SQLITE_NOT_A_DATABASE}


def is_outage(error: Error) -> bool:
    """Say whether the database could not be asked, so that nothing is known."""
    return isinstance(error, OUTAGES) or not OUTAGE_CODES.isdisjoint(list_codes(error))


def is_table_missing(error: Error) -> bool:
    """Say whether the statement named a table that isn't there."""
    return not MISSING_TABLE.isdisjoint(list_codes(error)) or str(error).startswith("no such table")


def is_column_missing(error: Error) -> bool:
    """Say whether the statement named a column that its table doesn't have."""
    return not MISSING_COLUMN.isdisjoint(list_codes(error)) or bool(
        SQLITE_MISSING_COLUMN.search(str(error))
    )


def is_conflict(error: BaseException | None) -> bool:
    """Say whether the server undid a transaction only because another crossed it."""
    return error is not None and not CONFLICTS.isdisjoint(list_codes(error))


def undoes_transaction(error: BaseException) -> bool:
    """Say whether MariaDB or MySQL has surely undone a whole transaction by this error."""
    return any(
        code in UNDOING or (isinstance(code, int) and code in MYSQL_CLIENT_ERRORS)
        for code in list_codes(error)
    )


def list_codes(error: BaseException) -> set[object]:
    """Return the codes that an error carries, wherever its driver puts them."""
    # A store's own error has Django's as its cause, and that one the driver's.
    chain = (error, error.__cause__, error.__cause__ and error.__cause__.__cause__)
    return {code for each in chain if each for code in _list_own_codes(each) if code is not None}


def _list_own_codes(error: BaseException) -> Iterator[object]:
    # psycopg has sqlstate, psycopg2 pgcode; sqlite3 sqlite_errorcode. The drivers of MySQL have
    # the number first, and some beside it a sqlstate that is the same for many numbers.
    for name in ("sqlstate", "pgcode", "errno", "sqlite_errorcode"):
        yield getattr(error, name, None)
    first = error.args[0] if error.args else None
    # Any other first argument is text, or an object that need not have a hash.
    yield first if isinstance(first, int) else None
