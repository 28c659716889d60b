"""
Redis servers that lose replies, forget, fill up, freeze and die under RedisStore.

What was done is known as done, though its reply was lost. An outage is StoreUnavailable, within
the timeouts; it ends no session, and the same store goes on afterwards.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from asgiref.sync import SyncToAsync
from django.contrib.auth import SESSION_KEY
from django.utils import timezone

from django_multistore.engine import SessionStore
from django_multistore.exceptions import StoreUnavailable
from django_multistore.records import Limit, Outcome, SessionRecord, key_of
from django_multistore.session.keys import new_session_key
from django_multistore.stores import stores
from django_multistore.stores.redis import RedisStore
from django_multistore.stores.redis.client.cluster import ClusterClient
from django_multistore.stores.redis.client.server import ServerClient
from django_multistore.stores.redis.cluster import ClusterProtocol
from django_multistore.testing import Calls, make_record
from tests import servers
from tests.support import redis_servers
from tests.support.proxies import LossyLine
from tests.support.redis_groups import SERVICE, ClusterGroup, SentinelGroup, private_group
from tests.support.redis_servers import client_of, wait_until
from tests.support.unreachable import OPERATIONS, a_closed_port

pytestmark = pytest.mark.fault

USER, OTHER, WALKER = "7", "8", "9"
QUICK = 0.3  # seconds, of a server that is frozen here
SLACK = 2  # seconds, which this machine may take for itself

SERVER, CLUSTER = "server", "cluster"
PROTOCOLS = pytest.mark.parametrize("protocol", [SERVER, CLUSTER])
BOTH_WAYS = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


def store_at(address: str, protocol: str = SERVER, **options: Any) -> RedisStore:
    """Return a store in a server, with the protocol of a cluster if that is asked for."""
    return with_protocol(RedisStore("default", URL=f"redis://{address}/5", **options), protocol)


def with_protocol(store: Any, protocol: str) -> RedisStore:
    if protocol == CLUSTER:
        store._protocol = ClusterProtocol(store.alias, store._client, store._options)
    made: RedisStore = store
    return made


@pytest.fixture
def server() -> Iterator[servers.Server]:
    with servers.private("redis", durable=True) as started:
        yield started


def ask(server: servers.Server, *command: str) -> Any:
    with client_of(server) as client:
        return client.execute_command(*command)


def stored(store: Any, *, count: int = 1, **changes: Any) -> list[SessionRecord]:
    """Create sessions, of one user if nothing else is said."""
    made = []
    for _ in range(count):
        record = make_record(**{"user_id": USER, "authenticated_at": timezone.now()} | changes)
        assert store.create(record) is True
        made.append(record)
    return made


def moved(record: SessionRecord, **changes: Any) -> SessionRecord:
    """Return what a record is to be after a rotation."""
    return replace(record, key=key_of(new_session_key()), **changes)


def later(record: SessionRecord, **span: float) -> SessionRecord:
    return replace(record, expires_at=record.expires_at + timedelta(**span))


def past(record: SessionRecord) -> SessionRecord:
    return replace(record, expires_at=timezone.now() - timedelta(hours=1))


# Commands that are lost, or whose replies are.


@dataclass
class Scene:
    """One operation of `store`, which a line may fail; `sound` has a line of its own."""

    sound: RedisStore
    store: Calls
    protocol: str
    live: list[SessionRecord] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)

    def stored(self, **changes: Any) -> SessionRecord:
        """Create a session that is live to the end."""
        (record,) = stored(self.sound, **changes)
        self.live.append(record)
        return record

    def ends(self, *records: SessionRecord) -> None:
        self.live = [record for record in self.live if record not in records]
        self.dead += [record.key for record in records]

    def becomes(self, old: SessionRecord, new: SessionRecord) -> None:
        """Say what a session is in the end, and that it was written once."""
        self.live[self.live.index(old)] = replace(new, version=2)
        if old.key != new.key:
            self.dead.append(old.key)

    def is_once_less(self, count: int, expected: int) -> None:
        """On a server an end whose reply was lost may be counted as none."""
        assert count == expected or (self.protocol == SERVER and 0 <= count < expected)

    def look(self) -> None:
        for record in self.live:
            assert self.sound.read(record.key) == record
        for key in self.dead:
            assert self.sound.read(key) is None
        for user in (USER, OTHER):
            keys = {record.key for record in self.live if record.user_id == user}
            listed = self.sound.sessions_for_user(user)
            assert {record.key for record in listed} == keys
            assert len(listed) == len(keys)
            name = self.sound._protocol.index_name(user)
            in_index = {key.hex() for key in self.sound._client.call("ZRANGE", name, 0, -1)}
            assert in_index == keys or (self.protocol == CLUSTER and keys <= in_index)
            # What is there beyond them is known to be dead.
            for key in in_index - keys:
                assert self.sound._client.call("EXISTS", self.sound._protocol.session_name(key))


def create(scene: Scene) -> None:
    record = make_record(user_id=USER, authenticated_at=timezone.now())
    assert scene.store.create(record) is True
    scene.live.append(record)


def create_a_visitors(scene: Scene) -> None:
    record = make_record()
    assert scene.store.create(record) is True
    scene.live.append(record)


def create_what_is_taken(scene: Scene) -> None:
    record = scene.stored()
    assert scene.store.create(replace(record, payload=b"rival")) is False


def read(scene: Scene) -> None:
    record = scene.stored()
    assert scene.store.read(record.key) == record
    assert scene.store.read("0" * 40) is None


def update(scene: Scene) -> None:
    record = scene.stored()
    new = replace(record, payload=b"new")
    assert scene.store.update(new) is Outcome.DONE
    scene.becomes(record, new)


def update_another_version(scene: Scene) -> None:
    record = scene.stored()
    new = replace(record, payload=b"new", version=9)
    assert scene.store.update(new) is Outcome.CONFLICT


def update_any_version(scene: Scene) -> None:
    record = scene.stored()
    new = replace(record, payload=b"new", version=None)
    assert scene.store.update(new) is Outcome.DONE
    scene.becomes(record, new)


def update_to_live_longer(scene: Scene) -> None:
    record = scene.stored()
    new = later(record, days=1)
    assert scene.store.update(new) is Outcome.DONE
    scene.becomes(record, new)


def update_for_another_user(scene: Scene) -> None:
    record = scene.stored()
    new = replace(record, user_id=OTHER)
    assert scene.store.update(new) is Outcome.DONE
    scene.becomes(record, new)


def update_at_login(scene: Scene) -> None:
    record = scene.stored(user_id=None, authenticated_at=None)
    new = replace(record, user_id=USER, authenticated_at=timezone.now())
    assert scene.store.update(new) is Outcome.DONE
    scene.becomes(record, new)


def modify(scene: Scene) -> None:
    record = scene.stored()
    new = replace(record, payload=record.payload + b"+")

    def add(found: SessionRecord) -> SessionRecord:
        return replace(found, payload=found.payload + b"+")

    assert scene.store.modify(record.key, add) is Outcome.DONE
    scene.becomes(record, new)


def modify_to_another_key(scene: Scene) -> None:
    record = scene.stored()
    new = moved(record)
    assert scene.store.modify(record.key, lambda found: replace(found, key=new.key)) is Outcome.DONE
    scene.becomes(record, new)


def rotate(scene: Scene) -> None:
    record = scene.stored()
    new = moved(record, payload=b"sealed anew")
    assert scene.store.rotate(record.key, new) is Outcome.DONE
    scene.becomes(record, new)


def rotate_a_visitors(scene: Scene) -> None:
    record = scene.stored(user_id=None, authenticated_at=None)
    new = moved(record)
    assert scene.store.rotate(record.key, new) is Outcome.DONE
    scene.becomes(record, new)


def rotate_at_login(scene: Scene) -> None:
    record = scene.stored(user_id=None, authenticated_at=None)
    new = moved(record, user_id=USER, authenticated_at=timezone.now())
    assert scene.store.rotate(record.key, new) is Outcome.DONE
    scene.becomes(record, new)


def rotate_for_another_user(scene: Scene) -> None:
    record = scene.stored()
    new = moved(record, user_id=OTHER)
    assert scene.store.rotate(record.key, new) is Outcome.DONE
    scene.becomes(record, new)


def rotate_another_version(scene: Scene) -> None:
    record = scene.stored()
    assert scene.store.rotate(record.key, moved(record, version=9)) is Outcome.CONFLICT


def touch(scene: Scene) -> None:
    record = scene.stored()
    new = later(record, minutes=1)
    assert scene.store.touch(new) is True
    scene.live = [new]


def touch_to_live_longer_elsewhere(scene: Scene) -> None:
    record = scene.stored()
    new = later(replace(record, device=make_record().device), days=1)
    assert scene.store.touch(new) is True
    scene.live = [new]


def touch_by_a_wrong_clock(scene: Scene) -> None:
    record = scene.stored()
    scene.store.touch(past(record))
    scene.live = [record]


def destroy(scene: Scene) -> None:
    record, _ = scene.stored(), scene.stored()
    scene.is_once_less(scene.store.destroy(record.key), True)
    scene.ends(record)


def destroy_a_visitors(scene: Scene) -> None:
    record = scene.stored(user_id=None, authenticated_at=None)
    scene.is_once_less(scene.store.destroy(record.key), True)
    scene.ends(record)


def destroy_for_user(scene: Scene) -> None:
    records = [scene.stored() for _ in range(3)]
    scene.stored(user_id=OTHER)
    scene.is_once_less(scene.store.destroy_for_user(USER), 3)
    scene.ends(*records)


def destroy_others_of_user(scene: Scene) -> None:
    record, *others = (scene.stored() for _ in range(3))
    count = scene.store.destroy_for_user(USER, except_key=record.key)
    scene.is_once_less(count, 2)
    scene.ends(*others)


def destroy_session(scene: Scene) -> None:
    record, _ = scene.stored(), scene.stored()
    scene.is_once_less(scene.store.destroy_session(USER, record.id), True)
    scene.ends(record)


def sessions_for_user(scene: Scene) -> None:
    records = [scene.stored(), scene.stored()]
    found = scene.store.sessions_for_user(USER)
    assert {record.id for record in found} == {record.id for record in records}
    assert len(found) == 2


DEEDS = [
    *(create, create_a_visitors, create_what_is_taken, read),
    *(update, update_another_version, update_any_version, update_to_live_longer),
    *(update_for_another_user, update_at_login, modify, modify_to_another_key),
    *(rotate, rotate_a_visitors, rotate_at_login, rotate_for_another_user, rotate_another_version),
    *(touch, touch_to_live_longer_elsewhere, touch_by_a_wrong_clock),
    *(destroy, destroy_a_visitors, destroy_for_user, destroy_others_of_user, destroy_session),
    sessions_for_user,
]
MOST_COMMANDS = 20  # of one operation here; more means that it does not come to an end

no_resource_warning = redis_servers.no_resource_warning


@pytest.fixture(scope="module")
def shared() -> Iterator[servers.Server]:
    """Start a server that is emptied, but not killed."""
    with servers.private("redis") as started:
        yield started


@pytest.fixture
def line(shared: servers.Server) -> Iterator[LossyLine]:
    ask(shared, "FLUSHALL")
    with LossyLine(shared.address) as made:
        yield made


@pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.__name__)
@PROTOCOLS
@BOTH_WAYS
def test_any_one_command_is_lost_or_its_reply(
    deed: Callable[[Scene], None],
    protocol: str,
    is_async: bool,
    line: LossyLine,
    shared: servers.Server,
) -> None:
    sound, store = (store_at(each.address, protocol) for each in (shared, line))
    for forwards, forgets in ((True, False), (True, True)):
        for number in itertools.count(1):
            ask(shared, "FLUSHALL")
            scene = Scene(sound, Calls(store, is_async=is_async), protocol)
            if forgets:
                ask(shared, "SCRIPT", "FLUSH")
            line.begin(number, forwards=forwards)
            deed(scene)
            was_reached = line.given >= number
            line.begin()
            scene.look()
            if not was_reached:
                assert number > 1
                break
            assert number < MOST_COMMANDS


@PROTOCOLS
@BOTH_WAYS
def test_scripts_are_forgotten_before_each_command(
    protocol: str, is_async: bool, line: LossyLine, shared: servers.Server
) -> None:
    sound, store = (store_at(each.address, protocol) for each in (shared, line))
    for deed in DEEDS:
        ask(shared, "FLUSHALL")
        scene = Scene(sound, Calls(store, is_async=is_async), protocol)
        with client_of(shared) as client:
            # A NOSCRIPT is answered by the text, before which nothing is forgotten.
            line.begin(before_each=lambda: line.given % 2 and client.script_flush())
            deed(scene)
        line.begin()
        scene.look()


# The same, through the engine.


def use(settings: Any, store_of: Callable[[], RedisStore] | None = None, **options: Any) -> None:
    """Keep the engine's sessions in a RedisStore."""
    backend = "django_multistore.stores.redis.RedisStore"
    settings.SESSION_STORES = {"default": {"BACKEND": backend, "OPTIONS": options}}


