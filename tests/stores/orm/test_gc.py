"""gc that goes through a table as its rows lie: what it removes, passes over and waits for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_multistore.models import StoredSession
from django_multistore.records import Outcome, SessionRecord
from django_multistore.stores import stores
from django_multistore.stores.orm import expired
from django_multistore.stores.steps import Steps
from django_multistore.testing import make_record
from tests.support import pools
from tests.support.helpers import rounds
from tests.support.meeting import PATIENCE, actors, alias_of, on, server_kind, store_setting

pytestmark = pytest.mark.elsewhere

SERVERS = pytest.mark.parametrize("kind", on("postgres", "mariadb", transaction=True))
POSTGRES = pytest.mark.parametrize("kind", on("postgres", transaction=True))
MYSQL = pytest.mark.parametrize("kind", on("mariadb", transaction=True))
EXPIRED, LIVE = 300, 60
EXPLAIN_ON_MYSQL = "EXPLAIN FORMAT=TRADITIONAL"
AS_ROWS_LIE = "SKIP LOCKED"  # Only statements that go through the table have it.


@pytest.fixture(autouse=True)
def site(kind: str, settings: Any) -> Iterator[None]:
    settings.SESSION_STORES = store_setting(kind)
    with patch.object(expired, "FEW", 20):
        yield


def rows_of(kind: str) -> Any:
    return StoredSession.objects.using(alias_of(kind))


def fill(dead: int = EXPIRED, live: int = LIVE, **changes: Any) -> tuple[list[Any], list[Any]]:
    """Store so many sessions that have expired, and live ones, and return their records."""
    past = timezone.now() - timedelta(hours=1)
    gone = [make_record(expires_at=past - timedelta(seconds=n), **changes) for n in range(dead)]
    here = [make_record(**changes) for _ in range(live)]
    assert all(stores["default"].create_many([*gone, *here]))
    return gone, here


@contextmanager
def captured(kind: str) -> Iterator[Callable[[], bool]]:
    """Yield what says whether gc went through the table as its rows lie."""
    with CaptureQueriesContext(connections[alias_of(kind)]) as queries:
        yield lambda: any(AS_ROWS_LIE in query["sql"] for query in queries.captured_queries)


@contextmanager
def around_each_step(
    before: Callable[[], object] = lambda: None, after: Callable[[], object] = lambda: None
) -> Iterator[None]:
    """Do something before gc's DELETE, and something between that and its commit."""
    table: Any = stores["default"]._table  # type: ignore[attr-defined]
    execute = table.execute

    def interfered(name: str, values: dict[str, Any], *more: Any) -> int:
        if name not in ("gc_pages", "gc_ids"):
            return execute(name, values, *more)  # type: ignore[no-any-return]
        before()
        count: int = execute(name, values)
        assert table.is_in_transaction()
        after()
        return count

    with patch.object(table, "execute", interfered):
        yield


def remaining(kind: str) -> set[int]:
    return set(rows_of(kind).values_list("id", flat=True))


def ids_of(records: list[SessionRecord]) -> set[int]:
    return {record.id for record in records}


@SERVERS
def test_many_are_removed_as_they_lie(kind: str) -> None:
    _, live = fill()
    steps: list[int] = []
    with captured(kind) as was_so:
        assert stores["default"].gc(batch_size=64, progress=steps.append) == EXPIRED
    assert was_so()
    assert sum(steps) == EXPIRED
    assert max(steps) <= 64
    assert remaining(kind) == ids_of(live)
    assert stores["default"].gc() == 0


@SERVERS
def test_few_are_removed_by_the_index(kind: str) -> None:
    _, live = fill(20)
    with captured(kind) as was_so:
        assert stores["default"].gc() == 20
    assert not was_so()
    assert remaining(kind) == ids_of(live)


@SERVERS
def test_more_pages_than_expired_rows(kind: str) -> None:
    """To go through a large table for a few rows would cost more than to look them up."""
    _, live = fill()
    measures = dict.fromkeys(expired.MEASURES, measure_many_pages)
    with patch.object(expired, "MEASURES", measures), captured(kind) as was_so:
        assert stores["default"].gc() == EXPIRED
    assert not was_so()
    assert remaining(kind) == ids_of(live)


def measure_many_pages(*_: object) -> Steps[tuple[int, None]]:
    yield from ()
    return EXPIRED, None


