from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import unittest
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from redis.sentinel import Sentinel

from tests import servers
from tests.support.paths import CHECKOUT
from tests.support.redis_groups import (
    KEYS_PER_BATCH,
    SERVICE,
    ClusterGroup,
    Group,
    SentinelGroup,
    private_group,
)

SAY_WHERE_AND_WAIT = """
from tests.support.redis_groups import SentinelGroup
with SentinelGroup() as group:
    print(*(node.port for node in group.nodes + group.sentinel_nodes), flush=True)
    input()
"""

pytestmark = pytest.mark.fault


@pytest.fixture
def sentinel_group() -> Iterator[SentinelGroup]:
    with private_group(SentinelGroup) as group:
        yield group


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterGroup]:
    with private_group(ClusterGroup, durable=True) as group:
        yield group


def client_of(group: ClusterGroup) -> redis.RedisCluster:
    return redis.RedisCluster.from_url(group.url)


def test_sentinels_fail_over_and_back(sentinel_group: SentinelGroup) -> None:
    sentinel = Sentinel(sentinel_group.sentinels)  # type: ignore[no-untyped-call]
    with sentinel.master_for(SERVICE) as client:  # type: ignore[no-untyped-call]
        for _ in range(2):
            old = sentinel_group.master()
            client.set("before", old.port)
            assert client.wait(1, 1000) == 1
            new = sentinel_group.fail_over()
            assert new is sentinel_group.master() is not old
            assert client.get("before") == b"%d" % old.port
            client.set("after", new.port)
            old.start()
            sentinel_group.wait_until_ready()
            assert not old.is_master()
            assert old.ask("GET", "after") == b"%d" % new.port
    for each in sentinel.sentinels:
        each.close()


def test_demoted_master_is_a_replica_when_it_starts_again(sentinel_group: SentinelGroup) -> None:
    old = sentinel_group.master()
    sentinel_group.fail_over()
    old.start()
    sentinel_group.wait_until_ready()
    old.restart()
    assert not old.is_master()


def test_cluster_is_complete_when_it_starts(cluster: ClusterGroup) -> None:
    masters = cluster.masters()
    replicas = [node for node in cluster.nodes if node not in masters]
    assert len(masters) == len(replicas) == 3
    assert all(replica.is_replica_in_sync() for replica in replicas)
    states = {node.facts("CLUSTER", "INFO")["cluster_state"] for node in cluster.nodes}
    assert states == {"ok"}


def test_cluster_survives_a_killed_master(cluster: ClusterGroup) -> None:
    with client_of(cluster) as client:
        client.set("kept", "here")
        assert cluster.master_of(b"kept").ask("WAIT", 1, 1000) == 1
        killed = cluster.kill_master_of(b"kept")
        assert cluster.master_of(b"kept") is not killed
        assert not killed.running
        assert client.get("kept") == b"here"
        killed.start()
        cluster.wait_until_ready()
        assert not killed.is_master()
        assert len(cluster.masters()) == 3


def test_slot_migrates_with_its_keys(cluster: ClusterGroup) -> None:
    keys = [b"{moves}\xff%d" % number for number in range(2 * KEYS_PER_BATCH + 1)]
    slot = cluster.slot_of(keys[0])
    source = cluster.master_of(keys[0])
    target = next(master for master in cluster.masters() if master is not source)
    with client_of(cluster) as client:
        for key in keys:
            client.set(key, key)
        cluster.migrate_slot(slot, to=target)
        assert cluster.master_of(keys[0]) is target
        assert source.ask("CLUSTER", "COUNTKEYSINSLOT", slot) == 0
        assert target.ask("CLUSTER", "COUNTKEYSINSLOT", slot) == len(keys)
        assert [client.get(key) for key in keys] == keys


def test_traffic_meets_ask_while_a_slot_migrates(cluster: ClusterGroup) -> None:
    key = "{asked}"
    source = cluster.master_of(key.encode())
    target = next(master for master in cluster.masters() if master is not source)
    with ThreadPoolExecutor(1) as pool:
        slot = cluster.slot_of(key.encode())
        migrated = pool.submit(cluster.migrate_slot, slot, to=target, pause=1)
        time.sleep(0.5)
        with pytest.raises(redis.exceptions.AskError):
            source.ask("GET", key)
        with client_of(cluster) as client:
            client.set(key, "new")
        migrated.result()
    assert target.ask("GET", key) == b"new"


@pytest.mark.parametrize("kind", [SentinelGroup, ClusterGroup])
def test_closed_group_leaves_nothing(kind: type[Group]) -> None:
    with private_group(kind) as group:
        members = [*group.nodes, *getattr(group, "sentinel_nodes", [])]
        members[0].freeze()
        assert all(member.directory.exists() for member in members)
    assert not any(member.answers() or member.directory.exists() for member in members)


def test_group_ends_with_its_starter() -> None:
    private_group(SentinelGroup).close()
    command = [sys.executable, "-c", SAY_WHERE_AND_WAIT]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe) as starter:
        assert starter.stdout
        ports = [int(port) for port in starter.stdout.readline().split()]
        assert len(ports) == 5
        assert all(map(listens, ports))
        starter.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while any(map(listens, ports)):
        assert time.monotonic() < deadline, "a server is left"
        time.sleep(0.02)


@pytest.mark.parametrize(("ci", "outcome"), [("", unittest.SkipTest), ("true", AssertionError)])
def test_missing_redis_skips_or_fails_in_ci(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[Exception]
) -> None:
    monkeypatch.setattr(servers.Redis, "programs", ("no-such-redis-server",))
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="no-such-redis-server"):
        private_group(SentinelGroup)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((servers.HOST, port)) == 0