def log_in(session: Calls) -> None:
    session.update({SESSION_KEY: USER})
    session.save()


def engine_creates(session: SessionStore, is_async: bool) -> SessionStore:
    log_in(Calls(session, is_async=is_async))
    return session


def engine_saves(session: SessionStore, is_async: bool) -> SessionStore:
    session = SessionStore(saved_login())
    Calls(session, is_async=is_async).update({"visits": 1})
    Calls(session, is_async=is_async).save()
    return session


def engine_rotates(session: SessionStore, is_async: bool) -> SessionStore:
    session = SessionStore(saved_login())
    old = session.session_key
    Calls(session, is_async=is_async).update({"visits": 1})
    Calls(session, is_async=is_async).cycle_key()
    assert stores["default"].read(key_of(str(old))) is None
    return session


def engine_logs_in(session: SessionStore, is_async: bool) -> SessionStore:
    session = SessionStore(saved_login(None))
    calls = Calls(session, is_async=is_async)
    calls.cycle_key()
    log_in(calls)
    return session


def engine_flushes(session: SessionStore, is_async: bool) -> None:
    session = SessionStore(saved_login())
    old = session.session_key
    Calls(session, is_async=is_async).flush()
    assert stores["default"].read(key_of(str(old))) is None


def saved_login(user: str | None = USER, **data: Any) -> str:
    session = SessionStore()
    session.update(({SESSION_KEY: user} if user else {"visits": 0}) | data)
    session.save()
    return str(session.session_key)


