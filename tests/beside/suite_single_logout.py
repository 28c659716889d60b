"""django-cas-ng and django-allauth: what they keep under a session key, after it has changed."""

from __future__ import annotations

import logging
from typing import Any
from unittest import mock

import pytest
from allauth.usersessions.models import UserSession
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import DatabaseError
from django.db.models import QuerySet
from django.test import AsyncClient, Client, TestCase, modify_settings, override_settings
from django_cas_ng.models import ProxyGrantingTicket, SessionTicket

from django_multistore import devices
from django_multistore.system_checks.neighbours import check_cas_tickets, check_user_sessions
from tests.beside.browsers import PASSWORD, key_of, name_of

TICKETS = "django_multistore.contrib.cas_ng.SessionTicketMiddleware"
ACTIVITY = "allauth.usersessions.middleware.UserSessionsMiddleware"
# What a CAS server posts, by version 3 of its protocol.
LOGOUT = (
    '<samlp:LogoutRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" '
    'xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="1" Version="2.0" '
    'IssueInstant="2026-11-29T06:00:00Z"><saml:NameID>@NOT_USED@</saml:NameID>'
    "<samlp:SessionIndex>{}</samlp:SessionIndex></samlp:LogoutRequest>"
)


class CasTests(TestCase):
    def log_in(self, ticket: str = "ST-1", name: str = "bob") -> Client:
        answer = (name, {"pgtIou": None}, None)
        client = Client()
        with mock.patch("cas.CASClientV3.verify_ticket", return_value=answer):
            response = client.get(f"/cas/login/?ticket={ticket}&next=/whoami/")
        assert response.status_code == 302, response.content
        assert name_of(client) == name
        return client

    def log_out_at_the_server(self, ticket: str = "ST-1") -> None:
        response = Client().post("/cas/login/", {"logoutRequest": LOGOUT.format(ticket)})
        assert response.status_code == 302

    def test_single_logout(self) -> None:
        client = self.log_in()
        self.log_out_at_the_server()
        assert name_of(client) == ""
        assert SessionTicket.objects.count() == 0

    def test_logout(self) -> None:
        client = self.log_in()
        assert client.get("/cas/logout/").status_code == 302
        assert name_of(client) == ""
        assert SessionTicket.objects.count() == 0

    def test_rows_of_ended_sessions_can_be_cleaned(self) -> None:
        moved, _ = self.log_in("ST-1"), self.log_in("ST-2", "ann")
        devices.log_out_everywhere(User.objects.get(username="ann"))
        moved.post("/end-others/")
        call_command("django_cas_ng_clean_sessions")
        assert [each.ticket for each in SessionTicket.objects.all()] == ["ST-1"]

    def test_after_each_way_to_a_new_key(self) -> None:
        for number, url in enumerate(("/end-others/", "/password/", "/again/")):
            with self.subTest(url):
                client = self.log_in(f"ST-{number}")
                user = User.objects.get(username="bob")
                user.set_password(PASSWORD)
                user.save()
                client = self.log_in(f"ST-{number}-more")
                old = key_of(client)
                ProxyGrantingTicket.objects.create(session_key=old, user=user, pgt="PGT")
                if url == "/end-others/":
                    client.post(url)
                elif url == "/password/":
                    sent = {"old_password": PASSWORD, "new_password1": "x8-sec-ret"}
                    client.post(url, sent | {"new_password2": "x8-sec-ret"})
                else:
                    client.post("/end-others/")
                    client.post("/end-others/")
                assert key_of(client) != old
                assert name_of(client) == "bob"
                self.log_out_at_the_server(f"ST-{number}-more")
                assert name_of(client) == ""
                assert not ProxyGrantingTicket.objects.exists()

    def test_under_asgi(self) -> None:
        old = key_of(self.log_in())
        client = AsyncClient()
        client.cookies["sessionid"] = old
        response = async_to_sync(client.post)("/end-others/")
        assert response.cookies["sessionid"].value != old
        self.log_out_at_the_server()
        assert devices.sessions_for_user(User.objects.get(username="bob")) == []

    @modify_settings(MIDDLEWARE={"remove": TICKETS})
    def test_without_the_middleware_it_finds_nothing(self) -> None:
        """What it is for. If django-cas-ng does it itself one day, it can go."""
        client = self.log_in()
        client.post("/end-others/")
        self.log_out_at_the_server()
        assert name_of(client) == "bob"

    def test_a_login_as_another_takes_no_ticket_along(self) -> None:
        User.objects.create_user("ann", password=PASSWORD)
        client = self.log_in()
        ticket = SessionTicket.objects.get()
        sent = {"auth-username": "ann", "auth-password": PASSWORD}
        client.post("/account/login/", sent | {"login_view-current_step": "auth"})
        assert name_of(client) == "ann"
        client.post("/end-others/")
        assert SessionTicket.objects.get().session_key == ticket.session_key
        self.log_out_at_the_server()
        assert name_of(client) == "ann"

    def test_a_database_that_fails_costs_the_user_nothing(self) -> None:
        client = self.log_in()
        broken = DatabaseError(f"Key (session_key)=({client.cookies['sessionid'].value})")
        update = QuerySet.update

        def fail(self: Any, **values: Any) -> int:
            if self.model is SessionTicket:
                raise broken
            return update(self, **values)

        with (
            mock.patch.object(QuerySet, "update", fail),
            self.assertLogs(level=logging.ERROR) as logs,
        ):
            client.post("/end-others/")
        assert name_of(client) == "bob"
        assert "DatabaseError" in logs.output[0]
        assert "session_key" not in "".join(logs.output)

    def test_the_check_wants_it_before_the_sessions(self) -> None:
        assert check_cas_tickets() == []
        others = [name for name in settings.MIDDLEWARE if name != TICKETS]
        for names in (others, [*others, TICKETS]):
            with override_settings(MIDDLEWARE=names):
                (message,) = check_cas_tickets()
                assert message.id == "django_multistore.W052"
        with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.db"):
            assert check_cas_tickets() == []


