"""
Statements over many rows of a table, for what moves all sessions.

PostgreSQL takes the rows as one array for each column. Elsewhere they are written in turn, in one
transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...models import StoredSession
from ...records import SessionRecord
from ...session import clock
from ..sql.dialect import build_row

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

CREATE = """
INSERT INTO {table} ({columns}) SELECT * FROM UNNEST({arrays})
ON CONFLICT DO NOTHING RETURNING {key}
"""
UPDATE = """
UPDATE {table} AS old SET {assignments}, {version} = old.{version} + 1
FROM UNNEST({arrays}) AS new ({columns})
WHERE old.{key} = new.{key} AND old.{version} = new.{version} AND old.{expires_at} > %s
RETURNING old.{key}
"""
RETIRE = """
DELETE FROM {table} AS old USING UNNEST({arrays}) AS new ({columns})
WHERE old.{key} = new.{key} AND old.{version} = new.{version}
RETURNING old.{key}
"""

COLUMNS = (
    "id", "key", "payload", "version", "user_id", "created_at", "authenticated_at",
    "last_seen_at", "expires_at", "ip_address", "user_agent", "actor_id",
)  # fmt: skip
UNCHANGED = ("id", "key", "version", "created_at")


def takes_arrays(connection: BaseDatabaseWrapper) -> bool:
    """Say whether these statements are for this database."""
    return connection.vendor == "postgresql"


def create_many(
    alias: str, records: Sequence[SessionRecord], connection: BaseDatabaseWrapper
) -> set[str]:
    """Insert records, and return the keys of those that were free."""
    return _run(CREATE, COLUMNS, _build_rows(alias, records), [], connection)


def update_many(
    alias: str, records: Sequence[SessionRecord], connection: BaseDatabaseWrapper
) -> set[str]:
    """Write records over those of their keys and versions, and return the keys of these."""
    return _run(UPDATE, COLUMNS, _build_rows(alias, records), [clock.now()], connection)


def retire_many(
    alias: str, records: Sequence[SessionRecord], connection: BaseDatabaseWrapper
) -> set[str]:
    """Delete the records of these keys and versions, and return the keys of those deleted."""
    return _run(RETIRE, ("key", "version"), _build_rows(alias, records), [], connection)


def _build_rows(alias: str, records: Sequence[SessionRecord]) -> list[dict[str, Any]]:
    return [
        build_row(alias, each) | {"payload": each.payload, "version": each.version}
        for each in records
    ]


def _run(
    text: str,
    columns: Sequence[str],
    rows: Sequence[dict[str, Any]],
    values: Sequence[Any],
    connection: BaseDatabaseWrapper,
) -> set[str]:
    quote = connection.ops.quote_name
    fields: dict[str, Any] = {each.name: each for each in StoredSession._meta.concrete_fields}
    names = {name: quote(field.column) for name, field in fields.items()}
    sql = text.format(
        table=quote(StoredSession._meta.db_table),
        columns=", ".join(names[name] for name in columns),
        arrays=", ".join(f"%s::{fields[name].db_type(connection)}[]" for name in columns),
        assignments=", ".join(
            f"{names[name]} = new.{names[name]}" for name in COLUMNS if name not in UNCHANGED
        ),
        key=names["key"],
        version=names["version"],
        expires_at=names["expires_at"],
    )
    arrays = [[row[name] for row in rows] for name in columns]
    binary = connection.Database.Binary  # type: ignore[attr-defined]
    if "payload" in columns:
        place = columns.index("payload")
        arrays[place] = [binary(payload) for payload in arrays[place]]
    with connection.cursor() as cursor:
        cursor.execute(sql, [*arrays, *values])
        return {key for (key,) in cursor.fetchall()}