ENGINE_DEEDS: list[Callable[..., SessionStore | None]] = [
    engine_creates,
    engine_saves,
    engine_rotates,
    engine_logs_in,
    engine_flushes,
]


@pytest.mark.parametrize("deed", ENGINE_DEEDS, ids=lambda deed: deed.__name__)
@PROTOCOLS
@BOTH_WAYS
def test_the_engine_loses_any_one_reply(
    deed: Callable[..., SessionStore | None],
    protocol: str,
    is_async: bool,
    settings: Any,
    line: LossyLine,
    shared: servers.Server,
) -> None:
    use(settings, URL=f"redis://{line.address}/5")
    with_protocol(stores["default"], protocol)
    for number in itertools.count(1):
        ask(shared, "FLUSHALL")
        line.begin(number)
        session = deed(SessionStore(), is_async)
        was_reached = line.given >= number
        line.begin()
        listed = stores["default"].sessions_for_user(USER)
        if session is None:
            assert listed == []
        else:
            assert [record.key for record in listed] == [session.key]
            data = SessionStore(session.session_key).load()
            assert data == dict(session.items())
            assert data[SESSION_KEY] == USER
        if not was_reached:
            assert number > 1
            break
        assert number < MOST_COMMANDS


# Servers that start again.


@BOTH_WAYS
@PROTOCOLS
def test_all_idle_connections_are_replaced(
    protocol: str, is_async: bool, server: servers.Server
) -> None:
    store = store_at(server.address, protocol, TIMEOUT=5)
    (record,) = stored(store)

    def all_at_once(pool: ThreadPoolExecutor) -> None:
        server.freeze()
        reads = [pool.submit(store.read, record.key) for _ in range(5)]
        time.sleep(0.2)
        server.thaw()
        assert [each.result() for each in reads] == [record] * 5

    async def in_one_loop() -> None:
        for _ in range(2):
            for _ in range(2):
                reads = (store.aread(record.key) for _ in range(5))
                assert await asyncio.gather(*reads) == [record] * 5
                assert connections_to(server) >= 5
            await asyncio.to_thread(server.restart)

    if is_async:
        asyncio.run(in_one_loop())
        return
    with ThreadPoolExecutor(5) as pool:
        for _ in range(2):
            all_at_once(pool)
            assert connections_to(server) == 5
            server.restart()
        for _ in range(10):
            assert store.read(record.key) == record


