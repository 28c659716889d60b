"""
A pool whose server is killed, frozen, restarted or out of reach, or whose connections are taken.

Each is StoreUnavailable, within the time that ASYNC_POOL allows, and well again without a restart.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connections, transaction

from django_multistore.exceptions import StoreUnavailable
from django_multistore.records import Outcome, SessionRecord
from django_multistore.stores.orm import OrmStore
from django_multistore.testing import Calls, make_record
from tests import servers
from tests.support import pools
from tests.support.meeting import alias_of, on, wait_until
from tests.support.unreachable import OPERATIONS, a_closed_port, own_server, redirected

pytestmark = [
    pytest.mark.parametrize("kind", on("postgres", transaction=True)),
    pytest.mark.fault,
    pytest.mark.skipif(
        django_settings.DEFAULT_DB != "sqlite",
        reason="users are to stay in SQLite while the sessions' database is in trouble",
    ),
]

SECONDS = 1.0  # ASYNC_POOL's timeout
# What may come on top of it: the server is given some to end a statement, and machines are busy.
MORE = 4.0


@pytest.fixture(autouse=True)
def quiet(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "psycopg")
    pools.alias()


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def store(kind: str) -> OrmStore:
    return pools.make_store(timeout=SECONDS)


@pytest.fixture
def calls(store: OrmStore, runner: asyncio.Runner) -> Any:
    """Return the store's variants, run in a loop that lasts."""
    return Calls(
        store, is_async=True, run=lambda variant: lambda *a, **k: runner.run(variant(*a, **k))
    )


@contextmanager
def in_time(seconds: float = SECONDS) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds + MORE


def is_unavailable(act: Callable[[], object]) -> StoreUnavailable:
    with in_time(), pytest.raises(StoreUnavailable, match="nothing is known") as raised:
        act()
    return raised.value


def created(calls: Any) -> SessionRecord:
    record = make_record()
    assert calls.create(record)
    return record


def test_a_server_that_is_killed_and_comes_back(kind: str, calls: Any) -> None:
    with own_server(kind) as server:
        record = created(calls)
        server.kill()
        for operation in OPERATIONS.values():
            is_unavailable(lambda operation=operation: operation(calls))
        server.start()
        assert calls.read(record.key) == record
        # All that is left of it is gone as well.
        for _ in range(20):
            assert calls.read(record.key) == record


def test_a_restart_between_requests_fails_none(
    kind: str, store: OrmStore, calls: Any, runner: asyncio.Runner
) -> None:
    """All connections that wait have been ended. That shows before one is used."""

    async def at_once(key: str) -> list[Any]:
        return await asyncio.gather(*(store.aread(key) for _ in range(8)))

    async def grow(key: str) -> int:
        while True:
            await at_once(key)
            found = (await store._table._get_pool())._pool.get_stats()["pool_available"]
            if found > 2:
                return found

    with own_server(kind) as server:
        record = created(calls)
        runner.run(grow(record.key))
        server.restart()
        assert runner.run(at_once(record.key)) == [record] * 8


def test_a_connection_that_is_cut_in_a_statement(
    kind: str, store: OrmStore, calls: Any, runner: asyncio.Runner
) -> None:
    record = created(calls)

    async def begin() -> Any:
        blocked = asyncio.ensure_future(store.amodify(record.key, lambda stored: stored))
        await asyncio.sleep(0.3)
        return blocked

    async def end(blocked: Any) -> None:
        await blocked

    with transaction.atomic(using=store.database):
        lock(store, record)
        blocked = runner.run(begin())
        with connections[store.database].cursor() as cursor:
            for number, state in pools.list_others(store.database):
                if state == "active":
                    cursor.execute("SELECT pg_terminate_backend(%s)", [number])
        is_unavailable(lambda: runner.run(end(blocked)))
    assert calls.read(record.key) == record


def lock(store: OrmStore, record: SessionRecord) -> None:
    with connections[store.database].cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM django_multistore_storedsession WHERE key = %s FOR UPDATE", [record.key]
        )


def test_a_server_that_is_frozen(kind: str, calls: Any) -> None:
    """It goes on to acknowledge packets, so that no timeout of the network's ends it."""
    with own_server(kind) as server:
        record = created(calls)
        server.freeze()
        for name in ("read", "update", "modify", "gc"):
            is_unavailable(lambda name=name: OPERATIONS[name](calls))
        server.thaw()
        wait_until(lambda: can_read(calls, record))
        assert calls.read(record.key) == record


