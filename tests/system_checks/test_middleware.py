"""Which session middleware there is, and what comes before it."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.test import TestCase

from django_multistore.middleware import SessionMiddleware
from tests.support.checks import messages

OURS = "django_multistore.middleware.SessionMiddleware"
DJANGOS = "django.contrib.sessions.middleware.SessionMiddleware"
AUTH = "django.contrib.auth.middleware.AuthenticationMiddleware"
MESSAGES = "django.contrib.messages.middleware.MessageMiddleware"
CSRF = "django.middleware.csrf.CsrfViewMiddleware"
CACHE = "django.middleware.cache.UpdateCacheMiddleware"
FETCH = "django.middleware.cache.FetchFromCacheMiddleware"


class MiddlewareOfOnesOwn(SessionMiddleware):
    pass


class UsersOfOnesOwn(AuthenticationMiddleware):
    pass


def a_function(get_response: Any) -> Any:
    return get_response


MINE, MY_USERS, FUNCTION = (
    f"{__name__}.{each.__name__}" for each in (MiddlewareOfOnesOwn, UsersOfOnesOwn, a_function)
)
WITHOUT_ADMIN = [app for app in settings.INSTALLED_APPS if "admin" not in app]


class MiddlewareTests(TestCase):
    def check(self, *middleware: str, **changed: Any) -> set[str]:
        found = messages(MIDDLEWARE=list(middleware), **changed)
        for id, message in found.items():
            assert message.is_serious() == id.startswith("E")
            assert OURS in message.hint or CACHE in message.hint
        return set(found)

    def test_what_is_right(self) -> None:
        for fine in (
            (OURS, AUTH, MESSAGES),
            (CSRF, OURS, AUTH),
            (MINE, MY_USERS),
            (FUNCTION, OURS, CSRF),
            (CACHE, OURS, AUTH, FETCH),
            ("tests.nowhere.At", OURS, AUTH),
        ):
            with self.subTest(fine):
                assert self.check(*fine) == set()
        cookies = "django.contrib.messages.storage.cookie.CookieStorage"
        assert self.check(MESSAGES, OURS, MESSAGE_STORAGE=cookies) == set()

    def test_what_comes_too_early(self) -> None:
        for early in (AUTH, MESSAGES, MY_USERS):
            for session in (OURS, MINE):
                with self.subTest(early, session=session):
                    assert self.check(early, session) == {"E023"}
        assert self.check(CSRF, OURS, CSRF_USE_SESSIONS=True) == {"E023"}
        message = messages(MIDDLEWARE=[AUTH, MESSAGES, OURS])["E023"]
        assert f"{AUTH!r} and {MESSAGES!r}" in message.msg

    def test_djangos_too_late(self) -> None:
        assert self.check(AUTH, DJANGOS) == {"E023", "W018"}

    def test_two_of_them(self) -> None:
        for two in ((DJANGOS, OURS), (OURS, DJANGOS), (OURS, AUTH, OURS), (OURS, MINE)):
            with self.subTest(two):
                assert self.check(*two) == {"E025"}

    def test_pages_cached_before_vary(self) -> None:
        assert self.check(OURS, CACHE, AUTH) == {"W037"}

    def test_none_at_all(self) -> None:
        assert self.check(AUTH) == set()  # admin.E410 says it.
        with self.settings(INSTALLED_APPS=WITHOUT_ADMIN):
            assert not apps.is_installed("django.contrib.admin")
            assert self.check(AUTH) == {"E022"}
            assert self.check(CSRF) == set()
            assert self.check(FUNCTION, AUTH) == set()
            assert self.check() == set()

    def test_a_path_that_is_misspelt(self) -> None:
        for wrong in (
            "django_multistore.middlewares.SessionMiddleware",
            "django_multistore.SessionMiddleware",
            "multistore.middleware.SessionMiddleware",
            "django_multistore.middleware.SessionsMiddleware",
        ):
            with self.subTest(wrong):
                assert self.check(wrong, AUTH) == {"E024"}
