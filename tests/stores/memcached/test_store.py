"""What MemcachedStore does beyond the contract: what it costs, its limits, and its connections."""

from __future__ import annotations

import copy
import logging
import os
import pickle
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.db import transaction
from pymemcache import Client, HashClient

from django_multistore.engine import SessionStore
from django_multistore.exceptions import StoreUnavailable
from django_multistore.models import UserSession
from django_multistore.records import Outcome, key_of, new_id, user_id_of
from django_multistore.session.keys import new_session_key
from django_multistore.stores.indexed import users as indexed_users
from django_multistore.stores.memcached import MemcachedStore
from django_multistore.stores.memcached.cells import DEAD
from django_multistore.stores.memcached.client import MemcachedClient
from django_multistore.stores.memcached.connections import Connection
from django_multistore.stores.steps import Call
from django_multistore.testing import Calls, make_record
from tests import servers
from tests.support.meeting import memcached_store_on
from tests.support.memcached_stores import RoundTrips, moved, of_user, store_with, trips

__all__ = ["trips"]

pytestmark = [pytest.mark.elsewhere, pytest.mark.django_db(transaction=True)]


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def is_async(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def calls(is_async: bool) -> Any:
    return Calls(store_with(), is_async=is_async)


@pytest.fixture
def raw() -> Iterator[Client]:
    client = Client(servers.require("memcached"), default_noreply=False)
    yield client
    client.close()


def name_of(calls: Any, key: str) -> str:
    return str(calls.target._cells.name(key))


class TestRoundTrips:
    def test_through_the_engine(self, is_async: bool, trips: RoundTrips, settings: Any) -> None:
        """A load is one, a load and a save two, the creation of a visitor's session one."""
        settings.SESSION_STORES = memcached_store_on("default", servers.require("memcached"))
        session = Calls(SessionStore(), is_async=is_async)
        session.target["cart"] = 1
        with trips.are("add"):
            session.save()
        for data in ({"cart": 2}, {"_auth_user_id": "7"}, {"cart": 3}):
            session = Calls(SessionStore(session.target.session_key), is_async=is_async)
            with trips.are("gets"):
                session.load()
            session = Calls(SessionStore(session.target.session_key), is_async=is_async)
            is_login = "_auth_user_id" in data
            with trips.are("gets", "cas", statements=("INSERT",) if is_login else ()):
                for name, value in data.items():
                    session.update({name: value})
                session.save()

    def test_of_a_visitor(self, calls: Any, trips: RoundTrips) -> None:
        visitor = make_record()
        with trips.are("add"):
            assert calls.create(visitor)
        with trips.are("gets"):
            read = calls.read(visitor.key)
        with trips.are("cas"):
            assert calls.update(read) is Outcome.DONE
        with trips.are("gets", "cas"):
            assert calls.update(replace(visitor, version=2)) is Outcome.DONE
        with trips.are("gets"):
            read = calls.read(visitor.key)
        with trips.are("cas"):
            assert calls.touch(read)
        with trips.are("gets"):
            read = calls.read(visitor.key)
        new = moved(read)
        with trips.are("cas", "add"):
            assert calls.rotate(visitor.key, new) is Outcome.DONE
        with trips.are("gets", "cas"):
            assert calls.modify(new.key, lambda stored: stored) is Outcome.DONE
        with trips.are("gets", "cas"):
            assert calls.destroy(new.key)
        with trips.are("gets", "set"):
            assert not calls.destroy(new.key)

    def test_of_a_user(self, calls: Any, trips: RoundTrips) -> None:
        record = of_user()
        with trips.are("add", statements=("INSERT",)):
            assert calls.create(record)
        with trips.are("gets"):
            read = calls.read(record.key)
        with trips.are("cas"):
            assert calls.update(replace(read, payload=b"x")) is Outcome.DONE
        read = calls.read(record.key)
        later = replace(read, last_seen_at=read.last_seen_at + timedelta(minutes=6))
        with trips.are("cas", statements=("UPDATE",)):
            assert calls.touch(later)
        read = calls.read(record.key)
        new = moved(read)
        with trips.are("cas", "add", statements=("UPDATE",)):
            assert calls.rotate(record.key, new) is Outcome.DONE
        with trips.are("gets", "cas", statements=("DELETE",)):
            assert calls.destroy(new.key)

    def test_of_all_of_a_user(self, calls: Any, trips: RoundTrips) -> None:
        user_id = user_id_of(new_id())
        for _ in range(20):
            calls.create(of_user(user_id=user_id))
        with trips.are("get", statements=("SELECT",)):
            assert len(calls.sessions_for_user(user_id)) == 20
        with trips.are("get", "set", statements=("SELECT", "DELETE", "SELECT")):
            assert calls.destroy_for_user(user_id) == 20

    def test_a_conflict_takes_one_more_look(self, calls: Any, trips: RoundTrips) -> None:
        record = make_record()
        calls.create(record)
        read = calls.read(record.key)
        assert calls.update(replace(read, payload=b"theirs")) is Outcome.DONE
        with trips.are("cas", "gets"):
            assert calls.update(replace(read, payload=b"ours")) is Outcome.CONFLICT
        assert calls.read(record.key).payload == b"theirs"

    def test_a_touch_that_crosses_a_save_is_none(self, calls: Any, trips: RoundTrips) -> None:
        record = make_record()
        calls.create(record)
        read = calls.read(record.key)
        assert calls.touch(replace(read, expires_at=read.expires_at + timedelta(hours=1)))
        with trips.are("cas", "gets", "cas"):
            assert calls.update(replace(read, payload=b"ours")) is Outcome.DONE


class TestTokens:
    def test_no_other_store_takes_it(self, trips: RoundTrips) -> None:
        store, other = store_with(), store_with()
        record = make_record()
        store.create(record)
        read = store.read(record.key)
        assert read is not None
        with trips.are("gets", "cas"):
            assert other.update(read) is Outcome.DONE

    def test_a_record_can_be_copied_and_tells_nothing(self, trips: RoundTrips) -> None:
        store, record = store_with(), make_record()
        store.create(record)
        read = store.read(record.key)
        assert read is not None
        assert read == replace(read, token=None)
        for copied in (copy.deepcopy(read), pickle.loads(pickle.dumps(read))):  # noqa: S301
            assert copied == read
            assert record.key not in repr(copied)
            assert record.key not in repr(copied.token)
        with trips.are("gets", "cas"):
            assert store.update(copied) is Outcome.DONE

    def test_of_what_may_be_rolled_back_it_is_none(self) -> None:
        store, record = store_with(), of_user()
        with transaction.atomic():
            store.create(record)
            read = store.read(record.key)
            assert read is not None
            transaction.set_rollback(True)
        assert store.update(read) is Outcome.GONE
        assert store.read(record.key) is None

    def test_of_what_has_ended_it_is_none(self, calls: Any) -> None:
        record = of_user()
        calls.create(record)
        for end in (
            lambda: calls.destroy(record.key),
            lambda: calls.destroy_for_user(record.user_id),
            lambda: calls.target._client.set_many({name_of(calls, record.key): DEAD}, 60),
        ):
            calls.target._client._only.ask("delete", name_of(calls, record.key))
            assert calls.create(record)
            read = calls.read(record.key)
            end()
            assert calls.update(read) is Outcome.GONE
            assert calls.touch(read) is False
            assert calls.rotate(record.key, moved(read)) is Outcome.GONE
            assert calls.read(record.key) is None
            assert calls.sessions_for_user(record.user_id) == []


class TestValues:
    def test_one_that_is_too_large_is_refused_and_the_old_one_stays(self, calls: Any) -> None:
        record = of_user()
        calls.create(record)
        large = bytes(1_500_000)
        for act in (
            lambda: calls.update(replace(record, payload=large)),
            lambda: calls.update(replace(calls.read(record.key), payload=large)),
            lambda: calls.create(make_record(payload=large)),
            lambda: calls.rotate(record.key, moved(record, payload=large)),
        ):
            with pytest.raises(ValueError, match=r"'mine'.*bytes, more than memcached at .* -I"):
                act()
            assert calls.read(record.key) == record
        assert [each.id for each in calls.sessions_for_user(record.user_id)] == [record.id]
        assert calls.update(record) is Outcome.DONE
        assert calls.destroy_for_user(record.user_id) == 1
        assert calls.read(record.key) is None

    def test_garbage_is_no_session_with_one_line_in_the_log(
        self, calls: Any, raw: Client, caplog: Any
    ) -> None:
        record = of_user()
        assert calls.create(record)
        raw.set(name_of(calls, record.key), b"\x10garbage")
        with caplog.at_level(logging.WARNING):
            assert calls.read(record.key) is None
        (line,) = caplog.records
        assert (line.name, "'mine'" in line.getMessage()) == (
            "django.security.SuspiciousSession",
            True,
        )
        assert record.key not in caplog.text
        assert calls.update(record) is Outcome.GONE
        assert calls.create(record) is False
        assert calls.sessions_for_user(record.user_id) == []
        assert calls.gc() == 0
        assert calls.destroy_for_user(record.user_id) == 0
        assert raw.get(name_of(calls, record.key)).startswith(DEAD)

    def test_nothing_is_unpickled(self, calls: Any, raw: Client) -> None:
        """Pymemcache's flags for pickles mean nothing."""
        record, opened = make_record(), []

        class Trap:
            def __reduce__(self) -> Any:
                return opened.append, (1,)

        calls.create(record)
        raw.set(name_of(calls, record.key), pickle.dumps([1]), flags=1)
        assert calls.read(record.key) is None
        assert not opened

    @pytest.mark.parametrize("days", [1, 29.9, 30, 31, 365])
    def test_it_is_kept_for_as_long_as_the_session_lives(
        self, calls: Any, raw: Client, days: float
    ) -> None:
        store = Calls(store_with(MAX_AGE=400 * 86_400), is_async=False)
        record = make_record()
        record = replace(record, expires_at=record.last_seen_at + timedelta(days=days))
        store.create(record)
        answer = raw.raw_command(f"mg {name_of(store, record.key)} t")
        assert abs(int(answer.split(b" t")[1]) - days * 86_400) <= 3
        store.destroy(record.key)
        answer = raw.raw_command(f"mg {name_of(store, record.key)} t")
        assert abs(int(answer.split(b" t")[1]) - 401 * 86_400) <= 3


class TestMoves:
    """A rotation ends what is under the old key, and then adds the session under the new one."""

    def fails_at_the_second_step(self, calls: Any, failure: BaseException) -> Any:
        record = of_user()
        calls.create(record)
        read = calls.read(record.key)
        with (
            patch.object(MemcachedClient, "add", side_effect=failure),
            pytest.raises(type(failure)),
        ):
            calls.rotate(record.key, moved(read))
        return record

    def test_what_was_surely_not_added_stays_where_it_was(self, calls: Any) -> None:
        record = self.fails_at_the_second_step(calls, refused_by(calls))
        assert calls.read(record.key) == record
        assert [each.id for each in calls.sessions_for_user(record.user_id)] == [record.id]
        new = moved(calls.read(record.key))
        assert calls.rotate(record.key, new) is Outcome.DONE
        assert [each.key for each in calls.sessions_for_user(record.user_id)] == [new.key]
        assert calls.destroy_for_user(record.user_id) == 1

    def test_what_may_have_been_added_has_ended(self, calls: Any) -> None:
        record = self.fails_at_the_second_step(calls, StoreUnavailable("timed out"))
        assert calls.read(record.key) is None
        assert calls.sessions_for_user(record.user_id) == []

    def test_what_others_have_ended_meanwhile_is_not_put_back(self, calls: Any) -> None:
        for end in (
            lambda record: calls.target.destroy(record.key),
            lambda record: calls.target.destroy_for_user(record.user_id),
        ):
            record = of_user()
            calls.create(record)
            refusal = refused_by(calls)

            def ended(_: Any, *args: Any, record: Any = record, end: Any = end) -> bool:
                end(record)
                raise refusal  # noqa: B023

            with (
                patch.object(MemcachedClient, "add", ended),
                pytest.raises(StoreUnavailable),
            ):
                calls.rotate(record.key, moved(calls.read(record.key)))
            assert calls.read(record.key) is None
            assert calls.sessions_for_user(record.user_id) == []

    def test_a_save_that_comes_between_has_its_row_again(self, calls: Any) -> None:
        """The rotation is told of a conflict, and the session is where it was, and listed."""
        record = of_user()
        calls.create(record)
        read = calls.read(record.key)
        steps = calls.target._protocol.rotate(record.key, moved(read))
        next(steps).take()  # The row has moved.
        assert calls.target.update(replace(read, payload=b"theirs")) is Outcome.DONE
        with pytest.raises(StopIteration) as ended:
            steps_to_their_end(steps)
        assert ended.value.value is Outcome.CONFLICT
        (row,) = UserSession.objects.all()
        assert row.key == record.key
        assert [each.key for each in calls.sessions_for_user(record.user_id)] == [record.key]
        with transaction.atomic():
            assert calls.target.rotate(record.key, moved(replace(read, version=2))) is Outcome.DONE


def steps_to_their_end(steps: Any) -> None:
    answer = None
    while True:
        answer = steps.send(answer).take()


def refused_by(calls: Any) -> StoreUnavailable:
    """Return what the client raises where it is sure that nothing was written."""
    nobody = store_with(SERVERS="127.0.0.1:1")
    with pytest.raises(StoreUnavailable) as refused:
        nobody._client.add("any", b"thing", 1)
    return refused.value


class TestConnections:
    @pytest.fixture
    def store(self) -> Any:
        return store_with()

    def idle(self, store: Any) -> list[Connection]:
        return [*store._client._only._idle]

    def test_one_is_used_again(self, store: Any) -> None:
        for _ in range(5):
            store.read("0" * 40)
        assert len(self.idle(store)) == 1

    def test_threads_have_one_each(self, store: Any) -> None:
        records = [make_record(payload=bytes([number]) * 100) for number in range(8)]
        for record in records:
            store.create(record)
        barrier = threading.Barrier(len(records))

        def read(number: int) -> bool:
            barrier.wait()
            return all(store.read(records[number].key) == records[number] for _ in range(50))

        with ThreadPoolExecutor(len(records)) as pool:
            assert all(pool.map(read, range(len(records))))
        assert 1 <= len(self.idle(store)) <= len(records)

    def test_a_child_has_its_own(self, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """tests/races/test_kills.py has children that are real."""
        store.read("0" * 40)
        (parents,) = self.idle(store)
        monkeypatch.setattr(os, "getpid", lambda: -1)
        store.read("0" * 40)
        (own,) = self.idle(store)
        assert own is not parents
        assert parents.sock is None

    @pytest.mark.parametrize("command", ["add", "cas", "gets", "set_many"])
    def test_what_a_lost_connection_has_done_is_not_done_twice(
        self, store: Any, command: str
    ) -> None:
        """The server has done it, and its answer did not come: it is sent again."""
        record = of_user()
        assert store.create(record)
        original, lost = getattr(Connection, command), []

        def answer_is_lost(self: Connection, *args: Any) -> Any:
            found = original(self, *args)
            if not lost and self.sock is not None:
                lost.append(True)
                self.close()
                raise ConnectionResetError
            return found

        with patch.object(Connection, command, answer_is_lost):
            if command == "add":
                assert store.create(make_record())
            elif command == "cas":
                assert store.update(replace(record, payload=b"x")) is Outcome.DONE
                assert store.read(record.key).version == 2
            elif command == "gets":
                assert store.read(record.key) == record
            else:
                assert store.destroy_for_user(record.user_id) == 1
        assert lost

    def test_what_others_did_is_not_ones_own(self, store: Any) -> None:
        """What is sent again meets another's value."""
        record = make_record()
        store.create(record)
        read, original, lost = store.read(record.key), Connection.cas, []

        def comes_after_another(self: Connection, *args: Any) -> Any:
            if not lost:
                lost.append(True)
                with patch.object(Connection, "cas", original):
                    store_with().update(replace(record, payload=b"theirs"))
                self.close()
                raise BrokenPipeError
            return original(self, *args)

        with patch.object(Connection, "cas", comes_after_another):
            assert store.update(replace(read, payload=b"ours")) is Outcome.CONFLICT
        assert store.read(record.key).payload == b"theirs"

    def test_no_timeout_is_sent_again(self, store: Any) -> None:
        store.read("0" * 40)
        asked = []

        def slow(self: Connection, *args: Any) -> Any:
            asked.append(args)
            raise TimeoutError("timed out")

        with patch.object(Connection, "gets", slow), pytest.raises(StoreUnavailable, match="timed"):
            store.read("0" * 40)
        assert len(asked) == 1
        assert self.idle(store) == []

    def test_one_that_was_left_in_the_middle_is_not_used_again(self, store: Any) -> None:
        """As gevent and signals leave it: its next answer would be another's."""
        store.read("0" * 40)

        class Kill(BaseException):
            pass

        with patch.object(Connection, "gets", side_effect=Kill), pytest.raises(Kill):
            store.read("0" * 40)
        assert self.idle(store) == []
        assert store.read("0" * 40) is None

    def test_an_answer_to_another_question_is_an_outage_and_names_no_key(self, store: Any) -> None:
        key = key_of(new_session_key())
        with (
            patch.object(Connection, "gets", side_effect=KeyError(f"ms:{key}")),
            pytest.raises(StoreUnavailable) as raised,
        ):
            store.read(key)
        assert key not in str(raised.value)
        assert raised.value.__cause__ is None


class TestSeveralServers:
    SERVERS = ("127.0.0.1:11211", "127.0.0.1:11212", "192.0.2.1:11211", "/run/memcached.sock")

    def test_each_name_is_where_pymemcache_would_have_it(self) -> None:
        store = store_with(SERVERS=[*self.SERVERS])
        theirs = HashClient([*self.SERVERS])
        by_connections = {each: name for name, each in store._client._connections.items()}
        found = set()
        for _ in range(200):
            name = f"ms:{key_of(new_session_key())}"
            server = theirs._get_client(name).server
            where = server if isinstance(server, str) else "{}:{}".format(*server)
            assert by_connections[store._client._find(name)] == where
            found.add(where)
        assert found == {*self.SERVERS}

    def test_the_order_makes_no_difference(self) -> None:
        one, other = (store_with(SERVERS=[*each]) for each in (self.SERVERS, self.SERVERS[::-1]))
        for _ in range(50):
            name = f"ms:{key_of(new_session_key())}"
            assert one._client._find(name)._server == other._client._find(name)._server

    def test_a_user_s_sessions_are_asked_for_at_once(self, trips: RoundTrips) -> None:
        with servers.private("memcached") as another:
            store = store_with(SERVERS=[servers.require("memcached"), another.address])
            user_id = user_id_of(new_id())
            for _ in range(30):
                store.create(of_user(user_id=user_id))
            with trips.are("get", "get", statements=("SELECT",)):
                assert len(store.sessions_for_user(user_id)) == 30
            assert store.destroy_for_user(user_id) == 30
            assert store.gc() == 0


class TestGc:
    def test_rows_of_sessions_that_are_gone_are_removed(
        self, calls: Any, raw: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        live, evicted = of_user(), of_user()
        for record in (live, evicted):
            assert calls.create(record)
        raw.delete(name_of(calls, evicted.key))
        assert calls.gc() == 0  # Its session may be on its way.
        monkeypatch.setattr(indexed_users, "IN_FLIGHT", -timedelta(minutes=1))
        assert calls.gc(dry_run=True) == 1
        assert calls.gc() == 1
        assert [row.key for row in UserSession.objects.all()] == [live.key]
        # Who comes after it finds that it has ended.
        assert raw.get(name_of(calls, evicted.key)).startswith(DEAD)

    def test_of_many_at_once(self, calls: Any) -> None:
        """Memcached takes a command of any length that gets, and of 2 KiB else."""
        user_id = user_id_of(new_id())
        with patch.object(indexed_users, "AT_A_TIME", 300):
            for _ in range(700):
                calls.target.create(of_user(user_id=user_id, payload=b""))
            assert len(calls.sessions_for_user(user_id)) == 700
            assert calls.destroy_for_user(user_id) == 700


def test_who_gives_up_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    store, record = store_with(), make_record()
    store.create(record)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with patch.object(MemcachedClient, "cas", return_value=Outcome.CONFLICT):
        for act in (
            lambda: store.update(replace(record, version=None)),
            lambda: store.modify(record.key, lambda stored: stored),
            lambda: store.destroy(record.key),
        ):
            with pytest.raises(StoreUnavailable, match="'mine': a session was saved by others"):
                act()
    assert store.read(record.key) == record


def test_each_step_is_one_command() -> None:
    """What the explorer takes one by one."""
    store, record = store_with(), make_record()
    store.create(record)
    read = store.read(record.key)
    assert read is not None
    steps = [*iterate(store._protocol.rotate(record.key, moved(read)))]
    assert [type(step) for step in steps] == [Call, Call]


def iterate(steps: Any) -> Iterator[Any]:
    step = next(steps)
    while True:
        yield step
        try:
            step = steps.send(step.take())
        except StopIteration:
            return


def test_it_has_the_place_in_its_messages() -> None:
    store = store_with(SERVERS=["127.0.0.1:1"])
    assert "memcached at 127.0.0.1:1" in str(store.place)
    with pytest.raises(StoreUnavailable, match=r"'mine' \(MemcachedStore\).*ConnectionRefused"):
        store.read("0" * 40)


def resolved_to(hosts: list[str], monkeypatch: pytest.MonkeyPatch) -> MemcachedStore:
    """Return a store on a name that has the addresses of these hosts, at the server's port."""
    port = int(servers.require("memcached").rpartition(":")[2])
    resolve = socket.getaddrinfo

    def find(host: Any, *arguments: Any, **options: Any) -> Any:
        names = hosts if host == "memcached.test" else [host]
        return [each for name in names for each in resolve(name, *arguments, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", find)
    return store_with(SERVERS=f"memcached.test:{port}")


@pytest.mark.parametrize("hosts", [["127.0.0.2", "127.0.0.1"], ["127.0.0.1", "127.0.0.2"]])
def test_each_address_of_a_name_is_tried(hosts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As localhost is ::1 first on many hosts, and memcached listens on 127.0.0.1 alone."""
    store, record = resolved_to(hosts, monkeypatch), make_record()
    assert store.create(record)
    assert store.read(record.key) == record


def test_a_name_whose_addresses_are_all_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    store = resolved_to(["127.0.0.2", "127.0.0.3"], monkeypatch)
    with pytest.raises(StoreUnavailable, match="ConnectionRefusedError"):
        store.read(make_record().key)