def can_read(calls: Any, record: SessionRecord) -> bool:
    try:
        return bool(calls.read(record.key) == record)
    except StoreUnavailable:
        return False


def test_a_request_that_is_cancelled_meanwhile(
    kind: str, store: OrmStore, calls: Any, runner: asyncio.Runner
) -> None:
    async def scene(key: str) -> None:
        with pytest.raises((TimeoutError, StoreUnavailable)):
            async with asyncio.timeout(SECONDS / 2):
                await store.aread(key)

    with own_server(kind) as server:
        record = created(calls)
        server.freeze()
        with in_time(10):  # psycopg gives the server that long to end a statement.
            runner.run(scene(record.key))
        server.thaw()
        wait_until(lambda: can_read(calls, record))


def test_a_server_that_was_never_there(kind: str, calls: Any) -> None:
    alias = alias_of(kind)
    with redirected(alias, PORT=a_closed_port()):
        for operation in OPERATIONS.values():
            outage = is_unavailable(lambda operation=operation: operation(calls))
        assert "refused" in str(outage)
    assert calls.read("0" * 40) is None


def test_all_connections_are_taken(kind: str, runner: asyncio.Runner) -> None:
    """Each by a request that waits for a row, of which a site's transaction has the lock."""
    store = pools.make_store(timeout=SECONDS, min_size=1, max_size=2)
    record = make_record()
    assert store.create(record)

    async def scene() -> None:
        blocked = [
            asyncio.ensure_future(store.amodify(record.key, lambda stored: stored))
            for _ in range(2)
        ]
        outcomes = await asyncio.gather(*blocked, return_exceptions=True)
        assert [type(each) for each in outcomes] == [StoreUnavailable] * 2
        assert "no answer within 1 s" in str(outcomes[0])

    with transaction.atomic(using=store.database):
        lock(store, record)
        with in_time():
            runner.run(scene())
        # None waits for the lock any more, at the server.
        wait_until(lambda: all(state == "idle" for _, state in pools.list_others(store.database)))
    assert runner.run(store.amodify(record.key, lambda stored: stored)) is Outcome.DONE


def test_nobody_gives_a_connection_back(kind: str, runner: asyncio.Runner) -> None:
    store = pools.make_store(timeout=SECONDS, min_size=1, max_size=2)

    async def scene() -> None:
        is_over = asyncio.Event()
        holders = [asyncio.ensure_future(store._table.atransact(is_over.wait)) for _ in range(2)]
        await asyncio.sleep(0.3)
        with in_time(), pytest.raises(StoreUnavailable, match="couldn't get a connection"):
            await store.aread("0" * 40)
        is_over.set()
        await asyncio.gather(*holders)
        assert await store.aread("0" * 40) is None

    runner.run(scene())


def test_too_many_wait(kind: str, runner: asyncio.Runner) -> None:
    store = pools.make_store(timeout=SECONDS, min_size=1, max_size=1, max_waiting=1)

    async def scene() -> list[Any]:
        reads = (store.aread("0" * 40) for _ in range(20))
        return await asyncio.gather(*reads, return_exceptions=True)

    assert runner.run(store.aread("0" * 40)) is None
    outcomes = runner.run(scene())
    assert {type(each) for each in outcomes} == {type(None), StoreUnavailable}
    assert runner.run(store.aread("0" * 40)) is None


def test_a_server_with_no_connection_left(kind: str, runner: asyncio.Runner) -> None:
    arguments = ["--max_connections=5", "--superuser_reserved_connections=0"]
    with servers.private("postgres", arguments=arguments) as server:
        host, port = server.address.split(":")
        with redirected(alias_of(kind), HOST=host, PORT=port, NAME="postgres"):
            store = pools.make_store(timeout=SECONDS, min_size=1, max_size=1)
            taken = [connections[store.database].copy() for _ in range(5)]
            try:
                for connection in taken:
                    connection.connect()
                with in_time(), pytest.raises(StoreUnavailable, match="too many clients"):
                    runner.run(store.aread("0" * 40))
            finally:
                for connection in taken:
                    connection.close()
