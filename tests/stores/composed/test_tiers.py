"""TieredStore's own: what a request costs, transactions, outages, and what its checks refuse."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.db import transaction
from django.test import SimpleTestCase, TestCase, TransactionTestCase, override_settings

from django_multistore.exceptions import InvalidStore, StoreUnavailable
from django_multistore.records import Limit, Outcome, SessionRecord, key_of
from django_multistore.session import clock
from django_multistore.session.keys import new_session_key
from django_multistore.stores import stores
from django_multistore.stores.composed import SplitStore, TieredStore, copies, front
from django_multistore.testing import Calls, make_record
from tests.support.composed import CACHE, MEMORY, ORM, memcached, tiered

EVICTING = Limit(most=1, evicts=True)
ASKED = (
    *("read", "reread", "create", "update", "destroy", "modify", "touch", "rotate", "admit"),
    *("sessions_for_user", "destroy_for_user", "destroy_session"),
)


@contextmanager
def trips() -> Iterator[list[str]]:
    """Note each question to the front and to the back, and not what these ask themselves."""
    asked: list[str] = []
    inside: list[str] = []

    def counted(question: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def ask(*args: Any, **options: Any) -> Any:
            if not inside:
                asked.append(question)
            inside.append(question)
            try:
                return method(*args, **options)
            finally:
                inside.pop()

        return ask

    with pytest.MonkeyPatch.context() as patched:
        for alias in ("front", "back"):
            for name in ASKED:
                method = getattr(stores[alias], name)
                patched.setattr(stores[alias], name, counted(f"{alias} {name}", method))
        yield asked


def tiers() -> TieredStore:
    store = stores["default"]
    assert isinstance(store, TieredStore)
    return store


def moved(record: SessionRecord, **changes: Any) -> SessionRecord:
    return replace(record, key=key_of(new_session_key()), **changes)


@override_settings(SESSION_STORES=tiered(MEMORY, MEMORY))
class TripTests(SimpleTestCase):
    def setUp(self) -> None:
        self.record = make_record(user_id="7", authenticated_at=clock.now())
        tiers().create(self.record)

    def test_a_hit_is_one_question_to_the_front(self) -> None:
        for is_async in (False, True):
            calls = Calls(tiers(), is_async=is_async)
            calls.read(self.record.key)
            with trips() as asked:
                assert calls.read(self.record.key) == self.record
            assert asked == ["front read"]

    def test_the_first_read_makes_the_copy(self) -> None:
        with trips() as asked:
            tiers().read(self.record.key)
        assert asked == ["front read", "back read", "front create", "back read", "front update"]

    def test_a_key_that_nobody_has_leaves_nothing(self) -> None:
        with trips() as asked:
            assert tiers().read(make_record().key) is None
        assert asked == ["front read", "back read"]

    def test_writes_ask_the_back_once_and_the_front_once(self) -> None:
        store, record = tiers(), self.record
        later = replace(record, last_seen_at=clock.now() + timedelta(minutes=1))
        newer = moved(record, version=2)
        writes: list[tuple[Callable[[], Any], list[str]]] = [
            (lambda: store.create(make_record()), ["back create"]),
            (lambda: store.touch(later), ["back touch", "front modify"]),
            (lambda: store.update(record), ["back update", "front modify"]),
            (lambda: store.read(record.key), ["front read"]),
            (lambda: store.rotate(record.key, newer), ["back rotate", "front destroy"]),
            (lambda: store.modify(newer.key, lambda r: r), ["back modify", "front modify"]),
            (lambda: store.destroy(newer.key), ["back destroy", "front destroy"]),
            (
                lambda: store.destroy_session("7", record.id),
                ["back destroy_session", "front destroy_session"],
            ),
            (
                lambda: store.destroy_for_user("7"),
                ["back destroy_for_user", "front destroy_for_user"],
            ),
            (lambda: store.sessions_for_user("7"), ["back sessions_for_user"]),
            (lambda: store.reread(record.key), ["back reread"]),
        ]
        store.read(record.key)
        for write, expected in writes:
            with trips() as asked:
                write()
            assert asked == expected

    def test_an_evicted_session_is_not_served(self) -> None:
        tiers().read(self.record.key)
        record = make_record(user_id="7", authenticated_at=clock.now() + timedelta(minutes=1))
        admission = tiers().admit(None, record, EVICTING)
        assert [each.id for each in admission.evicted] == [self.record.id]
        assert tiers().read(self.record.key) is None

    def test_a_save_of_any_version_leaves_no_older_copy(self) -> None:
        tiers().read(self.record.key)
        anyones = replace(self.record, version=None, payload=b"newer")
        assert tiers().update(anyones) is Outcome.DONE
        for _ in range(3):
            found = tiers().read(self.record.key)
            assert found is not None
            assert found.payload == b"newer"

    def test_a_copy_is_trusted_for_front_seconds(self) -> None:
        tiers().read(self.record.key)
        stores["back"].destroy(self.record.key)  # By somebody who doesn't know of the front.
        assert tiers().read(self.record.key) == self.record
        later = clock.now() + timedelta(seconds=301)
        with patch("django_multistore.session.clock.now", lambda: later):
            assert tiers().read(self.record.key) is None

    def test_a_damaged_copy_is_none(self) -> None:
        tiers().read(self.record.key)
        entry = stores["front"].read(self.record.key)
        assert entry is not None
        for payload in (b"c", b"c" + b"x" * 100, b"what?"):
            stores["front"].update(replace(entry, payload=payload, version=None))
            assert tiers().read(self.record.key) == self.record

    def test_a_lease_that_a_dead_process_has_left_is_filled_in_the_end(self) -> None:
        steps = tiers()._protocol.fill(self.record.key, None)
        step = next(steps)
        while step.function.__name__ != "create":  # type: ignore[union-attr]
            step = steps.send(step.take())
        step.take()
        steps.close()
        with trips() as asked:
            assert tiers().read(self.record.key) == self.record
        assert asked == ["front read", "back read"]
        later = clock.now() + timedelta(seconds=6)
        with patch("django_multistore.session.clock.now", lambda: later), trips() as asked:
            tiers().read(self.record.key)
            tiers().read(self.record.key)
        assert asked == ["front read", "front update", "back read", "front update", "front read"]


class Broken:
    """A front that can't be asked for a while."""

    def __init__(self, patched: pytest.MonkeyPatch) -> None:
        self.count = 0
        for name in (*ASKED, "destroy_for_user"):
            patched.setattr(stores["front"], name, self.fail)

    def fail(self, *args: Any, **options: Any) -> Any:
        self.count += 1
        raise StoreUnavailable("down")