def ids_of_connections(server: servers.Server) -> set[int]:
    """Return those of clients, but not of this question."""
    with client_of(server) as client:
        found = {int(each["id"]) for each in client.client_list(_type="normal")}
        return found - {client.client_id()}


def connections_to(server: servers.Server) -> int:
    return len(ids_of_connections(server))


@BOTH_WAYS
@PROTOCOLS
def test_killed_and_back(protocol: str, is_async: bool, server: servers.Server) -> None:
    store = store_at(server.address, protocol)
    calls = Calls(store, is_async=is_async)
    for _ in range(3):
        kept, changed, rotated, ended, also_ended = stored(calls, count=5)
        new = moved(rotated)
        assert calls.update(replace(changed, payload=b"new")) is Outcome.DONE
        assert calls.rotate(rotated.key, new) is Outcome.DONE
        assert calls.destroy(ended.key) is True
        assert calls.destroy_session(USER, also_ended.id) is True
        server.kill()
        for operation in OPERATIONS.values():
            with pytest.raises(StoreUnavailable, match="'default'"):
                operation(calls)
        server.start()
        assert calls.read(kept.key) == kept
        assert calls.read(changed.key) == replace(changed, payload=b"new", version=2)
        assert calls.read(new.key) == replace(new, version=2)
        for record in (rotated, ended, also_ended):
            assert calls.read(record.key) is None
            assert calls.update(record) is Outcome.GONE
        listed = {record.id for record in calls.sessions_for_user(USER)}
        assert listed == {record.id for record in (kept, changed, rotated)}
        assert calls.destroy_for_user(USER) == 3


# Servers that are not there, and those that hang.


@BOTH_WAYS
@PROTOCOLS
def test_refused_at_once(protocol: str, is_async: bool) -> None:
    store = store_at(f"{servers.HOST}:{a_closed_port()}", protocol)
    for operation in OPERATIONS.values():
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="'default'"):
            operation(Calls(store, is_async=is_async))
        assert time.monotonic() - began < 0.5


def test_a_cluster_refuses_at_once() -> None:
    url = f"redis://{servers.HOST}:{a_closed_port()}"
    for is_async in (False, True):
        calls = Calls(RedisStore("default", URL=url, CLUSTER=True), is_async=is_async)
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="'default'"):
            calls.read("0" * 40)
        assert time.monotonic() - began < 0.5


@PROTOCOLS
def test_frozen_and_thawed(protocol: str, server: servers.Server) -> None:
    store = store_at(server.address, protocol, CONNECT_TIMEOUT=QUICK, TIMEOUT=QUICK)
    records = stored(store, count=5)

    def meets_trouble(operation: Callable[[Any], object]) -> None:
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="'default'"):
            operation(store)
        assert QUICK * 0.9 < time.monotonic() - began < 2 * QUICK + SLACK

    reads = [partial(RedisStore.read, key=record.key) for record in records]
    operations = [*reads, *OPERATIONS.values()]
    with ThreadPoolExecutor(len(operations)) as pool:
        for _ in range(3):
            server.freeze()
            # One on the connection that was there before.
            list(pool.map(meets_trouble, operations))
            server.thaw()
            for record in records * 3:
                assert store.read(record.key) == record
            found = pool.map(store.read, [record.key for record in records * 30])
            assert list(found) == records * 30


