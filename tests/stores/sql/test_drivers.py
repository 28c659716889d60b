"""
What the store makes of errors, whatever driver they come from.

Each test is run with the drivers that the tests use everywhere, psycopg 3 and mysqlclient, and with
each of the others in a process of its own.
"""

from __future__ import annotations

import gc
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from django_multistore.exceptions import InvalidStore, StoreUnavailable
from django_multistore.stores.orm import OrmStore
from django_multistore.testing import make_record
from tests import servers
from tests.settings import DRIVER
from tests.support.meeting import Actor, actors, alias_of, on, server_id, server_kind
from tests.support.paths import CHECKOUT

SERVERS = pytest.mark.parametrize("kind", on("postgres", "mariadb", "mysql", transaction=True))
OTHERS = {"psycopg2": ["postgres"], "pymysql": ["mariadb", "mysql"], "mysql.connector": ["mysql"]}
NOT_IN_CI = {"mysql.connector"}  # MySQL itself is had from newer releases alone.
USER_ID, SESSIONS = "7", 5


@pytest.fixture
def store(kind: str) -> OrmStore:
    if alias_of(kind) not in connections:
        servers.require(kind)
    return OrmStore("mine", DATABASE=alias_of(kind))


def run(alias: str, statement: str, *values: object) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute(statement, values)


# Deadlocks.


def prefer(alias: str) -> None:
    """Have the server end this thread's transaction last, of those that wait for each other."""
    if connections[alias].vendor == "postgresql":
        run(alias, "SET deadlock_timeout = '1h'")  # it is ended by who finds the deadlock
    else:  # the one that has changed the least is ended
        run(alias, "CREATE TEMPORARY TABLE weight (number int) ENGINE=InnoDB")
        run(alias, "INSERT INTO weight VALUES (1)" + ", (1)" * 1000)