class AllauthTests(TestCase):
    def setUp(self) -> None:
        self.user = User.objects.create_user("bob", password=PASSWORD, email="bob@example.com")
        self.client = Client(REMOTE_ADDR="198.51.100.7", headers={"User-Agent": "Phone/1.0"})
        self.log_in(self.client)

    def log_in(self, client: Client) -> None:
        response = client.post("/accounts/login/", {"login": "bob", "password": PASSWORD})
        assert response.status_code == 302, response.content

    def listed(self) -> list[UserSession]:
        return UserSession.objects.purge_and_list(self.user)

    def test_a_session_that_moves_stays_in_the_list(self) -> None:
        self.client.post("/end-others/")
        assert name_of(self.client) == "bob"
        (listed,) = self.listed()
        assert listed.session_key == key_of(self.client)
        listed.end()
        assert name_of(self.client) == ""

    @modify_settings(MIDDLEWARE={"remove": ACTIVITY})
    def test_without_tracking_it_is_gone(self) -> None:
        """What the setting is for."""
        devices.log_out_everywhere(self.user)
        self.client = Client()
        self.log_in(self.client)
        assert len(self.listed()) == 1
        self.client.post("/end-others/")
        assert name_of(self.client) == "bob"
        assert self.listed() == []

    def test_its_own_pages(self) -> None:
        other = Client()
        self.log_in(other)
        old = key_of(self.client)
        sent = {"oldpassword": PASSWORD, "password1": "x8-sec-ret", "password2": "x8-sec-ret"}
        assert self.client.post("/accounts/password/change/", sent).status_code == 302
        assert key_of(self.client) != old
        assert (name_of(self.client), name_of(other)) == ("bob", "")
        assert [each.session_key for each in self.listed()] == [key_of(self.client)]
        assert self.client.post("/accounts/logout/").status_code == 302
        assert name_of(self.client) == ""
        assert devices.sessions_for_user(self.user) == []

    def test_a_sign_up_is_a_login(self) -> None:
        client = Client()
        sent = {"username": "ann", "email": "ann@example.com", "password1": "x8-sec-ret"}
        response = client.post("/accounts/signup/", sent | {"password2": "x8-sec-ret"})
        assert response.status_code == 302, response.content
        assert name_of(client) == "ann"

    def test_what_ends_elsewhere_leaves_the_list(self) -> None:
        assert devices.log_out_everywhere(self.user) == 1
        assert self.listed() == []

    def test_its_page_ends_another_device(self) -> None:
        other = Client()
        self.log_in(other)
        self.client.get("/whoami/")
        page = self.client.get("/accounts/sessions/")
        assert page.status_code == 200
        assert len(self.listed()) == 2
        self.client.post("/accounts/sessions/")
        assert (name_of(self.client), name_of(other)) == ("bob", "")

    def test_the_check(self) -> None:
        assert check_user_sessions() == []
        with modify_settings(MIDDLEWARE={"remove": ACTIVITY}):
            assert [each.id for each in check_user_sessions()] == ["django_multistore.W053"]
        with override_settings(USERSESSIONS_TRACK_ACTIVITY=False):
            assert [each.id for each in check_user_sessions()] == ["django_multistore.W053"]


@pytest.fixture(autouse=True)
def _no_limits(settings: Any) -> None:
    settings.ACCOUNT_RATE_LIMITS = {}
