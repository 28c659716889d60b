"""Each event loop has a pool, which ends with it. What sync code waits for has none."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
import weakref
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connections, transaction

from django_multistore.exceptions import StoreUnavailable
from django_multistore.stores.orm import OrmStore
from django_multistore.testing import make_record
from tests.support import pools
from tests.support.meeting import on, wait_until

pytestmark = pytest.mark.parametrize("kind", on("postgres", transaction=True))

LOOPS = 20
READERS = 8
MANY = 1_000  # more reads than the test has time for


@pytest.fixture
def store(kind: str, caplog: pytest.LogCaptureFixture) -> OrmStore:
    # A record that pytest keeps has an error in it, and that the frames of who was connecting.
    caplog.set_level(logging.CRITICAL, "psycopg")
    return pools.make_store()


@pytest.fixture
def others(store: OrmStore) -> Any:
    """Return what lists the connections that are not this thread's, nor were there before."""
    before = {number for number, _ in pools.list_others(store.database)}
    return lambda: {number for number, _ in pools.list_others(store.database)} - before


async def read_at_once(store: OrmStore) -> None:
    reads = (store.aread("0" * 40) for _ in range(READERS))
    assert await asyncio.gather(*reads) == [None] * READERS


def test_a_loop_closes_its_pool(store: OrmStore, others: Any) -> None:
    async def read() -> Any:
        await read_at_once(store)
        assert (await store._table._get_pool()).connections
        return weakref.ref(asyncio.get_running_loop())

    loops = [asyncio.run(read()) for _ in range(3)]
    assert not store._table._pools
    wait_until(lambda: not others())
    gc.collect()
    assert not [loop for loop in loops if loop() is not None], "loops that are over are kept"


def test_many_loops_leave_nothing(store: OrmStore, others: Any) -> None:
    tasks = threading.active_count()
    for _ in range(LOOPS):
        asyncio.run(read_at_once(store))
    wait_until(lambda: not others())
    assert threading.active_count() == tasks


def test_a_loop_that_is_closed_by_hand(
    store: OrmStore, others: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connections are closed when the next loop comes. What asyncio says of it is its own."""
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    for _ in range(LOOPS):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(read_at_once(store))
        for task in asyncio.all_tasks(loop):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        loop.close()
        del loop, task
        assert len(store._table._pools) == 1

    def count() -> int:
        gc.collect()  # What had only begun to connect is nobody's, and goes with its task.
        return len(others())

    wait_until(lambda: count() <= READERS)
    asyncio.run(read_at_once(store))
    assert not store._table._pools
    wait_until(lambda: count() == 0)


def test_threads_with_loops_of_their_own(store: OrmStore, others: Any) -> None:
    record = make_record()
    assert store.create(record)
    failed: list[BaseException] = []

    def go() -> None:
        async def read() -> None:
            assert await store.aread(record.key) == record

        try:
            for _ in range(LOOPS):
                asyncio.run(read())
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=go) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed
    wait_until(lambda: not others())


def test_what_sync_code_waits_for_has_no_pool(store: OrmStore, others: Any) -> None:
    """async_to_sync() makes a loop each time: a pool for each would be a connection for each."""
    record = make_record()
    for _ in range(LOOPS):
        assert async_to_sync(store.aread)(record.key) is None
    assert not store._table._pools
    assert not others()


def test_nor_has_what_it_waits_for_in_a_server_s_loop(store: OrmStore, others: Any) -> None:
    """A sync view under ASGI, that calls async code, which runs in the loop of the server."""

    def view() -> Any:
        with transaction.atomic(using=store.database):
            record = make_record()
            assert async_to_sync(store.acreate)(record)
            assert async_to_sync(store.aread)(record.key) == record
            with connections[store.database].cursor() as cursor:
                cursor.execute("SELECT COUNT(*) FROM django_multistore_storedsession")
                assert cursor.fetchone() == (1,)
            transaction.set_rollback(True, using=store.database)
        connections[store.database].close()
        return record

    async def serve() -> None:
        record = await sync_to_async(view)()
        assert not store._table._pools
        assert await store.aread(record.key) is None  # It was rolled back.
        assert len(store._table._pools) == 1

    asyncio.run(serve())


def test_what_such_code_starts_and_leaves_to_itself(store: OrmStore) -> None:
    """A task that outlives the sync code: it finds no thread, but no wrong connection either."""
    record = make_record()
    store.create(record)

    async def start() -> Any:
        async def late() -> Any:
            await asyncio.sleep(0.05)
            return await store.aread(record.key)

        return asyncio.ensure_future(late())

    async def serve() -> None:
        task = await sync_to_async(async_to_sync(start))()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        # Else it is asgiref's, as for each sync_to_async() there.
        assert outcome == record or isinstance(outcome, RuntimeError)

    asyncio.run(serve())


def test_a_loop_that_ends_while_requests_wait(store: OrmStore, others: Any) -> None:
    """asyncio.run() cancels them first."""
    ended: list[Any] = []

    async def leave() -> None:
        async def insist() -> None:
            try:
                for _ in range(MANY):
                    await store.aread("0" * 40)
                ended.append(None)
            except asyncio.CancelledError:
                ended.append(True)
                raise
            except StoreUnavailable as error:
                ended.append(error)

        tasks = [asyncio.ensure_future(insist()) for _ in range(2 * READERS)]
        await asyncio.sleep(0.1)
        assert not any(task.done() for task in tasks)

    asyncio.run(leave())
    assert len(ended) == 2 * READERS
    # Before Python 3.12, asyncio.wait_for() can swallow a cancellation.
    assert set(ended) == {True} or sys.version_info < (3, 12)
    wait_until(lambda: not others())
