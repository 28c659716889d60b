"""The contract of reading, creating and updating records."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from ..records import Device, Outcome, SessionRecord, key_of, new_id
from ..session import clock
from ..session.keys import new_session_key
from .calls import Calls, both_ways
from .part import ContractPart
from .records import HOUR, expired, make_record


class SavingContract(ContractPart):
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