@SERVERS
def test_in_a_caller_s_transaction_it_goes_by_the_index(kind: str) -> None:
    """It would lock what it has come by until the commit, live rows and gaps as well."""
    _, live = fill()
    with captured(kind) as was_so, transaction.atomic(using=alias_of(kind)):
        assert stores["default"].gc() == EXPIRED
    assert not was_so()
    assert remaining(kind) == ids_of(live)


@SERVERS
def test_what_others_have_locked_is_not_waited_for(kind: str) -> None:
    gone, live = fill()
    with actors(alias_of(kind), 2) as (other, collector):
        other.begins()
        for record in (gone[7], live[7]):
            locked = rows_of(kind).filter(id=record.id).select_for_update()
            assert other.does(lambda rows=locked: len(rows)) == 1
        try:
            # By the index it would wait until the others commit.
            assert collector.does(stores["default"].gc) == EXPIRED - 1
        finally:
            other.ends(commit=True)
    assert remaining(kind) == ids_of([gone[7], *live])
    assert stores["default"].gc() == 1


@SERVERS
def test_what_is_renewed_meanwhile_lives(kind: str) -> None:
    gone, live = fill()
    tomorrow = timezone.now() + timedelta(days=1)
    first, second = (rows_of(kind).filter(id=record.id) for record in gone[:2])
    with actors(alias_of(kind), 3) as (slow, quick, collector):
        slow.begins()
        assert slow.does(lambda: first.update(expires_at=tomorrow)) == 1
        try:
            with around_each_step(before=lambda: quick.does(second.update, expires_at=tomorrow)):
                assert collector.does(stores["default"].gc) == EXPIRED - 2
        finally:
            slow.ends(commit=True)
    assert remaining(kind) == ids_of([*gone[:2], *live])


@SERVERS
@pytest.mark.parametrize("level", ["read committed", "repeatable read"])
def test_a_step_keeps_nobody_waiting(kind: str, level: str) -> None:
    """Before its commit it has locked what it removes, and neither live rows nor gaps."""
    _, live = fill(user_id="7")
    store, done = stores["default"], []
    connection = connections[alias_of(kind)]
    setting = (
        {"isolation_level": level}
        if connection.vendor == "mysql"
        else {"options": f"-c default_transaction_isolation={level.replace(' ', chr(92) + ' ')}"}
    )

    def use() -> None:
        for record in live[len(done) :: LIVE]:
            assert store.update(replace(record, payload=b"new")) is Outcome.DONE
            assert store.create(make_record())
            assert store.destroy_session("7", record.id)
            done.append(record)

    with patch.dict(connection.settings_dict["OPTIONS"], setting):
        connection.close()
        with (
            actors(alias_of(kind), 2) as (other, collector),
            around_each_step(after=lambda: other.does(use)),
        ):
            assert collector.does(store.gc) == EXPIRED
    connection.close()
    assert done
    assert len(remaining(kind)) == LIVE


@SERVERS
def test_several_at_once_remove_each_row_once(kind: str) -> None:
    _, live = fill(2_000)
    with actors(alias_of(kind), 3) as collectors:
        counts: list[Future[int]] = [
            each.starts(stores["default"].gc, batch_size=100) for each in collectors
        ]
        assert sum(count.result(PATIENCE) for count in counts) == 2_000
    assert remaining(kind) == ids_of(live)


@POSTGRES
def test_without_the_right_to_lock_it_goes_by_the_index(kind: str) -> None:
    """A role that only runs gc needs SELECT and DELETE."""
    _, live = fill()
    connection = connections[alias_of(kind)]
    role, table = "multistore_gc_only", StoredSession._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"DROP ROLE IF EXISTS {role}")
        cursor.execute(f"CREATE ROLE {role}")
        try:
            cursor.execute(f"GRANT SELECT, DELETE ON {table} TO {role}")
            cursor.execute(f"SET ROLE {role}")
            with captured(kind) as was_so:
                assert stores["default"].gc() == EXPIRED
            assert not was_so()
        finally:
            cursor.execute("RESET ROLE")
            cursor.execute(f"DROP OWNED BY {role}")
            cursor.execute(f"DROP ROLE {role}")
    assert remaining(kind) == ids_of(live)