@PROTOCOLS
def test_frozen_and_thawed_under_one_loop(protocol: str, server: servers.Server) -> None:
    store = store_at(server.address, protocol, TIMEOUT=3 * QUICK)
    records = stored(store, count=5)

    async def meets_trouble(number: int) -> None:
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="'default'"):
            await store.aread(records[number % 5].key)
        assert 2.7 * QUICK < time.monotonic() - began < 3 * QUICK + SLACK

    async def scene() -> None:
        for _ in range(2):
            reads = (store.aread(record.key) for record in records)
            assert await asyncio.gather(*reads) == records
            server.freeze()
            # Some on connections that were there before, others on none, others waiting for one.
            await asyncio.gather(*map(meets_trouble, range(120)))
            server.thaw()
            for _ in range(2):
                reads = (store.aread(record.key) for record in records * 6)
                assert await asyncio.gather(*reads) == records * 6

    asyncio.run(scene())


# Servers that are full.


@BOTH_WAYS
@PROTOCOLS
def test_full(protocol: str, is_async: bool, server: servers.Server) -> None:
    ask(server, "CONFIG", "SET", "maxmemory-policy", "noeviction")
    calls = Calls(store_at(server.address, protocol), is_async=is_async)
    records = stored(calls, count=5)
    (visitor,) = stored(calls, user_id=None, authenticated_at=None)
    first, second, *others = records
    writes: list[Callable[[], object]] = [
        lambda: calls.create(make_record()),
        lambda: calls.create(make_record(user_id=USER)),
        lambda: calls.update(replace(first, payload=b"new")),
        lambda: calls.update(later(first, days=1)),
        lambda: calls.update(replace(visitor, user_id=USER)),
        lambda: calls.touch(later(visitor, days=1)),
        lambda: calls.modify(first.key, lambda found: replace(found, payload=b"new")),
    ]
    rotations: list[Callable[[], object]] = [
        lambda: calls.rotate(visitor.key, moved(visitor)),
        lambda: calls.rotate(visitor.key, moved(visitor, user_id=USER)),
    ]
    ask(server, "CONFIG", "SET", "maxmemory", "1")
    for write in [*writes, *(rotations if protocol == CLUSTER else [])]:
        with pytest.raises(StoreUnavailable, match="raise maxmemory"):
            write()
    for record in (*records, visitor):
        assert calls.read(record.key) == record
    listed = {record.key for record in calls.sessions_for_user(USER)}
    assert listed == {record.key for record in records}
    assert calls.destroy(first.key) is True
    assert calls.destroy_session(USER, second.id) is True
    ask(server, "CONFIG", "SET", "maxmemory", "0")
    for record in (*others, visitor):
        assert calls.read(record.key) == record
    for record in (first, second):
        assert calls.read(record.key) is None
    listed = {record.key for record in calls.sessions_for_user(USER)}
    assert listed == {record.key for record in others}
    for write in (*writes[:2], rotations[1]):
        assert write() in (True, Outcome.DONE)
    assert calls.destroy_for_user(USER) == len(others) + 2


# Replicas that don't answer.


@contextmanager
def replica_of(server: servers.Server) -> Iterator[servers.Server]:
    ask(server, "CONFIG", "SET", "repl-diskless-sync-delay", "0")
    arguments = ["--replicaof", servers.HOST, str(server.port)]
    with servers.private("redis", arguments=arguments) as replica:
        wait_until(lambda: "master_link_status:up" in text_of(replica, "INFO", "replication"))
        yield replica


def text_of(server: servers.Server, *command: str) -> str:
    with client_of(server) as client:
        client.response_callbacks.clear()
        text: str = client.execute_command(*command).decode()
        return text


