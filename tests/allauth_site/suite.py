"""The sessions of django-allauth's app clients. tests/test_token_clients.py runs it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, TestCase, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_multistore.models import StoredSession
from django_multistore.records import SessionRecord, key_of
from django_multistore.stores import stores

APP = "/_allauth/app/v1/auth"
PASSWORD = "old secret"


class AppClientTests(TestCase):
    def setUp(self) -> None:
        self.user = User.objects.create_user("bob", password=PASSWORD)
        self.phone = Client()  # Which keeps no cookies.
        self.token = self.log_in()

    def ask(self, method: str, url: str, data: Any = None, **headers: str) -> Any:
        headers = {"User-Agent": "Phone/1.0"} | headers
        response = self.phone.generic(
            method,
            url,
            data or "",
            content_type="application/json",
            headers=headers,
            REMOTE_ADDR="198.51.100.7",
        )
        assert not response.cookies
        return response

    def log_in(self, **headers: str) -> str:
        sent = f'{{"username": "bob", "password": "{PASSWORD}"}}'
        response = self.ask("POST", f"{APP}/login", sent, **headers)
        assert response.status_code == 200, response.content
        token: str = response.json()["meta"]["session_token"]
        return token

    def record(self) -> SessionRecord:
        record = stores["default"].read(key_of(self.token))
        assert record is not None
        return record

    def seen_an_hour_ago(self) -> None:
        StoredSession.objects.update(
            last_seen_at=timezone.now() - timedelta(hours=1), ip_address=None, user_agent=""
        )

    def test_a_login_says_where_it_is_from(self) -> None:
        record = self.record()
        assert record.user_id == str(self.user.pk)
        assert (record.device.ip_address, record.device.user_agent) == ("198.51.100.7", "Phone/1.0")

    def test_a_view_of_allauth_is_a_use_of_the_session(self) -> None:
        self.seen_an_hour_ago()
        response = self.ask("GET", f"{APP}/session", **{"X-Session-Token": self.token})
        assert response.json()["data"]["user"]["username"] == "bob"
        record = self.record()
        assert timezone.now() - record.last_seen_at < timedelta(minutes=1)
        assert record.device.ip_address == "198.51.100.7"

    def test_a_view_of_the_site_is_too(self) -> None:
        self.seen_an_hour_ago()
        response = self.ask("GET", "/api/devices/", **{"X-Session-Token": self.token})
        assert response.json() == [[self.record().id, True]]
        assert timezone.now() - self.record().last_seen_at < timedelta(minutes=1)
        assert self.record().device.user_agent == "Phone/1.0"

    def test_it_costs_nothing_while_no_touch_is_due(self) -> None:
        allauths = "allauth.headless.tokens.strategies.sessions.SessionTokenStrategy"
        counts = []
        for settings in ({}, {"HEADLESS_TOKEN_STRATEGY": allauths}):
            with override_settings(**settings), CaptureQueriesContext(connection) as captured:
                self.ask("GET", f"{APP}/session", **{"X-Session-Token": self.token})
            counts.append(len(captured))
        assert counts[0] == counts[1]

    def test_with_the_strategy_of_allauth_it_is_never_seen(self) -> None:
        """What the docs are for. If allauth does it itself one day, they can go."""
        self.seen_an_hour_ago()
        before = self.record()
        allauths = "allauth.headless.tokens.strategies.sessions.SessionTokenStrategy"
        with override_settings(HEADLESS_TOKEN_STRATEGY=allauths):
            self.ask("GET", f"{APP}/session", **{"X-Session-Token": self.token})
        assert self.record() == before

    def test_a_token_that_nobody_has(self) -> None:
        response = self.ask("GET", f"{APP}/session", **{"X-Session-Token": "x" * 32})
        assert response.status_code == 410
        response = self.ask("GET", "/api/devices/", **{"X-Session-Token": "x" * 32})
        assert response.status_code == 403
        assert StoredSession.objects.count() == 1

    def test_the_session_of_a_cookie_is_another_s(self) -> None:
        browser = Client()
        browser.force_login(User.objects.create_user("eve"))
        self.phone.cookies["sessionid"] = browser.cookies["sessionid"].value
        response = self.ask("DELETE", "/api/devices/", **{"X-Session-Token": self.token})
        assert response.status_code == 403
        assert browser.get("/name/").content == b"eve"
        assert self.record().user_id == str(self.user.pk)

    def test_a_logout_ends_it(self) -> None:
        self.ask("DELETE", f"{APP}/session", **{"X-Session-Token": self.token})
        assert StoredSession.objects.count() == 0
