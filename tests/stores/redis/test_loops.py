"""Event loops that are closed by hand, without a shutdown, leave nothing open for long."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from django_multistore.stores.redis import RedisStore
from django_multistore.testing import make_record
from tests import servers
from tests.support import redis_servers
from tests.support.redis_groups import SERVICE, ClusterGroup, SentinelGroup, private_group
from tests.support.redis_servers import client_of, wait_until
from tests.support.redis_tls import Certificate

pytestmark = pytest.mark.elsewhere

LOOPS = 20
# Nothing here is about time, and machines may be busy.
PATIENT = {"CONNECT_TIMEOUT": 30, "TIMEOUT": 60}

no_resource_warning = redis_servers.no_resource_warning


@pytest.fixture
def server() -> Iterator[servers.Server]:
    with servers.private("redis") as started:
        yield started


def connections_to(*nodes: Any) -> set[tuple[int, int]]:
    """Return the connections of clients, but not of this question."""
    found = set()
    for node in nodes:
        with client_of(node) as client:
            clients = client.client_list(_type="normal")
            me = client.client_id()
            found |= {(node.port, int(each["id"])) for each in clients if int(each["id"]) != me}
    return found


def in_a_loop_that_is_dropped(action: Callable[[], Awaitable[object]]) -> Any:
    """Run it as code does that closes its loop and nothing else."""
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(action())
    finally:
        loop.close()
    return weakref.ref(loop)


def five_reads(store: RedisStore) -> Callable[[], Awaitable[object]]:
    async def read() -> None:
        reads = (store.aread("0" * 40) for _ in range(5))
        assert await asyncio.gather(*reads) == [None] * 5

    return read


def assert_few_stay(store: RedisStore, *nodes: Any) -> None:
    """Those of the loop that was the last; and none after one that shuts down."""
    store.read("0" * 40)
    before = connections_to(*nodes)
    read = five_reads(store)
    loops = [in_a_loop_that_is_dropped(read) for _ in range(LOOPS)]
    assert len(store._client._loops) == 1
    wait_until(lambda: len(connections_to(*nodes) - before) <= 5 * max(1, len(nodes)))
    asyncio.run(read())
    assert not store._client._loops
    wait_until(lambda: connections_to(*nodes) <= before)
    gc.collect()
    assert not [loop for loop in loops if loop() is not None], "loops that are over are kept"


def test_on_a_server(server: servers.Server, no_resource_warning: None) -> None:
    assert_few_stay(RedisStore("default", URL=f"redis://{server.address}/5", **PATIENT), server)


def test_by_a_unix_socket(no_resource_warning: None) -> None:
    with servers.private("redis", arguments=["--unixsocket", "socket"]) as server:
        assert_few_stay(
            RedisStore("default", URL=f"unix://{server.data}/socket", **PATIENT), server
        )


def test_with_tls(no_resource_warning: None) -> None:
    with ExitStack() as stack:
        certificate = Certificate(stack)
        url = f"rediss://127.0.0.1:{certificate.port}/0"
        trust = {"ssl_ca_certs": str(certificate.path)}
        store = RedisStore("web", URL=url, CONNECTION=trust, **PATIENT)
        read = five_reads(store)
        loops = [in_a_loop_that_is_dropped(read) for _ in range(LOOPS)]
        assert len(store._client._loops) == 1
        asyncio.run(read())
        gc.collect()
        assert not [loop for loop in loops if loop() is not None]
        store._client._connections.drop()


@pytest.mark.fault
def test_behind_sentinels(no_resource_warning: None) -> None:
    with private_group(SentinelGroup) as group:
        store = RedisStore("default", SENTINELS=group.sentinels, SERVICE=SERVICE, **PATIENT)
        assert_few_stay(store, *group.nodes)
        store._client._connections.drop()


@pytest.mark.fault
def test_on_a_cluster(no_resource_warning: None) -> None:
    with private_group(ClusterGroup) as group:
        store = RedisStore("default", URL=group.url, CLUSTER=True)
        assert_few_stay(store, *group.nodes)
        store._client._client.close()


def test_connections_that_are_in_use(
    server: servers.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a task had that was still waiting is closed as well. How redis-py dies is its own."""
    store = RedisStore("default", URL=f"redis://{server.address}/5", **PATIENT)
    name = store._protocol.session_name("0" * 40)

    async def wait_for_long() -> None:
        # Nothing is sent in reply before the loop is closed.
        tasks.append(asyncio.ensure_future(store._client.acall("BLPOP", name, 60)))
        await asyncio.sleep(0.2)

    tasks: list[Any] = []
    in_a_loop_that_is_dropped(wait_for_long)
    waits = connections_to(server)
    assert waits
    for task in tasks:
        task._log_destroy_pending = False
    asyncio.run(five_reads(store)())
    wait_until(lambda: not connections_to(server) & waits)
    del task
    tasks.clear()
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    gc.collect()


def test_threads_with_loops_of_their_own(server: servers.Server, no_resource_warning: None) -> None:
    """One that drops its loops takes nothing from the others."""
    store = RedisStore("default", URL=f"redis://{server.address}/5", **PATIENT)
    record = make_record()
    assert store.create(record)
    is_over = threading.Event()
    failed: list[BaseException] = []

    def read_on() -> None:
        async def go() -> None:
            while not is_over.is_set():
                assert await store.aread(record.key) == record

        try:
            asyncio.run(go())
        except BaseException as error:
            failed.append(error)
            raise

    def drop() -> None:
        async def read() -> None:
            assert await store.aread(record.key) == record

        try:
            while not is_over.is_set():
                in_a_loop_that_is_dropped(read)
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=target) for target in (read_on, read_on, drop, drop)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    is_over.set()
    for thread in threads:
        thread.join(30)
    assert not failed
    asyncio.run(five_reads(store)())
    assert not store._client._loops
