"""The contract of how many sessions a user may have, and of those that don't count."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from ..records import Admission, Device, Outcome, key_of, new_id
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


class LimitContract(ContractPart):
    """At most so many sessions of a user, beside those in which another user acts."""

    @of_users
    def test_admit_writes_like_create_update_and_rotate(self, store: Calls) -> None:
        for limit in (EVICTING, REFUSING):
            user_id = str(new_id())
            visitor, passer = create_record(store), create_record(store)
            created = make_record(user_id=user_id)
            updated = replace(visitor, user_id=user_id, payload=b"updated")
            rotated = replace(passer, user_id=user_id, key=key_of(new_session_key()))
            admissions = [(None, created), (visitor.key, updated), (passer.key, rotated)]
            for old_key, record in admissions:
                done = store.admit(old_key, record, replace(limit, most=3))
                self.assertEqual(done, Admission(outcome=Outcome.DONE))
            listed = [record.key for record in store.sessions_for_user(user_id)]
            self.assertCountEqual(listed, [record.key for _, record in admissions])
            self.assertEqual(store.read(visitor.key).payload, b"updated")
            self.assertEqual(store.read(rotated.key).version, 2)
            self.assertIsNone(store.read(passer.key))

    @of_users
    def test_admit_ends_the_oldest_login_beyond_the_limit(self, store: Calls) -> None:
        user_id, now = str(new_id()), clock.now().replace(microsecond=0)
        old = [make_record(user_id=user_id, authenticated_at=now - age * HOUR) for age in (3, 1, 2)]
        create_all(store, *old)
        newest = make_record(user_id=user_id, authenticated_at=now)
        admission = store.admit(None, newest, EVICTING)
        self.assertIs(admission.outcome, Outcome.DONE)
        evicted = [record.id for record in admission.evicted]
        self.assertEqual(evicted, [old[0].id, old[2].id])
        listed = [record.id for record in store.sessions_for_user(user_id)]
        self.assertCountEqual(listed, [old[1].id, newest.id])
        self.assertIsNone(store.read(old[0].key))

    @of_users
    def test_admit_refuses_a_session_beyond_the_limit(self, store: Calls) -> None:
        user_id = str(new_id())
        visitor = make_record()
        taken = [make_record(user_id=user_id) for _ in range(2)]
        create_all(store, visitor, *taken, expired(make_record(user_id=user_id)))
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

    # Takeovers.

    @both_ways
    def test_the_actor_stays_until_a_write_says_otherwise(self, store: Calls) -> None:
        long_id = "é" * 255
        device = Device(ip_address="192.0.2.7", user_agent="Ünïcødé " * 60)
        record = create_record(store, user_id="7", actor_id=long_id, device=device)
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

    @of_users
    def test_lists_say_who_acts(self, store: Calls) -> None:
        user_id, agents = str(new_id()), ("", "Firefox", "x" * 100, "x" * 512)
        records = [
            make_record(user_id=user_id, actor_id=actor_id, device=Device(user_agent=agent))
            for actor_id in (None, "8", "é" * 255)
            for agent in agents
        ]
        create_all(store, *records)
        expected = [replace(record, payload=b"") for record in records]
        self.assertCountEqual(store.sessions_for_user(user_id), expected)
        page = store.page_for_user(user_id, start=0, size=len(records))
        self.assertEqual(page.total, len(records))
        self.assertCountEqual(page.records, expected)
        self.assertEqual(store.sessions_for_user("8" * 40), [])
        self.assertEqual(store.destroy_for_user(user_id), len(records))

    @of_users
    def test_admit_counts_no_takeover(self, store: Calls) -> None:
        for limit in (EVICTING, REFUSING):
            user_id = str(new_id())
            own = [make_record(user_id=user_id) for _ in range(2)]
            takeovers = [make_record(user_id=user_id, actor_id="8") for _ in range(3)]
            visitor = create_record(store)
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

    @of_users
    def test_a_takeover_that_becomes_the_users_own_counts(self, store: Calls) -> None:
        user_id = str(new_id())
        takeover = make_record(user_id=user_id, actor_id="8")
        own = [make_record(user_id=user_id) for _ in range(2)]
        create_all(store, takeover, *own)
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
