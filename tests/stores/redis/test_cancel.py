"""
A request that is cancelled while its session moves to another key doesn't end the session.

On a cluster that takes two steps, between which it is under neither key.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from django_multistore.exceptions import StoreUnavailable
from django_multistore.records import Limit, SessionRecord, new_id
from django_multistore.stores.redis import RedisStore
from django_multistore.stores.steps import (
    Call,
    Insisting,
    Pause,
    Steps,
    arun,
    call,
    run,
    to_its_end,
)
from django_multistore.testing import make_record
from tests.support.helpers import rounds
from tests.support.redis_groups import ClusterGroup, private_group
from tests.support.redis_stores import cluster_store, new_key, of_user

pytestmark = pytest.mark.elsewhere

CANCELLED_BRIEFLY = 60


@pytest.fixture(scope="module")
def group() -> Iterator[ClusterGroup]:
    with private_group(ClusterGroup) as started:
        yield started


@pytest.fixture(
    params=[
        pytest.param(False, id="steps"),
        pytest.param(True, id="cluster", marks=pytest.mark.fault),
    ]
)
def store(request: pytest.FixtureRequest) -> RedisStore:
    if request.param:
        found: ClusterGroup = request.getfixturevalue("group")
        return RedisStore("default", URL=found.url, CLUSTER=True)
    return cluster_store()


def moved(record: SessionRecord, **changes: Any) -> SessionRecord:
    return replace(record, key=new_key(), **changes)


def rotates(store: RedisStore, old: SessionRecord, new: SessionRecord) -> Awaitable[Any]:
    return store.arotate(old.key, new)


def modifies(store: RedisStore, old: SessionRecord, new: SessionRecord) -> Awaitable[Any]:
    return store.amodify(old.key, lambda found: replace(found, key=new.key))


def logs_in(store: RedisStore, old: SessionRecord, new: SessionRecord) -> Awaitable[Any]:
    return store.aadmit(old.key, new, Limit(most=3, evicts=True))


WAYS = [rotates, modifies, logs_in]


async def assert_it_lives(store: RedisStore, old: SessionRecord, new: SessionRecord) -> bool:
    """See that the session is under one key, and listed. Return whether that is the new one."""
    found = [await store.aread(key) for key in (old.key, new.key)]
    (alive,) = [record for record in found if record is not None]
    assert alive.id == old.id
    listed = await store.asessions_for_user(new.user_id)
    assert [record.key for record in listed] == [alive.key] or old.user_id is None
    await store.adestroy(alive.key)
    return alive.key == new.key


async def is_cancelled(task: asyncio.Task[Any]) -> bool:
    (outcome,) = await asyncio.gather(task, return_exceptions=True)
    if isinstance(outcome, Exception):
        raise outcome
    return isinstance(outcome, asyncio.CancelledError)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("is_visitor", [False, True], ids=["user", "visitor"])
def test_cancelled_between_the_steps(
    store: RedisStore,
    way: Callable[..., Awaitable[Any]],
    is_visitor: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each step in turn: when its reply has come, the task is cancelled."""
    call_many = type(store._client).acall_many

    async def scene(number: int) -> bool:
        user_id = str(new_id())
        old = of_user() if not is_visitor else make_record()
        old = replace(old, user_id=None if is_visitor else user_id)
        assert await store.acreate(old)
        new = moved(old, user_id=user_id, authenticated_at=old.last_seen_at)
        taken = 0

        async def cancelling(client: Any, commands: Any) -> Any:
            nonlocal taken
            replies = await call_many(client, commands)
            taken += 1
            if taken == number:
                task.cancel()
                await asyncio.sleep(0)
            return replies

        with monkeypatch.context() as patched:
            patched.setattr(type(store._client), "acall_many", cancelling)
            task = asyncio.ensure_future(way(store, old, new))
            was_cancelled = await is_cancelled(task)
        assert was_cancelled == (taken >= number)
        await assert_it_lives(store, old, new)
        return was_cancelled

    number = 1
    while asyncio.run(scene(number)):
        number += 1
    assert number > 2, "it had but one step"


async def cancel_at_some_time(store: RedisStore, count: int, *, again_and_again: bool) -> None:
    began = time.monotonic()
    for _ in range(10):
        record = of_user()
        await store.acreate(record)
        await store.arotate(record.key, moved(record))
    takes = (time.monotonic() - began) / 20
    ways = [0, 0]
    for _ in range(count):
        old = of_user()
        new = moved(old)
        assert await store.acreate(old)
        task = asyncio.ensure_future(store.arotate(old.key, new))
        await asyncio.sleep(random.uniform(0, 2 * takes))
        task.cancel()
        while again_and_again and not task.done():
            # As a cancel scope of anyio does.
            await asyncio.sleep(0)
            task.cancel()
        await is_cancelled(task)
        ways[await assert_it_lives(store, old, new)] += 1
    assert ways[1], "none of them had begun to move"


