"""
The text of each statement, on each database.

What is sent is in tests/stores/sql/statements/, to be read, explained and compared by whoever has
to do with the database.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connections
from django.db.utils import ConnectionHandler
from django.utils import timezone

from django_multistore.stores.indexed.index_statements import write_index_statements, write_removal
from django_multistore.stores.orm.statements import write_orm_statements
from tests import servers
from tests.support.meeting import alias_of, on

GOLDEN = Path(__file__).parent / "statements"
DRIVERS = {"sqlite": "sqlite3", "postgresql": "psycopg", "mysql": "MySQLdb"}


def write_page(vendor: str) -> str:
    """Return the statements of both tables, as they are sent."""
    # There need not be a server: what is written depends on the backend alone.
    name = "sqlite3" if vendor == "sqlite" else vendor
    entry = {"ENGINE": f"django.db.backends.{name}", "NAME": "none"}
    connection = ConnectionHandler({"default": entry})["default"]
    statements = {f"OrmStore: {n}": s.sql for n, s in write_orm_statements(connection).items()}
    statements |= {f"index: {n}": s.sql for n, s in write_index_statements(connection).items()}
    for name, expired in (("remove_rows", False), ("remove_rows, expired", True)):
        statements[f"index: {name}"] = write_removal(2, connection, expired=expired)
    assert connection.connection is None
    return "\n".join(f"-- {name}\n{sql};\n" for name, sql in statements.items())


@pytest.mark.parametrize("vendor", DRIVERS)
def test_the_text_of_each_statement(vendor: str) -> None:
    pytest.importorskip(DRIVERS[vendor])
    assert write_page(vendor) == (GOLDEN / f"{vendor}.sql").read_text()


@pytest.mark.parametrize("kind", on("postgres"))
def test_gc_finds_the_end_of_its_batch_in_the_index(kind: str) -> None:
    """Were all that has expired sorted for each batch, gc would come to a standstill."""
    if alias_of(kind) not in connections:
        servers.require(kind)
    connection = connections[alias_of(kind)]
    statement, now = write_orm_statements(connection)["gc_last"], timezone.now()
    values = {"now": now, "after_expiry": now, "after_id": 0, "skipped": 999}
    with connection.cursor() as cursor:
        # The table is empty, and tempts to other plans.
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
        cursor.execute(f"EXPLAIN {statement.sql}", statement.bind(values, connection))
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "multistore_session_expires" in plan
    assert "Sort" not in plan
