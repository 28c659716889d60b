"""Fill tables with many sessions, by one statement each."""

from __future__ import annotations

from typing import Any

from django.db import connections

PAYLOAD = 208  # bytes

# In each, n is the number of the session. The known key is records.key_of() of the store and that.
EXPRESSIONS = {
    "postgresql": {
        "id": "('x' || substr(md5(random()::text), 1, 16))::bit(64)::bigint & 9223372036854775807",
        "key": "substr(md5(random()::text) || md5(random()::text), 1, 40)",
        "known_key": "substr(encode(sha256((%(store)s || n)::bytea), 'hex'), 1, 40)",
        "payload": "decode(repeat(md5(random()::text), 13), 'hex')",
        "text": "repeat(md5(random()::text), 8)",
        "user_id": "(n %% %(users)s)::text",
        "now": "now()",
        "expires_at": "now() + make_interval(secs => %(begin)s + random() * 86400)",
        "numbers": "generate_series(1, %(count)s) AS numbers (n)",
    },
    "sqlite": {
        "id": "random() & 9223372036854775807",
        "key": "lower(hex(randomblob(20)))",
        "known_key": "substr(SHA256(%(store)s || n), 1, 40)",
        "payload": "randomblob(208)",
        "text": "hex(randomblob(128))",
        "user_id": "CAST(n %% %(users)s AS text)",
        "now": "strftime('%%Y-%%m-%%d %%H:%%M:%%f000')",
        "expires_at": "strftime('%%Y-%%m-%%d %%H:%%M:%%f000', 'now', "
        "(%(begin)s + abs(random() %% 86400)) || ' seconds')",
        "numbers": "(WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers "
        "WHERE n < %(count)s) SELECT n FROM numbers)",
    },
    "mysql": {
        # RAND() has but 30 bits.
        "id": "CAST(CONV(LEFT(SHA2(UUID(), 256), 15), 16, 10) AS UNSIGNED)",
        "key": "LEFT(SHA2(CONCAT(UUID(), n), 256), 40)",
        "known_key": "LEFT(SHA2(CONCAT(%(store)s, n), 256), 40)",
        "payload": "UNHEX(REPEAT(MD5(RAND()), 13))",
        "text": "REPEAT(MD5(RAND()), 8)",
        "user_id": "n %% %(users)s",
        "now": "UTC_TIMESTAMP(6)",
        "expires_at": "UTC_TIMESTAMP(6) + INTERVAL (%(begin)s + RAND() * 86400) SECOND",
        # MariaDB's own.
        "numbers": "(SELECT seq AS n FROM seq_1_to_{count}) AS numbers",
    },
}
TIDYING = {
    "postgresql": ("VACUUM ANALYZE", "CHECKPOINT"),
    "sqlite": ("ANALYZE", "PRAGMA wal_checkpoint(TRUNCATE)"),
    "mysql": ("ANALYZE TABLE django_multistore_storedsession",),
}
OURS = """
    INSERT INTO django_multistore_storedsession
        (id, {quoted_key}, payload, version, user_id, created_at, authenticated_at, last_seen_at,
         expires_at, user_agent)
    SELECT {id}, {key}, {payload}, 1, {user_id}, {now}, {now}, {now}, {expires_at}, ''
    FROM {numbers}
"""
INDEX = """
    INSERT INTO django_multistore_usersession
        (id, {quoted_key}, user_id, store, created_at, authenticated_at, last_seen_at, expires_at,
         user_agent)
    SELECT {id}, {known_key}, {user_id}, %(store)s, {now}, {now}, {now}, {expires_at}, ''
    FROM {numbers}
"""
DJANGO = """
    INSERT INTO django_session (session_key, session_data, expire_date)
    SELECT {key}, {text}, {expires_at} FROM {numbers}
"""
LIVE, EXPIRED = 86_400, -2 * 86_400  # seconds from now; expiry is within a day from then


def fill(
    statement: str, database: str, *, count: int, begin: int, users: int = 1, store: str = ""
) -> None:
    """
    Add sessions to a table.

    Args:
        statement: OURS, INDEX or DJANGO.
        database: where.
        count: how many.
        begin: LIVE or EXPIRED.
        users: how many users they are spread over.
        store: whose they are, in an index.
    """
    parameters = {"count": count, "begin": begin, "users": users, "store": store}
    connection = connections[database]
    expressions = EXPRESSIONS[connection.vendor] | {"quoted_key": connection.ops.quote_name("key")}
    # Once more, for the name of a table of numbers has their count in it.
    text = statement.format(**expressions).format(count=count)
    _execute(database, text, parameters)


def tidy(database: str) -> None:
    """Let the database count what it has, and write what it has yet to write."""
    for statement in TIDYING[connections[database].vendor]:
        _execute(database, statement)


def empty(statement: str, database: str) -> None:
    """Remove all sessions from the table that a statement fills."""
    table = statement.split()[2]
    is_sqlite = connections[database].vendor == "sqlite"
    _execute(database, f"DELETE FROM {table}" if is_sqlite else f"TRUNCATE {table}")


def _execute(database: str, statement: str, parameters: dict[str, Any] | None = None) -> None:
    with connections[database].cursor() as cursor:
        cursor.execute(statement, parameters)
