"""The SQL of OrmStore, on one page. How to read it is said in stores/sql/dialect.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...models import StoredSession
from ..sql.dialect import Statement, Template, write_statements

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

# OrmStore makes a record of a row in this order.
TIMES = ("created_at", "authenticated_at", "last_seen_at", "expires_at")
LISTED = ("id", "key", "version", "user_id", "actor_id", "ip_address", "user_agent", *TIMES)
READ = (*LISTED, "payload")

SELECT = "SELECT {columns} FROM {table}"
COUNT = "SELECT COUNT(*) FROM {table}"
DELETE = "DELETE FROM {table}"

CREATE = """
{insert_or_ignore_into} {table} ({id}, {key}, {payload}, {version},
    {user_id}, {created_at}, {authenticated_at}, {last_seen_at}, {expires_at},
    {ip_address}, {user_agent}, {actor_id})
VALUES (%(id)s, %(key)s, {from_base64}(%(payload)s), %(version)s,
    %(user_id)s, %(created_at)s, %(authenticated_at)s, %(last_seen_at)s, %(expires_at)s,
    %(ip_address)s, %(user_agent)s, %(actor_id)s)
{on_conflict_do_nothing}
"""

UPDATE = """
UPDATE {table}
SET {last_seen_at} = %(last_seen_at)s,
    {expires_at} = %(expires_at)s,
    {ip_address} = %(ip_address)s,
    {user_agent} = %(user_agent)s,
    {payload} = {from_base64}(%(payload)s),
    {user_id} = %(user_id)s,
    {authenticated_at} = %(authenticated_at)s,
    {actor_id} = %(actor_id)s,
    {version} = {version} + 1"""
MOVE = UPDATE + ", {key} = %(key)s"

# An older look than another request's shortens nothing.
TOUCH = """
UPDATE {table}
SET {last_seen_at} = {greatest}({last_seen_at}, %(last_seen_at)s),
    {expires_at} = {greatest}({expires_at}, %(expires_at)s),
    {ip_address} = %(ip_address)s,
    {user_agent} = %(user_agent)s
"""

AT_KEY = " WHERE {key} = %(key)s"
AT_OLD_KEY = " WHERE {key} = %(old_key)s AND {expires_at} > %(now)s"
AT_VERSION = AT_OLD_KEY + " AND {version} = %(version)s"

OF_USER = " WHERE {user_id} = %(user_id)s"
# What is dead by the server's clock must not count against a user's limit, for which a session
# that lives would be ended.
LIVE_OF_USER = OF_USER + " AND {expires_at} > {latest_now}"
SHOWN_OF_USER = OF_USER + " AND {expires_at} > %(now)s"
PAGE = " ORDER BY {last_seen_at} DESC, {id} DESC LIMIT %(size)s OFFSET %(start)s"

# These follow a row in the order of the index on (expires_at, id). The first condition follows from
# the second, and is what the database looks up.
AFTER = """
WHERE {expires_at} >= %(after_expiry)s
    AND ({expires_at} > %(after_expiry)s
        OR ({expires_at} = %(after_expiry)s AND {id} > %(after_id)s))
"""
UP_TO = """
    AND {expires_at} <= %(last_expiry)s
    AND ({expires_at} < %(last_expiry)s
        OR ({expires_at} = %(last_expiry)s AND {id} <= %(last_id)s))
"""
LAST_OF_BATCH = """
    AND {expires_at} <= %(now)s