@override_settings(SESSION_STORES=tiered(MEMORY, MEMORY))
class OutageTests(SimpleTestCase):
    def setUp(self) -> None:
        self.record, self.other = (make_record(user_id="7") for _ in range(2))
        for record in (self.record, self.other):
            tiers().create(record)
            tiers().read(record.key)
        self.enterContext(patch.object(front, "RETRY_SECONDS", 0.05))

    def test_each_request_works_and_the_log_says_it_once(self) -> None:
        record, other, store = self.record, self.other, tiers()
        with self.assertLogs("django_multistore", "WARNING") as logs:
            with pytest.MonkeyPatch.context() as patched:
                broken = Broken(patched)
                assert store.read(record.key) == record
                assert store.update(replace(record, payload=b"newer")) is Outcome.DONE
                assert store.destroy(other.key) is True
                for _ in range(50):
                    assert store.read(other.key) is None
                assert broken.count < 10
            assert stores["front"].read(other.key) is not None
            time.sleep(0.06)
            assert store.read(other.key) is None
            for _ in range(3):
                found = store.read(record.key)
                assert found is not None
                assert found.payload == b"newer"
            assert stores["front"].read(other.key) is None
        assert [record.getMessage()[:32] for record in logs.records] == [
            "Session store 'default' goes on ",
            "Session store 'default': its fro",
        ]
        with trips() as asked:
            store.read(record.key)
        assert asked == ["front read"]

    def test_what_ends_a_users_sessions_is_owed_too(self) -> None:
        for end in (
            lambda: tiers().destroy_for_user("7", except_key=self.other.key),
            lambda: tiers().destroy_session("7", self.other.id),
        ):
            with self.assertLogs("django_multistore", "WARNING"):
                with pytest.MonkeyPatch.context() as patched:
                    Broken(patched)
                    end()
                time.sleep(0.06)
                tiers().read(make_record().key)
        assert tiers().read(self.record.key) is None
        assert tiers().read(self.other.key) is None

    def test_one_that_is_owed_too_much_is_left_alone_for_as_long_as_it_may_have_copies(
        self,
    ) -> None:
        with patch.object(front, "MOST_OWED", 5), self.assertLogs("django_multistore"):
            with pytest.MonkeyPatch.context() as patched:
                Broken(patched)
                for _ in range(7):
                    tiers().destroy(make_record().key)
                tiers().destroy(self.record.key)
            time.sleep(0.06)
            with trips() as asked:
                assert tiers().read(self.record.key) is None
            assert asked == ["back read"]

    def test_a_back_that_is_down_ends_nothing(self) -> None:
        def fail(*args: Any) -> Any:
            raise StoreUnavailable("down")

        with patch.object(stores["back"], "read", fail):
            assert tiers().read(self.record.key) == self.record
            with pytest.raises(StoreUnavailable):
                tiers().read(make_record().key)

    def test_where_nobody_knows_whether_it_was_done_no_copy_is_trusted(self) -> None:
        back = stores["back"]

        def fail_late(key: str) -> bool:
            type(back).destroy(back, key)
            raise StoreUnavailable("the reply was lost")

        with patch.object(back, "destroy", fail_late), pytest.raises(StoreUnavailable):
            tiers().destroy(self.record.key)
        assert tiers().read(self.record.key) is None