@BOTH_WAYS
def test_a_replica_is_frozen(is_async: bool, server: servers.Server, caplog: Any) -> None:
    store = store_at(server.address, WAIT=1, WAIT_TIMEOUT=0.5)
    calls = Calls(store, is_async=is_async)
    with replica_of(server) as replica:
        first, second, third, rotated, *others = stored(calls, count=6)
        assert calls.destroy(first.key) is True
        new = moved(rotated)
        assert calls.rotate(rotated.key, new) is Outcome.DONE
        assert not caplog.records
        replica.freeze()
        for operation in (
            lambda: calls.destroy(second.key),
            lambda: calls.destroy_session(USER, third.id),
        ):
            with pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
                operation()
        newer = moved(replace(new, version=2))
        assert calls.rotate(new.key, newer) is Outcome.DONE
        (logged,) = [record for record in caplog.records if record.name == "django_multistore"]
        assert logged.levelno == logging.ERROR
        assert "0 of 1 replicas" in logged.getMessage()
        for key in (new.key, newer.key):
            assert key not in logged.getMessage()
        caplog.clear()
        # What has changed nothing has nothing to tell.
        assert calls.rotate(new.key, moved(newer)) is Outcome.GONE
        assert not caplog.records
        assert calls.read(newer.key) == replace(newer, version=3)
        admission = calls.admit(None, make_record(user_id="another"), Limit(most=1, evicts=True))
        assert not admission.evicted
        assert not caplog.records
        admission = calls.admit(None, make_record(user_id="another"), Limit(most=1, evicts=True))
        assert len(admission.evicted) == 1
        (logged,) = [record for record in caplog.records if record.name == "django_multistore"]
        assert "evicted" in logged.getMessage()
        with pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
            calls.destroy_for_user(USER)
        for record in (first, second, third, rotated, new, newer, *others):
            assert calls.read(record.key) is None
        replica.thaw()
        assert calls.destroy_for_user(USER) == 0
    (record,) = stored(calls)
    with pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
        calls.destroy(record.key)


# Event loops.


@PROTOCOLS
def test_a_loop_leaves_nothing_open(
    protocol: str, server: servers.Server, no_resource_warning: None
) -> None:
    store = store_at(server.address, protocol)
    (record,) = stored(store)
    before = connections_to(server)
    loops = []

    async def use_it() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        assert await asyncio.gather(*(store.aread(record.key) for _ in range(5))) == [record] * 5

    for _ in range(20):
        asyncio.run(use_it())
    wait_until(lambda: connections_to(server) == before)
    gc.collect()
    assert not [loop for loop in loops if loop() is not None], "loops that are over are kept"


@PROTOCOLS
def test_cancelled_calls_leave_no_reply_behind(
    protocol: str, server: servers.Server, no_resource_warning: None
) -> None:
    store = store_at(server.address, protocol, TIMEOUT=5)
    records = stored(store, count=10)

    async def cancelled(count: int) -> None:
        calls = [
            *(store.aread(records[number % 5].key) for number in range(count)),
            *(store.aupdate(records[9]) for _ in range(2)),
            store.asessions_for_user(USER),
            store.adestroy_for_user(OTHER),
        ]
        tasks = [asyncio.create_task(call) for call in calls]
        await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(outcome, asyncio.CancelledError)

    async def scene() -> None:
        for _ in range(3):
            reads = (store.aread(record.key) for record in records[:5])
            assert await asyncio.gather(*reads) == records[:5]
            server.freeze()
            # Some on connections that were there before, others on none, others waiting for one.
            await cancelled(150)
            server.thaw()
            for _ in range(3):
                reads = (store.aread(record.key) for record in records[:5] * 30)
                assert await asyncio.gather(*reads) == records[:5] * 30

    before = connections_to(server)
    asyncio.run(scene())
    wait_until(lambda: connections_to(server) == before)


@PROTOCOLS
def test_many_at_a_time_share_connections(protocol: str, server: servers.Server) -> None:
    store = store_at(server.address, protocol, TIMEOUT=10)
    records = stored(store, count=30)

    async def scene() -> None:
        before = connections_made_to(server)
        for _ in range(3):
            reads = (store.aread(record.key) for record in records * 10)
            assert await asyncio.gather(*reads) == records * 10
        # The question counts as well.
        assert 20 < connections_made_to(server) - before <= 100 + 1

    asyncio.run(scene())


def connections_made_to(server: servers.Server) -> int:
    made: int = ask(server, "INFO", "stats")["total_connections_received"]
    return made


@contextmanager
def no_thread_and_no_sync_call() -> Iterator[None]:
    async def refuse_thread(*arguments: object, **named: object) -> None:
        raise AssertionError("a thread was used")

    def refuse_call(*arguments: object, **named: object) -> None:
        raise AssertionError("a sync call was made")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(SyncToAsync, "__call__", refuse_thread)
        for client in (ServerClient, ClusterClient):
            for name in ("call", "call_many", "scan"):
                patched.setattr(client, name, refuse_call)
        yield


async def do_all(store: Any) -> None:
    """Go through all is_async but agc()."""
    record = make_record(user_id=WALKER)
    assert await store.acreate(record)
    assert await store.aread(record.key) == record
    assert await store.aupdate(later(record, days=1)) is Outcome.DONE
    assert await store.atouch(later(replace(record, version=2), days=2))
    assert (
        await store.amodify(record.key, lambda found: replace(found, payload=b"")) is Outcome.DONE
    )
    new = moved(record, version=3)
    assert await store.arotate(record.key, new) is Outcome.DONE
    assert len(await store.asessions_for_user(WALKER)) == 1
    assert await store.adestroy(new.key)
    for number in range(2):
        other = make_record(user_id=WALKER)
        await store.awrite(other)
        if number:
            assert await store.adestroy_session(WALKER, other.id)
        else:
            assert await store.adestroy_for_user(WALKER) == 1


