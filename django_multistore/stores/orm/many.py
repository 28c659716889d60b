"""
Statements over many rows of a table, for what moves all sessions.

PostgreSQL takes the rows as one array for each column. Elsewhere they are written in turn, in one
transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
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

# Lists of these go as one text, which the driver takes in a tenth of the time of an array: none of
# them has a comma.
AS_TEXT = {
    "id", "key", "payload", "version",
    "created_at", "authenticated_at", "last_seen_at", "expires_at",
}  # fmt: skip
UNPACK = "STRING_TO_ARRAY(%s, ',', '')"
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
    alias: str,
    records: Sequence[SessionRecord],
    changed: Collection[str] | None,
    connection: BaseDatabaseWrapper,
) -> set[str]:
    """Write records over those of their keys and versions, and return the keys of these."""
    if changed is None or not AS_TEXT.issuperset(changed):
        return _run(UPDATE, COLUMNS, _build_rows(alias, records), [clock.now()], connection)
    names = ("key", "version", *(name for name in COLUMNS if name in changed))
    rows = [{name: getattr(record, name) for name in names} for record in records]
    return _run(UPDATE, names, rows, [clock.now()], connection)


def retire_many(records: Sequence[SessionRecord], connection: BaseDatabaseWrapper) -> set[str]:
    """Delete the records of these keys and versions, and return the keys of those deleted."""
    rows = [{"key": record.key, "version": record.version} for record in records]
    return _run(RETIRE, ("key", "version"), rows, [], connection)


def _build_rows(alias: str, records: Sequence[SessionRecord]) -> list[dict[str, Any]]:
    return [
        build_row(alias, each) | {"payload": each.payload, "version": each.version}
        for each in records
    ]


def _write_list(name: str, rows: Sequence[dict[str, Any]]) -> Any:
    values = [row[name] for row in rows]
    if name not in AS_TEXT:
        return values
    if name == "payload":
        return ",".join([rf"\x{payload.hex()}" for payload in values])
    return ",".join(["" if value is None else str(value) for value in values])


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
        arrays=", ".join(
            f"{UNPACK if name in AS_TEXT else '%s'}::{fields[name].db_type(connection)}[]"
            for name in columns
        ),
        assignments=", ".join(
            f"{names[name]} = new.{names[name]}" for name in columns if name not in UNCHANGED
        ),
        key=names["key"],
        version=names["version"],
        expires_at=names["expires_at"],
    )
    arrays = [_write_list(name, rows) for name in columns]
    with connection.cursor() as cursor:
        cursor.execute(sql, [*arrays, *values])
        return {key for (key,) in cursor.fetchall()}