@pytest.mark.parametrize("again_and_again", [False, True], ids=["once", "again_and_again"])
def test_cancelled_at_some_time(store: RedisStore, again_and_again: bool) -> None:
    scene = cancel_at_some_time(store, CANCELLED_BRIEFLY, again_and_again=again_and_again)
    asyncio.run(scene)


@pytest.mark.stress
def test_cancelled_often(store: RedisStore) -> None:
    asyncio.run(cancel_at_some_time(store, rounds(), again_and_again=False))


def test_a_loop_that_shuts_down(store: RedisStore) -> None:
    """asyncio.run() cancels what is left when its own task has ended."""
    ways = [0, 0]
    for _ in range(20):
        old = of_user()
        new = moved(old)
        store.create(old)

        async def leave_it(
            tasks: list[Any], old: SessionRecord = old, new: SessionRecord = new
        ) -> None:
            await store.aread(old.key)
            tasks.append(asyncio.ensure_future(store.arotate(old.key, new)))
            await asyncio.sleep(random.uniform(0, 0.002))

        tasks: list[Any] = []
        asyncio.run(leave_it(tasks))
        ways[asyncio.run(assert_it_lives(store, old, new))] += 1
    assert ways[1]


def test_a_timeout_is_a_timeout(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    call_many = type(store._client).acall_many

    async def slow(client: Any, commands: Any) -> Any:
        replies = await call_many(client, commands)
        await asyncio.sleep(0.05)
        return replies

    async def scene() -> None:
        old = of_user()
        new = moved(old)
        assert await store.acreate(old)
        with monkeypatch.context() as patched:
            patched.setattr(type(store._client), "acall_many", slow)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await store.arotate(old.key, new)
        assert await assert_it_lives(store, old, new)

    asyncio.run(scene())


def test_an_outage_then_is_a_cancellation(monkeypatch: pytest.MonkeyPatch) -> None:
    store = cluster_store()
    call_many = type(store._client).acall_many

    async def scene() -> None:
        old = of_user()
        assert await store.acreate(old)
        taken = 0

        async def failing(client: Any, commands: Any) -> Any:
            nonlocal taken
            taken += 1
            if taken == 1:
                replies = await call_many(client, commands)
                task.cancel()
                await asyncio.sleep(0)
                return replies
            raise StoreUnavailable("It has gone.")

        with monkeypatch.context() as patched:
            patched.setattr(type(store._client), "acall_many", failing)
            task = asyncio.ensure_future(store.arotate(old.key, moved(old)))
            assert await is_cancelled(task)

    asyncio.run(scene())


# The steps themselves.


class Target:
    """What takes a step, and has a variant that takes its time."""

    def __init__(self) -> None:
        self.done: list[int] = []

    def add(self, number: int) -> int:
        self.done.append(number)
        return number

    def fail(self) -> float:
        return 1 / 0

    async def afail(self) -> float:
        return self.fail()

    async def aadd(self, number: int) -> int:
        await asyncio.sleep(0.01)
        return self.add(number)


def adding(target: Target) -> Steps[int]:
    total = 0
    for number in (1, 2, 3):
        total += yield from call(target.add, target.aadd, number)
        yield Pause(0)
    return total


def test_steps_that_nobody_cancels() -> None:
    target = Target()
    assert run(to_its_end(adding(target))) == 6
    assert asyncio.run(arun(to_its_end(adding(target)))) == 6
    assert run(to_its_end(to_its_end(adding(target)))) == 6
    assert Insisting(Call(target.add, target.aadd, (4,))).take() == 4


def test_steps_are_taken_to_their_end() -> None:
    target = Target()

    async def scene() -> None:
        task = asyncio.ensure_future(arun(to_its_end(adding(target))))
        await asyncio.sleep(0.015)
        task.cancel()
        assert await is_cancelled(task)

    asyncio.run(scene())
    assert target.done == [1, 2, 3]


def test_steps_meet_the_errors_that_are_theirs() -> None:
    target = Target()

    def catching() -> Steps[str]:
        try:
            yield from call(target.fail, target.afail)
        except ZeroDivisionError:
            return "caught"
        return "not raised"

    def raising() -> Steps[str]:
        yield Pause(0)
        raise ValueError("mine")

    assert run(to_its_end(catching())) == "caught"
    assert asyncio.run(arun(to_its_end(catching()))) == "caught"
    with pytest.raises(ValueError, match="mine"):
        run(to_its_end(raising()))