@PROTOCOLS
def test_async_variants_use_no_thread(protocol: str, server: servers.Server) -> None:
    store = store_at(server.address, protocol)
    with no_thread_and_no_sync_call():
        asyncio.run(do_all(store))


# Traffic, while a master dies or a slot moves.


class Traffic:
    """
    Requests that load, count and save, in threads and on one event loop, until they are stopped.

    Only an outage may meet them. Each session is used by one of them.

    Args:
        session_keys: of the sessions that there are.
        threads: how many of them are used by threads; the others by one loop.
        rotates: whether they move to other keys as well.
    """

    def __init__(self, session_keys: list[str], *, threads: int, rotates: bool = False) -> None:
        self.session_keys = session_keys
        self.counts = dict.fromkeys(session_keys, 0)
        self.outages: list[StoreUnavailable] = []
        self._rotates = rotates
        self._rounds = [0] * len(session_keys)
        self._is_over = threading.Event()
        self._pool = ThreadPoolExecutor(len(session_keys))
        on_loop = range(threads, len(session_keys))
        self._done = [self._pool.submit(self._go, number) for number in range(threads)]
        if on_loop:
            self._done.append(self._pool.submit(lambda: asyncio.run(self._ago(on_loop))))

    def __enter__(self) -> Traffic:
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_over.set()
        self._pool.shutdown()
        for done in self._done:
            done.result()

    def goes_on(self) -> None:
        """Wait until each has succeeded twice from now on."""
        before = [*self._rounds]

        def is_so() -> bool:
            assert not any(done.done() for done in self._done), "some have ended"
            return all(now > then + 1 for now, then in zip(self._rounds, before, strict=True))

        wait_until(is_so)

    def _go(self, number: int) -> None:
        while not self._is_over.is_set():
            with self._may_meet_an_outage(number):
                session = SessionStore(self.session_keys[number])
                session["count"] = session.get("count", 0) + 1
                self._look(number, session)
                session.save()
                self._saved(number)
                if self._rotates and self._rounds[number] % 5 == 0:
                    session.cycle_key()
                    self._rotated(number, session)

    async def _ago(self, numbers: range) -> None:
        await asyncio.gather(*map(self._ago_alone, numbers))

    async def _ago_alone(self, number: int) -> None:
        while not self._is_over.is_set():
            with self._may_meet_an_outage(number):
                session = SessionStore(self.session_keys[number])
                await session.aset("count", await session.aget("count", 0) + 1)
                self._look(number, session)
                await session.asave()
                self._saved(number)
                if self._rotates and self._rounds[number] % 5 == 0:
                    await session.acycle_key()
                    self._rotated(number, session)
            await asyncio.sleep(0.001)

    @contextmanager
    def _may_meet_an_outage(self, number: int) -> Iterator[None]:
        try:
            yield
        except StoreUnavailable as error:
            self.outages.append(error)
            time.sleep(0.01)
        except Exception:
            self._is_over.set()
            raise

    def _look(self, number: int, session: SessionStore) -> None:
        assert session.session_key == self.session_keys[number], "a session was lost"
        assert session[SESSION_KEY]

    def _saved(self, number: int) -> None:
        self.counts[self.session_keys[number]] += 1
        self._rounds[number] += 1

    def _rotated(self, number: int, session: SessionStore) -> None:
        new = str(session.session_key)
        self.counts[new] = self.counts.pop(self.session_keys[number])
        self.session_keys[number] = new


def all_are_there(traffic: Traffic, is_async: bool) -> dict[str, int]:
    """Return the counts that the sessions have."""
    found = {}
    for session_key in traffic.session_keys:
        session = SessionStore(session_key)
        found[session_key] = Calls(session, is_async=is_async).load().get("count", 0)
        assert session.session_key == session_key
    return found


@pytest.fixture
def _collected() -> Iterator[None]:
    """Collect what redis-py has dropped before another test has to."""
    yield
    gc.collect()


def drops_connections(test: Callable[..., None]) -> Callable[..., None]:
    """
    Let a test pass that leaves connections of redis-py's open.

    Where the layout changes under an event loop, or a connection is given up while it is made,
    redis-py may drop it as it is.
    """
    ignored = pytest.mark.filterwarnings(
        "ignore:[Uu]nclosed:ResourceWarning",
        "ignore:loop is closed:ResourceWarning",
        "ignore::pytest.PytestUnraisableExceptionWarning",
    )
    marked: Callable[..., None] = pytest.mark.usefixtures("_collected")(ignored(test))
    return marked


