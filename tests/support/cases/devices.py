"""What devices.py does on each store."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.contrib.sessions.exceptions import SessionInterrupted
from django.test import TestCase, override_settings
from django.utils import timezone

from django_multistore import devices
from django_multistore.engine import SessionStore
from django_multistore.exceptions import InvalidStore
from django_multistore.records import new_id
from django_multistore.stores import stores
from tests.models import UUIDUser
from tests.support.users import logged_in, request_with


def async_variant(name: str) -> Any:
    return async_to_sync(getattr(devices, f"a{name}"))


class DevicesTests(TestCase):
    def setUp(self) -> None:
        self.user = User.objects.create_user("bob")
        self.stranger = User.objects.create_user("eve")

    def functions(self, name: str) -> list[Any]:
        return [getattr(devices, name), async_variant(name)]

    def test_sessions_are_listed_last_seen_first(self) -> None:
        for list_sessions in self.functions("sessions_for_user"):
            now = timezone.now()
            ids = []
            for minutes in (3, 1, 2):
                with patch(
                    "django.utils.timezone.now", return_value=now - timedelta(minutes=minutes)
                ):
                    session = logged_in(self.user)
                ids.append(stores["default"].read(session.key).id)
            logged_in(self.stranger)
            listed = list_sessions(self.user)
            assert [record.id for record in listed] == [ids[1], ids[2], ids[0]]
            assert {record.payload for record in listed} == {b""}
            stores["default"].destroy_for_user(self.user.pk)

    def test_some_of_them_and_how_many_there_are(self) -> None:
        for _ in range(3):
            logged_in(self.user)
        logged_in(self.stranger)
        every = [record.id for record in devices.sessions_for_user(self.user)]
        for page_for_user in self.functions("page_for_user"):
            page = page_for_user(self.user, start=0, size=3)
            assert ([record.id for record in page.records], page.total) == (every, 3)
            page = page_for_user(self.user, start=2, size=3)
            assert (len(page.records), page.total) == (1, 3)
        for count_for_user in self.functions("count_for_user"):
            assert count_for_user(self.user) == 3

    def test_a_number_that_is_no_id_ends_nothing(self) -> None:
        logged_in(self.user)
        for end_session in self.functions("end_session"):
            for id in (-1, 2**63, 10**30):
                assert end_session(self.user, id) is False
        assert devices.count_for_user(self.user) == 1

    def test_one_session_of_the_user_is_ended(self) -> None:
        for end_session in self.functions("end_session"):
            session, other = logged_in(self.user), logged_in(self.user)
            record = stores["default"].read(session.key)
            assert end_session(self.stranger, record.id) is False
            assert end_session(self.user, new_id()) is False
            assert end_session(self.user, record.id) is True
            assert end_session(self.user, record.id) is False
            assert not session.exists(session.session_key)
            assert session.exists(other.session_key)

    def test_all_other_devices_are_logged_out_and_this_one_gets_a_new_key(self) -> None:
        for log_out_other_devices in self.functions("log_out_other_devices"):
            here, there, elsewhere = (logged_in(self.user) for _ in range(3))
            stranger = logged_in(self.stranger)
            thief = SessionStore(here.session_key)
            assert thief["_auth_user_id"] == str(self.user.pk)
            request = request_with(here, self.user)
            assert log_out_other_devices(request) == 2
            assert here.session_key != thief.session_key
            for ended in (there, elsewhere, thief):
                assert SessionStore(ended.session_key).load() == {}
            for alive in (here, stranger):
                assert SessionStore(alive.session_key)["_auth_user_id"]
            with pytest.raises(SessionInterrupted):
                thief.cycle_key()
            assert log_out_other_devices(request) == 0
            stores["default"].destroy_for_user(self.user.pk)

    def test_a_login_that_is_not_saved_yet_counts(self) -> None:
        there = logged_in(self.user)
        session = SessionStore()
        request = request_with(session)
        login(request, self.user)
        assert devices.log_out_other_devices(request) == 1
        assert SessionStore(there.session_key).load() == {}
        assert [record.key for record in devices.sessions_for_user(self.user)] == [session.key]

    def test_a_visitor_has_no_other_devices(self) -> None:
        for log_out_other_devices in self.functions("log_out_other_devices"):
            session = SessionStore()
            session["cart"] = 1
            session.save()
            key = session.session_key
            assert log_out_other_devices(request_with(session)) == 0
            assert session.session_key == key

    def test_a_session_that_was_ended_cannot_end_others(self) -> None:
        for log_out_other_devices in self.functions("log_out_other_devices"):
            here, there = logged_in(self.user), logged_in(self.user)
            here.load()
            here["_auth_user_id"]
            stores["default"].destroy(here.key)
            with pytest.raises(SessionInterrupted):
                log_out_other_devices(request_with(here, self.user))
            assert SessionStore(there.session_key)["_auth_user_id"]
            stores["default"].destroy_for_user(self.user.pk)

    def test_everywhere(self) -> None:
        for log_out_everywhere in self.functions("log_out_everywhere"):
            sessions = [logged_in(self.user) for _ in range(3)]
            stranger = logged_in(self.stranger)
            assert log_out_everywhere(self.user) == 3
            assert all(SessionStore(session.session_key).load() == {} for session in sessions)
            assert SessionStore(stranger.session_key)["_auth_user_id"]
            assert log_out_everywhere(self.user) == 0

    def test_users_with_a_uuid(self) -> None:
        user = UUIDUser.objects.create()
        session = logged_in(user)
        assert [record.key for record in devices.sessions_for_user(user)] == [session.key]
        assert devices.log_out_everywhere(user) == 1

    @override_settings(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies")
    def test_another_engine_is_a_clear_error(self) -> None:
        with pytest.raises(InvalidStore, match="Set it to 'django_multistore"):
            devices.sessions_for_user(self.user)
        with pytest.raises(InvalidStore, match="signed_cookies"):
            devices.log_out_other_devices(request_with({}))
