"""
The tests that every store passes: this package's, and your own.

    class MyStoreTests(StoreContract, SimpleTestCase):
        def make_store(self) -> MyStore:
            return MyStore("mine", LOCATION="…")

Each test runs twice, through the store's sync methods and through their async twins.
"""

from __future__ import annotations

import inspect
import unittest
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync

from .exceptions import InvalidStore, NotSupported
from .records import Admission, Device, Limit, Outcome, Page, SessionRecord, key_of, new_id
from .session import clock
from .session.keys import new_session_key
from .stores.base import BaseStore

if TYPE_CHECKING:
    _TestCase = unittest.TestCase
else:
    _TestCase = object

Operation = Callable[..., Any]

INTERFACE = [
    name
    for name, member in inspect.getmembers(BaseStore, inspect.isfunction)
    if hasattr(BaseStore, f"a{name}")
]

HOUR = timedelta(hours=1)
EVICTING, REFUSING = Limit(most=2, evicts=True), Limit(most=2, evicts=False)


def make_record(**changes: Any) -> SessionRecord:
    """
    Make a live record of a new session without a user.

    Args:
        changes: fields that shall be different.
    """
    now = clock.now()
    record = SessionRecord(
        id=new_id(),
        key=key_of(new_session_key()),
        payload=b"\x00payload\xff",
        version=1,
        user_id=None,
        created_at=now,
        authenticated_at=None,
        last_seen_at=now,
        expires_at=now + HOUR,
        device=Device(ip_address="192.0.2.7", user_agent="Firefox"),
    )
    return replace(record, **changes)


def expired(record: SessionRecord) -> SessionRecord:
    """Return the record as one that expired an hour ago."""
    return replace(record, expires_at=clock.now() - HOUR)


class Calls:
    """An object's methods as plain functions: its own, or their async twins run to the end."""

    def __init__(self, target: Any, *, twins: bool) -> None:
        self.target = target
        self._twins = twins

    def __getattr__(self, name: str) -> Operation:
        if not self._twins:
            own: Operation = getattr(self.target, name)
            return own
        twin: Callable[..., Awaitable[Any]] = getattr(self.target, f"a{name}")
        return async_to_sync(twin)


def both_ways(test: Callable[[Any, Calls], None]) -> Callable[[Any], None]:
    """Run a test of the contract through the sync methods, then through their twins."""

    @wraps(test)
    def run(self: Any) -> None:
        for twins in (False, True):
            with self.subTest(twins=twins):
                test(self, Calls(self.make_store(), twins=twins))

    # pytest takes a parameter of the wrapped function for a fixture.
    del run.__wrapped__
    return run


def of_users(test: Callable[[Any, Calls], None]) -> Callable[[Any, Calls], None]:
    """Skip a test of the contract for a store that finds no users."""

    @wraps(test)
    def run(self: Any, store: Calls) -> None:
        if not store.target.supports_users:
            self.skipTest("this store finds no users")
        test(self, store)

    return run