@override_settings(SESSION_STORES=tiered(MEMORY, ORM))
class TransactionTests(TransactionTestCase):
    def setUp(self) -> None:
        self.record = make_record(user_id="7")
        tiers().create(self.record)
        tiers().read(self.record.key)

    def test_what_is_not_committed_is_not_copied(self) -> None:
        key = self.record.key
        for write in (
            lambda: tiers().update(replace(self.record, payload=b"never")),
            lambda: tiers().modify(key, lambda stored: replace(stored, payload=b"never")),
        ):
            with transaction.atomic():
                write()
                found = tiers().read(key)
                assert found is not None
                assert found.payload == b"never"
                assert not self.has_copy(b"never")
                transaction.set_rollback(True)
            assert tiers().read(key) == self.record
            assert not self.has_copy(b"never")

    def test_what_was_read_in_a_transaction_is_not_copied(self) -> None:
        fresh = make_record()
        with transaction.atomic():
            tiers().create(fresh)
            assert tiers().read(fresh.key) == fresh
            assert stores["front"].read(fresh.key) is None

    def test_the_front_is_told_once_more_after_the_commit(self) -> None:
        for end in (
            lambda: tiers().destroy(self.record.key),
            lambda: tiers().destroy_for_user("7"),
            lambda: tiers().destroy_session("7", self.record.id),
            lambda: tiers().rotate(self.record.key, moved(self.record)),
        ):
            self.setUp()
            key = self.record.key
            with transaction.atomic():
                end()
                # Meanwhile another process has made a copy of what was there before.
                copied = tiers()._front
                stores["front"].destroy(key)
                until = clock.now() + copied.lasting
                stores["front"].create(
                    copies.copy_of(self.record, "default", version=1, until=until)
                )
            assert tiers().read(key) is None

    def test_an_end_that_is_rolled_back_leaves_a_session_that_can_be_copied(self) -> None:
        with transaction.atomic():
            assert tiers().destroy(self.record.key) is True
            assert tiers().read(self.record.key) is None
            transaction.set_rollback(True)
        assert tiers().read(self.record.key) == self.record

    def has_copy(self, payload: bytes) -> bool:
        entry = stores["front"].read(self.record.key)
        return entry is not None and payload in entry.payload


