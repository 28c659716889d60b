"""The views that log out other devices, on each store."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth import views as auth_views
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.contrib.auth.tokens import default_token_generator
from django.contrib.messages import get_messages
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.test import Client, TestCase, override_settings
from django.urls import path
from django.utils import timezone
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from django.views.generic import View

from django_multistore import devices
from django_multistore.models import StoredSession
from django_multistore.stores import stores
from django_multistore.views import LogoutOtherDevicesMixin, LogoutOtherDevicesView


class PasswordChangeView(LogoutOtherDevicesMixin, auth_views.PasswordChangeView):
    success_url = "/done/"
    template_name = "django_multistore/log_out_other_devices.html"


class PasswordResetConfirmView(LogoutOtherDevicesMixin, auth_views.PasswordResetConfirmView):
    success_url = "/done/"


class TwoFactorView(LogoutOtherDevicesMixin, View):
    """Any other view: it calls the method where it wants."""

    def post(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(str(self.log_out_other_devices()))


class WithoutPasswordView(LogoutOtherDevicesView):
    def get_form_class(self) -> Any:
        return Form

    def reauthenticate(self, form: Any) -> bool:
        return self.request.POST.get("code") == "123456"


class Directory(ModelBackend):
    """It has the passwords, and Django's users have none."""

    def authenticate(self, request: HttpRequest, username: str, password: str) -> User | None:
        return User.objects.get(username=username) if password == "in the directory" else None


class Confused(ModelBackend):
    """It goes by the password alone."""

    def authenticate(self, request: HttpRequest, username: str, password: str) -> User | None:
        return next((user for user in User.objects.all() if user.check_password(password)), None)


urlpatterns = [
    path("change/", PasswordChangeView.as_view()),
    path("reset/<uidb64>/<token>/", PasswordResetConfirmView.as_view()),
    path("reset-login/<uidb64>/<token>/", PasswordResetConfirmView.as_view(post_reset_login=True)),
    path("two-factor/", TwoFactorView.as_view()),
    path("others/", LogoutOtherDevicesView.as_view()),
    path("code/", WithoutPasswordView.as_view()),
    path("login-is-enough/", LogoutOtherDevicesView.as_view(accepts_recent_login=True)),
    path("within-a-minute/", LogoutOtherDevicesView.as_view(recent_login_seconds=60)),
    path("or-403/", LogoutOtherDevicesView.as_view(raise_exception=True)),
    path("page/", lambda request: HttpResponse(str(request.user))),
]

CHANGE = {
    "old_password": "old secret",
    "new_password1": "NEW-4-you!",
    "new_password2": "NEW-4-you!",
}
RESET = {"new_password1": "NEW-4-you!", "new_password2": "NEW-4-you!"}


@override_settings(ROOT_URLCONF=__name__, LOGIN_REDIRECT_URL="/home/")
class ViewTestCase(TestCase):
    def setUp(self) -> None:
        self.user = User.objects.create_user("bob", password="old secret")
        self.stranger = User.objects.create_user("eve", password="hers")
        self.devices = [self.device(self.user) for _ in range(3)]
        self.strangers_device = self.device(self.stranger)
        self.here = self.devices[0]

    def device(self, user: User | None = None) -> Client:
        client = Client()
        if user is not None:
            client.force_login(user)
        return client

    def users(self) -> list[str]:
        return [
            client.get("/page/").content.decode()
            for client in (*self.devices, self.strangers_device)
        ]

    def session_key(self, client: Client) -> str:
        return client.cookies["sessionid"].value

    def assert_only_here(self) -> None:
        self.assertEqual(self.users(), ["bob", "AnonymousUser", "AnonymousUser", "eve"])
        self.assertEqual(len(devices.sessions_for_user(self.user)), 1)

    def assert_nothing_ended(self) -> None:
        self.assertEqual(self.users(), ["bob", "bob", "bob", "eve"])


