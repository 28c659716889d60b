"""The contract of sessions in which another user acts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from ..records import Admission, Device, Outcome, key_of, new_id
from ..session.keys import new_session_key
from .calls import Calls, both_ways, of_users
from .part import ContractPart
from .records import EVICTING, HOUR, REFUSING, make_record


class TakeoverContract(ContractPart):
    """The actor of a session."""

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
