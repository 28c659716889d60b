"""With the parts of Django, and of its neighbourhood, that lean on sessions."""

from __future__ import annotations

from unittest.mock import patch

from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, TestCase, TransactionTestCase, override_settings
from django.urls import include, path
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from django_multistore import devices
from tests.urls import urlpatterns as admin_urls


class Whoami(APIView):
    authentication_classes = (SessionAuthentication,)
    permission_classes = (IsAuthenticated,)

    def get(self, request: Request) -> Response:
        return Response({"user": request.user.username})

    post = get


def count(request: HttpRequest) -> HttpResponse:
    request.session["count"] = request.session.get("count", 0) + 1
    return HttpResponse(str(request.session["count"]))


async def acount(request: HttpRequest) -> HttpResponse:
    await request.session.aset("count", await request.session.aget("count", 0) + 1)
    return HttpResponse(str(await request.session.aget("count")))


def fail(request: HttpRequest) -> HttpResponse:
    request.session["count"] = 99
    return HttpResponse(status=500)


def rotate_and_refuse(request: HttpRequest) -> HttpResponse:
    request.session["count"] = 99
    request.session.cycle_key()
    raise PermissionDenied


urlpatterns = [
    path("refuse/", rotate_and_refuse),
    *admin_urls,
    path("whoami/", Whoami.as_view()),
    path("count/", count),
    path("acount/", acount),
    path("fail/", fail),
    path("drf/", include("rest_framework.urls")),
]


class IntegrationMixin:
    def test_a_cookie_carries_the_session(self) -> None:
        self.assertEqual([self.client.get("/count/").content for _ in range(3)], [b"1", b"2", b"3"])
        self.assertEqual(Client().get("/count/").content, b"1")

    def test_the_admin(self) -> None:
        User.objects.create_superuser("root", password="secret")
        page = self.client.get("/admin/", follow=True)
        self.assertContains(page, "password")
        self.client.post("/admin/login/", {"username": "root", "password": "secret"})
        page = self.client.get("/admin/auth/user/")
        self.assertContains(page, "root")
        self.assertEqual(len(devices.sessions_for_user(User.objects.get())), 1)
        self.client.post("/admin/logout/")
        self.assertEqual(self.client.get("/admin/auth/user/").status_code, 302)
        self.assertEqual(devices.sessions_for_user(User.objects.get()), [])

    def test_messages_kept_in_the_session(self) -> None:
        User.objects.create_superuser("root", password="secret")
        with override_settings(
            MESSAGE_STORAGE="django.contrib.messages.storage.session.SessionStorage"
        ):
            self.client.force_login(User.objects.get())
            data = {"username": "carl", "password1": "s3cret-pw!", "password2": "s3cret-pw!",
                    "usable_password": "true"}  # fmt: skip
            response = self.client.post("/admin/auth/user/add/", data)
            self.assertEqual(response.status_code, 302)
            page = self.client.get(response.url)
            self.assertTrue(list(get_messages(page.wsgi_request)))

    def test_rest_framework(self) -> None:
        user = User.objects.create_user("bob")
        client = Client(enforce_csrf_checks=True)
        self.assertEqual(client.get("/whoami/").status_code, 403)
        client.force_login(user)
        self.assertEqual(client.get("/whoami/").json(), {"user": "bob"})
        self.assertEqual(client.post("/whoami/").status_code, 403)
        devices.log_out_everywhere(user)
        self.assertEqual(client.get("/whoami/").status_code, 403)

    def test_a_failed_request_saves_nothing(self) -> None:
        self.client.get("/count/")
        self.assertEqual(self.client.get("/fail/").status_code, 500)
        self.assertEqual(self.client.get("/count/").content, b"2")

    def test_the_session_of_the_client(self) -> None:
        session = self.client.session
        session["count"] = 41
        session.save()
        self.assertEqual(self.client.get("/count/").content, b"42")
        self.assertEqual(self.client.session["count"], 42)

    def test_a_rotation_that_is_rolled_back_leaves_the_old_cookie_alone(self) -> None:
        self.client.get("/count/")
        before = self.client.cookies["sessionid"].value
        with patch.dict(connection.settings_dict, ATOMIC_REQUESTS=True):
            self.assertEqual(self.client.get("/refuse/").status_code, 403)
        self.assertEqual(self.client.cookies["sessionid"].value, before)
        # As with Django's engines, what a view has set is saved whatever its transaction comes to.
        self.assertEqual(self.client.get("/count/").content, b"100")

    async def test_async_views(self) -> None:
        client = AsyncClient()
        responses = [await client.get("/acount/") for _ in range(3)]
        self.assertEqual([response.content for response in responses], [b"1", b"2", b"3"])


@override_settings(ROOT_URLCONF=__name__)
class InTestCase(IntegrationMixin, TestCase):
    pass


@override_settings(ROOT_URLCONF=__name__)
class InTransactionTestCase(IntegrationMixin, TransactionTestCase):
    pass
