"""The contract of touching and rotating records."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from ..records import Device, Outcome, key_of, new_id
from ..session import clock
from ..session.keys import new_session_key
from .calls import Calls, both_ways
from .part import ContractPart
from .records import HOUR, expired, make_record


class MovingContract(ContractPart):
    """What moves a session's times, and its key."""

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