@SERVERS
def test_a_statement_that_a_deadlock_undid_is_run_again(kind: str, store: OrmStore) -> None:
    alias = alias_of(kind)
    for number in range(SESSIONS):  # the DELETE comes to them in this order
        assert store.create(make_record(id=number, key=f"{number:040}", user_id=USER_ID))
    lock = "SELECT 1 FROM django_multistore_storedsession WHERE id = %s FOR UPDATE"
    undone = []

    def watch(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        try:
            return execute(sql, *arguments)
        except Exception as error:
            undone.append(error)
            raise

    def destroy() -> int:
        with connections[alias].execute_wrapper(watch):
            return store.destroy_for_user(USER_ID)

    with actors(alias, 2) as (holder, destroyer):
        holder.begins()
        holder.does(prefer, alias)
        holder.does(run, alias, lock, SESSIONS - 1)
        destroyed = destroyer.reaches_a_lock(destroy)
        assert not destroyed.done()
        holder.does(run, alias, lock, 0)
        holder.ends(commit=True)
        assert destroyed.result(60) == SESSIONS
    assert len(undone) == 1
    assert store.sessions_for_user(USER_ID) == []


@SERVERS
def test_a_transaction_that_a_deadlock_undid_is_an_outage(kind: str, store: OrmStore) -> None:
    alias = alias_of(kind)
    for number in range(SESSIONS):
        assert store.create(make_record(id=number, key=f"{number:040}", user_id=USER_ID))
    lock = "SELECT 1 FROM django_multistore_storedsession WHERE id = %s FOR UPDATE"
    with actors(alias, 2) as (holder, destroyer):
        holder.begins()
        holder.does(prefer, alias)
        holder.does(run, alias, lock, SESSIONS - 1)
        destroyer.begins()
        destroyed = destroyer.reaches_a_lock(store.destroy_for_user, USER_ID)
        assert not destroyed.done()
        holder.does(run, alias, lock, 0)
        holder.ends(commit=True)
        assert isinstance(destroyed.exception(60), StoreUnavailable)
        with pytest.raises(StoreUnavailable):  # not in silence
            destroyer.ends(commit=True)
    assert len(store.sessions_for_user(USER_ID)) == SESSIONS


# What is missing, and who is gone.


@pytest.fixture
def empty_database(kind: str) -> Iterator[None]:
    """Lead the alias to a database of the server's own, which has none of our tables."""
    connection = connections[alias_of(kind)]
    name = connection.settings_dict["NAME"]
    connection.close()
    connection.settings_dict["NAME"] = "postgres" if connection.vendor == "postgresql" else "mysql"
    yield
    connection.close()
    connection.settings_dict["NAME"] = name


@SERVERS
def test_a_missing_table_names_the_migration(
    kind: str, store: OrmStore, empty_database: None
) -> None:
    for use in (
        lambda: store.read("0" * 40),
        lambda: store.create(make_record()),
        lambda: store.destroy_for_user(USER_ID),
        lambda: store.page_for_user(USER_ID, start=0, size=10),
        store.gc,
    ):
        with pytest.raises(InvalidStore, match=f"migrate --database {alias_of(kind)}"):
            use()


@SERVERS
def test_a_connection_that_was_cut_is_an_outage_and_then_over(kind: str, store: OrmStore) -> None:
    alias = alias_of(kind)
    record = make_record(user_id=USER_ID)
    assert store.create(record)
    number = server_id(alias)
    end = {
        "postgresql": "SELECT pg_terminate_backend(%s)",
        "mariadb": "KILL %s",
        "mysql": "KILL %s",
    }[server_kind(alias)]
    with Actor(alias) as killer:
        killer.does(run, alias, end, number)
    with pytest.raises(StoreUnavailable, match="nothing is known about the session"):
        store.read(record.key)
    connections[alias].close_if_unusable_or_obsolete()
    found = store.read(record.key)
    assert found is not None
    assert found.payload == record.payload


@SERVERS
def test_a_lock_that_is_not_to_be_had_is_an_outage(kind: str, store: OrmStore) -> None:
    alias = alias_of(kind)
    record = make_record(user_id=USER_ID)
    assert store.create(record)
    give_up = {
        "postgresql": "SET lock_timeout = '50ms'",
        "mariadb": "SET innodb_lock_wait_timeout = 0",
        "mysql": "SET innodb_lock_wait_timeout = 1",
    }[server_kind(alias)]
    lock = "SELECT 1 FROM django_multistore_storedsession WHERE id = %s FOR UPDATE"
    with Actor(alias) as holder:
        holder.begins()
        holder.does(run, alias, lock, record.id)
        run(alias, give_up)
        with pytest.raises(StoreUnavailable):
            store.destroy(record.key)
        holder.ends(commit=True)
    assert store.destroy(record.key)
    connections[alias].close()  # Which has become impatient for good.


# SQLite's files.


def no_database(file: Path) -> None:
    file.write_bytes(b"This is no database. " * 500)


def damaged(file: Path) -> None:
    with closing(sqlite3.connect(file)) as database:
        database.execute("VACUUM INTO ?", [str(file.with_suffix(".copy"))])
    pages = file.with_suffix(".copy").read_bytes()
    file.with_suffix(".copy").unlink()
    file.with_name(f"{file.name}-wal").unlink(missing_ok=True)
    file.write_bytes(pages[:1024] + b"\xff" * (len(pages) - 1024))


# Django closes no connection that fails while it is made.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("spoil", [no_database, damaged])
@pytest.mark.parametrize("kind", on("sqlite", transaction=True))
def test_a_file_that_is_no_database_is_an_outage(
    kind: str, store: OrmStore, spoil: Callable[[Path], None], tmp_path: Path
) -> None:
    connection = connections[alias_of(kind)]
    name = connection.settings_dict["NAME"]
    connection.close()
    file = tmp_path / "spoilt"
    shutil.copy(name, file)
    spoil(file)
    connection.settings_dict["NAME"] = str(file)
    try:
        for use in (lambda: store.read("0" * 40), lambda: store.create(make_record()), store.gc):
            with pytest.raises(StoreUnavailable, match="nothing is known about the session"):
                use()
            connection.close()
    finally:
        connection.close()
        connection.settings_dict["NAME"] = name
        gc.collect()  # of what the warnings are about
    assert store.create(make_record())


# The other drivers.


@pytest.mark.fault  # once is enough
@pytest.mark.skipif(DRIVER is not None, reason="this is another driver's process")
@pytest.mark.parametrize(
    ("driver", "server"), [(driver, server) for driver in OTHERS for server in OTHERS[driver]]
)
def test_another_driver(driver: str, server: str, pytestconfig: pytest.Config) -> None:
    servers.require(server)
    if driver in NOT_IN_CI:
        pytest.importorskip(driver)
    servers.require_module(driver)
    path = " ".join(map(str, pytestconfig.getini("pythonpath")))
    modules = ["stores/sql/test_drivers.py", "management/test_gc.py", "stores/orm/test_contract.py"]
    others = {each.variable() for each in servers.SERVERS.values() if each.name != server}
    own = {"MULTISTORE_RUN", "PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST"}
    # Nor CI: the servers and modules that are another driver's are to be missing there.
    left_out = {*own, *others, "CI"}
    environment = {key: value for key, value in os.environ.items() if key not in left_out}
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-o", f"pythonpath={path}", "-k", "not another_driver"),
            *(f"tests/{module}" for module in modules),
        ],
        cwd=CHECKOUT,
        env=environment | {"MULTISTORE_DRIVER": driver, "MULTISTORE_DEFAULT_DB": server},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-20_000:] + ended.stderr[-2000:]
    assert int(re.findall(r"(\d+) passed", ended.stdout)[-1]) > 50
