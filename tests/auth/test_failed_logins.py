"""A login that fails after the session was stored with its user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from asgiref.sync import async_to_sync
from django.contrib.auth import alogin, login
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, TestCase, override_settings
from django.urls import path

from django_multistore import devices

BACKEND = "django.contrib.auth.backends.ModelBackend"


def log_in(request: HttpRequest) -> HttpResponse:
    login(request, User.objects.get(), backend=BACKEND)
    return HttpResponse()


async def alog_in(request: HttpRequest) -> HttpResponse:
    await alogin(request, await User.objects.aget(), backend=BACKEND)
    return HttpResponse()


urlpatterns = [path("login/", log_in), path("alogin/", alog_in)]


@contextmanager
def failing_after_ours() -> Iterator[None]:
    """Have the receiver fail that notes last_login, as on a database that takes no writes."""
    with patch.object(User, "save", side_effect=ValueError("read-only")):
        yield


@override_settings(
    ROOT_URLCONF=__name__, SESSION_MAX_PER_USER=1, SESSION_MAX_PER_USER_POLICY="refuse"
)
class FailedLoginTests(TestCase):
    def setUp(self) -> None:
        self.user = User.objects.create_user("bob")

    def assert_nobody_is_kept_out(self, post: Any, client: Client) -> None:
        with failing_after_ours(), self.assertLogs("django.request", "ERROR"):
            response = post()
        self.assertEqual((response.status_code, "sessionid" in response.cookies), (500, False))
        self.assertEqual(devices.sessions_for_user(self.user), [])
        self.assertEqual(client.post("/login/").status_code, 200)
        self.assertEqual(len(devices.sessions_for_user(self.user)), 1)

    def test_it_takes_no_place(self) -> None:
        client = Client(raise_request_exception=False)
        self.assert_nobody_is_kept_out(lambda: client.post("/login/"), Client())

    def test_so_under_asgi(self) -> None:
        client = AsyncClient(raise_request_exception=False)
        self.assert_nobody_is_kept_out(lambda: async_to_sync(client.post)("/alogin/"), Client())
