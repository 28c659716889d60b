"""What OrmStore asks of its database: of its settings, of its server, and of what is between."""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from django.core.checks import CheckMessage, Error, Warning
from django.db import Error as AnyDatabaseError
from django.db import NotSupportedError, connections, transaction

from .clocks import check_clock, read_clock
from .transactions import SNAPSHOTS, read_level

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

SQLITE_MIN_TIMEOUT = 5  # seconds; the driver's default

# This is the first version with utf8mb4_0900_bin, which models.py uses.
# https://dev.mysql.com/doc/relnotes/mysql/8.0/en/news-8-0-17.html
MYSQL_MIN_VERSION = (8, 0, 17)

# What sets the level in OPTIONS.
READ_COMMITTED = {
    "postgresql": "'isolation_level': IsolationLevel.READ_COMMITTED (from "
    "django.db.backends.postgresql.psycopg_any import IsolationLevel)",
    "mysql": "'isolation_level': 'read committed'",
}


def check_database(alias: str, using: str) -> list[CheckMessage]:
    """Say what a database can't do for the store, and what its settings keep it from."""
    messages: list[CheckMessage] = []
    for check in (_check_version, _check_sqlite, _check_pooler, _check_clock, _check_isolation):
        # The first use of the database will say what is wrong with it.
        with suppress(AnyDatabaseError):
            messages += check(alias, connections[using])
    return messages


def check_pool(alias: str, using: str, options: dict[str, Any]) -> list[CheckMessage]:
    """Say what a pooler makes of the statements that ASYNC_POOL has prepared, if it says so."""
    if options.get("kwargs", {}).get("prepare_threshold") is None:
        return []
    with suppress(AnyDatabaseError):
        if _shares_prepared_names(connections[using]):
            where = f"SESSION_STORES[{alias!r}]['OPTIONS']['ASYNC_POOL']['kwargs']"
            return [_build_warning(alias, using, where)]
    return []


def _check_isolation(alias: str, connection: BaseDatabaseWrapper) -> list[CheckMessage]:
    """Warn of transactions that don't see what is committed meanwhile."""
    using = connection.alias
    level = read_level(using)
    if level not in SNAPSHOTS:
        return []
    remedy = READ_COMMITTED[connection.vendor]
    return [
        Warning(
            f"Session store {alias!r} is on the database {using!r}, whose transactions are at "
            f"isolation level {level!r}. Inside of one, as with ATOMIC_REQUESTS, a session that "
            "another request has changed since it began can't be saved, and one that began since "
            "can't be listed.",
            hint=f"Set DATABASES[{using!r}]['OPTIONS'] to {{{remedy}}}, or use sessions outside of "
            "transactions.",
            id="django_multistore.W020",
        )
    ]


def _check_version(alias: str, connection: BaseDatabaseWrapper) -> list[CheckMessage]:
    if connection.vendor == "sqlite":  # There is no server: Python brings it.
        return []
    try:
        # Django checks it with the first connection of a process, which may be long ago.
        connection.check_database_version_supported()
        reason = _explain_version(connection)
    except NotSupportedError as error:
        reason = str(error)
    except NotImplementedError:
        return []  # A backend that isn't Django's need not know versions.
    if not reason:
        return []
    return [
        Error(
            f"Session store {alias!r}: the server of the database {connection.alias!r} is too "
            f"old. {reason}",
            hint=f"Upgrade it, or set DATABASES[{connection.alias!r}] to another one.",
            id="django_multistore.E015",
        )
    ]


def _explain_version(connection: Any) -> str:
    if connection.vendor != "mysql" or connection.mysql_is_mariadb:
        return ""
    version = connection.get_database_version()
    if version >= MYSQL_MIN_VERSION:
        return ""
    wanted, found = (".".join(map(str, numbers)) for numbers in (MYSQL_MIN_VERSION, version))
    return f"MySQL {wanted} or later is required (found {found})."


def _check_sqlite(alias: str, connection: BaseDatabaseWrapper) -> list[CheckMessage]:
    if connection.vendor != "sqlite":
        return []
    options = connection.settings_dict.get("OPTIONS", {})
    mode, command = str(options.get("transaction_mode")), str(options.get("init_command"))
    wanted = {
        '"transaction_mode": "IMMEDIATE"': mode.upper() in ("IMMEDIATE", "EXCLUSIVE"),
        '"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"': (
            "journal_mode=wal" in command.lower().replace(" ", "")
        ),
        '"timeout": 20': options.get("timeout", SQLITE_MIN_TIMEOUT) >= SQLITE_MIN_TIMEOUT,
    }
    missing = [setting for setting, is_set in wanted.items() if not is_set]
    if not missing:
        return []
    return [
        Warning(
            f"Session store {alias!r} is on the SQLite database {connection.alias!r}, whose "
            "writers will shut each other out: a save may fail with 'database is locked'.",
            hint=f"Set DATABASES[{connection.alias!r}]['OPTIONS'] to {{{', '.join(missing)}}}.",
            id="django_multistore.W002",
        )
    ]


def _check_pooler(alias: str, connection: BaseDatabaseWrapper) -> list[CheckMessage]:
    options = connection.settings_dict.get("OPTIONS", {})
    if connection.vendor != "postgresql" or options.get("prepare_threshold") is None:
        return []
    if not _shares_prepared_names(connection):
        return []
    where = f"DATABASES[{connection.alias!r}]['OPTIONS']"
    return [_build_warning(alias, connection.alias, where)]


def _build_warning(alias: str, using: str, where: str) -> Warning:
    return Warning(
        f"Session store {alias!r}: the database {using!r} is behind a pooler that "
        "doesn't keep its clients' prepared statements apart, and 'prepare_threshold' has "
        "each client prepare some under the same names: where one server connection serves "
        "several, statements fail, or another client's is run.",
        hint="Use PgBouncer 1.21 or later with max_prepared_statements above 0, or remove "
        f"'prepare_threshold' from {where}. If it pools by sessions, silence this check.",
        id="django_multistore.W026",
    )


def _check_clock(alias: str, connection: BaseDatabaseWrapper) -> list[CheckMessage]:
    there = read_clock(connection)
    place = f"the database {connection.alias!r}"
    return [] if there is None else check_clock(alias, place, there)


def _shares_prepared_names(connection: Any) -> bool:
    """Say whether the server gets prepared statements by clients' names, through a pooler."""
    # A pooler that tracks them gives them names of its own. The question is asked in one
    # transaction, which has a server connection for itself, and with a name that nobody else has.
    connection.ensure_connection()
    driver = connection.connection
    if not hasattr(driver, "pgconn"):  # psycopg2, which prepares none
        return False
    # PgBouncer says so from 1.26 on. If it pools by sessions, nobody shares a server connection.
    if driver.pgconn.parameter_status(b"pgbouncer.pool_mode") == b"session":
        return False
    name = f"multistore_{secrets.token_hex(8)}"
    threshold, driver.prepare_threshold = driver.prepare_threshold, None
    try:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            # A pooler tells its clients a process id that it makes up.
            if cursor.fetchone() == (driver.info.backend_pid,):
                return False
            driver.pgconn.prepare(name.encode(), b"SELECT 1")
            cursor.execute("SELECT 1 FROM pg_prepared_statements WHERE name = %s", [name])
            is_known = cursor.fetchone() is not None
            if is_known:
                cursor.execute(f"DEALLOCATE {name}")
            return is_known
    finally:
        driver.prepare_threshold = threshold
