"""What CacheStore does beyond the contract: what it costs, its limits, and transactions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest
from asgiref.sync import async_to_sync
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import TestCase, TransactionTestCase, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_multistore.exceptions import InvalidStore, StoreUnavailable
from django_multistore.models import UserSession
from django_multistore.records import Outcome, SessionRecord, key_of, new_id
from django_multistore.session.keys import new_session_key
from django_multistore.stores.cache import CacheStore
from django_multistore.stores.indexed import users as cache_users
from django_multistore.stores.steps import run
from django_multistore.testing import make_record
from tests import servers

COMMANDS = ("get", "get_many", "add", "set", "set_many", "delete", "delete_many", "touch", "incr")


@contextmanager
def commands(alias: str = "locmem") -> Iterator[list[str]]:
    """Collect the commands that are given to a cache from outside of it."""
    given: list[str] = []
    backend, depth = type(caches[alias]), 0

    def recording(name: str) -> Callable[..., Any]:
        original = getattr(backend, name)

        def command(*args: Any, **kwargs: Any) -> Any:
            nonlocal depth
            if depth == 0:
                given.append(name)
            depth += 1
            try:
                return original(*args, **kwargs)
            finally:
                depth -= 1

        return command

    with pytest.MonkeyPatch.context() as patched:
        for name in COMMANDS:
            patched.setattr(backend, name, recording(name))
        yield given


def store_with(**options: Any) -> CacheStore:
    return CacheStore("default", **{"CACHE": "locmem", **options})


def of_user(**changes: Any) -> SessionRecord:
    user_id = str(new_id())
    return make_record(**{"user_id": user_id, "authenticated_at": timezone.now(), **changes})


def moved(record: SessionRecord, **changes: Any) -> SessionRecord:
    return replace(record, key=key_of(new_session_key()), **changes)


class RoundTripTests(TransactionTestCase):
    """In autocommit, where a BEGIN or a SAVEPOINT would show."""

    def assert_costs(
        self, cache_commands: list[str], statements: list[str], act: Callable[[], object]
    ) -> None:
        with commands() as given, CaptureQueriesContext(connection) as queries:
            act()
        self.assertEqual(given, cache_commands)
        self.assertEqual([query["sql"].split()[0] for query in queries], statements)

    def setUp(self) -> None:
        self.store = store_with()
        self.unlocked = store_with(EXACT=False)
        self.record = of_user()
        self.visitor = make_record()
        self.store.create(self.record)
        self.store.create(self.visitor)

    def test_read(self) -> None:
        self.assert_costs(["get_many"], [], lambda: self.store.read(self.record.key))

    def test_save(self) -> None:
        changed = replace(self.record, payload=b"x")
        save = ["add", "get_many", "set_many", "get_many", "delete"]
        self.assert_costs(save, [], lambda: self.store.update(changed))

    def test_save_without_locks(self) -> None:
        changed = replace(self.record, payload=b"x")
        save = ["get_many", "set_many", "get_many"]
        self.assert_costs(save, [], lambda: self.unlocked.update(changed))

    def test_save_when_the_touch_interval_has_moved(self) -> None:
        later = self.record.last_seen_at + timedelta(minutes=6)
        changed = replace(self.record, last_seen_at=later)
        save = ["get_many", "set_many", "get_many"]
        self.assert_costs(save, ["UPDATE"], lambda: self.unlocked.update(changed))

    def test_a_session_that_slides_costs_no_statement_at_each_save(self) -> None:
        later = timedelta(minutes=4)
        changed = replace(
            self.record,
            last_seen_at=self.record.last_seen_at + later,
            expires_at=self.record.expires_at + later,
        )
        save = ["get_many", "set_many", "get_many"]
        self.assert_costs(save, [], lambda: self.unlocked.update(changed))

    def test_create_for_a_visitor(self) -> None:
        self.assert_costs(["add"], [], lambda: self.store.create(make_record()))

    def test_create_for_a_user(self) -> None:
        self.assert_costs(["add", "get_many"], ["INSERT"], lambda: self.store.create(of_user()))

    def test_destroy_for_a_visitor(self) -> None:
        destroy = ["get_many", "add", "set_many"]
        self.assert_costs(destroy, [], lambda: self.store.destroy(self.visitor.key))

    def test_destroy_for_a_user(self) -> None:
        destroy = ["get_many", "add", "set_many"]
        self.assert_costs(destroy, ["DELETE"], lambda: self.store.destroy(self.record.key))

    def test_rotate(self) -> None:
        visitors = ["get_many", "add", "add", "set_many"]
        rotate = ["get_many", "add", "add", "get_many", "set_many"]
        self.assert_costs(
            visitors,
            [],
            lambda: self.unlocked.rotate(self.visitor.key, moved(self.visitor)),
        )
        self.assert_costs(
            rotate,
            ["UPDATE"],
            lambda: self.unlocked.rotate(self.record.key, moved(self.record)),
        )

    def test_listing_and_destroy_for_user(self) -> None:
        user_id = self.record.user_id
        for _ in range(19):
            self.store.create(of_user(user_id=user_id))
        self.assert_costs(["get_many"], ["SELECT"], lambda: self.store.sessions_for_user(user_id))
        page = partial(self.store.page_for_user, user_id, start=5)
        self.assert_costs(["get_many"], ["SELECT", "SELECT"], lambda: page(size=10))
        self.assert_costs([], ["SELECT"], lambda: page(size=0))
        self.assert_costs(
            ["get_many", "set_many"],
            ["SELECT", "DELETE", "SELECT"],
            lambda: self.store.destroy_for_user(user_id),
        )

    def test_the_async_variants(self) -> None:
        changed = replace(self.record, payload=b"x")
        save = ["add", "get_many", "set_many", "get_many", "delete"]
        self.assert_costs(save, [], lambda: async_to_sync(self.store.aupdate)(changed))
        create = lambda: async_to_sync(self.store.acreate)(of_user())  # noqa: E731
        self.assert_costs(["add", "get_many"], ["INSERT"], create)


class IndexTests(TransactionTestCase):
    def setUp(self) -> None:
        self.store = store_with()
        self.record = of_user()

    def rows(self) -> list[Any]:
        return list(UserSession.objects.all())

    def test_a_visitor_has_no_row(self) -> None:
        visitor = make_record()
        self.store.create(visitor)
        self.store.update(visitor)
        self.store.rotate(visitor.key, moved(visitor, version=None))
        self.assertEqual(self.rows(), [])

    def test_a_row_says_what_the_record_says(self) -> None:
        self.store.create(self.record)
        (row,) = self.rows()
        for name in ("id", "key", "user_id", "created_at", "authenticated_at", "last_seen_at"):
            self.assertEqual(getattr(row, name), getattr(self.record, name), name)
        self.assertEqual(row.ip_address, self.record.device.ip_address)
        self.assertEqual(row.user_agent, self.record.device.user_agent)
        self.assertEqual(row.store.partition("@")[0], "default")
        self.assertGreaterEqual(row.expires_at, self.record.expires_at)

    def test_a_rotation_moves_the_row(self) -> None:
        self.store.create(self.record)
        (before,) = self.rows()
        new = moved(self.record)
        self.store.rotate(self.record.key, new)
        (after,) = self.rows()
        self.assertEqual((after.row_id, after.id), (before.row_id, before.id))
        self.assertEqual((after.key, after.previous_key), (new.key, self.record.key))

    def test_a_rotation_to_a_key_that_is_taken_is_no_success(self) -> None:
        for taken in (of_user(), make_record()):
            record = of_user()
            for each in (taken, record):
                self.store.create(each)
            outcome = self.store.rotate(record.key, replace(record, key=taken.key))
            self.assertIs(outcome, Outcome.GONE)
            self.assertEqual(self.store.read(taken.key), taken)
            self.assertEqual(self.store.sessions_for_user(record.user_id), [])

    def test_the_rows_expiry_is_raised_before_the_sessions(self) -> None:
        self.store.create(self.record)
        later = self.record.expires_at + timedelta(days=3)
        with (
            patch.object(self.store._client, "set_many", side_effect=StoreUnavailable),
            pytest.raises(StoreUnavailable),
        ):
            self.store.update(replace(self.record, expires_at=later))
        (row,) = self.rows()
        self.assertGreaterEqual(row.expires_at, later)

    def test_a_lost_row_is_entered_again(self) -> None:
        later = timezone.now() + timedelta(minutes=6)
        for heal in (
            lambda record: self.store.update(replace(record, last_seen_at=later)),
            lambda record: self.store.touch(replace(record, last_seen_at=later)),
            lambda record: self.store.rotate(record.key, moved(record)),
        ):
            record = of_user()
            self.store.create(record)
            UserSession.objects.all().delete()
            self.assertEqual(self.store.sessions_for_user(record.user_id), [])
            heal(record)
            self.assertEqual(
                [r.id for r in self.store.sessions_for_user(record.user_id)], [record.id]
            )

    def test_stores_share_the_table_but_no_rows(self) -> None:
        other = CacheStore("other", CACHE="locmem", KEY_PREFIX="other:")
        self.store.create(self.record)
        self.assertEqual(other.sessions_for_user(self.record.user_id), [])
        self.assertEqual(other.destroy_for_user(self.record.user_id), 0)
        self.assertEqual(other.gc(), 0)
        self.assertIsNotNone(self.store.read(self.record.key))
        self.assertIsNone(other.read(self.record.key))

    def test_a_session_that_is_evicted_is_not_listed(self) -> None:
        self.store.create(self.record)
        caches["locmem"].clear()
        self.assertEqual(self.store.sessions_for_user(self.record.user_id), [])
        self.assertEqual(self.store.destroy_for_user(self.record.user_id), 0)
        self.assertEqual(self.rows(), [])

    def test_of_a_session_that_passed_to_another_nothing_is_left_to_the_first(self) -> None:
        self.store.create(self.record)
        other = str(new_id())
        self.store.update(replace(self.record, user_id=other))
        self.assertEqual(self.store.sessions_for_user(self.record.user_id), [])
        self.assertEqual(self.store.destroy_for_user(self.record.user_id), 0)
        self.assertEqual(len(self.store.sessions_for_user(other)), 1)
        self.assertEqual(self.store.destroy_for_user(other), 1)

    def test_a_session_that_rotates_meanwhile_is_listed_once(self) -> None:
        self.assert_listed_once(self.store.sessions_for_user)

    def test_a_session_that_rotates_meanwhile_is_on_the_page_once(self) -> None:
        self.assert_listed_once(
            lambda user_id: self.store.page_for_user(user_id, start=0, size=3).records
        )

    def assert_listed_once(self, list_sessions: Any) -> None:
        evicted = of_user(user_id=self.record.user_id)
        for record in (self.record, evicted):
            self.store.create(record)
        caches["locmem"].delete(f"s:{evicted.key}")
        new = moved(self.record)
        get_many = type(self.store._client).get_many

        def rotated_before(client: Any, names: Any) -> Any:
            if client is self.store._client and not done:
                done.append(True)
                store_with().rotate(self.record.key, new)
            return get_many(client, names)

        done: list[bool] = []
        with patch.object(type(self.store._client), "get_many", rotated_before):
            (listed,) = list_sessions(self.record.user_id)
        self.assertEqual((listed.id, listed.key), (self.record.id, new.key))

    def test_a_session_that_is_another_user_s_by_now_is_on_neither_list(self) -> None:
        self.store.create(self.record)
        former = str(new_id())
        self.store._index.insert(replace(self.record, user_id=former))
        self.assertEqual(self.store.sessions_for_user(former), [])
        self.assertEqual(self.store.page_for_user(former, start=0, size=3).records, ())

    def test_rows_that_gc_has_not_removed_yet_do_not_count(self) -> None:
        self.store.create(self.record)
        UserSession.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        page = self.store.page_for_user(self.record.user_id, start=0, size=3)
        self.assertEqual((page.records, page.total), ((), 0))
        self.assertFalse(self.store.database_index().exists())

    def test_many_sessions_are_listed_and_ended_in_batches(self) -> None:
        user_id = self.record.user_id
        with patch.object(cache_users, "AT_A_TIME", 7):
            records = [of_user(user_id=user_id) for _ in range(20)]
            for record in records:
                self.store.create(record)
            self.assertEqual(len(self.store.sessions_for_user(user_id)), 20)
            kept = records[11]
            self.assertEqual(self.store.destroy_for_user(user_id, except_key=kept.key), 19)
        self.assertEqual([row.key for row in self.rows()], [kept.key])


class GcTests(TransactionTestCase):
    def setUp(self) -> None:
        self.store = store_with()
        self.live = of_user()
        self.store.create(self.live)

    def age(self, **changes: Any) -> None:
        past = timezone.now() - timedelta(days=1)
        UserSession.objects.update(**{"last_seen_at": past, **changes})

    def test_rows_of_sessions_that_are_gone_are_removed(self) -> None:
        expired, evicted = of_user(), of_user()
        for record in (expired, evicted):
            self.store.create(record)
        for record in (expired, evicted):
            caches["locmem"].delete(f"s:{record.key}")
        self.age()
        past = timezone.now() - timedelta(hours=1)
        UserSession.objects.filter(key=expired.key).update(expires_at=past)
        self.assertEqual(self.store.gc(dry_run=True), 2)
        self.assertEqual(self.store.gc(batch_size=1), 2)
        self.assertEqual([row.key for row in UserSession.objects.all()], [self.live.key])
        self.assertEqual(self.store.gc(), 0)

    def test_it_ends_though_logins_come_in_all_the_time(self) -> None:
        before = self.store._index.rows_after

        def while_others_log_in(_: Any, *args: Any) -> Any:
            rows = before(*args)
            for _number in range(2):
                self.store.create(of_user())
            return rows

        steps: list[int] = []
        with patch.object(type(self.store._index), "rows_after", while_others_log_in):
            self.store.gc(batch_size=1, progress=steps.append)
        self.assertEqual(len(steps), 1)

    def test_who_is_just_logging_in_is_left_alone(self) -> None:
        caches["locmem"].delete(f"s:{self.live.key}")
        self.assertEqual(self.store.gc(), 0)
        self.assertEqual(UserSession.objects.count(), 1)

    def test_a_row_that_is_renewed_between_the_two_looks_stays(self) -> None:
        caches["locmem"].delete(f"s:{self.live.key}")
        self.age(expires_at=timezone.now() - timedelta(hours=1))
        remove = self.store._index.remove_rows

        def renewed(*args: Any) -> int:
            later = timezone.now() + timedelta(hours=1)
            UserSession.objects.update(expires_at=later)
            return remove(*args)

        with patch.object(type(self.store._index), "remove_rows", lambda _, *args: renewed(*args)):
            self.assertEqual(self.store.gc(), 0)
        self.assertEqual(UserSession.objects.count(), 1)

    def test_a_cache_that_takes_an_outage_for_a_miss_loses_no_row(self) -> None:
        self.age()
        with (
            override_settings(
                CACHES={"locmem": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
            ),
            pytest.raises(StoreUnavailable, match="check --deploy"),
        ):
            self.store.gc()
        self.assertEqual(UserSession.objects.count(), 1)

    @override_settings(
        SESSION_STORES={
            "default": {
                "BACKEND": "django_multistore.stores.cache.CacheStore",
                "OPTIONS": {"CACHE": "down"},
            }
        },
        CACHES={
            "down": {
                "BACKEND": "django.core.cache.backends.redis.RedisCache",
                "LOCATION": "redis://127.0.0.1:1/0",
            }
        },
    )
    def test_the_command_fails_when_the_cache_is_down(self) -> None:
        self.age()
        with pytest.raises(CommandError, match="could not be asked"):
            call_command("gc")
        self.assertEqual(UserSession.objects.count(), 1)


class LimitTests(TransactionTestCase):
    def test_a_session_lives_no_longer_than_max_age(self) -> None:
        store = store_with(MAX_AGE=3600)
        far = datetime.max.replace(tzinfo=UTC)
        for expires_at in (timezone.now() + timedelta(days=36_500), far):
            record = of_user(expires_at=expires_at)
            with self.assertLogs("django_multistore", logging.WARNING) as logs:
                store_with(MAX_AGE=3600).create(record)
            self.assertIn("MAX_AGE", logs.output[0])
            stored = store.read(record.key)
            assert stored is not None
            self.assertLess(stored.expires_at, timezone.now() + timedelta(hours=1, seconds=1))
            self.assertIs(store.update(replace(record, payload=b"x")), Outcome.DONE)
            self.assertIs(store.destroy(record.key), True)

    def test_the_default_max_age_is_the_cookies_or_30_days(self) -> None:
        self.assertEqual(store_with()._options.max_age, timedelta(days=30))
        with self.settings(SESSION_COOKIE_AGE=86400 * 90):
            self.assertEqual(store_with()._options.max_age, timedelta(days=90))

    def test_long_lives_on_real_caches(self) -> None:
        for alias in ("memcached", "redis", "django_redis"):
            with self.subTest(alias):
                if alias not in caches.settings:
                    servers.require({"memcached": "memcached"}.get(alias, "redis"))
                for days in (29, 31, 400, 1825):
                    store = store_with(CACHE=alias, MAX_AGE=days * 86400)
                    record = make_record(expires_at=timezone.now() + timedelta(days=days - 1))
                    self.assertIs(store.create(record), True)
                    self.assertEqual(store.read(record.key), record)
                    self.assertIs(store.update(replace(record, payload=b"x")), Outcome.DONE)
                    self.assertIs(store.destroy(record.key), True)
                    self.assertIs(store.update(replace(record, version=None)), Outcome.GONE)

    def test_a_session_that_memcached_cannot_take_is_refused_whole(self) -> None:
        if "memcached" not in caches.settings:
            servers.require("memcached")
        store = store_with(CACHE="memcached")
        record = of_user()
        store.create(record)
        huge = b"x" * 1_200_000
        for write in (
            lambda: store.update(replace(record, payload=huge)),
            lambda: store.rotate(record.key, moved(record, payload=huge)),
            lambda: store.modify(record.key, lambda stored: replace(stored, payload=huge)),
            lambda: store.create(of_user(payload=huge)),
        ):
            with pytest.raises(ValueError, match=r"'default'.*1200000 bytes.*option -I"):
                write()
        self.assertEqual(store.read(record.key), record)
        self.assertEqual(UserSession.objects.count(), 1)
        nearly = replace(record, payload=b"x" * 1_000_000)
        self.assertIs(store.update(nearly), Outcome.DONE)
        stored = store.read(record.key)
        assert stored is not None
        self.assertEqual(stored.payload, nearly.payload)

    def test_what_is_no_session_is_none(self) -> None:
        store = store_with()
        packed = make_record()
        store.create(packed)
        good = caches["locmem"].get(f"s:{packed.key}")
        for value in (b"", b"x", 7, "text", good[:40], b"\x07" + good[1:]):
            key = make_record().key
            caches["locmem"].set(f"s:{key}", value)
            with self.assertLogs("django.security.SuspiciousSession") as logs:
                self.assertIsNone(store.read(key))
            self.assertNotIn(key, logs.output[0])


class OptionTests(TestCase):
    def test_each_bad_option_is_refused_by_name(self) -> None:
        for option, value in (
            ("CACHE", "nowhere"),
            ("DATABASE", "nowhere"),
            ("KEY_PREFIX", "with blank"),
            ("KEY_PREFIX", "x" * 200),
            ("KEY_PREFIX", 7),
            ("EXACT", 1),
            ("LOCK_SECONDS", 1),
            ("LOCK_SECONDS", 2.5),
            ("LOCK_SECONDS", None),
            ("MAX_AGE", 0),
            ("MAX_AGE", 86400 * 365 * 100),
            ("MAX_AGE", "1"),
            ("MAX_AGE", True),
            ("COLOUR", "red"),
        ):
            with self.subTest(option), pytest.raises(InvalidStore) as caught:
                store_with(**{option: value})
            self.assertIn("SESSION_STORES['default']", str(caught.value))
            self.assertIn(option, str(caught.value))

    @override_settings(
        CACHES={
            "locmem": {
                "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
                "LOCATION": "127.0.0.1:1",
                "KEY_PREFIX": "my site",
            }
        }
    )
    def test_a_cache_that_cannot_have_the_names_is_refused(self) -> None:
        with pytest.raises(InvalidStore, match=r"'default'.*'locmem'.*KEY_PREFIX"):
            store_with()

    @override_settings(SESSION_CACHE_ALIAS="locmem")
    def test_the_cache_is_that_of_session_cache_alias(self) -> None:
        self.assertEqual(CacheStore()._options.cache, "locmem")

    @override_settings(SESSION_CACHE_ALIAS="nowhere")
    def test_a_session_cache_alias_that_is_none_is_named(self) -> None:
        with pytest.raises(InvalidStore, match=r"'default'.*SESSION_CACHE_ALIAS.*'nowhere'"):
            CacheStore()


class LockTests(TransactionTestCase):
    def test_who_dies_with_the_lock_holds_others_up_for_a_while(self) -> None:
        store = store_with(LOCK_SECONDS=2)
        record = make_record()
        store.create(record)
        caches["locmem"].add(f"l:{record.key}", b"dead", 2)
        self.assertIs(store.update(record), Outcome.DONE)

    def test_who_does_not_get_the_lock_gives_up(self) -> None:
        store = store_with(LOCK_SECONDS=2)
        record = make_record()
        store.create(record)
        caches["locmem"].add(f"l:{record.key}", b"busy", 60)
        with pytest.raises(StoreUnavailable, match="Nothing was written"):
            store.update(record)
        self.assertEqual(store.read(record.key), record)

    def test_a_lock_that_expired_is_not_anothers_to_remove(self) -> None:
        store = store_with(LOCK_SECONDS=2)
        record = make_record()
        store.create(record)
        name = f"l:{record.key}"

        def stall(stored: SessionRecord) -> SessionRecord:
            caches["locmem"].set(name, b"another's", 60)
            clock.return_value += 3
            return stored

        with patch("django_multistore.stores.cache.cells.time.monotonic") as clock:
            clock.return_value = 1000.0
            steps = store._protocol._change(record.key, stall)
            outcome = run(steps)
        self.assertIs(outcome, Outcome.CONFLICT)
        self.assertEqual(caches["locmem"].get(name), b"another's")

    def test_a_lock_is_left_when_saving_fails(self) -> None:
        store = store_with()
        record = make_record()
        store.create(record)

        def fail(stored: SessionRecord) -> SessionRecord:
            raise KeyError

        with pytest.raises(KeyError):
            store.modify(record.key, fail)
        self.assertIs(store.update(record), Outcome.DONE)

    def test_a_reply_that_is_lost_is_no_failure(self) -> None:
        """A client that sends `add` again, because the reply was lost, finds its own value."""
        store = store_with()
        record, visitor = of_user(), make_record()
        add = LocMemCache.add

        def twice(self: Any, *args: Any, **kwargs: Any) -> bool:
            add(self, *args, **kwargs)
            return add(self, *args, **kwargs)

        with patch.object(LocMemCache, "add", twice):
            self.assertIs(store.create(record), True)
            self.assertIs(store.create(visitor), True)
            self.assertIs(store.update(record), Outcome.DONE)
            self.assertIs(store.rotate(record.key, moved(record, version=2)), Outcome.DONE)
            self.assertIs(store.create(replace(visitor, id=new_id())), False)
        self.assertEqual(len(store.sessions_for_user(record.user_id)), 1)


class AsyncOnlyCache(LocMemCache):
    """A cache with an async client, whose sync methods must not be called by async code."""


def _async_only() -> None:
    def async_variant(name: str) -> Callable[..., Any]:
        original = getattr(LocMemCache, name)

        async def command(self: Any, *args: Any, **kwargs: Any) -> Any:
            return original(self._plain, *args, **kwargs)

        return command

    def refuse(name: str) -> Callable[..., Any]:
        def command(self: Any, *args: Any, **kwargs: Any) -> Any:
            raise AssertionError(f"{name}() was called by async code.")

        return command

    for name in COMMANDS:
        setattr(AsyncOnlyCache, f"a{name}", async_variant(name))
        setattr(AsyncOnlyCache, name, refuse(name))
    AsyncOnlyCache._plain = property(lambda self: LocMemCache("async-only", {}))


_async_only()


@override_settings(
    CACHES={
        "native": {"BACKEND": "tests.stores.cache.test_store.AsyncOnlyCache", "LOCATION": "native"}
    }
)
class NativeAsyncTests(TransactionTestCase):
    def test_async_code_awaits_the_caches_own_methods(self) -> None:
        store = store_with(CACHE="native")
        record = of_user()
        new = moved(record, version=2)

        async def live() -> None:
            assert await store.acreate(record)
            assert await store.aread(record.key) == record
            assert await store.aupdate(record) is Outcome.DONE
            assert await store.atouch(replace(record, version=2))
            assert await store.arotate(record.key, new) is Outcome.DONE
            assert await store.amodify(new.key, lambda stored: stored) is Outcome.DONE
            assert len(await store.asessions_for_user(record.user_id)) == 1
            assert await store.adestroy_session(record.user_id, new_id()) is False
            assert await store.adestroy_for_user(record.user_id) == 1
            assert await store.adestroy(new.key) is False

        async_to_sync(live)()

    def test_who_is_cancelled_leaves_no_lock(self) -> None:
        """A visitor who goes away cancels the request, and must not hold up the next."""
        store = store_with(CACHE="native")
        record = make_record()

        async def live() -> None:
            assert await store.acreate(record)
            reading = asyncio.Event()

            async def hang(*args: Any) -> None:
                reading.set()
                await asyncio.sleep(60)

            with patch.object(AsyncOnlyCache, "aget_many", hang):
                task = asyncio.create_task(store.aupdate(record))
                await reading.wait()
                assert await caches["native"].aget(f"l:{record.key}")
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            assert await caches["native"].aget(f"l:{record.key}") is None
            assert await store.aupdate(record) is Outcome.DONE

        async_to_sync(live)()

    def test_and_no_thread_for_a_visitor(self) -> None:
        store = store_with(CACHE="native")
        record = make_record()

        async def live() -> None:
            with patch("asgiref.sync.SyncToAsync.__call__", side_effect=AssertionError):
                assert await store.acreate(record)
                assert await store.aupdate(record) is Outcome.DONE
                assert await store.adestroy(record.key)

        async_to_sync(live)()


class InTestCaseTests(TestCase):
    """All in one transaction that is never committed, as most tests of a site are."""

    def test_a_session_of_the_tests_transaction_lives(self) -> None:
        store = store_with()
        record = of_user()
        store.create(record)
        self.assertEqual(store.read(record.key), record)
        self.assertIs(store.update(record), Outcome.DONE)
        new = moved(record, version=2)
        self.assertIs(store.rotate(record.key, new), Outcome.DONE)
        self.assertIsNone(store.read(record.key))
        self.assertEqual(len(store.sessions_for_user(record.user_id)), 1)

    def test_and_is_dead_after_a_rollback(self) -> None:
        store = store_with()
        record = of_user()
        with transaction.atomic():
            store.create(record)
            self.assertEqual(store.read(record.key), record)
            transaction.set_rollback(True)
        self.assertIsNone(store.read(record.key))
        self.assertIs(store.update(record), Outcome.GONE)
        self.assertIs(store.touch(record), False)


class TransactionTests(TransactionTestCase):
    def setUp(self) -> None:
        self.store = store_with()
        self.record = of_user()

    def test_after_the_commit_it_is_confirmed_by_the_next_save(self) -> None:
        with transaction.atomic():
            self.store.create(self.record)
        with self.assertNumQueries(1):
            self.assertEqual(self.store.read(self.record.key), self.record)
        self.store.update(self.record)
        with self.assertNumQueries(0):
            self.assertIsNotNone(self.store.read(self.record.key))

    def test_a_save_in_another_transaction_confirms_nothing(self) -> None:
        with transaction.atomic():
            self.store.create(self.record)
        with transaction.atomic():
            self.store.update(self.record)
        with self.assertNumQueries(1):
            self.assertIsNotNone(self.store.read(self.record.key))

    def test_a_rotation_that_is_rolled_back_ends_the_session(self) -> None:
        self.store.create(self.record)
        new = moved(self.record)
        with transaction.atomic():
            self.assertIs(self.store.rotate(self.record.key, new), Outcome.DONE)
            self.assertIsNotNone(self.store.read(new.key))
            transaction.set_rollback(True)
        self.assertIsNone(self.store.read(self.record.key))
        self.assertIsNone(self.store.read(new.key))
        self.assertEqual(self.store.sessions_for_user(self.record.user_id), [])

    def test_a_session_without_a_row_is_not_rotated_in_a_transaction(self) -> None:
        """Its new row would be seen by no destroy_for_user() before the commit."""
        self.store.create(self.record)
        UserSession.objects.all().delete()
        new = moved(self.record)
        with transaction.atomic():
            self.assertIs(self.store.rotate(self.record.key, new), Outcome.GONE)
        self.assertEqual(UserSession.objects.count(), 0)
        self.assertIsNone(self.store.read(new.key))
        self.assertIsNotNone(self.store.read(self.record.key))

    def test_a_destroy_that_is_rolled_back_has_happened(self) -> None:
        self.store.create(self.record)
        with transaction.atomic():
            self.assertEqual(self.store.destroy_for_user(self.record.user_id), 1)
            transaction.set_rollback(True)
        self.assertIsNone(self.store.read(self.record.key))
        self.assertEqual(self.store.sessions_for_user(self.record.user_id), [])

    def test_without_autocommit_it_is_a_transaction_too(self) -> None:
        transaction.set_autocommit(False)
        try:
            self.store.create(self.record)
            transaction.rollback()
        finally:
            transaction.set_autocommit(True)
        self.assertIsNone(self.store.read(self.record.key))


def test_base_cache_has_what_is_awaited() -> None:
    for name in ("get", "get_many", "add", "set_many", "delete"):
        assert hasattr(BaseCache, f"a{name}")
