"""Code that knows Django's table, and other tables that know sessions."""

from __future__ import annotations

import sys
from datetime import timedelta
from types import ModuleType

from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore as DjangosStore
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client, TestCase, override_settings
from django.utils import timezone

from django_multistore.models import StoredSession
from django_multistore.system_checks.neighbours import check_djangos_table, check_session_keys
from tests.beside import pages
from tests.beside.browsers import key_of, name_of

W055 = "django_multistore.W055"
DJANGOS = override_settings(SESSION_ENGINE="django.contrib.sessions.backends.db")


class TableTests(TestCase):
    def setUp(self) -> None:
        self.user = User.objects.create_user("bob")
        self.sessions = pages.make_module("django-sessions", "mysite/sessions.py")

    def row(self, seconds: int = 60) -> None:
        session = DjangosStore()
        session["_auth_user_id"] = str(self.user.pk)
        session.set_expiry(seconds)
        session.save()

    def browser(self) -> Client:
        client = Client()
        client.force_login(self.user)
        return client

    def test_a_loop_over_djangos_table_logs_nobody_out(self) -> None:
        client = self.browser()
        for row in Session.objects.all():
            if row.get_decoded().get("_auth_user_id") == str(self.user.pk):
                row.delete()
        assert name_of(client) == "bob"

    def test_what_the_page_has_in_its_place_does(self) -> None:
        first, second = self.browser(), self.browser()
        assert list(self.sessions.users_online()) == [self.user]
        self.sessions.end_by_key(key_of(first))
        assert (name_of(first), name_of(second)) == ("", "bob")
        assert self.sessions.log_out(self.user) == 1
        assert name_of(second) == ""
        assert list(self.sessions.users_online()) == []

    def test_who_was_seen_long_ago_is_not_online(self) -> None:
        self.browser()
        StoredSession.objects.update(last_seen_at=timezone.now() - timedelta(hours=1))
        assert list(self.sessions.users_online()) == []
        assert list(self.sessions.users_online(minutes=90)) == [self.user]

    def test_the_check_tells_of_live_rows(self) -> None:
        assert check_djangos_table() == []
        self.row(seconds=-60)
        assert check_djangos_table() == []
        self.row()
        with self.assertNumQueries(3):  # One, within a savepoint: tests are in a transaction.
            (message,) = check_djangos_table()
        assert message.id == W055
        assert "easyaudit.settings" in message.msg
        with DJANGOS:
            assert check_djangos_table() == []
        Session.objects.all().delete()
        assert check_djangos_table() == []

    def test_it_names_the_site_s_own_modules(self) -> None:
        self.row()
        module = sys.modules["mysite.old_code"] = ModuleType("mysite.old_code")
        self.addCleanup(sys.modules.pop, "mysite.old_code")
        module.Rows = Session  # type: ignore[attr-defined]
        assert "mysite.old_code" in check_djangos_table()[0].msg

    def test_a_table_that_is_not_there_is_no_error(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE django_session RENAME TO elsewhere")
        assert check_djangos_table() == []


class SessionKeyTests(TestCase):
    def test_tables_with_session_keys_are_named(self) -> None:
        (message,) = check_session_keys()
        assert message.id == "django_multistore.W051"
        for label in (
            "django_cas_ng.ProxyGrantingTicket",
            "django_cas_ng.SessionTicket",
            "preventconcurrentlogins.Visitor",
            "tracking.Visitor",
            "usersessions.UserSession",
        ):
            assert label in message.msg
        for other in ("sessions.Session", "impersonate", "StoredSession"):
            assert other not in message.msg
        with DJANGOS:
            assert check_session_keys() == []