@drops_connections
def test_sentinels_fail_over_in_mid_traffic(settings: Any) -> None:
    with private_group(SentinelGroup, durable=True) as group:
        use(settings, SENTINELS=group.sentinels, SERVICE=SERVICE, WAIT=1)
        store = stores["default"]
        session_keys = [saved_login(f"user {number}") for number in range(8)]
        ended = stored(store, count=4)
        rotated = saved_login("rotated")
        session = SessionStore(rotated)
        session.cycle_key()  # Which has a replica as well: it waits.
        with Traffic(session_keys, threads=4) as traffic:
            traffic.goes_on()
            for number, record in enumerate(ended):
                assert Calls(store, is_async=number % 2 == 1).destroy(record.key) is True
            old = group.master()
            group.fail_over()
            traffic.goes_on()
            assert traffic.outages
            for is_async in (False, True):
                all_are_there(traffic, is_async)
                for record in ended:
                    assert Calls(store, is_async=is_async).read(record.key) is None
            old.start()
            group.wait_until_ready()
            traffic.goes_on()
        assert SessionStore(rotated).load() == {}
        assert SessionStore(session.session_key).load() == dict(session.items())
        for is_async in (False, True):
            all_are_there(traffic, is_async)
            calls = Calls(store, is_async=is_async)
            (record,) = stored(calls)
            assert calls.destroy(record.key) is True
            with no_thread_and_no_sync_call():
                asyncio.run(do_all(store))


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterGroup]:
    with private_group(ClusterGroup, durable=True) as group:
        yield group


@pytest.fixture
def on_cluster(cluster: ClusterGroup, settings: Any) -> RedisStore:
    use(settings, URL=cluster.url, CLUSTER=True)
    store: Any = stores["default"]
    made: RedisStore = store
    return made


@drops_connections
def test_scripts_are_forgotten_by_a_cluster(cluster: ClusterGroup, on_cluster: RedisStore) -> None:
    for is_async in (False, True):
        for deed in DEEDS:
            scene = Scene(on_cluster, Calls(on_cluster, is_async=is_async), CLUSTER)
            for node in cluster.nodes:
                if node.is_master():
                    node.ask("FLUSHALL")
                    node.ask("SCRIPT", "FLUSH")
            deed(scene)
            scene.look()


@drops_connections
def test_a_loop_leaves_nothing_open_on_a_cluster(
    cluster: ClusterGroup, on_cluster: RedisStore
) -> None:
    (record,) = stored(on_cluster)
    before = [ids_of_connections(node) for node in cluster.nodes]
    loops = []

    async def use_it() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        reads = (on_cluster.aread(record.key) for _ in range(5))
        assert await asyncio.gather(*reads) == [record] * 5

    for _ in range(20):
        asyncio.run(use_it())

    def all_are_closed() -> bool:
        now = [ids_of_connections(node) for node in cluster.nodes]
        return all(each <= earlier for each, earlier in zip(now, before, strict=True))

    wait_until(all_are_closed)
    gc.collect()
    assert not [loop for loop in loops if loop() is not None], "loops that are over are kept"


@drops_connections
@BOTH_WAYS
def test_a_slot_moves_in_mid_traffic(
    is_async: bool, cluster: ClusterGroup, on_cluster: RedisStore
) -> None:
    protocol = on_cluster._protocol
    on_cluster.destroy_for_user("moves")
    session_keys = [saved_login("moves") for _ in range(6)]
    slow = [saved_login("moves") for _ in range(2)]
    with (
        Traffic(session_keys, threads=0 if is_async else 6, rotates=True) as traffic,
        Traffic(slow, threads=1) as other,
    ):
        for name in (
            protocol.session_name(key_of(slow[0])),
            protocol.session_name(key_of(slow[1])),
            protocol.index_name("moves"),
        ):
            traffic.goes_on()
            source = cluster.master_of(name)
            target = next(node for node in cluster.masters() if node is not source)
            cluster.migrate_slot(cluster.slot_of(name), to=target, pause=0.2)
            assert cluster.master_of(name) is target
            traffic.goes_on()
            other.goes_on()
    assert [*traffic.outages, *other.outages] == []
    for each in (traffic, other):
        assert all_are_there(each, is_async) == each.counts
    calls = Calls(on_cluster, is_async=is_async)
    assert len(calls.sessions_for_user("moves")) == len(session_keys) + len(slow)
    assert calls.destroy_for_user("moves") == len(session_keys) + len(slow)
    gc.collect()


@drops_connections
def test_a_master_of_a_cluster_dies_in_mid_traffic(
    cluster: ClusterGroup, on_cluster: RedisStore
) -> None:
    session_keys = [saved_login(f"user {number}") for number in range(8)]
    ended = stored(on_cluster, count=4)
    for number, record in enumerate(ended):
        assert Calls(on_cluster, is_async=number % 2 == 1).destroy(record.key) is True
    with Traffic(session_keys, threads=4) as traffic:
        traffic.goes_on()
        name = on_cluster._protocol.session_name(key_of(session_keys[0]))
        killed = cluster.kill_master_of(name)
        traffic.goes_on()
        assert traffic.outages
        killed.start()
        cluster.wait_until_ready()
        traffic.goes_on()
    for is_async in (False, True):
        all_are_there(traffic, is_async)
        for record in ended:
            assert Calls(on_cluster, is_async=is_async).read(record.key) is None
    with no_thread_and_no_sync_call():
        asyncio.run(do_all(on_cluster))
    gc.collect()
