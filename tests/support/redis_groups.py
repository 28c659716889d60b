"""
Private groups of Redis servers for the tests: a master under sentinels, and a cluster.

Redis 7.0 is the oldest that will do. Each member is a Server as in tests/servers.py, which a test
can kill, freeze and start again, and which ends with the process that started it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.retry import Retry

from tests import servers
from tests.servers import HOST, ServerError

SERVICE = "sessions"  # the sentinels' name for the master
SLOTS = 16384

# Longer than any of these changes takes where nothing goes wrong: a first election that fails is
# repeated after twice the failover-timeout.
CHANGE_TIMEOUT = 60
ANSWER_TIMEOUT = 2

SENTINEL_SETTINGS = (
    f"sentinel down-after-milliseconds {SERVICE} 700",
    f"sentinel failover-timeout {SERVICE} 3000",
    f"sentinel parallel-syncs {SERVICE} 1",
)

# What a sentinel's file can't hold, in milliseconds. By default a sentinel takes up to 20 seconds
# to make a replica of an old master that is back; it does nothing for 30 after a stall of 2;
# it pings first when the 700 above are over, so that it takes every new master for dead; and it
# believes for 5 what another sentinel said of the old one.
SENTINEL_PERIODS = (
    *("info-period", 200),
    *("publish-period", 200),
    *("tilt-period", 1000),
    *("ping-period", 200),
    *("ask-period", 200),
)

CLUSTER_SETTINGS = (
    "cluster-enabled yes",
    "cluster-config-file nodes.conf",
    "cluster-require-full-coverage no",
    "cluster-replica-validity-factor 0",
)

REPLICATION_SETTINGS = ("repl-diskless-sync-delay 0", "repl-ping-replica-period 1")

QUICK, PATIENT = 1_000, 60_000  # milliseconds after which a node is taken for dead
CLUSTER_VARIABLE = "MULTISTORE_REDIS_CLUSTER"

KEYS_PER_BATCH = 10  # redis-cli moves as many at a time


class Node(servers.Redis):
    """
    A member of a group: a Redis server with a file of settings, which it rewrites itself.

    Args:
        port: Where it listens.
        settings: The file's first contents, a line each.
        durable: As for every server.
    """

    def __init__(self, port: int, settings: Iterable[str], *, durable: bool = False) -> None:
        super().__init__(durable=durable)
        self.port = port
        self.settings = settings
        self._file = self.data / "redis.conf"

    @property
    def running(self) -> bool:
        """Tell whether it was started and not ended since; a frozen one is running."""
        return self._process is not None

    def initialise(self) -> None:
        super().initialise()
        self._file.write_text("".join(f"{line}\n" for line in self.settings))
        if user := servers._unprivileged_user():
            os.chown(self._file, user.pw_uid, user.pw_gid)

    def command(self) -> list[str]:
        program, *arguments = super().command()
        return [program, str(self._file), *arguments]

    def ask(self, *command: str | bytes | int) -> Any:
        """Send a command and return the answer as it comes, with bytes in it."""
        with redis.Redis(
            host=HOST,
            port=self.port,
            protocol=2,
            socket_timeout=ANSWER_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
        ) as client:
            client.response_callbacks.clear()
            return client.execute_command(*command)

    def facts(self, *command: str) -> dict[str, str]:
        """Send a command that is answered by lines of "name:value"."""
        lines = self.ask(*command).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def is_master(self) -> bool:
        return self.facts("INFO", "replication")["role"] == "master"

    def is_replica_in_sync(self) -> bool:
        return self.facts("INFO", "replication").get("master_link_status") == "up"


class SentinelNode(Node):
    name = "sentinel"

    def command(self) -> list[str]:
        program = ["redis-server", str(self._file), "--sentinel"]
        return [*program, "--bind", HOST, "--port", str(self.port), "--dir", str(self.data)]

    def start(self) -> None:
        super().start()
        self.ask("SENTINEL", "DEBUG", *SENTINEL_PERIODS)


class Group(ABC):
    """
    Servers that belong together; a `with` statement starts and closes them.

    Args:
        durable: Whether the nodes keep what they hold over a crash.
    """

    nodes: list[Node]  # those that hold data

    def __init__(self, *, durable: bool = False) -> None:
        self.durable = durable

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.callback(self.close)
            self.start()
            stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @abstractmethod
    def start(self) -> None:
        """Start everything and return when it is ready."""

    @abstractmethod
    def wait_until_ready(self) -> None:
        """
        Return when every server is up and every replica is in sync.

        Before that, a master that is killed may stay without a successor.

        Raises:
            ServerError: It takes too long.
        """

    def close(self) -> None:
        """End every server at once and remove their directories."""
        for node in self.nodes:
            node.close()

    def _node_at(self, port: int) -> Node:
        return next(node for node in self.nodes if node.port == port)


class SentinelGroup(Group):
    """A master, its replica, and three sentinels of which two decide."""

    def __init__(self, *, durable: bool = False) -> None:
        super().__init__(durable=durable)
        first, second, *others = _free_ports(5)
        replica_settings = [*REPLICATION_SETTINGS, f"replicaof {HOST} {first}"]
        self.nodes = [
            Node(first, REPLICATION_SETTINGS, durable=durable),
            Node(second, replica_settings, durable=durable),
        ]
        monitor = f"sentinel monitor {SERVICE} {HOST} {first} 2"
        self.sentinel_nodes = [SentinelNode(port, [monitor, *SENTINEL_SETTINGS]) for port in others]

    @property
    def sentinels(self) -> list[tuple[str, int]]:
        """The sentinels' addresses, as redis.sentinel.Sentinel takes them."""
        return [(HOST, sentinel.port) for sentinel in self.sentinel_nodes]

    def start(self) -> None:
        for node in self.nodes:  # a replica that finds no master waits a second
            node.start()
        # A sentinel that meets a replica before it is in sync has to look again for it.
        _wait_until(self.nodes[1].is_replica_in_sync, "The replica is in sync")
        _start(self.sentinel_nodes)
        self.wait_until_ready()

    def close(self) -> None:
        for sentinel in self.sentinel_nodes:  # first, or they would begin a failover
            sentinel.close()
        super().close()

    def master(self) -> Node:
        """Return the server that the sentinels name."""
        address = _first_answer(self.sentinel_nodes, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return self._node_at(int(address[1]))

    def fail_over(self) -> Node:
        """
        Kill the master and return the new one, which all sentinels that run agree on.

        The old one stays down until it is started, and then becomes a replica.

        Raises:
            ServerError: It takes too long.
        """
        old = self.master()
        old.kill()
        (new,) = (node for node in self.nodes if node is not old)
        _wait_until(lambda: self._agreed_on(new) and new.is_master(), "The replica takes over")
        return new

    def wait_until_ready(self) -> None:
        _wait_until(self._is_ready, "The sentinels see each other and a replica in sync")

    def _agreed_on(self, master: Node) -> bool:
        question = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        running = [sentinel for sentinel in self.sentinel_nodes if sentinel.running]
        return all(int(sentinel.ask(*question)[1]) == master.port for sentinel in running)

    def _is_ready(self) -> bool:
        master = self.master()
        (replica,) = (node for node in self.nodes if node is not master)
        return (
            master.is_master()
            and replica.is_replica_in_sync()
            and self._agreed_on(master)
            and all(_sees_everyone(sentinel) for sentinel in self.sentinel_nodes)
        )


def _sees_everyone(sentinel: SentinelNode) -> bool:
    """Tell whether a sentinel is connected to all the others and knows that the replica is fit."""
    master = _pairs(sentinel.ask("SENTINEL", "MASTER", SERVICE))
    replicas = [_pairs(answer) for answer in sentinel.ask("SENTINEL", "REPLICAS", SERVICE)]
    others = [_pairs(answer) for answer in sentinel.ask("SENTINEL", "SENTINELS", SERVICE)]
    return (
        master["flags"] == "master"
        and [other["flags"] for other in others] == ["sentinel"] * 2
        and [replica["flags"] for replica in replicas] == ["slave"]
        and replicas[0]["role-reported"] == "slave"
        and replicas[0]["master-link-status"] == "ok"
    )


class ClusterGroup(Group):
    """
    A Redis Cluster of three masters, each with a replica.

    Args:
        durable: see Server.
        node_timeout: After how many milliseconds a node is taken for dead.
    """

    def __init__(self, *, durable: bool = False, node_timeout: int = QUICK) -> None:
        super().__init__(durable=durable)
        settings = [
            *CLUSTER_SETTINGS,
            *REPLICATION_SETTINGS,
            f"cluster-node-timeout {node_timeout}",
        ]
        ports = _free_ports(12)
        self._bus_ports = dict(zip(ports[:6], ports[6:], strict=True))
        self.nodes = [
            Node(
                port,
                [*settings, f"cluster-port {bus_port}"],
                durable=durable,
            )
            for port, bus_port in self._bus_ports.items()
        ]

    @property
    def addresses(self) -> list[str]:
        return [node.address for node in self.nodes]

    @property
    def url(self) -> str:
        """The URL of a node that runs."""
        return f"redis://{self._running()[0].address}"

    def start(self) -> None:
        _start(self.nodes)
        masters, replicas = self.nodes[:3], self.nodes[3:]
        for number, master in enumerate(masters):
            first, beyond = SLOTS * number // 3, SLOTS * (number + 1) // 3
            master.ask("CLUSTER", "ADDSLOTSRANGE", first, beyond - 1)
            master.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in self.nodes[1:]:
            bus_port = self._bus_ports[node.port]
            self.nodes[0].ask("CLUSTER", "MEET", HOST, node.port, bus_port)
        for master, replica in zip(masters, replicas, strict=True):
            _follow(replica, master)
        self.wait_until_ready()

    def slot_of(self, key: bytes) -> int:
        return key_slot(key)

    def master_of(self, key: bytes) -> Node:
        return self._owner_of(self.slot_of(key))

    def masters(self) -> list[Node]:
        """Return the masters that have slots, as a node that answers knows them."""
        owners = _owners(_first_answer(self.nodes, "CLUSTER", "SLOTS"))
        return [node for node in self.nodes if node.port in owners]

    def kill_master_of(self, key: bytes) -> Node:
        """
        Kill a key's master, and return it when its replica has taken over for all nodes that run.

        It stays down until it is started, and then becomes a replica.

        Raises:
            ServerError: It takes too long.
        """
        master = self.master_of(key)
        master.kill()
        _wait_until(
            lambda: self._agrees() and self.master_of(key) is not master, "The replica takes over"
        )
        return master

    def migrate_slot(self, slot: int, *, to: servers.Server, pause: float = 0) -> None:
        """
        Move a slot with its keys to another master, as redis-cli does it.

        Meanwhile requests for keys that are not, or no more, on the old master are sent on by ASK.

        Args:
            slot: Its number.
            to: The master that gets it.
            pause: Seconds to wait before each batch of ten keys, and before the end.
        """
        source, target = self._owner_of(slot), self._node_at(to.port)
        target_id = target.ask("CLUSTER", "MYID")
        source_id = source.ask("CLUSTER", "MYID")
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
        time.sleep(pause)
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, KEYS_PER_BATCH):
            timeout = ANSWER_TIMEOUT * 1000
            source.ask("MIGRATE", HOST, target.port, "", 0, timeout, "KEYS", *keys)
            time.sleep(pause)
        others = [node for node in self.masters() if node not in (target, source)]
        for node in (target, source, *others):  # the new owner must be the first to know
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", target_id)
        _wait_until(self._agrees, f"All nodes know who has slot {slot}")

    def wait_until_ready(self) -> None:
        _wait_until(self._is_ready, "The cluster is complete")

    def _owner_of(self, slot: int) -> Node:
        for first, last, owner, *_ in _first_answer(self.nodes, "CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return self._node_at(owner[1])
        raise ServerError(f"No master has slot {slot}.")

    def _running(self) -> list[Node]:
        return [node for node in self.nodes if node.running]

    def _agrees(self) -> bool:
        """Tell whether the nodes that run find the cluster well, and the same masters in it."""
        running = self._running()
        layouts = [_layout(node.ask("CLUSTER", "SLOTS")) for node in running]
        return all(map(_finds_cluster_well, running)) and layouts.count(layouts[0]) == len(layouts)

    def _is_ready(self) -> bool:
        if self._running() != self.nodes or not self._agrees():
            return False
        masters = self.masters()
        replicas = [node for node in self.nodes if node not in masters]
        return len(masters) == len(replicas) and all(
            replica.is_replica_in_sync() for replica in replicas
        )


def _finds_cluster_well(node: Node) -> bool:
    facts = node.facts("CLUSTER", "INFO")
    return (
        facts["cluster_state"] == "ok"
        and facts["cluster_known_nodes"] == "6"
        and facts["cluster_slots_ok"] == str(SLOTS)
    )


def _layout(slots: list[Any]) -> list[tuple[int, int, int]]:
    """Return who has which slots: the first, the last, and the master's port."""
    return sorted((first, last, owner[1]) for first, last, owner, *_ in slots)


def _owners(slots: list[Any]) -> set[int]:
    return {port for _, _, port in _layout(slots)}


def _follow(replica: Node, master: Node) -> None:
    master_id = master.ask("CLUSTER", "MYID")
    _wait_until(  # until it has met the master, it refuses
        lambda: replica.ask("CLUSTER", "REPLICATE", master_id) == b"OK", "A replica has a master"
    )


AnyGroup = TypeVar("AnyGroup", bound=Group)


def private_group(kind: type[AnyGroup], *, durable: bool = False) -> AnyGroup:
    """
    Return a new group, to be used in a `with` statement, which starts and closes it.

    Where it can't be had the test is skipped, or fails with CI=true.
    """
    servers.private("redis").close()
    return kind(durable=durable)


def shared_cluster() -> str:
    """
    Return the URL of a cluster for this process and those that it starts.

    It is started when it is first asked for, and ends with the process that did.
    """
    if CLUSTER_VARIABLE not in os.environ:
        servers.private("redis").close()
        # A busy machine may hold a node up for longer than a test of failures would wait.
        group = ClusterGroup(node_timeout=PATIENT)
        group.start()
        atexit.register(group.close)
        os.environ[CLUSTER_VARIABLE] = group.url
    return os.environ[CLUSTER_VARIABLE]


def _free_ports(count: int) -> list[int]:
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(servers._free_port())
    return list(ports)


def _start(nodes: Sequence[Node]) -> None:
    with ThreadPoolExecutor(len(nodes)) as pool:
        for started in [pool.submit(node.start) for node in nodes]:
            started.result()


def _first_answer(nodes: Sequence[Node], *command: str) -> Any:
    """Ask one node after the other until one answers."""
    for node in nodes:
        with contextlib.suppress(redis.RedisError):
            if node.running:
                return node.ask(*command)
    raise ServerError(f"No node answers {' '.join(command)}.")


def _pairs(answer: list[bytes]) -> dict[str, str]:
    texts = [item.decode() for item in answer]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _wait_until(condition: Callable[[], bool], what: str) -> None:
    """Return once a condition holds; a server that does not answer only means not yet."""
    deadline = time.monotonic() + CHANGE_TIMEOUT
    problem: Exception | None = None
    while True:
        try:
            if condition():
                return
        except (redis.RedisError, ServerError) as error:
            problem = error
        if time.monotonic() > deadline:
            raise ServerError(f"Not within {CHANGE_TIMEOUT} s: {what}.") from problem
        time.sleep(0.02)
