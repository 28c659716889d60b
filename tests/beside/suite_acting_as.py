"""django-hijack, django-loginas and django-impersonate on one site."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.test import Client, TestCase, override_settings

from django_multistore import devices
from tests.beside.browsers import name_of


@override_settings(SESSION_MAX_PER_USER=1)
class ActingTests(TestCase):
    def setUp(self) -> None:
        self.bob = User.objects.create_user("bob")
        self.eve = User.objects.create_superuser("eve")
        self.own, self.staff = Client(), Client()
        self.own.force_login(self.bob)
        self.staff.force_login(self.eve)

    def test_hijack_ends_nothing(self) -> None:
        self.act("/hijack/acquire/", {"user_pk": self.bob.pk})

    def test_loginas_ends_nothing(self) -> None:
        self.act(f"/loginas/login/user/{self.bob.pk}/", {})

    def act(self, url: str, sent: dict[str, Any]) -> None:
        assert self.staff.post(url, sent).status_code == 302
        assert (name_of(self.staff), name_of(self.own)) == ("bob", "bob")
        assert len(devices.sessions_for_user(self.bob)) == 2

    def test_impersonate_leaves_the_session_whose_it_is(self) -> None:
        assert self.staff.get(f"/impersonate/{self.bob.pk}/").status_code == 302
        assert len(devices.sessions_for_user(self.bob)) == 1
        assert name_of(self.staff) == "eve"  # which is the session's
        page = self.staff.get("/whoami/")
        assert page.wsgi_request.user == self.bob
        assert self.staff.get("/devices/").status_code == 403
        with override_settings(SESSION_ON_OTHER_USER="session"):
            assert self.staff.get("/devices/").status_code == 200
        assert name_of(self.own) == "bob"