class StoreContract(_TestCase):
    """Mix this into a TestCase of Django's and say how to make the store."""

    # Set to False for a store whose records vanish by themselves when they expire, and whose
    # gc() has nothing to count.
    gc_counts_records = True

    def make_store(self) -> BaseStore:
        """Return a store that is ready for use. It may hold other sessions."""
        raise NotImplementedError("Return a store from make_store().")

    # Reading and creating.

    @both_ways
    def test_an_unknown_key_is_none(self, store: Calls) -> None:
        self.assertIsNone(store.read(make_record().key))

    @both_ways
    def test_what_was_created_is_read(self, store: Calls) -> None:
        record = make_record(user_id="7", authenticated_at=clock.now(), actor_id="8")
        self.assertIs(store.create(record), True)
        self.assertEqual(store.read(record.key), record)

    @both_ways
    def test_what_may_be_missing_is_read_as_missing(self, store: Calls) -> None:
        record = make_record(device=Device())
        store.create(record)
        self.assertEqual(store.read(record.key), record)

    @both_ways
    def test_payloads_are_any_bytes(self, store: Calls) -> None:
        for payload in (b"", bytes(range(256)), b"'\"%s\\\0\n", b"x" * 100_000):
            record = make_record(payload=payload)
            store.create(record)
            self.assertEqual(store.read(record.key).payload, payload)

    @both_ways
    def test_create_refuses_a_key_that_is_taken(self, store: Calls) -> None:
        record = make_record()
        store.create(record)
        rival = make_record(key=record.key, payload=b"rival")
        self.assertIs(store.create(rival), False)
        self.assertEqual(store.read(record.key), record)

    @both_ways
    def test_an_expired_record_is_not_read(self, store: Calls) -> None:
        record = expired(make_record())
        store.create(record)
        self.assertIsNone(store.read(record.key))

    # Updating: compare-and-set.

    @both_ways
    def test_update_writes_all_but_id_and_creation(self, store: Calls) -> None:
        record = make_record()
        store.create(record)
        later = clock.now() + timedelta(minutes=1)
        changed = replace(
            record,
            payload=b"new",
            user_id="8",
            authenticated_at=later,
            last_seen_at=later,
            expires_at=later + HOUR,
            device=Device(ip_address="2001:db8::1", user_agent="Safari"),
            actor_id="9",
        )
        unrelated = replace(changed, id=new_id(), created_at=later)
        self.assertIs(store.update(unrelated), Outcome.DONE)
        self.assertEqual(store.read(record.key), replace(changed, version=2))

    @both_ways
    def test_update_of_another_version_is_a_conflict(self, store: Calls) -> None:
        record = make_record()
        store.create(record)
        store.update(replace(record, payload=b"first"))
        self.assertIs(store.update(replace(record, payload=b"second")), Outcome.CONFLICT)
        self.assertEqual(store.read(record.key).payload, b"first")

    @both_ways
    def test_update_of_any_version_overwrites(self, store: Calls) -> None:
        record = make_record()
        store.create(record)
        store.update(replace(record, payload=b"first"))
        overwriting = replace(record, payload=b"second", version=None)
        self.assertIs(store.update(overwriting), Outcome.DONE)
        self.assertEqual(store.read(record.key), replace(record, payload=b"second", version=3))

    @both_ways
    def test_update_never_creates(self, store: Calls) -> None:
        for version in (1, None):
            record = make_record(version=version)
            self.assertIs(store.update(record), Outcome.GONE)
            self.assertIsNone(store.read(record.key))

    @both_ways
    def test_update_never_brings_back_what_was_destroyed(self, store: Calls) -> None:
        for version in (1, None):
            record = make_record()
            store.create(record)
            store.destroy(record.key)
            self.assertIs(store.update(replace(record, version=version)), Outcome.GONE)
            self.assertIsNone(store.read(record.key))

    @both_ways
    def test_update_never_brings_back_what_has_expired(self, store: Calls) -> None:
        for version in (1, None):
            record = make_record()
            store.create(expired(record))
            self.assertIs(store.update(replace(record, version=version)), Outcome.GONE)
            self.assertIsNone(store.read(record.key))

    @both_ways
    def test_update_can_let_a_record_expire(self, store: Calls) -> None:
        record = make_record()
        store.create(record)
        self.assertIs(store.update(expired(record)), Outcome.DONE)
        self.assertIsNone(store.read(record.key))

    @both_ways
    def test_write_creates_or_updates(self, store: Calls) -> None:
        record = make_record()
        store.write(record)
        store.write(replace(record, payload=b"again"))
        self.assertEqual(store.read(record.key).payload, b"again")

    # Touching.

    @both_ways
    def test_touch_moves_what_it_says_and_nothing_else(self, store: Calls) -> None:
        record = make_record(user_id="7", authenticated_at=clock.now())
        store.create(record)
        later = clock.now() + timedelta(minutes=1)
        moved = replace(
            record, last_seen_at=later, expires_at=later + HOUR, device=Device(user_agent="Safari")
        )
        self.assertIs(store.touch(replace(moved, payload=b"other", user_id="8")), True)
        stored = store.read(record.key)
        self.assertEqual(stored, replace(moved, version=stored.version))

    @both_ways
    def test_touch_moves_neither_time_back(self, store: Calls) -> None:
        now = clock.now().replace(microsecond=255)
        for microseconds in (1, 256, 65_536, 1_000_000, 4_294_967_296, 1_700_000_000):
            back = timedelta(microseconds=microseconds)
            record = make_record(user_id=str(new_id()), last_seen_at=now, expires_at=now + HOUR)
            store.create(record)
            # In which order two requests come is not theirs to say.
            for last_seen_at, expires_at in (
                (record.last_seen_at - back, record.expires_at - back),
                (record.last_seen_at - back, record.expires_at),
                (record.last_seen_at, record.expires_at - back),
            ):
                older = replace(record, last_seen_at=last_seen_at, expires_at=expires_at)
                self.assertIs(store.touch(older), True)
                stored = store.read(record.key)
                self.assertEqual(stored, record := replace(record, version=stored.version))
            renewed = replace(record, expires_at=record.expires_at + back)
            self.assertIs(store.touch(replace(renewed, last_seen_at=now - back)), True)
            self.assertEqual(store.read(record.key).expires_at, renewed.expires_at)
            self.assertEqual(store.read(record.key).last_seen_at, now)

    @both_ways
    def test_touch_ends_nothing(self, store: Calls) -> None:
        record = make_record(user_id=str(new_id()))
        store.create(record)
        self.assertIs(store.touch(expired(record)), True)
        self.assertEqual(store.read(record.key).expires_at, record.expires_at)
        if store.target.supports_users:
            listed = store.sessions_for_user(record.user_id)
            self.assertEqual([each.id for each in listed], [record.id])

    @both_ways
    def test_touch_of_another_version_moves_nothing(self, store: Calls) -> None:
        record = make_record()
        store.create(record)
        store.update(replace(record, payload=b"newer"))
        before = store.read(record.key)
        later = replace(record, expires_at=record.expires_at + HOUR)
        self.assertIs(store.touch(later), False)
        self.assertEqual(store.read(record.key), before)

    @both_ways
    def test_touch_brings_nothing_back(self, store: Calls) -> None:
        destroyed, gone = make_record(), make_record()
        store.create(destroyed)
        store.destroy(destroyed.key)
        store.create(expired(gone))
        for record in (destroyed, gone, make_record()):
            self.assertIs(store.touch(record), False)
            self.assertIsNone(store.read(record.key))

    # Rotating.

    @both_ways
    def test_rotate_moves_the_session(self, store: Calls) -> None:
        old = make_record(user_id="7")
        store.create(old)
        new = replace(old, key=key_of(new_session_key()), payload=b"sealed anew")
        unrelated = replace(new, id=new_id(), created_at=clock.now() + HOUR)
        self.assertIs(store.rotate(old.key, unrelated), Outcome.DONE)
        self.assertIsNone(store.read(old.key))
        self.assertEqual(store.read(new.key), replace(new, version=2))

    @both_ways
    def test_the_old_key_is_dead_for_everyone(self, store: Calls) -> None:
        old = make_record()
        store.create(old)
        new = replace(old, key=key_of(new_session_key()))
        store.rotate(old.key, new)
        other = replace(old, key=key_of(new_session_key()))
        self.assertIs(store.update(old), Outcome.GONE)
        self.assertIs(store.update(replace(old, version=None)), Outcome.GONE)
        self.assertIs(store.touch(old), False)
        self.assertIs(store.rotate(old.key, other), Outcome.GONE)
        self.assertIs(store.destroy(old.key), False)
        self.assertIsNone(store.read(other.key))
        self.assertIsNotNone(store.read(new.key))

    @both_ways
    def test_rotate_of_another_version_is_a_conflict(self, store: Calls) -> None:
        old = make_record()
        store.create(old)
        store.update(replace(old, payload=b"newer"))
        new = replace(old, key=key_of(new_session_key()))
        self.assertIs(store.rotate(old.key, new), Outcome.CONFLICT)
        self.assertEqual(store.read(old.key).payload, b"newer")
        self.assertIsNone(store.read(new.key))
        self.assertIs(store.rotate(old.key, replace(new, version=None)), Outcome.DONE)
        self.assertEqual(store.read(new.key).version, 3)

    @both_ways
    def test_rotate_brings_nothing_back(self, store: Calls) -> None:
        destroyed, gone = make_record(), make_record()
        store.create(destroyed)
        store.destroy(destroyed.key)
        store.create(expired(gone))
        for old in (destroyed, gone, make_record()):
            for version in (1, None):
                new = replace(old, key=key_of(new_session_key()), version=version)
                self.assertIs(store.rotate(old.key, new), Outcome.GONE)
                self.assertIsNone(store.read(new.key))

    # Read, change, write.

    @both_ways
    def test_modify_writes_what_the_change_returns(self, store: Calls) -> None:
        record = make_record()
        store.create(record)
        outcome = store.modify(record.key, lambda stored: replace(stored, payload=b"changed"))
        self.assertIs(outcome, Outcome.DONE)
        self.assertEqual(store.read(record.key), replace(record, payload=b"changed", version=2))

    @both_ways
    def test_modify_rotates_to_another_key(self, store: Calls) -> None:
        record = make_record()
        store.create(record)
        new_key = key_of(new_session_key())
        outcome = store.modify(record.key, lambda stored: replace(stored, key=new_key))
        self.assertIs(outcome, Outcome.DONE)
        self.assertIsNone(store.read(record.key))
        self.assertEqual(store.read(new_key).id, record.id)

    @both_ways
    def test_modify_of_nothing_is_gone(self, store: Calls) -> None:
        def change(stored: SessionRecord) -> SessionRecord:
            raise AssertionError("There is nothing to change.")

        self.assertIs(store.modify(make_record().key, change), Outcome.GONE)

    # Destroying.

    @both_ways
    def test_destroy_ends_a_session_and_says_so(self, store: Calls) -> None:
        record, other = make_record(user_id="7"), make_record(user_id="7")
        store.create(record)
        store.create(other)
        self.assertIs(store.destroy(record.key), True)
        self.assertIsNone(store.read(record.key))
        self.assertIs(store.destroy(record.key), False)
        self.assertEqual(store.read(other.key), other)

    # The sessions of one user.

    @both_ways
    @of_users
    def test_live_sessions_of_a_user_are_listed_without_payloads(self, store: Calls) -> None:
        user_id = str(new_id())
        records = [make_record(user_id=user_id) for _ in range(3)]
        strangers = [make_record(user_id=str(new_id())), make_record(), make_record(user_id="")]
        for record in (*records, *strangers, expired(make_record(user_id=user_id))):
            store.create(record)
        self.assertCountEqual(
            store.sessions_for_user(user_id), [replace(record, payload=b"") for record in records]
        )

    @both_ways
    @of_users
    def test_pages_have_each_session_once(self, store: Calls) -> None:
        user_id, start = str(new_id()), clock.now()
        for ago in range(7):
            last_seen_at = start - timedelta(minutes=ago)
            store.create(
                make_record(
                    user_id=user_id, last_seen_at=last_seen_at, expires_at=last_seen_at + HOUR
                )
            )
        for stranger in (make_record(), expired(make_record(user_id=user_id))):
            store.create(stranger)
        pages = [store.page_for_user(user_id, start=place, size=3) for place in (0, 3, 6, 9)]
        self.assertEqual([len(page.records) for page in pages], [3, 3, 1, 0])
        self.assertEqual({page.total for page in pages}, {7})
        listed = [record for page in pages for record in page.records]
        self.assertCountEqual(listed, store.sessions_for_user(user_id))
        latest_first = sorted(listed, key=lambda record: record.last_seen_at, reverse=True)
        self.assertEqual(listed, latest_first)

    @both_ways
    @of_users
    def test_an_empty_page_counts(self, store: Calls) -> None:
        user_id = str(new_id())
        self.assertEqual(store.page_for_user(user_id, start=0, size=3), Page(records=(), total=0))
        store.create(make_record(user_id=user_id))
        self.assertEqual(store.page_for_user(user_id, start=0, size=0), Page(records=(), total=1))

    @both_ways
    @of_users
    def test_a_user_id_is_the_primary_key_or_its_text(self, store: Calls) -> None:
        number = new_id()
        record = make_record(user_id=str(number))
        store.create(record)
        self.assertEqual([r.id for r in store.sessions_for_user(number)], [record.id])
        self.assertIs(store.destroy_session(number, record.id), True)
        store.create(make_record(user_id=str(number)))
        self.assertEqual(store.destroy_for_user(number), 1)

    @both_ways
    @of_users
    def test_a_user_is_no_user_id(self, store: Calls) -> None:
        class User:
            pk = 7

        page = partial(store.page_for_user, start=0, size=3)
        for operation in (store.sessions_for_user, page, store.destroy_for_user):
            with self.assertRaisesMessage(TypeError, "pass user.pk"):
                operation(User())

    @both_ways
    @of_users
    def test_the_index_follows_update_rotate_and_expiry(self, store: Calls) -> None:
        first, second = str(new_id()), str(new_id())
        record = make_record()
        store.create(record)
        self.assertEqual(store.sessions_for_user(first), [])
        store.update(replace(record, user_id=first))
        self.assertEqual([r.id for r in store.sessions_for_user(first)], [record.id])
        moved = replace(record, user_id=second, key=key_of(new_session_key()), version=2)
        store.rotate(record.key, moved)
        self.assertEqual(store.sessions_for_user(first), [])
        self.assertEqual([r.key for r in store.sessions_for_user(second)], [moved.key])
        store.update(expired(replace(moved, version=3)))
        self.assertEqual(store.sessions_for_user(second), [])

    @both_ways
    @of_users
    def test_destroy_for_user_ends_all_but_the_excepted(self, store: Calls) -> None:
        user_id = str(new_id())
        mine = [make_record(user_id=user_id) for _ in range(4)]
        others = [make_record(user_id=str(new_id())), make_record()]
        for record in (*mine, *others):
            store.create(record)
        kept, *ended = mine
        self.assertEqual(store.destroy_for_user(user_id, except_key=kept.key), 3)
        for record in ended:
            self.assertIsNone(store.read(record.key))
            self.assertIs(store.update(record), Outcome.GONE)
        for record in (kept, *others):
            self.assertEqual(store.read(record.key), record)
        self.assertEqual(store.destroy_for_user(user_id), 1)
        self.assertEqual(store.destroy_for_user(user_id), 0)
        self.assertEqual(store.sessions_for_user(user_id), [])

    @both_ways
    @of_users
    def test_user_ids_are_equal_only_byte_for_byte(self, store: Calls) -> None:
        unique = str(new_id())
        spellings = [
            "bob",
            "Bob",
            "bob ",
            " bob",
            "bób",
            "bo\u0301b",
            "bób",
            "b%b",
            "b_b",
            "ＢＯＢ",
        ]
        user_ids = dict.fromkeys(unique + spelling for spelling in spellings)
        records = {user_id: make_record(user_id=user_id) for user_id in user_ids}
        for record in records.values():
            store.create(record)
        for user_id, record in records.items():
            self.assertEqual([r.id for r in store.sessions_for_user(user_id)], [record.id])
            self.assertEqual(store.destroy_for_user(user_id), 1)

    @both_ways
    @of_users
    def test_long_user_ids_are_kept_or_refused_but_never_cut(self, store: Calls) -> None:
        longest = str(new_id()).rjust(255, "é")
        record = make_record(user_id=longest)
        store.create(record)
        self.assertEqual(store.read(record.key).user_id, longest)
        too_long = make_record(user_id=longest + "x")
        try:
            store.create(too_long)
        except ValueError:
            self.assertIsNone(store.read(too_long.key))
            with self.assertRaises(ValueError):
                store.update(replace(record, user_id=longest + "x"))
        else:
            self.assertEqual(store.read(too_long.key).user_id, longest + "x")

    @both_ways
    @of_users
    def test_destroy_session_ends_one_of_the_users_own(self, store: Calls) -> None:
        user_id, stranger = str(new_id()), str(new_id())
        record, other = make_record(user_id=user_id), make_record(user_id=user_id)
        store.create(record)
        store.create(other)
        self.assertIs(store.destroy_session(stranger, record.id), False)
        self.assertIs(store.destroy_session(user_id, new_id()), False)
        moved = replace(record, key=key_of(new_session_key()))
        store.rotate(record.key, moved)
        self.assertIs(store.destroy_session(user_id, record.id), True)
        self.assertIsNone(store.read(moved.key))
        self.assertIs(store.destroy_session(user_id, record.id), False)
        self.assertEqual(store.read(other.key), other)

    @both_ways
    def test_a_store_that_finds_no_users_says_so(self, store: Calls) -> None:
        if store.target.supports_users:
            self.skipTest("this store finds them")
        for operation in (store.sessions_for_user, store.destroy_for_user):
            with self.assertRaises(NotSupported):
                operation(7)
        with self.assertRaises(NotSupported):
            store.destroy_session(7, new_id())
        for limit in (EVICTING, REFUSING):
            with self.assertRaises(NotSupported):
                store.admit(None, make_record(user_id="7"), limit)

    # At most so many sessions of a user.

    @both_ways
    @of_users
    def test_admit_writes_like_create_update_and_rotate(self, store: Calls) -> None:
        for limit in (EVICTING, REFUSING):
            user_id = str(new_id())
            visitor, passer = make_record(), make_record()
            for record in (visitor, passer):
                store.create(record)
            created = make_record(user_id=user_id)
            updated = replace(visitor, user_id=user_id, payload=b"updated")
            rotated = replace(passer, user_id=user_id, key=key_of(new_session_key()))
            admissions = [
                (None, created),
                (visitor.key, updated),
                (passer.key, rotated),
            ]
            for old_key, record in admissions:
                done = store.admit(old_key, record, replace(limit, most=3))
                self.assertEqual(done, Admission(outcome=Outcome.DONE))
            listed = [record.key for record in store.sessions_for_user(user_id)]
            self.assertCountEqual(listed, [record.key for _, record in admissions])
            self.assertEqual(store.read(visitor.key).payload, b"updated")
            self.assertEqual(store.read(rotated.key).version, 2)
            self.assertIsNone(store.read(passer.key))

    @both_ways
    @of_users
    def test_admit_ends_the_oldest_login_beyond_the_limit(self, store: Calls) -> None:
        user_id, now = str(new_id()), clock.now().replace(microsecond=0)
        old = [make_record(user_id=user_id, authenticated_at=now - age * HOUR) for age in (3, 1, 2)]
        for record in old:
            store.create(record)
        newest = make_record(user_id=user_id, authenticated_at=now)
        admission = store.admit(None, newest, EVICTING)
        self.assertIs(admission.outcome, Outcome.DONE)
        evicted = [record.id for record in admission.evicted]
        self.assertEqual(evicted, [old[0].id, old[2].id])
        listed = [record.id for record in store.sessions_for_user(user_id)]
        self.assertCountEqual(listed, [old[1].id, newest.id])
        self.assertIsNone(store.read(old[0].key))

    @both_ways
    @of_users
    def test_admit_refuses_a_session_beyond_the_limit(self, store: Calls) -> None:
        user_id = str(new_id())
        visitor = make_record()
        taken = [make_record(user_id=user_id) for _ in range(2)]
        for record in (visitor, *taken, expired(make_record(user_id=user_id))):
            store.create(record)
        beyond = replace(visitor, user_id=user_id)
        full = Admission(outcome=Outcome.FULL)
        self.assertEqual(store.admit(visitor.key, beyond, REFUSING), full)
        moved = replace(beyond, key=key_of(new_session_key()))
        self.assertEqual(store.admit(visitor.key, moved, REFUSING), full)
        one_more = make_record(user_id=user_id)
        self.assertEqual(store.admit(None, one_more, REFUSING), full)
        self.assertEqual(store.read(visitor.key), visitor)
        for key in (moved.key, one_more.key):
            self.assertIsNone(store.read(key))
        self.assertEqual(len(store.sessions_for_user(user_id)), 2)
        store.destroy(taken[0].key)
        self.assertIs(store.admit(visitor.key, beyond, REFUSING).outcome, Outcome.DONE)

    @both_ways
    @of_users
    def test_admit_is_a_compare_and_set(self, store: Calls) -> None:
        user_id = str(new_id())
        visitor, gone = make_record(), make_record(user_id=user_id)
        store.create(visitor)
        store.update(visitor)
        stale = replace(visitor, user_id=user_id)
        moved = replace(stale, key=key_of(new_session_key()))
        for limit in (EVICTING, REFUSING):
            for record in (stale, moved):
                conflict = Admission(outcome=Outcome.CONFLICT)
                self.assertEqual(store.admit(visitor.key, record, limit), conflict)
            self.assertIs(store.admit(gone.key, gone, limit).outcome, Outcome.GONE)
            taken = replace(make_record(user_id=user_id), key=visitor.key)
            self.assertIs(store.admit(None, taken, limit).outcome, Outcome.CONFLICT)
        self.assertEqual(store.sessions_for_user(user_id), [])

    # A takeover: a session in which another user acts.

    @both_ways
    def test_the_actor_stays_until_a_write_says_otherwise(self, store: Calls) -> None:
        long_id = "é" * 255
        device = Device(ip_address="192.0.2.7", user_agent="Ünïcødé " * 60)
        record = make_record(user_id="7", actor_id=long_id, device=device)
        store.create(record)
        later = record.last_seen_at + timedelta(minutes=1)
        for device in (Device(), Device(user_agent="Safari"), record.device):
            moved = replace(record, last_seen_at=later, actor_id=None, device=device)
            self.assertIs(store.touch(moved), True)
            stored = store.read(record.key)
            self.assertEqual(stored, replace(moved, actor_id=long_id, version=stored.version))
            record = stored
        saved = replace(record, payload=b"saved")
        store.update(saved)
        stored = store.read(record.key)
        self.assertEqual(stored, replace(saved, version=stored.version))
        moved = replace(saved, key=key_of(new_session_key()), version=None)
        store.rotate(record.key, moved)
        self.assertEqual(store.read(moved.key).actor_id, long_id)
        store.modify(moved.key, lambda stored: replace(stored, payload=b"changed"))
        self.assertEqual(store.read(moved.key).actor_id, long_id)
        for actor_id in ("", None, "8", None):
            store.update(replace(moved, actor_id=actor_id))
            self.assertEqual(store.read(moved.key).actor_id, actor_id)
        last = replace(moved, key=key_of(new_session_key()), actor_id="8")
        store.rotate(moved.key, last)
        self.assertEqual(store.read(last.key).actor_id, "8")

    @both_ways
    @of_users
    def test_lists_say_who_acts(self, store: Calls) -> None:
        user_id, agents = str(new_id()), ("", "Firefox", "x" * 100, "x" * 512)
        records = [
            make_record(user_id=user_id, actor_id=actor_id, device=Device(user_agent=agent))
            for actor_id in (None, "8", "é" * 255)
            for agent in agents
        ]
        for record in records:
            store.create(record)
        expected = [replace(record, payload=b"") for record in records]
        self.assertCountEqual(store.sessions_for_user(user_id), expected)
        page = store.page_for_user(user_id, start=0, size=len(records))
        self.assertEqual(page.total, len(records))
        self.assertCountEqual(page.records, expected)
        self.assertEqual(store.sessions_for_user("8" * 40), [])
        self.assertEqual(store.destroy_for_user(user_id), len(records))

    @both_ways
    @of_users
    def test_admit_counts_no_takeover(self, store: Calls) -> None:
        for limit in (EVICTING, REFUSING):
            user_id = str(new_id())
            own = [make_record(user_id=user_id) for _ in range(2)]
            takeovers = [make_record(user_id=user_id, actor_id="8") for _ in range(3)]
            visitor = make_record()
            store.create(visitor)
            moved = replace(visitor, user_id=user_id, actor_id="8", key=key_of(new_session_key()))
            done = Admission(outcome=Outcome.DONE)
            for old_key, record in ((visitor.key, moved), *((None, each) for each in takeovers)):
                self.assertEqual(store.admit(old_key, record, limit), done)
            # Whatever is written of them, they are what they were.
            store.touch(replace(takeovers[0], expires_at=takeovers[0].expires_at + HOUR))
            store.update(takeovers[1])
            for record in own:
                self.assertEqual(store.admit(None, record, limit), done)
            later = make_record(user_id=user_id, actor_id="8")
            self.assertEqual(store.admit(None, later, limit), done)
            takeovers.append(later)
            listed = [record.id for record in store.sessions_for_user(user_id)]
            self.assertCountEqual(listed, [each.id for each in (*own, *takeovers, moved)])
            one_more = make_record(
                user_id=user_id, authenticated_at=own[1].created_at + timedelta(minutes=1)
            )
            admission = store.admit(None, one_more, limit)
            if limit.evicts:
                self.assertEqual([record.id for record in admission.evicted], [own[0].id])
            else:
                self.assertIs(admission.outcome, Outcome.FULL)
            for record in takeovers:
                self.assertIsNotNone(store.read(record.key))

    @both_ways
    @of_users
    def test_a_takeover_that_becomes_the_users_own_counts(self, store: Calls) -> None:
        user_id = str(new_id())
        takeover = make_record(user_id=user_id, actor_id="8")
        own = [make_record(user_id=user_id) for _ in range(2)]
        for record in (takeover, *own):
            store.create(record)
        later = takeover.created_at + timedelta(minutes=1)
        here = replace(takeover, actor_id=None, authenticated_at=later)
        moved = replace(here, key=key_of(new_session_key()))
        for record in (here, moved):
            full = Admission(outcome=Outcome.FULL)
            self.assertEqual(store.admit(takeover.key, record, REFUSING), full)
        self.assertEqual(store.read(takeover.key), takeover)
        self.assertEqual(len(store.admit(takeover.key, moved, EVICTING).evicted), 1)
        self.assertEqual(len(store.sessions_for_user(user_id)), 2)
        taken = replace(store.read(moved.key), actor_id="8")
        store.update(taken)
        self.assertIs(
            store.admit(None, make_record(user_id=user_id), REFUSING).outcome, Outcome.DONE
        )

    # Removing what has expired.

    @both_ways
    def test_gc_removes_what_has_expired_and_counts_it(self, store: Calls) -> None:
        store.gc()
        live = make_record(user_id=str(new_id()))
        dead = [expired(make_record()) for _ in range(5)]
        for record in (live, *dead):
            store.create(record)
        count = 5 if self.gc_counts_records else 0
        self.assertEqual(store.gc(dry_run=True), count)
        steps: list[int] = []
        self.assertEqual(store.gc(batch_size=2, progress=steps.append), count)
        self.assertEqual(sum(steps), count)
        self.assertEqual(store.gc(), 0)
        self.assertEqual(store.read(live.key), live)
        for record in dead:
            self.assertIs(store.create(record), True)
        store.gc()

    # The store as such.

    def test_unknown_options_are_refused_by_name(self) -> None:
        store_class = type(self.make_store())
        with self.assertRaisesMessage(InvalidStore, "SESSION_STORES['mine']['OPTIONS']") as caught:
            store_class("mine", COLOUR="red")
        self.assertIn("COLOUR", str(caught.exception))

    def test_check_returns_a_list(self) -> None:
        for deploy in (False, True):
            self.assertIsInstance(self.make_store().check(deploy=deploy), list)

    def test_its_flags_say_what_it_can(self) -> None:
        store_class = type(self.make_store())
        for flag, name in (
            ("supports_users", "sessions_for_user"),
            ("has_database_index", "database_index"),
        ):
            is_own = getattr(store_class, name) is not getattr(BaseStore, name)
            self.assertIs(getattr(store_class, flag), is_own, flag)

    def test_who_overrides_one_twin_overrides_each(self) -> None:
        """Else the one that is left out is the base's, by way of a thread."""
        for store_class in type(self.make_store()).__mro__:
            own = vars(store_class).keys()
            is_base = issubclass(BaseStore, store_class)
            if is_base or not any(f"a{name}" in own for name in INTERFACE):
                continue
            left_out = [f"a{name}" for name in INTERFACE if name in own and f"a{name}" not in own]
            self.assertEqual(left_out, [], store_class.__name__)

    if TYPE_CHECKING:  # SimpleTestCase's.

        def assertRaisesMessage(self, *args: Any, **kwargs: Any) -> Any: ...  # noqa: N802