class ViewTests(ViewTestCase):
    def test_a_password_change_leaves_this_device_logged_in(self) -> None:
        before = self.session_key(self.here)
        self.assertRedirects(
            self.here.post("/change/", CHANGE), "/done/", fetch_redirect_response=False
        )
        self.assertNotEqual(self.session_key(self.here), before)
        self.assert_only_here()

    def test_a_refused_password_change_ends_nothing(self) -> None:
        self.assertEqual(
            self.here.post("/change/", CHANGE | {"old_password": "x"}).status_code, 200
        )
        self.assert_nothing_ended()

    def reset(self, client: Client, prefix: str = "/reset/") -> HttpResponse:
        uid = urlsafe_base64_encode(force_bytes(self.user.pk))
        token = default_token_generator.make_token(self.user)
        page = client.get(f"{prefix}{uid}/{token}/")
        return client.post(page.url, RESET)

    def test_a_password_reset_logs_out_everywhere(self) -> None:
        self.assertRedirects(self.reset(self.device()), "/done/", fetch_redirect_response=False)
        self.assertEqual(devices.sessions_for_user(self.user), [])
        self.assertEqual(self.users(), ["AnonymousUser"] * 3 + ["eve"])

    def test_a_password_reset_that_logs_in_keeps_that_device(self) -> None:
        client = self.device()
        self.reset(client, "/reset-login/")
        self.assertEqual(client.get("/page/").content, b"bob")
        self.assertEqual(len(devices.sessions_for_user(self.user)), 1)

    def test_a_password_reset_on_somebody_elses_device_leaves_that_one_alone(self) -> None:
        self.reset(self.strangers_device)
        self.assertEqual(self.users(), ["AnonymousUser"] * 3 + ["eve"])

    def test_any_view_can_call_it(self) -> None:
        self.assertEqual(self.here.post("/two-factor/").content, b"2")
        self.assert_only_here()

    def test_the_view_ends_the_others_when_the_password_is_right(self) -> None:
        before = self.session_key(self.here)
        response = self.here.post("/others/", {"password": "old secret"})
        self.assertRedirects(response, "/home/", fetch_redirect_response=False)
        self.assertNotEqual(self.session_key(self.here), before)
        self.assertEqual(
            [str(message) for message in get_messages(response.wsgi_request)],
            ["2 other devices were logged out."],
        )
        self.assert_only_here()

    def test_a_wrong_or_missing_password_ends_nothing_and_asks_again(self) -> None:
        for data in ({"password": "wrong"}, {"password": "hers"}, {"password": ""}):
            response = self.here.post("/others/", data)
            self.assertContains(response, 'type="password"')
            self.assertContains(response, "errorlist")
            self.assert_nothing_ended()

    def test_the_first_time_it_asks_without_a_reproach(self) -> None:
        response = self.here.post("/others/", {"next": "/there/"})
        self.assertContains(response, 'type="password"')
        self.assertContains(response, 'value="/there/"')
        self.assertNotContains(response, "errorlist")
        self.assert_nothing_ended()

    def test_a_password_is_a_recent_login(self) -> None:
        StoredSession.objects.update(authenticated_at=timezone.now() - timedelta(hours=1))
        self.here.post("/others/", {"password": "old secret"})
        self.device(self.user)
        response = self.here.post("/login-is-enough/")
        self.assertRedirects(response, "/home/", fetch_redirect_response=False)
        self.assert_only_here()

    def test_a_get_shows_the_form_and_does_nothing(self) -> None:
        page = self.here.get("/others/", {"next": "/there/", "password": "old secret"})
        self.assertContains(page, 'type="password"')
        self.assertContains(page, 'value="/there/"')
        self.assertNotContains(page, "errorlist")
        self.assertNotContains(page, "old secret")
        self.assert_nothing_ended()

    def test_visitors_go_to_the_login_page_and_from_there_to_a_page(self) -> None:
        response = self.device().post("/others/", {"password": "old secret"})
        self.assertEqual(response.url, "/accounts/login/?next=/home/")

    def test_a_password_that_is_hashed_anew_leaves_this_device_logged_in(self) -> None:
        hashers = [
            "django.contrib.auth.hashers.ScryptPasswordHasher",
            "django.contrib.auth.hashers.MD5PasswordHasher",
        ]
        with override_settings(PASSWORD_HASHERS=hashers):
            self.here.post("/others/", {"password": "old secret"})
        self.user.refresh_from_db()
        self.assertTrue(self.user.password.startswith("scrypt"))
        self.assert_only_here()

    def test_it_goes_to_next_but_not_to_another_site(self) -> None:
        data = {"password": "old secret"}
        self.assertEqual(self.here.post("/others/", data | {"next": "/there/"}).url, "/there/")
        self.assertEqual(
            self.here.post("/others/", data | {"next": "https://evil.example/"}).url, "/home/"
        )

    def test_a_form_from_elsewhere_is_refused(self) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(self.user)
        response = client.post("/others/", {"password": "old secret"})
        self.assertEqual(response.status_code, 403)
        self.assertEqual(len(devices.sessions_for_user(self.user)), 4)

    def test_also_on_a_site_without_the_middleware_for_it(self) -> None:
        middleware = "django.middleware.csrf.CsrfViewMiddleware"
        with self.modify_settings(MIDDLEWARE={"remove": middleware}):
            self.test_a_form_from_elsewhere_is_refused()

    @override_settings(AUTHENTICATION_BACKENDS=["tests.support.cases.views.Confused"])
    def test_another_user_s_password_is_none_of_the_user_s(self) -> None:
        self.here.force_login(self.user)
        self.assertContains(self.here.post("/others/", {"password": "hers"}), "errorlist")
        self.assertEqual(len(devices.sessions_for_user(self.user)), 3)

    def test_the_hook_takes_the_place_of_the_password(self) -> None:
        self.assertEqual(self.here.post("/code/", {"code": "1"}).status_code, 200)
        self.assert_nothing_ended()
        self.assertEqual(self.here.post("/code/", {"code": "123456"}).status_code, 302)
        self.assert_only_here()

    def test_a_session_ended_during_the_request_is_a_400(self) -> None:
        middleware = "tests.support.cases.views.end_before_the_view"
        with self.modify_settings(MIDDLEWARE={"append": middleware}):
            response = self.here.post("/two-factor/")
        self.assertEqual(response.status_code, 400)
        self.assertEqual(self.users()[1:3], ["bob", "bob"])


def end_before_the_view(get_response: Any) -> Any:
    def middleware(request: HttpRequest) -> HttpResponse:
        str(request.user)
        if request.session.key is not None:
            stores["default"].destroy(request.session.key)
        return get_response(request)

    return middleware
