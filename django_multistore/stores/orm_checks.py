"""What OrmStore asks of its database's settings."""

from __future__ import annotations

from django.core.checks import CheckMessage, Warning
from django.db import connections

SQLITE_MIN_TIMEOUT = 5  # seconds; the driver's default


def check_database(alias: str, using: str) -> list[CheckMessage]:
    """
    Warn of settings under which concurrent writers fail.

    Args:
        alias: the store's.
        using: the database's.
    """
    connection = connections[using]
    if connection.vendor != "sqlite":
        return []
    options = connection.settings_dict.get("OPTIONS", {})
    wanted = {
        "transaction_mode": (
            str(options.get("transaction_mode", "")).upper() in ("IMMEDIATE", "EXCLUSIVE"),
            '"transaction_mode": "IMMEDIATE"',
        ),
        "init_command": (
            "journal_mode=wal" in str(options.get("init_command", "")).lower().replace(" ", ""),
            '"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"',
        ),
        "timeout": (
            options.get("timeout", SQLITE_MIN_TIMEOUT) >= SQLITE_MIN_TIMEOUT,
            '"timeout": 20',
        ),
    }
    missing = [setting for is_set, setting in wanted.values() if not is_set]
    if not missing:
        return []
    return [
        Warning(
            f"Session store {alias!r} is on the SQLite database {using!r}, whose writers will "
            "shut each other out: a save may fail with 'database is locked'.",
            hint=f"Set DATABASES[{using!r}]['OPTIONS'] to {{{', '.join(missing)}}}.",
            id="django_multistore.W002",
        )
    ]
