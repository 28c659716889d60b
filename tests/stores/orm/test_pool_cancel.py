"""A request that is cancelled gives its connection back whole, wherever that meets it."""

from __future__ import annotations

import asyncio
import logging
import random
import types
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from django_multistore.records import Limit, Outcome, SessionRecord, key_of, new_id
from django_multistore.session.keys import new_session_key
from django_multistore.stores.orm import OrmStore
from django_multistore.testing import expired, make_record
from tests.support import pools
from tests.support.helpers import rounds
from tests.support.meeting import on

pytestmark = pytest.mark.parametrize("kind", on("postgres", transaction=True))

BRIEFLY = 150
IDLE = 0  # as PQtransactionStatus() has it
EVICTING = Limit(most=1, evicts=True)


@pytest.fixture
def store(kind: str, caplog: pytest.LogCaptureFixture) -> OrmStore:
    caplog.set_level(logging.CRITICAL, "psycopg")
    # With one connection, one that is lost is missed at once.
    return pools.make_store(min_size=1, max_size=1, timeout=5)


def moved(record: SessionRecord) -> SessionRecord:
    return replace(record, key=key_of(new_session_key()))


OPERATIONS: dict[str, Callable[[OrmStore, SessionRecord], Awaitable[Any]]] = {
    "read": lambda store, old: store.aread(old.key),
    "create": lambda store, old: store.acreate(make_record()),
    "update": lambda store, old: store.aupdate(old),
    "conflict": lambda store, old: store.aupdate(replace(old, version=7)),
    "rotate": lambda store, old: store.arotate(old.key, moved(old)),
    "modify": lambda store, old: store.amodify(old.key, lambda stored: stored),
    "admit": lambda store, old: store.aadmit(old.key, moved(old), EVICTING),
    "page": lambda store, old: store.apage_for_user(old.user_id, start=0, size=5),
    "make way": lambda store, old: store.amake_way(old),
    "gc": lambda store, old: store.agc(batch_size=1),
}


@types.coroutine
def cancelled_at(number: int, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Await a coroutine, and have the task cancelled as it waits for the nth time."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    step, argument = coroutine.send, None
    count = 0
    while True:
        try:
            awaited = step(argument)  # type: ignore[arg-type]
        except StopIteration as end:
            return end.value
        count += 1
        if count == number:
            loop.call_soon(task.cancel)
        try:
            argument = yield awaited
            step = coroutine.send
        except BaseException as error:  # noqa: BLE001 - the coroutine's
            step, argument = coroutine.throw, error


async def settle(store: OrmStore) -> None:
    """Wait until the connection is back."""
    pool = await store._table._get_pool()
    assert await store.aread("0" * 40) is None  # It may have to be made anew.
    while pool._returns:
        await asyncio.wait(pool._returns)
    (connection,) = [each for each in pool.connections if not each.closed]
    assert connection.pgconn.transaction_status == IDLE
    assert pool._pool.get_stats()["pool_available"] == 1


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=list(OPERATIONS))
def test_cancelled_at_every_await(
    store: OrmStore, operation: Callable[[OrmStore, SessionRecord], Coroutine[Any, Any, Any]]
) -> None:
    async def scene(number: int) -> bool:
        old = make_record(user_id=str(new_id()))
        assert await store.acreate(old)
        assert await store.acreate(expired(make_record()))

        async def act() -> Any:
            return await cancelled_at(number, operation(store, old))

        (outcome,) = await asyncio.gather(asyncio.ensure_future(act()), return_exceptions=True)
        if isinstance(outcome, Exception):
            raise outcome
        await settle(store)
        # What comes next on this connection gets its own answer.
        found = await store.asessions_for_user(old.user_id)
        assert [each.id for each in found] == [old.id]
        assert (await store.aread(found[0].key)).id == old.id
        return isinstance(outcome, asyncio.CancelledError)

    async def scenes() -> int:
        number = 1
        while await scene(number):
            number += 1
        return number

    assert asyncio.run(scenes()) > 1, "it never waited"


async def cancel_at_some_time(store: OrmStore, count: int, *, again_and_again: bool) -> None:
    records = [make_record(user_id=str(new_id())) for _ in range(8)]
    for record in records:
        assert await store.acreate(record)
    done = 0

    async def act(number: int) -> None:
        nonlocal done
        record = records[number % len(records)]
        if number % 3 == 0:
            payload = record.key.encode()
            outcome = await store.amodify(
                record.key, lambda stored: replace(stored, payload=payload)
            )
            assert outcome is Outcome.DONE
        else:
            found = await store.aread(record.key)
            assert found is not None
            assert (found.id, found.key) == (record.id, record.key), "another's answer"
        done += 1

    for start in range(0, count, 10):
        tasks = [asyncio.ensure_future(act(start + place)) for place in range(10)]
        for task in tasks:
            await asyncio.sleep(random.uniform(0, 0.004))
            if random.random() < 0.7:
                task.cancel()
            while again_and_again and not task.done():
                # As a cancel scope of anyio does.
                await asyncio.sleep(0)
                task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome
    assert done, "all were cancelled"
    await settle(store)


@pytest.mark.parametrize("again_and_again", [False, True], ids=["once", "again_and_again"])
def test_cancelled_at_some_time(store: OrmStore, again_and_again: bool) -> None:
    asyncio.run(cancel_at_some_time(store, BRIEFLY, again_and_again=again_and_again))


@pytest.mark.stress
def test_cancelled_often(store: OrmStore) -> None:
    asyncio.run(cancel_at_some_time(store, 10 * rounds(), again_and_again=False))


def test_a_timeout_is_a_timeout(store: OrmStore) -> None:
    """Of who waits, on a row that another has locked; the lock is waited for no longer."""
    record = make_record()
    assert store.create(record)

    async def scene() -> None:
        holder = pools.make_store(timeout=20)

        async def hold() -> None:
            await holder._table.afetch("read_for_update", {"key": record.key})
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await store.amodify(record.key, lambda stored: stored)
            await settle(store)

        await holder._table.atransact(hold)
        assert await store.amodify(record.key, lambda stored: stored) is Outcome.DONE

    asyncio.run(scene())
