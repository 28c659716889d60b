"""A server that is too old, and a pooler that mixes its clients' statements up, are told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.core.checks import CheckMessage
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_multistore.stores.orm import OrmStore
from django_multistore.stores.sql import checks as orm_checks
from tests import servers
from tests.support.meeting import alias_of, on, server_kind
from tests.support.pgbouncer import PgBouncer, pgbouncer

SERVERS = pytest.mark.parametrize("kind", on("postgres", "mariadb", "mysql", transaction=True))
ON_POSTGRES = pytest.mark.parametrize("kind", on("postgres", transaction=True))
ON_MYSQL = pytest.mark.parametrize("kind", on("mysql", transaction=True))


@pytest.fixture
def alias(kind: str) -> Iterator[str]:
    alias = alias_of(kind)
    if alias not in connections:
        servers.require(kind)
    yield alias
    connections[alias].close()


def checked(alias: str) -> list[CheckMessage]:
    return OrmStore("web", DATABASE=alias).check(deploy=True)


def ids(messages: list[CheckMessage]) -> list[str]:
    return [str(message.id).removeprefix("django_multistore.") for message in messages]


# Versions.


@SERVERS
def test_a_server_that_is_new_enough(kind: str, alias: str) -> None:
    assert checked(alias) == []
    assert OrmStore("web", DATABASE=alias).check() == []


@SERVERS
def test_a_server_that_is_too_old_for_django(
    kind: str, alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections[alias].features, "minimum_database_version", (999, 1))
    (message,) = checked(alias)
    assert ids([message]) == ["E015"]
    assert f"the database {alias!r} is too old. " in message.msg
    assert "999.1 or later is required" in message.msg
    assert OrmStore("web", DATABASE=alias).check() == []


@ON_MYSQL
def test_a_mysql_that_is_too_old_for_the_table(
    kind: str, alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orm_checks, "MYSQL_MIN_VERSION", (999, 0, 17))
    (message,) = checked(alias)
    assert ids([message]) == ["E015"]
    assert "MySQL 999.0.17 or later is required (found " in message.msg


@pytest.mark.parametrize("kind", on("mariadb", transaction=True))
def test_what_mysql_needs_mariadb_does_not(
    kind: str, alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if server_kind(alias) != "mariadb":
        pytest.skip("this is MySQL")
    monkeypatch.setattr(orm_checks, "MYSQL_MIN_VERSION", (999, 0, 17))
    assert checked(alias) == []


@SERVERS
def test_a_backend_that_tells_no_version(
    kind: str, alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connections[alias]
    connection.ensure_connection()
    # As mysql.connector.django has it.
    version = BaseDatabaseWrapper.get_database_version.__get__(connection)
    monkeypatch.setattr(connection, "get_database_version", version)
    assert checked(alias) == []


@SERVERS
def test_of_a_server_that_is_not_there_nothing_is_said(
    kind: str, alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connections[alias]
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "PORT", str(servers._free_port()))
    assert checked(alias) == []


# Poolers.


@pytest.fixture
def prepares(kind: str, alias: str) -> Iterator[Any]:
    """Lead the alias to a pooler, by whose connections Django prepares statements at once."""
    connection: Any = connections[alias]
    before = {name: connection.settings_dict[name] for name in ("HOST", "PORT", "OPTIONS")}

    def through(pooler: PgBouncer | None, **options: Any) -> Any:
        connection.close()
        host, port = pooler.address.split(":") if pooler else (before["HOST"], before["PORT"])
        wanted = {"prepare_threshold": 0, **options}
        connection.settings_dict.update(HOST=host, PORT=port, OPTIONS=before["OPTIONS"] | wanted)
        return connection

    yield through
    connection.close()
    connection.settings_dict.update(before)


def prepared_by_others(address: str, database: str) -> list[str]:
    """Return the names of the prepared statements on the pooler's server connections."""
    host, port = address.split(":")
    with psycopg.connect(
        host=host, port=port, user=servers.USER, dbname=database, prepare_threshold=None
    ) as connection:
        rows = connection.execute("SELECT name FROM pg_prepared_statements").fetchall()
        return [name for (name,) in rows]


@ON_POSTGRES
@pytest.mark.parametrize("settings", [(), ("max_prepared_statements = 0",)])
def test_a_pooler_that_passes_statements_on(
    kind: str, alias: str, prepares: Any, settings: tuple[str, ...]
) -> None:
    tracks = _tracks(PgBouncer.version())
    if settings and not tracks:
        pytest.skip("this PgBouncer has no such setting")
    with pgbouncer(servers.require("postgres"), *settings) as pooler:
        connection = prepares(pooler)
        is_right = tracks and not settings
        assert ids(checked(alias)) == ([] if is_right else ["W026"])
        assert connection.connection.prepare_threshold == 0
        names = prepared_by_others(pooler.address, str(connection.settings_dict["NAME"]))
        assert not any(name.startswith("multistore_") for name in names)
        # It is not said of who doesn't ask for it, nor of who has no pooler.
        prepares(pooler, prepare_threshold=None)
        assert checked(alias) == []
        prepares(None)
        assert checked(alias) == []
        connection.close()


@ON_POSTGRES
def test_a_pooler_by_sessions_that_says_so(kind: str, alias: str, prepares: Any) -> None:
    with pgbouncer(servers.require("postgres"), "pool_mode = session") as pooler:
        connection = prepares(pooler)
        says_so = _release(PgBouncer.version()) >= (1, 26)
        assert ids(checked(alias)) == ([] if says_so else ["W026"])
        connection.close()


@ON_POSTGRES
def test_why_it_is_told(kind: str, alias: str) -> None:
    """Statements of one name meet on a server connection, or are run in place of each other."""
    settings = ["max_prepared_statements = 0"] if _tracks(PgBouncer.version()) else []
    with pgbouncer(servers.require("postgres"), *settings) as pooler:
        host, port = pooler.address.split(":")
        where = {"host": host, "port": port, "user": servers.USER, "dbname": "postgres"}
        one, other, third = (
            psycopg.connect(**where, prepare_threshold=0, autocommit=True) for _ in range(3)
        )
        with one, other, third:
            with one.transaction(), other.transaction():  # each has a server connection
                assert one.execute("SELECT 'mine'").fetchone() == ("mine",)
                assert other.execute("SELECT 'theirs'").fetchone() == ("theirs",)
            with other.transaction():  # takes the one that was given back last, which isn't its own
                other.execute("SHOW server_version", prepare=False)
                assert one.execute("SELECT 'mine'").fetchone() == ("theirs",)
            with pytest.raises(psycopg.errors.DuplicatePreparedStatement):
                third.execute("SELECT 'another'")


def _tracks(version: str) -> bool:
    """Tell whether a PgBouncer can keep its clients' prepared statements apart."""
    return _release(version) >= (1, 21)


def _release(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.removeprefix("PgBouncer ").split(".")))
