"""The contract of letting a user have so many sessions and no more."""

from __future__ import annotations

from dataclasses import replace

from ..records import Admission, Outcome, key_of, new_id
from ..session import clock
from ..session.keys import new_session_key
from .calls import Calls, both_ways, of_users
from .part import ContractPart
from .records import EVICTING, HOUR, REFUSING, expired, make_record


class LimitContract(ContractPart):
    """At most so many sessions of a user."""

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
