"""The contract of one record: reading, saving, touching, rotating and destroying it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from ..records import Device, Outcome, SessionRecord, key_of, new_id
from ..session import clock
from ..session.keys import new_session_key
from .base import HOUR, Calls, ContractPart, both_ways, create_record, expired, make_record


class RecordContract(ContractPart):
    """A compare-and-set that never brings a session back."""

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
        record = create_record(store, device=Device())
        self.assertEqual(store.read(record.key), record)

    @both_ways
    def test_payloads_are_any_bytes(self, store: Calls) -> None:
        for payload in (b"", bytes(range(256)), b"'\"%s\\\0\n", b"x" * 100_000):
            record = create_record(store, payload=payload)
            self.assertEqual(store.read(record.key).payload, payload)

    @both_ways
    def test_create_refuses_a_key_that_is_taken(self, store: Calls) -> None:
        record = create_record(store)
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
        record = create_record(store)
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
        record = create_record(store)
        store.update(replace(record, payload=b"first"))
        self.assertIs(store.update(replace(record, payload=b"second")), Outcome.CONFLICT)
        self.assertEqual(store.read(record.key).payload, b"first")

    @both_ways
    def test_update_of_any_version_overwrites(self, store: Calls) -> None:
        record = create_record(store)
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
            record = create_record(store)
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
        record = create_record(store)
        self.assertIs(store.update(expired(record)), Outcome.DONE)
        self.assertIsNone(store.read(record.key))

    @both_ways
    def test_write_creates_or_updates(self, store: Calls) -> None:
        record = make_record()
        store.write(record)
        store.write(replace(record, payload=b"again"))
        self.assertEqual(store.read(record.key).payload, b"again")

    # Read, change, write.

    @both_ways
    def test_modify_writes_what_the_change_returns(self, store: Calls) -> None:
        record = create_record(store)
        outcome = store.modify(record.key, lambda stored: replace(stored, payload=b"changed"))
        self.assertIs(outcome, Outcome.DONE)
        self.assertEqual(store.read(record.key), replace(record, payload=b"changed", version=2))

    @both_ways
    def test_modify_rotates_to_another_key(self, store: Calls) -> None:
        record = create_record(store)
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
        record, other = (create_record(store, user_id="7") for _ in range(2))
        self.assertIs(store.destroy(record.key), True)
        self.assertIsNone(store.read(record.key))
        self.assertIs(store.destroy(record.key), False)
        self.assertEqual(store.read(other.key), other)

    # Touching.

    @both_ways
    def test_touch_moves_what_it_says_and_nothing_else(self, store: Calls) -> None:
        record = create_record(store, user_id="7", authenticated_at=clock.now())
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
            times = {"last_seen_at": now, "expires_at": now + HOUR}
            record = create_record(store, user_id=str(new_id()), **times)
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
        record = create_record(store, user_id=str(new_id()))
        self.assertIs(store.touch(expired(record)), True)
        self.assertEqual(store.read(record.key).expires_at, record.expires_at)
        if store.target.supports_users:
            listed = store.sessions_for_user(record.user_id)
            self.assertEqual([each.id for each in listed], [record.id])

    @both_ways
    def test_touch_of_another_version_moves_nothing(self, store: Calls) -> None:
        record = create_record(store)
        store.update(replace(record, payload=b"newer"))
        before = store.read(record.key)
        later = replace(record, expires_at=record.expires_at + HOUR)
        self.assertIs(store.touch(later), False)
        self.assertEqual(store.read(record.key), before)

    @both_ways
    def test_touch_brings_nothing_back(self, store: Calls) -> None:
        destroyed, gone = create_record(store), make_record()
        store.destroy(destroyed.key)
        store.create(expired(gone))
        for record in (destroyed, gone, make_record()):
            self.assertIs(store.touch(record), False)
            self.assertIsNone(store.read(record.key))

    # Rotating.

    @both_ways
    def test_rotate_moves_the_session(self, store: Calls) -> None:
        old = create_record(store, user_id="7")
        new = replace(old, key=key_of(new_session_key()), payload=b"sealed anew")
        unrelated = replace(new, id=new_id(), created_at=clock.now() + HOUR)
        self.assertIs(store.rotate(old.key, unrelated), Outcome.DONE)
        self.assertIsNone(store.read(old.key))
        self.assertEqual(store.read(new.key), replace(new, version=2))

    @both_ways
    def test_the_old_key_is_dead_for_everyone(self, store: Calls) -> None:
        old = create_record(store)
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
        old = create_record(store)
        store.update(replace(old, payload=b"newer"))
        new = replace(old, key=key_of(new_session_key()))
        self.assertIs(store.rotate(old.key, new), Outcome.CONFLICT)
        self.assertEqual(store.read(old.key).payload, b"newer")
        self.assertIsNone(store.read(new.key))
        self.assertIs(store.rotate(old.key, replace(new, version=None)), Outcome.DONE)
        self.assertEqual(store.read(new.key).version, 3)

    @both_ways
    def test_rotate_brings_nothing_back(self, store: Calls) -> None:
        destroyed, gone = create_record(store), make_record()
        store.destroy(destroyed.key)
        store.create(expired(gone))
        for old in (destroyed, gone, make_record()):
            for version in (1, None):
                new = replace(old, key=key_of(new_session_key()), version=version)
                self.assertIs(store.rotate(old.key, new), Outcome.GONE)
                self.assertIsNone(store.read(new.key))
