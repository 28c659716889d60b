"""What a store in a database asks of its isolation level."""

from __future__ import annotations

from django.core.checks import CheckMessage, Warning
from django.db import Error, connections

from .isolation import SNAPSHOTS, level_of

READ_COMMITTED = {
    "postgresql": "'isolation_level': IsolationLevel.READ_COMMITTED (from "
    "django.db.backends.postgresql.psycopg_any import IsolationLevel)",
    "mysql": "'isolation_level': 'read committed'",
}


def check_isolation(alias: str, using: str) -> list[CheckMessage]:
    """
    Warn of transactions that don't see what is committed meanwhile.

    Args:
        alias: the store's.
        using: the database's, which is asked for its default.
    """
    try:
        level = level_of(using)
    except Error:
        return []  # Whatever is wrong with the database, others say it.
    if level not in SNAPSHOTS:
        return []
    remedy = READ_COMMITTED[connections[using].vendor]
    return [
        Warning(
            f"Session store {alias!r} is on the database {using!r}, whose transactions are at "
            f"isolation level {level!r}. Inside of one, as with ATOMIC_REQUESTS, a session that "
            "another request has changed since it began can't be saved, and one that began since "
            "can't be listed.",
            hint=f"Set DATABASES[{using!r}]['OPTIONS'] to {{{remedy}}}, or use sessions outside of "
            "transactions. See docs/checks.md#w020.",
            id="django_multistore.W020",
        )
    ]
