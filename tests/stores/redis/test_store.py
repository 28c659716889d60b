"""What RedisStore's operations cost in round trips, and what they leave in Redis."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
import redis
from django.utils import timezone

from django_multistore.engine import SessionStore
from django_multistore.exceptions import StoreUnavailable
from django_multistore.records import Device, Outcome, SessionRecord, new_id
from django_multistore.stores import stores
from django_multistore.stores.redis import RedisStore, cluster, layout, protocol, scripts
from django_multistore.stores.redis import server as server_protocol
from django_multistore.stores.redis import store as redis_store
from django_multistore.stores.redis.client.server import ServerClient
from django_multistore.testing import Calls, expired, make_record
from tests import servers
from tests.settings import OWN_PREFIX
from tests.support import redis_stores
from tests.support.redis_stores import (
    DATABASE,
    RoundTrips,
    cluster_store,
    new_key,
    of_user,
    server_store,
)

pytestmark = pytest.mark.elsewhere

SERVER = "django_multistore.stores.redis.server"

trips = redis_stores.trips


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def server(request: pytest.FixtureRequest) -> Calls:
    return known(Calls(server_store(), is_async=request.param))


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def on_cluster(request: pytest.FixtureRequest) -> Calls:
    return known(Calls(cluster_store(), is_async=request.param))


def known(store: Calls) -> Calls:
    """Have the server know all scripts, as it does after the first few requests."""
    record = of_user()
    moved = replace(record, key=new_key())
    store.create(record)
    store.update(long_listed(record))
    store.touch(replace(record, version=2))
    store.rotate(record.key, replace(moved, version=2))
    store.destroy(moved.key)
    store.sessions_for_user(record.user_id)
    store.destroy_session(record.user_id, record.id)
    store.destroy_for_user(record.user_id)
    return store


def assert_pages(store: Calls, trips: RoundTrips, counts: list[int]) -> None:
    user_id = str(new_id())
    long_agent = Device(user_agent="x" * 500)  # Its head is read in two parts.
    for _ in range(34):
        store.create(make_record(user_id=user_id))
    store.create(long_listed(make_record(user_id=user_id, device=long_agent)))
    store.page_for_user(user_id, start=0, size=0)
    with trips.are(*counts):
        page = store.page_for_user(user_id, start=10, size=10)
    assert (len(page.records), page.total) == (10, 35)
    pages = [store.page_for_user(user_id, start=start, size=10) for start in range(0, 40, 10)]
    listed = [record for page in pages for record in page.records]
    assert len({record.id for record in listed}) == len(listed) == 35
    assert [record.device for record in listed].count(long_agent) == 1
    # What has expired stays in the index until the next save.
    plain = server_store()
    plain._client.call("ZADD", plain._protocol.index_name(user_id), 1, bytes(20))
    with trips.are(1):
        assert store.page_for_user(user_id, start=0, size=0).total == 35


def long_listed(record: SessionRecord) -> SessionRecord:
    return replace(record, expires_at=record.expires_at + timedelta(hours=1))


class TestOnAServer:
    def test_one_round_trip_and_one_command_for_each_operation(
        self, server: Calls, trips: RoundTrips
    ) -> None:
        record = of_user()
        moved = replace(record, key=new_key(), version=2)
        with trips.are(1):
            assert server.create(record)
        with trips.are(1):
            assert server.read(record.key) == record
        with trips.are(1):
            assert server.update(replace(long_listed(record), user_id="8")) is Outcome.DONE
        with trips.are(1):
            assert server.touch(replace(record, version=2))
        with trips.are(1):
            assert server.rotate(record.key, moved) is Outcome.DONE
        with trips.are(1):
            assert [found.id for found in server.sessions_for_user(record.user_id)] == [record.id]
        with trips.are(1):
            assert server.destroy(moved.key)
        with trips.are(1):
            assert server.destroy_session(record.user_id, record.id) is False
        with trips.are(1):
            assert server.destroy_for_user(record.user_id) == 0

    def test_one_of_ten_thousand_is_ended_by_one_script(
        self, server: Calls, trips: RoundTrips
    ) -> None:
        user_id, store = str(new_id()), server_store()
        records = [make_record(user_id=user_id) for _ in range(10_000)]
        for start in range(0, 10_000, 1_000):
            assert all(store.create_many(records[start : start + 1_000]))
        store._client.call("SCRIPT", "LOAD", scripts.END_ONE.text)
        for ended in (records[0], records[5_000], records[-1]):
            with trips.are(1):
                assert server.destroy_session(user_id, ended.id) is True
            assert server.read(ended.key) is None
            with trips.are(1):
                assert server.destroy_session(user_id, ended.id) is False
        assert server.page_for_user(user_id, start=0, size=0).total == 9_997
        # Of nobody else's, with the same id.
        other = replace(make_record(user_id=str(new_id())), id=records[0].id)
        assert server.create(other)
        index = store._protocol.index_name(user_id)  # Which has it by mistake.
        store._client.call("ZADD", index, 4e9, bytes.fromhex(other.key))
        with trips.are(1):
            assert server.destroy_session(user_id, other.id) is False
        assert server.read(other.key) == other
        store._client.call("ZREM", index, bytes.fromhex(other.key))
        assert server.destroy_for_user(user_id) == 9_997

    def test_one_of_more_than_a_script_looks_at(
        self, server: Calls, trips: RoundTrips, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(f"{SERVER}.LOOKED_AT", 10)
        user_id, now = str(new_id()), timezone.now()
        # All of the first script's expire in one second, and others beside them.
        lives = [timedelta(days=1)] * 15 + [timedelta(days=2 + day) for day in range(10)]
        records = [make_record(user_id=user_id, expires_at=now + life) for life in lives]
        for record in records:
            assert server.create(record)
        server.destroy_session(user_id, new_id())
        with trips.are(1, 1, 1):
            assert server.destroy_session(user_id, new_id()) is False
        with trips.are(1, 1, 1):
            assert server.destroy_session(user_id, records[-1].id) is True
        for record in records[:-1]:
            assert server.destroy_session(user_id, record.id) is True
            assert server.read(record.key) is None
        assert server.sessions_for_user(user_id) == []

    def test_a_page_is_one_round_trip(self, server: Calls, trips: RoundTrips) -> None:
        assert_pages(server, trips, [1])

    def test_a_conflict_costs_a_read_and_a_write(self, server: Calls, trips: RoundTrips) -> None:
        record = of_user()
        server.create(record)
        with trips.are(1, 1):
            server.modify(record.key, lambda stored: replace(stored, payload=b"mine"))

    def test_wait_comes_in_the_same_round_trip(self, trips: RoundTrips) -> None:
        # There are no replicas: see tests/stores/redis/test_faults.py for those.
        store, record = server_store(WAIT=1, WAIT_TIMEOUT=0.01), of_user()
        store.create(record)
        with trips.are(2), pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
            store.destroy(record.key)
        assert store.read(record.key) is None
        other = of_user()
        store.create(other)
        with trips.are(2), pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
            store.destroy_session(other.user_id, other.id)
        assert store.read(other.key) is None

    def test_destroy_for_user_is_one_round_trip_for_each_batch(
        self, server: Calls, trips: RoundTrips, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(f"{SERVER}.BATCH", 30)
        monkeypatch.setattr(f"{SERVER}.IN_A_SCRIPT", 10)
        user_id = str(new_id())
        records = [make_record(user_id=user_id) for _ in range(35)]
        for record in records:
            server.create(record)
        with trips.are(1, 1, 1, 1):
            assert len(server.sessions_for_user(user_id)) == 35
        with trips.are(1, 3):
            assert server.destroy_for_user(user_id, except_key=records[3].key) == 34
        assert [record.key for record in server.sessions_for_user(user_id)] == [records[3].key]
        assert server.destroy_for_user(user_id) == 1

    def test_batches_end_where_many_sessions_expire_in_the_same_second(
        self, server: Calls, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(f"{SERVER}.IN_A_SCRIPT", 4)
        user_id, at = str(new_id()), timezone.now() + timedelta(hours=1)
        records = [make_record(user_id=user_id, expires_at=at) for _ in range(18)]
        for record in records:
            server.create(record)
        listed = server.sessions_for_user(user_id)
        assert {record.id for record in listed} == {record.id for record in records}
        assert len(listed) == 18
        assert server.destroy_for_user(user_id) == 18

    def test_a_list_goes_on_where_the_last_session_has_gone(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(f"{SERVER}.IN_A_SCRIPT", 5)
        store, user_id, at = server_store(), str(new_id()), timezone.now() + timedelta(hours=1)
        records = [make_record(user_id=user_id, expires_at=at) for _ in range(20)]
        for record in records:
            store.create(record)
        gone = set()

        def end_and_renew(answer: list[Any]) -> None:
            """End the last session that was read, and renew the one before, so that it moves."""
            ending, renewed = (
                next(record for record in records if record.key == key.hex())
                for key in (answer[1], answer[-4])
            )
            store.destroy(ending.key)
            store.update(long_listed(renewed))
            gone.update((ending.id, renewed.id))

        exchange = ServerClient._exchange

        def exchange_and_interfere(self: ServerClient, commands: Any) -> Any:
            replies = exchange(self, commands)
            if commands[0][1] == scripts.LIST_USER.digest and len(gone) < 6:
                end_and_renew(replies[0])
            return replies

        with patch.object(ServerClient, "_exchange", exchange_and_interfere):
            found = store.sessions_for_user(user_id)
        listed = {record.id for record in found}
        assert len(gone) == 6
        assert {record.id for record in records} - gone <= listed
        store.destroy_for_user(user_id)


class TestOnACluster:
    def test_a_page_is_two_round_trips(self, on_cluster: Calls, trips: RoundTrips) -> None:
        assert_pages(on_cluster, trips, [2, 10])

    def test_a_session_that_is_another_user_s_by_now_is_on_no_page(self, on_cluster: Calls) -> None:
        # Whose it was keeps it in the index, for a save may be about to make it that user's again.
        record, former = of_user(), str(new_id())
        on_cluster.create(record)
        plain = cluster_store()
        until = int(record.expires_at.timestamp())
        index = plain._protocol.index_name(former)
        plain._client.call("ZADD", index, until, bytes.fromhex(record.key))
        assert on_cluster.page_for_user(former, start=0, size=3).records == ()
        assert len(on_cluster.page_for_user(record.user_id, start=0, size=3).records) == 1

    def test_round_trips(self, on_cluster: Calls, trips: RoundTrips) -> None:
        record = of_user()
        moved = replace(record, key=new_key(), version=4)
        with trips.are(1, 1):
            assert on_cluster.create(record)
        with trips.are(1):
            assert on_cluster.read(record.key) == record
        with trips.are(1):
            assert on_cluster.update(record) is Outcome.DONE
        with trips.are(1):
            assert on_cluster.touch(replace(record, version=2))
        # The index is raised by a tenth of the life at once, so that few saves have to.
        with trips.are(1, 1, 1):
            assert on_cluster.update(long_listed(replace(record, version=2))) is Outcome.DONE
        with trips.are(1):
            assert on_cluster.update(long_listed(replace(record, version=3))) is Outcome.DONE
        with trips.are(2, 2):
            assert on_cluster.rotate(record.key, long_listed(moved)) is Outcome.DONE
        with trips.are(1, 2):
            assert [r.id for r in on_cluster.sessions_for_user(record.user_id)] == [record.id]
        with trips.are(1, 1):
            assert on_cluster.destroy(moved.key)

    def test_a_login_knows_that_it_has_to_be_listed(
        self, on_cluster: Calls, trips: RoundTrips
    ) -> None:
        visitor = make_record()
        with trips.are(1):
            assert on_cluster.create(visitor)
        now = timezone.now()
        login = replace(visitor, user_id=str(new_id()), authenticated_at=now, last_seen_at=now)
        with trips.are(1, 1):
            assert on_cluster.update(login) is Outcome.DONE

    def test_a_user_who_comes_without_a_login_is_listed(
        self, on_cluster: Calls, trips: RoundTrips
    ) -> None:
        record, other = of_user(), str(new_id())
        on_cluster.create(record)
        with trips.are(1, 1, 1):
            assert on_cluster.update(replace(record, user_id=other)) is Outcome.DONE
        assert [found.id for found in on_cluster.sessions_for_user(other)] == [record.id]
        assert on_cluster.sessions_for_user(record.user_id) == []

    def test_a_visitor_has_no_index(self, on_cluster: Calls, trips: RoundTrips) -> None:
        visitor = make_record()
        moved = replace(visitor, key=new_key())
        on_cluster.create(visitor)
        with trips.are(1, 1):
            assert on_cluster.rotate(visitor.key, moved) is Outcome.DONE
        with trips.are(1):
            assert on_cluster.destroy(moved.key)

    def test_destroy_for_user(self, on_cluster: Calls, trips: RoundTrips) -> None:
        user_id = str(new_id())
        for _ in range(5):
            on_cluster.create(make_record(user_id=user_id))
        # List, end, take out of the index, and see that nothing is left.
        with trips.are(1, 5, 1, 1):
            assert on_cluster.destroy_for_user(user_id) == 5

    def test_a_create_that_comes_too_late_is_refused(
        self, on_cluster: Calls, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        record = of_user()
        monkeypatch.setattr(cluster, "DEADLINE", -1)
        with pytest.raises(StoreUnavailable, match="NTP"):
            on_cluster.create(record)
        assert on_cluster.read(record.key) is None
        assert on_cluster.sessions_for_user(record.user_id) == []

    def test_a_rotation_that_comes_too_late_leaves_no_key_alive(
        self, on_cluster: Calls, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        record = of_user()
        on_cluster.create(record)
        moved = replace(record, key=new_key())
        monkeypatch.setattr(cluster, "DEADLINE", -1)
        with pytest.raises(StoreUnavailable, match="NTP"):
            on_cluster.rotate(record.key, moved)
        assert on_cluster.read(record.key) is None
        assert on_cluster.read(moved.key) is None

    def test_clocks_that_differ_by_more_than_an_index_allows_for(
        self, on_cluster: Calls, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        record = of_user()
        on_cluster.create(record)
        monkeypatch.setattr(cluster, "LEAST_SLACK", -60_000)
        monkeypatch.setattr(cluster, "SLACK", -1)
        with pytest.raises(StoreUnavailable, match="NTP"):
            on_cluster.update(long_listed(record))
        with pytest.raises(StoreUnavailable, match="NTP"):
            on_cluster.touch(long_listed(record))
        assert on_cluster.read(record.key) == record


@pytest.fixture(params=[server_store, cluster_store], ids=["server", "cluster"])
def store(request: pytest.FixtureRequest) -> RedisStore:
    made: RedisStore = request.param()
    return made


class TestWhatIsInRedis:
    def test_a_touch_leaves_the_payload_and_a_longer_device_finds_room(
        self, store: RedisStore
    ) -> None:
        record = of_user(payload=b"\0payload" * 500)
        store.create(record)
        moment = timezone.now() + timedelta(minutes=1)
        for device in (record.device, Device(), Device(ip_address="::1", user_agent="é" * 512)):
            touched = replace(record, last_seen_at=moment, device=device, payload=b"not this")
            assert store.touch(touched)
            assert store.read(record.key) == replace(record, last_seen_at=moment, device=device)
            (listed,) = store.sessions_for_user(record.user_id)
            assert listed == replace(record, last_seen_at=moment, device=device, payload=b"")

    def test_a_touch_shortens_no_life(self, store: RedisStore) -> None:
        record = of_user()
        store.create(record)
        names = [
            store._protocol.session_name(record.key),
            store._protocol.index_name(str(record.user_id)),
        ]
        before = [store._client.call("PEXPIRETIME", name) for name in names]
        shorter = replace(record, expires_at=record.expires_at - timedelta(minutes=30))
        for older in (expired(record), shorter, replace(shorter, device=Device())):
            assert store.touch(older)
        for name, moment in zip(names, before, strict=True):
            assert abs(store._client.call("PEXPIRETIME", name) - moment) <= 1000
        assert [each.id for each in store.sessions_for_user(record.user_id)] == [record.id]

    def test_everything_expires(self, store: RedisStore) -> None:
        record = of_user()
        store.create(record)
        session = store._protocol.session_name(record.key)
        index = store._protocol.index_name(str(record.user_id))
        assert 3590 <= store._client.call("TTL", session) <= 3600
        assert 3590 <= store._client.call("TTL", index) <= 3600 + 361
        shorter = replace(record, expires_at=timezone.now() + timedelta(milliseconds=300))
        assert store.update(shorter) is Outcome.DONE
        assert store._client.call("PTTL", session) <= 300

    def test_a_session_expires_by_the_clock_of_redis(self, store: RedisStore) -> None:
        record = of_user(expires_at=timezone.now() + timedelta(milliseconds=100))
        store.create(record)
        time.sleep(0.15)
        longer = replace(record, expires_at=timezone.now() + timedelta(hours=1))
        assert store.read(record.key) is None
        assert store.update(longer) is Outcome.GONE
        assert store.rotate(record.key, replace(longer, key=new_key())) is Outcome.GONE
        assert store.touch(longer) is False
        assert store.sessions_for_user(record.user_id) == []
        assert store.destroy(record.key) is False

    def test_an_index_lives_as_long_as_its_last_session(self, store: RedisStore) -> None:
        long = of_user()
        short = replace(of_user(), user_id=long.user_id)
        short = replace(short, expires_at=timezone.now() + timedelta(minutes=1))
        for record in (long, short):
            store.create(record)
        index = store._protocol.index_name(str(long.user_id))
        assert store._client.call("TTL", index) >= 3590

    def test_a_session_far_into_the_future(self, store: RedisStore) -> None:
        record = of_user(expires_at=timezone.now() + timedelta(days=50 * 365))
        assert store.create(record)
        assert store.update(record) is Outcome.DONE
        assert store.sessions_for_user(record.user_id) == [replace(record, payload=b"", version=2)]

    def test_what_is_no_session_is_none(self, store: RedisStore) -> None:
        record = of_user()
        name = store._protocol.session_name(record.key)
        store._client.call("SET", name, b"\x07something else")
        assert store.read(record.key) is None
        assert store.update(record) is Outcome.GONE
        assert store.destroy(record.key) is False

    def test_an_id_of_63_bits_is_not_rounded(self, store: RedisStore) -> None:
        record = of_user(id=2**63 - 1)
        store.create(record)
        moved = replace(record, key=new_key())
        assert store.update(record) is Outcome.DONE
        assert store.rotate(record.key, replace(moved, version=2)) is Outcome.DONE
        found = store.read(moved.key)
        assert found is not None
        assert found.id == 2**63 - 1
        assert store.destroy_session(str(record.user_id), 2**63 - 1)

    def test_a_users_ids_that_look_like_hash_tags(self, store: RedisStore) -> None:
        for user_id in ("{a}", "}{", "a\0b", "*", "[x]"):
            record = replace(of_user(), user_id=f"{user_id}{new_id()}")
            store.create(record)
            assert [found.id for found in store.sessions_for_user(record.user_id)] == [record.id]
            assert store.destroy_for_user(record.user_id) == 1

    def test_a_device_that_does_not_fit(self, store: RedisStore) -> None:
        for device in (Device(user_agent="x" * 513), Device(ip_address="1" * 255)):
            with pytest.raises(ValueError, match="up to"):
                store.create(make_record(device=device))


class TestGc:
    def test_it_takes_expired_sessions_out_of_indexes(self, store: RedisStore) -> None:
        store.gc()
        users = [str(new_id()) for _ in range(6)]
        for user_id in users:
            for seconds in (-50, -60, 3600):
                name, key = store._protocol.index_name(user_id), bytes.fromhex(new_key())
                store._client.call("ZADD", name, int(timezone.now().timestamp()) + seconds, key)
        steps: list[int] = []
        assert store.gc(dry_run=True) == 12
        assert store.gc(batch_size=2, progress=steps.append) == 12
        assert sum(steps) == 12
        assert max(steps) <= 2
        assert store.gc() == 0
        for user_id in users:
            assert store._client.call("ZCARD", store._protocol.index_name(user_id)) == 1
            store._client.call("UNLINK", store._protocol.index_name(user_id))

    def test_it_stops_in_time_and_goes_on_where_a_batch_ended(
        self, store: RedisStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(redis_store, "AT_A_TIME", 3)
        store.gc()
        name = store._protocol.index_name(str(new_id()))
        past = int(timezone.now().timestamp()) - 50
        for _ in range(10):
            store._client.call("ZADD", name, past, bytes.fromhex(new_key()))
        assert store.gc(max_seconds=0) <= 3
        store.gc()
        assert store._client.call("EXISTS", name) == 0

    def test_a_prefix_is_no_pattern(self) -> None:
        url = f"redis://{servers.require('redis')}/{DATABASE}"
        prefix = f"{OWN_PREFIX}[a-c]*?\\^:"
        store = RedisStore("mine", URL=url, KEY_PREFIX=prefix)
        other = RedisStore("mine", URL=url, KEY_PREFIX=f"{OWN_PREFIX}b12^:")
        for each in (store, other):
            name = each._protocol.index_name("7")
            each._client.call("ZADD", name, 1, bytes.fromhex(new_key()))
        assert store.gc() == 1
        assert other.gc() == 1


class TestNative:
    def test_the_engine_uses_no_thread(self, settings: Any) -> None:
        url = f"redis://{servers.require('redis')}/{DATABASE}"
        settings.SESSION_STORES = {
            "default": {
                "BACKEND": "django_multistore.stores.redis.RedisStore",
                "OPTIONS": {"URL": url, "KEY_PREFIX": f"{OWN_PREFIX}:"},
            }
        }

        async def visit() -> None:
            session = SessionStore()
            await session.aset("_auth_user_id", "7")
            await session.asave()
            again = SessionStore(session.session_key)
            assert await again.aget("_auth_user_id") == "7"
            await again.aset("cart", [1])
            await again.asave()
            # Meets a CONFLICT, and merges.
            await session.aset("page", 2)
            await session.asave()
            await session.acycle_key()
            assert sorted(await SessionStore(session.session_key).akeys()) == [
                "_auth_user_id",
                "cart",
                "page",
            ]
            assert len(await stores["default"].asessions_for_user("7")) == 1
            assert await stores["default"].adestroy_for_user("7") == 1
            await session.aflush()

        def refuse(*args: object, **kwargs: object) -> None:
            raise AssertionError("a thread was used")

        with (
            patch("asgiref.sync.SyncToAsync.__call__", refuse),
            patch.object(ServerClient, "_exchange", refuse),
        ):
            asyncio.run(visit())

    def test_values_are_read_by_others(self) -> None:
        """What docs/redis-store.md says of the layout."""
        record = of_user()
        store = server_store()
        store.create(record)
        with redis.Redis.from_url(f"redis://{servers.require('redis')}/{DATABASE}") as client:
            value = client.get(store._protocol.session_name(record.key))
        assert isinstance(value, bytes)
        assert layout.unpack(record.key, value) == record
        assert value.endswith(record.payload)
        assert (protocol.BATCH, server_protocol.IN_A_SCRIPT) == (1_000, 250)
