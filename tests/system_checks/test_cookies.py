"""What is said of Django's settings of the session's cookie."""

from __future__ import annotations

import sys
from typing import Any
from unittest.mock import patch

import pytest
from django.core import checks
from django.http import HttpResponse
from django.test import TestCase, override_settings

from tests.support.checks import messages

DJANGOS = "django.contrib.sessions.middleware.SessionMiddleware"


class ProductionTests(TestCase):
    def security(self, **changed: Any) -> list[str]:
        """Return what Django and this package say together of the cookie."""
        with override_settings(**changed):
            tags = ["security", "sessions"]  # Those of models ask servers which version they are.
            every = checks.run_checks(tags=tags, include_deployment_checks=True)
        return [str(each.id) for each in every if "SESSION_COOKIE" in each.msg]

    def test_what_django_says_no_more(self) -> None:
        wrong = {"SESSION_COOKIE_SECURE": False, "SESSION_COOKIE_HTTPONLY": False}
        with self.modify_settings(INSTALLED_APPS={"remove": ["django.contrib.sessions"]}):
            ours = ["django_multistore.W029", "django_multistore.W030"]
            assert sorted(self.security(**wrong)) == ours
            assert self.security(SESSION_COOKIE_SECURE=True) == []
            assert messages(SESSION_COOKIE_SECURE=False) == {}

    def test_django_says_it_where_it_can(self) -> None:
        wrong = {"SESSION_COOKIE_SECURE": False, "SESSION_COOKIE_HTTPONLY": False}
        with self.modify_settings(INSTALLED_APPS={"append": ["django.contrib.sessions"]}):
            assert sorted(self.security(**wrong)) == ["security.W010", "security.W013"]


class CookieTests(TestCase):
    def test_samesite_none_without_secure(self) -> None:
        for value in ("None", "none"):
            assert "W031" in messages(SESSION_COOKIE_SAMESITE=value, SESSION_COOKIE_SECURE=False)
            secure = messages(SESSION_COOKIE_SAMESITE=value, SESSION_COOKIE_SECURE=True)
            assert "W031" not in secure
        for fine in ("Lax", "strict", None, False):
            assert messages(SESSION_COOKIE_SAMESITE=fine, SESSION_COOKIE_SECURE=False) == {}

    def test_samesite_that_django_refuses(self) -> None:
        for wrong in ("Loose", True, "lax "):
            assert set(messages(SESSION_COOKIE_SAMESITE=wrong)) == {"W038"}
            with self.subTest(wrong), self.assertRaises((ValueError, AttributeError)):
                HttpResponse().set_cookie("a", samesite=wrong)

    def test_prefixes(self) -> None:
        host = {"SESSION_COOKIE_SECURE": True, "SESSION_COOKIE_NAME": "__Host-id"}
        assert messages(**host) == {}
        for changed, remedy in (
            ({"SESSION_COOKIE_SECURE": False}, "SESSION_COOKIE_SECURE = True"),
            ({"SESSION_COOKIE_DOMAIN": "example.com"}, "SESSION_COOKIE_DOMAIN = None"),
            ({"SESSION_COOKIE_PATH": "/app"}, "SESSION_COOKIE_PATH = '/'"),
        ):
            with self.subTest(remedy):
                message = messages(**host | changed)["W033"]
                assert message.hint.startswith(f"Set {remedy}, or give it")
        fine = {"SESSION_COOKIE_PATH": "/app", "SESSION_COOKIE_DOMAIN": "example.com"}
        secure = host | fine | {"SESSION_COOKIE_NAME": "__secure-id"}
        assert messages(**secure) == {}
        assert set(messages(**secure | {"SESSION_COOKIE_SECURE": False})) == {"W033"}
        http = host | {"SESSION_COOKIE_HTTPONLY": False}
        assert messages(**http) == {}
        for name in ("__Http-id", "__Host-Http-id"):
            assert set(messages(**http | {"SESSION_COOKIE_NAME": name})) == {"W033"}

    def test_a_domain(self) -> None:
        one, two = ["app.example.com"], ["app.example.com", "api.example.com"]
        for domain, hosts, said in (
            ("com", ["example.com"], "anybody can have a name"),
            (".co.uk", ["shop.co.uk"], "anybody can have a name"),
            ("com.br", [], "anybody can have a name"),
            ("https://example.com", one, "no domain"),
            ("example.com:8000", one, "no domain"),
            (".", one, "no domain"),
            ("example.org", one, "none of its hosts"),
            ("ample.com", one, "none of its hosts"),
            ("example.com", one, "no host of it but 'app.example.com'"),
            (".example.com", one, "no host of it but 'app.example.com'"),
            ("EXAMPLE.com", two, ""),
            ("example.com", ["example.com", "app.example.com"], ""),
            ("example.com", [".example.com"], ""),
            ("example.com", ["*"], ""),
            ("example.com", ["www.example.com"], ""),
            ("app.example.com", one, ""),
            ("localhost", ["localhost"], ""),
            ("127.0.0.1", ["127.0.0.1"], ""),
            (None, one, ""),
        ):
            with (
                self.subTest(domain, hosts=hosts),
                patch.dict(sys.modules, {"publicsuffixlist": None}),
            ):
                changed = {"SESSION_COOKIE_DOMAIN": domain, "ALLOWED_HOSTS": hosts}
                message = messages(deploy=True, **changed).get("W032")
                assert said in message.msg if message and said else bool(message) == bool(said)
                assert "W032" not in messages(**changed)

    def test_a_domain_of_a_hoster(self) -> None:
        pytest.importorskip("publicsuffixlist", reason="only that knows hosters' domains")
        hosts = ["mine.github.io"]
        message = messages(deploy=True, SESSION_COOKIE_DOMAIN="github.io", ALLOWED_HOSTS=hosts)
        assert "anybody can have a name" in message["W032"].msg
        fine = messages(deploy=True, SESSION_COOKIE_DOMAIN=hosts[0], ALLOWED_HOSTS=hosts)
        assert "W032" not in fine
