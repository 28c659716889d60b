"""What a database's error means, by the codes that its server gives."""

from __future__ import annotations

from django.db import InterfaceError, InternalError, OperationalError

# InternalError: the server has become a read-only replica, or the transaction is already
# broken. Neither says anything about the session.
OUTAGES = (OperationalError, InterfaceError, InternalError)

# https://www.postgresql.org/docs/current/errcodes-appendix.html
POSTGRES_UNDEFINED_TABLE = "42P01"
POSTGRES_DEADLOCK = "40P01"
# https://mariadb.com/kb/en/mariadb-error-code-reference/
MYSQL_NO_SUCH_TABLE = 1146
MYSQL_DEADLOCK = 1213


def is_table_missing(error: BaseException) -> bool:
    """Say whether the statement named a table that isn't there."""
    return _code(error) in (POSTGRES_UNDEFINED_TABLE, MYSQL_NO_SUCH_TABLE) or str(error).startswith(
        "no such table"
    )


def is_deadlock(error: BaseException | None) -> bool:
    """Say whether the server undid the statement because two waited for each other."""
    return error is not None and _code(error) in (POSTGRES_DEADLOCK, MYSQL_DEADLOCK)


def _code(error: BaseException) -> object:
    sqlstate = getattr(error.__cause__, "sqlstate", None)
    return sqlstate or (error.args[0] if error.args else None)
