"""LogoutOtherDevicesView takes a recent login for a password, where there is none."""

from __future__ import annotations

from datetime import timedelta

from asgiref.sync import async_to_sync
from django.contrib.messages import get_messages
from django.test import AsyncClient, Client, override_settings
from django.utils import timezone

from django_multistore import devices
from django_multistore.models import StoredSession
from tests.support.cases.views import ViewTestCase


class RecentLoginTests(ViewTestCase):
    """The user's login is some seconds old, unless a test says otherwise."""

    def without_password(self) -> None:
        self.user.set_unusable_password()
        self.user.save()
        for client in self.devices:
            client.force_login(self.user)

    def logged_in_an_hour_ago(self) -> None:
        StoredSession.objects.update(authenticated_at=timezone.now() - timedelta(hours=1))

    def test_a_user_without_a_password_needs_no_more(self) -> None:
        self.without_password()
        before = self.session_key(self.here)
        response = self.here.post("/others/")
        self.assertRedirects(response, "/home/", fetch_redirect_response=False)
        self.assertNotEqual(self.session_key(self.here), before)
        self.assertEqual(
            [str(message) for message in get_messages(response.wsgi_request)],
            ["2 other devices were logged out."],
        )
        self.assert_only_here()

    def test_nor_under_asgi(self) -> None:
        self.without_password()
        client = AsyncClient()
        client.force_login(self.user)
        self.assertEqual(async_to_sync(client.post)("/others/").url, "/home/")
        self.assertEqual(len(devices.sessions_for_user(self.user)), 1)

    def test_with_an_older_login_the_user_is_sent_to_the_login_page(self) -> None:
        self.without_password()
        self.logged_in_an_hour_ago()
        for data in ({}, {"password": ""}):
            response = self.here.post("/others/", data)
            self.assertEqual(response.url, "/accounts/login/?next=/others/")
        self.assert_nothing_ended()
        with self.assertLogs("django.request", "WARNING"):
            self.assertEqual(self.here.post("/or-403/").status_code, 403)
        self.here.force_login(self.user)
        self.assertContains(self.here.get("/others/"), '<button type="submit"')
        self.here.post("/others/")
        self.assert_only_here()

    def test_how_recent_it_must_be_can_be_set(self) -> None:
        self.without_password()
        minutes_ago = timezone.now() - timedelta(minutes=2)
        StoredSession.objects.update(authenticated_at=minutes_ago)
        response = self.here.post("/within-a-minute/")
        self.assertEqual(response.url, "/accounts/login/?next=/within-a-minute/")
        self.assert_nothing_ended()
        self.here.post("/others/")
        self.assert_only_here()

    def test_it_goes_to_next_but_not_to_another_site(self) -> None:
        self.without_password()
        self.assertEqual(self.here.post("/others/", {"next": "/there/"}).url, "/there/")
        self.assertEqual(self.here.post("/others/", {"next": "//evil.example/"}).url, "/home/")

    def test_a_form_from_elsewhere_is_refused(self) -> None:
        self.without_password()
        client = Client(enforce_csrf_checks=True)
        client.force_login(self.user)
        with self.assertLogs("django.security.csrf", "WARNING"):
            self.assertEqual(client.post("/others/").status_code, 403)
        self.assertEqual(len(devices.sessions_for_user(self.user)), 4)

    def test_a_password_of_a_directory_works_whenever_the_login_was(self) -> None:
        self.without_password()
        backends = [
            "django.contrib.auth.backends.ModelBackend",
            "tests.support.cases.views.Directory",
        ]
        with override_settings(AUTHENTICATION_BACKENDS=backends):
            self.logged_in_an_hour_ago()
            response = self.here.post("/others/", {"password": "wrong"})
            self.assertContains(response, "errorlist")
            self.assert_nothing_ended()
            response = self.here.post("/others/", {"password": "in the directory"})
            self.assertEqual(response.url, "/home/")
            self.assert_only_here()

    def test_it_takes_the_place_of_no_hook(self) -> None:
        self.without_password()
        self.assertEqual(self.here.post("/code/").status_code, 200)
        self.assert_nothing_ended()
        self.logged_in_an_hour_ago()
        self.assertEqual(self.here.post("/code/", {"code": "123456"}).url, "/home/")
        self.assert_only_here()

    def test_where_it_is_accepted_it_takes_the_place_of_the_password(self) -> None:
        self.logged_in_an_hour_ago()
        self.assertContains(self.here.post("/login-is-enough/"), 'type="password"')
        self.assert_nothing_ended()
        self.here.force_login(self.user)
        self.assertEqual(self.here.post("/login-is-enough/").url, "/home/")
        self.assert_only_here()

    def test_where_it_is_accepted_the_password_still_does(self) -> None:
        self.logged_in_an_hour_ago()
        self.here.post("/login-is-enough/", {"password": "old secret"})
        self.assert_only_here()

    def test_where_it_is_accepted_visitors_still_go_to_the_login_page(self) -> None:
        response = self.device().post("/login-is-enough/")
        self.assertEqual(response.url, "/accounts/login/?next=/home/")
