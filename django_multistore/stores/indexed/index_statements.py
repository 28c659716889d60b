"""The SQL of the user index, on one page. How to read it is said in stores/sql/dialect.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...models import UserSession
from ..sql.dialect import Statement, Template, write_statements

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

FOUND = ("row_id", "id", "key", "previous_key", "user_id", "last_seen_at", "expires_at", "store")

INSERT = """
{insert_or_ignore_into} {table} ({id}, {key}, {previous_key}, {store},
    {user_id}, {created_at}, {authenticated_at}, {last_seen_at}, {expires_at},
    {ip_address}, {user_agent}, {actor_id})
VALUES (%(id)s, %(key)s, %(previous_key)s, %(store)s,
    %(user_id)s, %(created_at)s, %(authenticated_at)s, %(last_seen_at)s, %(expires_at)s,
    %(ip_address)s, %(user_agent)s, %(actor_id)s)
{on_conflict_do_nothing}
"""
REFRESH = """
UPDATE {table}
SET {authenticated_at} = %(authenticated_at)s,
    {last_seen_at} = %(last_seen_at)s,
    {expires_at} = %(expires_at)s,
    {ip_address} = %(ip_address)s,
    {user_agent} = %(user_agent)s,
    {actor_id} = %(actor_id)s"""
# Not {previous_key} = {key}, which MariaDB would read after it has written it.
MOVE = REFRESH + ", {key} = %(key)s, {previous_key} = %(old_key)s"
DELETE = "DELETE FROM {table}"
SELECT = "SELECT {columns} FROM {table}"
OF_USER = " WHERE {user_id} = %(user_id)s AND {store} = %(store)s"
AT_KEY = OF_USER + " AND {key} = %(key)s"

TEMPLATES = {
    "insert": Template(INSERT),
    "refresh": Template(REFRESH + AT_KEY),
    "move": Template(MOVE + OF_USER + " AND {key} = %(old_key)s"),
    "remove": Template(DELETE + AT_KEY),
    "withdraw": Template(DELETE + AT_KEY + " AND {id} = %(id)s"),
    "confirm": Template(SELECT + AT_KEY, ["row_id"]),
    "rows_of_user": Template(SELECT + OF_USER, FOUND),
}

# Each {marks} is one %s a row. The rows are removed as far as they are where they were read.
REMOVE_ROWS = "DELETE FROM {table} WHERE {row_id} IN ({marks}) AND {key} IN ({marks})"
EXPIRED = " AND {expires_at} <= %s"


def write_index_statements(connection: BaseDatabaseWrapper) -> dict[str, Statement]:
    """Write the statements for one database, by the name of the operation."""
    return write_statements(TEMPLATES, UserSession, connection, typed_as={"old_key": "key"})


def write_removal(count: int, connection: BaseDatabaseWrapper, *, expired: bool) -> str:
    """Write the statement that removes some rows, if expired but those of after the last value."""
    quote = connection.ops.quote_name
    names = {name: quote(name) for name in ("row_id", "key", "expires_at")}
    text = REMOVE_ROWS + EXPIRED if expired else REMOVE_ROWS
    marks = ", ".join(["%s"] * count)
    return text.format(table=quote(UserSession._meta.db_table), marks=marks, **names)
