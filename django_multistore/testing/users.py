"""The contract of finding and ending the sessions of one user."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial

from ..exceptions import NotSupported
from ..records import Outcome, Page, key_of, new_id
from ..session import clock
from ..session.keys import new_session_key
from .base import (
    EVICTING,
    HOUR,
    REFUSING,
    Calls,
    ContractPart,
    both_ways,
    create_all,
    create_record,
    expired,
    make_record,
    of_users,
)


class UserContract(ContractPart):
    """The sessions of one user."""

    @of_users
    def test_live_sessions_of_a_user_are_listed_without_payloads(self, store: Calls) -> None:
        user_id = str(new_id())
        records = [make_record(user_id=user_id) for _ in range(3)]
        strangers = [make_record(user_id=str(new_id())), make_record(), make_record(user_id="")]
        create_all(store, *records, *strangers, expired(make_record(user_id=user_id)))
        self.assertCountEqual(
            store.sessions_for_user(user_id), [replace(record, payload=b"") for record in records]
        )

    @of_users
    def test_pages_have_each_session_once(self, store: Calls) -> None:
        user_id, start = str(new_id()), clock.now()
        for ago in range(7):
            last_seen_at = start - timedelta(minutes=ago)
            times = {"last_seen_at": last_seen_at, "expires_at": last_seen_at + HOUR}
            create_record(store, user_id=user_id, **times)
        create_all(store, make_record(), expired(make_record(user_id=user_id)))
        pages = [store.page_for_user(user_id, start=place, size=3) for place in (0, 3, 6, 9)]
        self.assertEqual([len(page.records) for page in pages], [3, 3, 1, 0])
        self.assertEqual({page.total for page in pages}, {7})
        listed = [record for page in pages for record in page.records]
        self.assertCountEqual(listed, store.sessions_for_user(user_id))
        latest_first = sorted(listed, key=lambda record: record.last_seen_at, reverse=True)
        self.assertEqual(listed, latest_first)

    @of_users
    def test_an_empty_page_counts(self, store: Calls) -> None:
        user_id = str(new_id())
        self.assertEqual(store.page_for_user(user_id, start=0, size=3), Page(records=(), total=0))
        create_record(store, user_id=user_id)
        self.assertEqual(store.page_for_user(user_id, start=0, size=0), Page(records=(), total=1))

    @of_users
    def test_a_user_id_is_the_primary_key_or_its_text(self, store: Calls) -> None:
        number = new_id()
        record = create_record(store, user_id=str(number))
        self.assertEqual([r.id for r in store.sessions_for_user(number)], [record.id])
        self.assertIs(store.destroy_session(number, record.id), True)
        create_record(store, user_id=str(number))
        self.assertEqual(store.destroy_for_user(number), 1)

    @of_users
    def test_a_user_is_no_user_id(self, store: Calls) -> None:
        class User:
            pk = 7

        page = partial(store.page_for_user, start=0, size=3)
        for operation in (store.sessions_for_user, page, store.destroy_for_user):
            with self.assertRaisesMessage(TypeError, "pass user.pk"):
                operation(User())

    @of_users
    def test_the_index_follows_update_rotate_and_expiry(self, store: Calls) -> None:
        first, second = str(new_id()), str(new_id())
        record = create_record(store)
        self.assertEqual(store.sessions_for_user(first), [])
        store.update(replace(record, user_id=first))
        self.assertEqual([r.id for r in store.sessions_for_user(first)], [record.id])
        moved = replace(record, user_id=second, key=key_of(new_session_key()), version=2)
        store.rotate(record.key, moved)
        self.assertEqual(store.sessions_for_user(first), [])
        self.assertEqual([r.key for r in store.sessions_for_user(second)], [moved.key])
        store.update(expired(replace(moved, version=3)))
        self.assertEqual(store.sessions_for_user(second), [])

    @of_users
    def test_destroy_for_user_ends_all_but_the_excepted(self, store: Calls) -> None:
        user_id = str(new_id())
        mine = [make_record(user_id=user_id) for _ in range(4)]
        others = [make_record(user_id=str(new_id())), make_record()]
        create_all(store, *mine, *others)
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
        create_all(store, *records.values())
        for user_id, record in records.items():
            self.assertEqual([r.id for r in store.sessions_for_user(user_id)], [record.id])
            self.assertEqual(store.destroy_for_user(user_id), 1)

    @of_users
    def test_long_user_ids_are_kept_or_refused_but_never_cut(self, store: Calls) -> None:
        longest = str(new_id()).rjust(255, "é")
        record = create_record(store, user_id=longest)
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

    @of_users
    def test_destroy_session_ends_one_of_the_users_own(self, store: Calls) -> None:
        user_id, stranger = str(new_id()), str(new_id())
        record, other = (create_record(store, user_id=user_id) for _ in range(2))
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