@POSTGRES
def test_in_a_pool_many_are_removed_as_they_lie(kind: str, settings: Any) -> None:
    settings.SESSION_STORES = pools.setting()
    gone, live = fill()
    store, steps, seen = stores["default"], list[int](), list[str]()
    table: Any = store._table  # type: ignore[attr-defined]
    aexecute = table.aexecute

    async def noted(name: str, *args: Any) -> int:
        seen.append(name)
        return await aexecute(name, *args)  # type: ignore[no-any-return]

    with actors(alias_of(kind), 1) as (other,), patch.object(table, "aexecute", noted):
        other.begins()
        try:
            locked = rows_of(kind).filter(id=gone[7].id).select_for_update()
            assert other.does(lambda: len(locked)) == 1
            count = asyncio.run(store.agc(batch_size=64, progress=steps.append))
        finally:
            other.ends(commit=True)
    assert {*seen} == {"gc_pages"}
    assert count == sum(steps) == EXPIRED - 1
    assert max(steps) <= 64
    assert remaining(kind) == ids_of([gone[7], *live])


@POSTGRES
@pytest.mark.parametrize("count", [1, 2_000])
def test_a_step_reads_its_pages_alone(kind: str, count: int) -> None:
    """Also where next to nothing has expired, as towards the end."""
    fill(count, 2_000)
    connection = connections[alias_of(kind)]
    table: Any = stores["default"]._table  # type: ignore[attr-defined]
    statement = table._find_statement("gc_pages")
    values = {"first": "(2,0)", "behind": "(4,0)", "now": timezone.now(), "size": 1_000}
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {StoredSession._meta.db_table}")
        cursor.execute(f"EXPLAIN {statement.sql}", statement.bind(values, connection))
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Tid Scan" in plan
    assert "Tid Range Scan" in plan
    assert "Index" not in plan
    assert "Seq Scan" not in plan


@MYSQL
@pytest.mark.parametrize("count", [1, 20, 2_000])
def test_a_step_looks_each_of_its_rows_up(kind: str, count: int) -> None:
    """
    Whatever the server thinks how many rows there are: it counts none that are removed.

    Once it went through all removed ones, for each row of a step, which took minutes.
    """
    fill(count, 0)
    connection = connections[alias_of(kind)]
    table: Any = stores["default"]._table  # type: ignore[attr-defined]
    statement = table._find_statement("gc_ids")
    values = {"after_id": -1, "last_id": 2**63 - 1, "now": timezone.now(), "size": 1_000}
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE TABLE {StoredSession._meta.db_table}")
        cursor.fetchall()
        explain = "EXPLAIN" if server_kind(connection.alias) == "mariadb" else EXPLAIN_ON_MYSQL
        cursor.execute(f"{explain} {statement.sql}", statement.bind(values, connection))
        names = [column[0] for column in cursor.description]
        plan = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    (looked_up,) = [row for row in plan if row["table"] == StoredSession._meta.db_table][:1]
    assert (looked_up["type"], looked_up["key"]) == ("eq_ref", "PRIMARY"), plan


@pytest.mark.stress
@SERVERS
def test_live_traffic_beside_it_loses_nothing(kind: str) -> None:
    """Sessions are made, saved and ended, also all of a user's, beside two runs of gc."""
    store, live = stores["default"], [fill(60, 2, user_id=str(user))[1] for user in range(60)]
    deadline = time.monotonic() + rounds() / 30

    def save(number: int) -> list[SessionRecord]:
        mine = [sessions[number] for sessions in live[:30]]
        while time.monotonic() < deadline or mine[-1].version == 1:
            for place, record in enumerate(mine):
                assert store.update(replace(record, payload=b"new")) is Outcome.DONE
                mine[place] = replace(record, version=(record.version or 0) + 1)
            one, other = make_record(user_id="new"), make_record()
            assert store.create(one)
            assert store.create(other)
            assert store.destroy_session("new", one.id)
            assert store.destroy(other.key)
        return mine

    def end() -> None:
        # These have expired sessions as well, which gc comes to by another index.
        while time.monotonic() < deadline:
            for user in range(30, 60):
                store.destroy_for_user(str(user))
                fill(20, 1, user_id=str(user))

    def collect() -> None:
        while time.monotonic() < deadline:
            store.gc(batch_size=500)

    with actors(alias_of(kind), 5) as (one, other, ending, first, second):
        running = [ending.starts(end), first.starts(collect), second.starts(collect)]
        saving = [one.starts(save, 0), other.starts(save, 1)]
        saved = [record for future in saving for record in future.result(PATIENCE + rounds())]
        for future in running:
            future.result(PATIENCE)
    store.gc()
    assert not rows_of(kind).filter(expires_at__lte=timezone.now()).exists()
    for record in saved:
        stored = store.read(record.key)
        assert stored is not None
        assert (stored.version, stored.payload) == (record.version, b"new")
