"""What the engine does on each store. Sessions that meet are in tests/engine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.conf import settings
from django.contrib.sessions.backends.base import CreateError, UpdateError
from django.test import TestCase, override_settings
from django.utils import timezone

from django_multistore.engine import SessionStore
from django_multistore.records import Device
from django_multistore.session.keys import new_session_key
from django_multistore.stores import stores
from django_multistore.testing import make_record
from tests.support.sessions import HOUR, at, both_ways, record_of, saved


class SessionStoreTests(TestCase):
    @both_ways
    def test_what_was_saved_is_loaded(self, calls: Any) -> None:
        session = SessionStore()
        calls(session).update({"a": 1, "b": {"c": [1, 2]}})
        calls(session).save()
        assert calls(SessionStore(session.session_key)).load() == {"a": 1, "b": {"c": [1, 2]}}

    @both_ways
    def test_an_unknown_key_is_never_adopted(self, calls: Any) -> None:
        unknown = new_session_key()
        session = SessionStore(unknown)
        session["a"] = 1
        calls(session).save()
        assert session.session_key not in (None, unknown)
        assert not calls(session).exists(unknown)

    @both_ways
    def test_saving_an_unknown_session_that_was_not_used_creates_none(self, calls: Any) -> None:
        with pytest.raises(UpdateError):
            calls(SessionStore(new_session_key())).save()

    @both_ways
    def test_an_empty_session_is_saved_if_asked_for(self, calls: Any) -> None:
        session = SessionStore()
        calls(session).save()
        assert calls(SessionStore()).exists(session.session_key)

    @both_ways
    def test_must_create_refuses_a_taken_key(self, calls: Any) -> None:
        taken = saved({"a": 1}).session_key
        session = SessionStore(taken)
        session.clear()
        with pytest.raises(CreateError):
            calls(session).save(must_create=True)
        assert calls(SessionStore(taken)).load() == {"a": 1}

    @both_ways
    def test_must_create_keeps_a_given_free_key(self, calls: Any) -> None:
        chosen = new_session_key()
        session = SessionStore(chosen)
        session._session_cache = {"a": 1}
        calls(session).save(must_create=True)
        assert session.session_key == chosen
        assert calls(SessionStore(chosen)).load() == {"a": 1}

    @both_ways
    def test_a_change_in_place_is_saved_without_the_flag(self, calls: Any) -> None:
        session = saved({"cart": [1]})
        session["cart"].append(2)
        assert not session.modified
        calls(session).save()
        assert SessionStore(session.session_key)["cart"] == [1, 2]

    @both_ways
    def test_saving_twice_saves_twice(self, calls: Any) -> None:
        session = saved({"n": 0})
        for n in range(1, 4):
            session["n"] = n
            calls(session).save()
            assert SessionStore(session.session_key)["n"] == n
        assert record_of(session).version == 4

    @both_ways
    def test_delete_of_another_session(self, calls: Any) -> None:
        session, other = saved({"a": 1}), saved({"b": 1})
        calls(session).delete(other.session_key)
        assert not session.exists(other.session_key)
        session["a"] = 2
        calls(session).save()
        calls(session).delete("not-a-key")
        calls(SessionStore()).delete()
        assert SessionStore(session.session_key)["a"] == 2

    @both_ways
    def test_a_deleted_session_is_not_saved(self, calls: Any) -> None:
        session = saved({"a": 1})
        calls(session).load()
        calls(session).delete()
        with pytest.raises(UpdateError):
            calls(session).save()

    @both_ways
    def test_a_deleted_session_is_not_stored_again(self, calls: Any) -> None:
        session = saved({"_auth_user_id": "7"})
        calls(session).load()
        session.setdefault("a", 1)
        calls(session).delete()
        with pytest.raises(CreateError):
            calls(session).save(must_create=True)
        assert SessionStore(session.session_key).load() == {}

    @both_ways
    def test_clear_and_save_without_a_load_is_one_statement(self, calls: Any) -> None:
        session = saved({"a": 1, "b": 1})
        session.clear()
        session["c"] = 1
        with self.assertNumQueries(1):
            calls(session).save()
        assert SessionStore(session.session_key).load() == {"c": 1}
        other = SessionStore(session.session_key)
        other["d"] = 1
        other.save()
        session["e"] = 1
        calls(session).save()
        assert SessionStore(session.session_key).load() == {"c": 1, "d": 1, "e": 1}

    @both_ways
    def test_an_explicit_load_keeps_changes_made_here(self, calls: Any) -> None:
        session = saved({"a": 1})
        session["mine"] = 1
        other = SessionStore(session.session_key)
        other["theirs"] = 1
        other.save()
        assert calls(session).load() == {"a": 1, "theirs": 1}
        calls(session).save()
        assert SessionStore(session.session_key).load() == {"a": 1, "mine": 1, "theirs": 1}

    @both_ways
    def test_cycle_key_keeps_the_session_and_its_name(self, calls: Any) -> None:
        session = saved({"a": 1, "_auth_user_id": "7"}, device=Device(user_agent="Firefox"))
        before, old_key = record_of(session), session.session_key
        session["b"] = 2
        calls(session).cycle_key()
        after = record_of(session)
        assert session.session_key != old_key
        assert session.modified
        assert not session.exists(old_key)
        assert (after.id, after.created_at, after.authenticated_at, after.device) == (
            before.id, before.created_at, before.authenticated_at, before.device)  # fmt: skip
        assert SessionStore(session.session_key).load() == {"a": 1, "_auth_user_id": "7", "b": 2}

    @both_ways
    def test_cycle_key_of_a_new_session_creates_it_with_its_data(self, calls: Any) -> None:
        session = SessionStore()
        session["a"] = 1
        calls(session).cycle_key()
        assert SessionStore(session.session_key).load() == {"a": 1}

    @both_ways
    def test_create_on_a_used_instance_starts_empty(self, calls: Any) -> None:
        session = saved({"a": 1, "_auth_user_id": "7"})
        calls(session).load()
        old_key = session.session_key
        calls(session).create()
        assert session.session_key != old_key
        assert SessionStore(session.session_key).load() == {}
        assert session.get("_auth_user_id") is None

    @both_ways
    def test_a_key_that_is_taken_is_drawn_again(self, calls: Any) -> None:
        taken, free = saved().session_key, new_session_key()
        session = SessionStore()
        with patch("django_multistore.session.keys.new_session_key", side_effect=[taken, free]):
            calls(session).create()
        assert session.session_key == free

    @both_ways
    def test_clear_expired_counts(self, calls: Any) -> None:
        stores["default"].gc()
        for _ in range(3):
            stores["default"].create(make_record(expires_at=timezone.now() - HOUR))
        assert calls(SessionStore).clear_expired() == 3

    def test_the_device_is_stored_and_kept(self) -> None:
        phone, laptop = Device(user_agent="Phone"), Device(ip_address="192.0.2.1")
        session = saved({"a": 1}, device=phone)
        session["a"] = 2
        session.save()
        assert record_of(session).device == phone
        session.device = laptop
        session["a"] = 3
        session.save()
        assert record_of(session).device == laptop

    def test_a_fallback_secret_opens_sessions(self) -> None:
        session = saved({"a": 1})
        old = settings.SECRET_KEY
        with override_settings(SECRET_KEY="new" * 20, SECRET_KEY_FALLBACKS=[old]):
            loaded = SessionStore(session.session_key)
            assert loaded["a"] == 1
            loaded["a"] = 2
            loaded.save()
        with override_settings(SECRET_KEY="new" * 20):
            assert SessionStore(session.session_key)["a"] == 2

    def test_data_that_cannot_be_serialised_is_an_error_and_changes_nothing(self) -> None:
        session = saved({"a": 1})
        session["b"] = object()
        with pytest.raises(TypeError):
            session.save()
        assert SessionStore(session.session_key).load() == {"a": 1}

    @override_settings(USE_TZ=False)
    def test_without_time_zones(self) -> None:
        session = saved({"a": 1})
        session.set_expiry(timezone.make_aware(datetime.now() + HOUR))
        session.save()
        assert session.get_store().read(session.key).expires_at.tzinfo is UTC
        session.set_expiry(-5)
        session.save()
        assert SessionStore(session.session_key).load() == {}


class ExpiryTests(TestCase):
    @both_ways
    def test_an_expiry_in_the_past_means_gone_now(self, calls: Any) -> None:
        session = saved({"_auth_user_id": "7"})
        key = session.session_key
        session.set_expiry(-1)
        calls(session).save()
        assert not session.exists(key)
        assert stores["default"].gc(dry_run=True) == 0
        session["more"] = 1
        calls(session).save()
        assert not session.exists(key)
        session.set_expiry(60)
        with pytest.raises(UpdateError):
            calls(session).save()

    @both_ways
    def test_a_new_session_with_a_past_expiry_is_not_stored(self, calls: Any) -> None:
        session = SessionStore()
        session.set_expiry(-timedelta(seconds=10))
        with self.assertNumQueries(0):
            calls(session).save()
        assert session.session_key
        assert calls(SessionStore(session.session_key)).load() == {}

    def test_cycle_key_with_a_past_expiry_ends_the_session(self) -> None:
        session = saved({"a": 1})
        key = session.session_key
        session.set_expiry(-1)
        session.cycle_key()
        assert not session.exists(key)
        assert not session.exists(session.session_key)

    def test_zero_means_the_cookies_age_on_the_server(self) -> None:
        session = saved({"a": 1})
        session.set_expiry(0)
        session.save()
        record = record_of(session)
        assert record.expires_at - record.last_seen_at == timedelta(
            seconds=settings.SESSION_COOKIE_AGE
        )

    def test_a_naive_expiry_is_taken_in_the_current_time_zone(self) -> None:
        session = saved({"a": 1})
        session["_session_expiry"] = (datetime.now() + HOUR).isoformat()
        session.save()
        assert record_of(session).expires_at.tzinfo is not None

    @both_ways
    def test_a_session_that_expired_since_it_was_loaded_is_not_saved(self, calls: Any) -> None:
        for expiry in (60, timezone.now() + timedelta(seconds=60)):
            session = saved({"a": 1, "_session_expiry": 60})
            session.set_expiry(expiry)
            session.save()
            session["a"] = 2
            with at(timezone.now() + HOUR), pytest.raises(UpdateError):
                calls(session).save()
            assert session.get_store().gc(dry_run=True) == 0  # For now it hasn't expired.

    @override_settings(SESSION_ABSOLUTE_AGE=600)
    def test_no_renewal_outlives_the_absolute_age(self) -> None:
        now = timezone.now()
        with at(now):
            session = saved({"_auth_user_id": "7"})
        with at(now + timedelta(seconds=300)):
            session["a"] = 1
            session.cycle_key()
            assert record_of(session).expires_at == now + timedelta(seconds=600)
            session.restart_authentication()
            session.save()
            assert record_of(session).expires_at == now + timedelta(seconds=900)
        with at(now + timedelta(seconds=900)):
            assert SessionStore(session.session_key).load() == {}

    def test_an_absolute_age_counts_for_sessions_from_before_it_was_set(self) -> None:
        session = saved({"_auth_user_id": "7"})
        with (
            override_settings(SESSION_ABSOLUTE_AGE=60),
            at(timezone.now() + timedelta(seconds=61)),
        ):
            assert SessionStore(session.session_key).load() == {}

    def test_without_a_user_the_absolute_age_counts_from_creation(self) -> None:
        now = timezone.now()
        with override_settings(SESSION_ABSOLUTE_AGE=60), at(now):
            session = saved({"a": 1})
            assert record_of(session).expires_at == now + timedelta(seconds=60)


class TouchTests(TestCase):
    """An unmodified save: last-seen moves, and not at each request."""

    def save_after(self, seconds: float, *, modified: bool = False) -> tuple[Any, Any]:
        now = timezone.now()
        with at(now):
            session = saved({"a": 1})
            before = record_of(session)
            session["a"]
        session.modified = modified
        with at(now + timedelta(seconds=seconds)):
            session.save()
            return before, record_of(session)

    def test_within_the_interval_nothing_moves(self) -> None:
        before, after = self.save_after(299)
        assert after == before

    def test_after_the_interval_last_seen_moves_and_expiry_stays(self) -> None:
        before, after = self.save_after(301)
        assert after.last_seen_at == before.last_seen_at + timedelta(seconds=301)
        assert (after.expires_at, after.version) == (before.expires_at, before.version)

    @override_settings(SESSION_SAVE_EVERY_REQUEST=True)
    def test_with_save_every_request_expiry_slides(self) -> None:
        before, after = self.save_after(301)
        assert after.expires_at == before.expires_at + timedelta(seconds=301)

    def test_a_session_that_is_flagged_as_modified_is_renewed(self) -> None:
        before, after = self.save_after(301, modified=True)
        assert after.expires_at == before.expires_at + timedelta(seconds=301)
        assert after.payload == before.payload

    @override_settings(SESSION_COOKIE_AGE=100, SESSION_SAVE_EVERY_REQUEST=True)
    def test_short_sessions_move_after_a_tenth_of_their_age(self) -> None:
        before, after = self.save_after(9)
        assert after == before
        before, after = self.save_after(11)
        assert after.expires_at == before.expires_at + timedelta(seconds=11)

    @override_settings(SESSION_TOUCH_INTERVAL=0)
    def test_an_interval_of_zero_moves_each_time(self) -> None:
        before, after = self.save_after(1)
        assert after.last_seen_at == before.last_seen_at + timedelta(seconds=1)


class AuthenticatedAtTests(TestCase):
    def test_it_is_the_time_at_which_the_user_came(self) -> None:
        now = timezone.now()
        with at(now):
            session = saved({"a": 1})
            assert record_of(session).authenticated_at is None
        with at(now + HOUR):
            session["_auth_user_id"] = "7"
            session.save()
            assert record_of(session).authenticated_at == now + HOUR
        with at(now + 2 * HOUR):
            session["b"] = 1
            session.cycle_key()
            assert record_of(session).authenticated_at == now + HOUR
            session["_auth_user_id"] = "8"
            session.save()
            assert record_of(session).authenticated_at == now + 2 * HOUR
            del session["_auth_user_id"]
            session.save()
            assert record_of(session).authenticated_at is None

    @both_ways
    def test_a_login_of_the_same_user_moves_it_though_no_data_change(self, calls: Any) -> None:
        now = timezone.now()
        with at(now):
            session = saved({"_auth_user_id": "7"})
        with at(now + HOUR):
            session["_auth_user_id"] = "7"
            session.restart_authentication()
            calls(session).save()
            assert record_of(session).authenticated_at == now + HOUR