@override_settings(SESSION_STORES=tiered(CACHE, ORM))
class GcTests(TestCase):
    def test_it_goes_over_both_and_counts_sessions(self) -> None:
        for _ in range(3):
            record = make_record(user_id="7")
            stores["back"].create(replace(record, expires_at=clock.now() - timedelta(hours=1)))
        assert tiers().gc(dry_run=True) == 3
        assert tiers().gc(batch_size=2) == 3


def settings_of(**entries: Any) -> Any:
    return override_settings(SESSION_STORES=tiered(MEMORY, MEMORY) | entries)


class OptionTests(SimpleTestCase):
    def refuse(self, options: dict[str, Any], *said: str) -> None:
        parts = {"FRONT": "front", "BACK": "back"}
        with pytest.raises(InvalidStore) as caught:
            TieredStore("mine", **parts | options)
        assert "SESSION_STORES['mine']" in str(caught.value)
        for each in said:
            assert each in str(caught.value)

    @override_settings(SESSION_STORES=tiered(MEMORY, MEMORY))
    def test_what_names_no_other_store_is_refused(self) -> None:
        self.refuse({"FRONT": None}, "['FRONT'] is missing", "'front'")
        self.refuse({"BACK": 7}, "['BACK'] is of the type int", "by its alias")
        self.refuse({"BACK": "bakc"}, "'bakc', which isn't there", "'back'")
        self.refuse({"BACK": "mine"}, "this store itself", "Name another")
        self.refuse({"BACK": "front"}, "as BACK and as FRONT", "Name two stores")
        for seconds in (0, -1, "300", None, True, 10**9):
            self.refuse({"FRONT_SECONDS": seconds}, "FRONT_SECONDS", "from 1 to")

    def test_a_ring_is_refused(self) -> None:
        parts = {"FRONT": "front", "BACK": "mine"}
        path = "django_multistore.stores.composed.TieredStore"
        with settings_of(back={"BACKEND": path, "OPTIONS": parts}):
            self.refuse({}, "leads back: 'mine' -> 'back' -> 'mine'")
        with (
            settings_of(default={"BACKEND": path, "OPTIONS": parts | {"BACK": "default"}}),
            pytest.raises(InvalidStore),
        ):
            stores["default"]

    @override_settings(SESSION_STORES=tiered(MEMORY, MEMORY))
    def test_two_of_one_part_are_no_ring(self) -> None:
        SplitStore("mine", ANONYMOUS="back", USERS="default")


class CheckTests(SimpleTestCase):
    def found(self) -> list[str]:
        return [str(message.id).rpartition(".")[2] for message in tiers().check()]

    @override_settings(SESSION_STORES=tiered(MEMORY, MEMORY))
    def test_a_front_that_can_compare_and_set_will_do(self) -> None:
        assert self.found() == []

    @override_settings(SESSION_STORES=tiered(CACHE, MEMORY))
    def test_a_cache_that_takes_locks_will_do(self) -> None:
        assert self.found() == []

    @override_settings(SESSION_STORES=tiered(memcached("f"), MEMORY))
    def test_memcached_itself_will_do(self) -> None:
        assert self.found() == []

    def test_a_front_that_may_lose_a_write_is_refused(self) -> None:
        inexact = {**CACHE, "OPTIONS": {**CACHE["OPTIONS"], "EXACT": False}}
        smallest = {"BACKEND": "tests.support.smallest_store.SmallestStore"}
        for unfit in (inexact, ORM, smallest):
            with override_settings(SESSION_STORES=tiered(unfit, MEMORY)):
                assert self.found() == ["E027"]

    def test_a_front_at_the_place_of_its_back_is_refused(self) -> None:
        with override_settings(SESSION_STORES=tiered(CACHE, CACHE)):
            assert self.found() == ["E028"]

    @override_settings(SESSION_STORES=tiered(MEMORY, MEMORY))
    def test_its_flags_are_those_of_its_back(self) -> None:
        assert tiers().supports_users
        assert tiers().serializes_logins
        assert not tiers().has_database_index