ORDER BY {expires_at}, {id}
LIMIT 1 OFFSET %(skipped)s
"""

NEXT_BY_ID = """
WHERE {id} > %(after_id)s AND {expires_at} > %(now)s
ORDER BY {id}
LIMIT %(size)s
"""

TEMPLATES = {
    # The store itself looks at expires_at: one more condition is one more value to bind, and one
    # more index for the planner to weigh.
    "read": Template(SELECT + AT_KEY, READ),
    "read_for_update": Template(SELECT + AT_KEY + " {for_update}", READ),
    "create": Template(CREATE),
    "update": Template(UPDATE + AT_VERSION),
    "rotate": Template(MOVE + AT_VERSION),
    "overwrite": Template(MOVE + AT_OLD_KEY),
    "touch": Template(TOUCH + AT_VERSION),
    "destroy": Template(DELETE + AT_KEY),
    "sessions_for_user": Template(SELECT + LIVE_OF_USER, LISTED),
    "sessions_for_user_locked": Template(SELECT + LIVE_OF_USER + " {for_update}", LISTED),
    "page_for_user": Template(SELECT + SHOWN_OF_USER + PAGE, LISTED),
    "count_for_user": Template(COUNT + SHOWN_OF_USER),
    "destroy_for_user": Template(DELETE + OF_USER + " AND {key} <> %(except_key)s"),
    "destroy_session": Template(DELETE + OF_USER + " AND {id} = %(id)s"),
    "make_way": Template(
        DELETE + " WHERE ({key} = %(key)s OR {id} = %(id)s) AND {expires_at} <= %(now)s"
    ),
    "retire": Template(DELETE + AT_KEY + " AND {version} = %(version)s"),
    "scan": Template(SELECT + NEXT_BY_ID, READ),
    "count_expired": Template(COUNT + " WHERE {expires_at} <= %(now)s"),
    "gc_last": Template(SELECT + AFTER + LAST_OF_BATCH, ["expires_at", "id"]),
    "gc": Template(DELETE + AFTER + UP_TO),
}

# Ways through the table as its rows lie, for gc. They lock what they remove before, so that others'
# locks are passed over and not waited for.
PHYSICAL = {
    "postgresql": {
        # How many pages there are, and how many rows a page has. Nothing if rows don't lie in
        # pages, or can't be locked for want of a privilege.
        "gc_extent": Template("""
            SELECT PG_RELATION_SIZE(class.oid) / CURRENT_SETTING('block_size')::bigint,
                CASE WHEN reltuples > 0 AND relpages > 0 THEN reltuples / relpages ELSE 20 END
            FROM pg_class AS class JOIN pg_am AS method ON method.oid = relam AND amname = 'heap'
            WHERE class.oid = '{table}'::regclass AND HAS_ANY_COLUMN_PRIVILEGE(class.oid, 'UPDATE')
        """),
        # As a truth value, expires_at is not looked up in its index, which has what is removed as
        # well until the next VACUUM.
        "gc_pages": Template("""
            DELETE FROM {table}
            WHERE ctid = ANY (ARRAY(
                    SELECT ctid FROM {table}
                    WHERE ctid >= %(first)s::tid AND ctid < %(behind)s::tid
                        AND ({expires_at} <= %(now)s) IS TRUE
                    LIMIT %(size)s FOR UPDATE SKIP LOCKED))
                AND ({expires_at} <= %(now)s) IS TRUE
        """),
    },
    "mysql": {
        "gc_extent": Template("""
            SELECT DATA_LENGTH DIV @@innodb_page_size FROM information_schema.TABLES
            WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %(name)s AND ENGINE = 'InnoDB'
        """),
        "gc_last_id": Template("""
            SELECT {id} FROM {table} FORCE INDEX (PRIMARY)
            WHERE {id} > %(after_id)s
            ORDER BY {id}
            LIMIT 1 OFFSET %(skipped)s
        """),
        # Without the hint, a server that counts few rows would read the whole table for each row,
        # and with it all that is removed and not yet purged.
        "gc_ids": Template("""
            DELETE {table} FROM (
                SELECT {id} AS expired_id FROM {table} FORCE INDEX (PRIMARY)
                WHERE {id} > %(after_id)s AND {id} <= %(last_id)s AND {expires_at} <= %(now)s
                LIMIT %(size)s FOR UPDATE SKIP LOCKED) AS expired
            STRAIGHT_JOIN {table} FORCE INDEX (PRIMARY) ON {table}.{id} = expired_id
            WHERE {table}.{expires_at} <= %(now)s
        """),
    },
}

# The columns of parameters that have other names.
TYPED_AS = {
    "old_key": "key",
    "except_key": "key",
    "now": "expires_at",
    "after_expiry": "expires_at",
    "after_id": "id",
    "last_expiry": "expires_at",
    "last_id": "id",
    "skipped": "id",
    "start": "id",
    "size": "id",
    "first": "key",
    "behind": "key",
    "name": "key",
}

# What goes through many rows.
BULK = {"count_expired", "gc_last", "gc", *PHYSICAL["postgresql"]}


def write_orm_statements(connection: BaseDatabaseWrapper) -> dict[str, Statement]:
    """Write the statements for one database, by the name of the operation."""
    templates = TEMPLATES | PHYSICAL.get(connection.vendor, {})
    return write_statements(templates, StoredSession, connection, typed_as=TYPED_AS)
