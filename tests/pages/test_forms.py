"""The form that asks for the password: by GET as by POST, and what it says of a wrong one."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from django.test import Client, override_settings
from django.urls import include, path
from django.utils import timezone

from django_multistore import devices
from django_multistore.models import StoredSession
from django_multistore.views import LogoutOtherDevicesView
from tests.support.cases.device_pages import PASSWORD, PagesTestCase, name

OTHERS, EVERYWHERE = "/devices/end-others/", "/devices/end-all/"


class PasswordAndCodeView(LogoutOtherDevicesView):
    def reauthenticate(self, form: Any) -> bool:
        return False


class OnlyPostView(LogoutOtherDevicesView):
    http_method_names = ["post"]


urlpatterns = [
    path("devices/", include("django_multistore.urls")),
    path("name/", name),
    path("login/", name, name="login"),
    path("hook/", PasswordAndCodeView.as_view()),
    path("only-post/", OnlyPostView.as_view(next_page="/name/")),
]


@override_settings(ROOT_URLCONF=__name__)
class FormTests(PagesTestCase):
    def test_get_shows_the_form_and_changes_nothing(self) -> None:
        before = [*StoredSession.objects.order_by("id").values()]
        for url in (OTHERS, EVERYWHERE):
            page = self.here.get(url, {"password": PASSWORD})
            self.assertContains(page, 'type="password"')
            self.assertNotContains(page, "aria-invalid")
            self.assertNotContains(page, PASSWORD)
        self.here.get(self.end(self.phone))
        self.assertEqual([*StoredSession.objects.order_by("id").values()], before)
        self.assert_nothing_ended()

    def test_head_is_a_get_without_its_body(self) -> None:
        for url in (OTHERS, EVERYWHERE, self.end(self.phone)):
            response = self.here.head(url)
            self.assertEqual((response.status_code, response.content), (200, b""))
        self.assert_nothing_ended()

    def test_options_say_what_there_is_whoever_asks(self) -> None:
        for client in (self.here, Client()):
            for url in (OTHERS, EVERYWHERE, self.end(self.phone)):
                response = client.options(url)
                self.assertEqual(response.status_code, 200)
                self.assertEqual(response["Allow"], "GET, HEAD, POST, OPTIONS")
            self.assertEqual(client.options("/devices/")["Allow"], "GET, HEAD, OPTIONS")
            self.assertEqual(client.put("/devices/")["Allow"], "GET, HEAD, OPTIONS")
            self.assertEqual(client.put(OTHERS).status_code, 405)

    def test_a_page_that_was_left_open_says_which_device_it_is(self) -> None:
        minutes_ago = timezone.now() - timedelta(minutes=25, seconds=5)
        StoredSession.objects.filter(id=self.id_of(self.phone)).update(last_seen_at=minutes_ago)
        end = self.end(self.phone)
        page = self.here.get(end)
        for said in ("Firefox on Linux", "25 minutes ago", "127.0.0.1", "Log out the device"):
            self.assertContains(page, said)
        self.assertNotContains(page, 'type="password"')  # The login is recent.
        self.logged_in_an_hour_ago()
        for asked in (self.here.get(end), self.here.post(end, {"password": "wrong"})):
            self.assertContains(asked, "Firefox on Linux")
            self.assertContains(asked, 'type="password"')
        self.assert_nothing_ended()
        self.assertContains(self.here.get(self.end(self.here)), "This device")

    def test_a_device_that_is_none_of_the_user_s(self) -> None:
        gone = self.end(self.phone)
        self.here.post(gone)
        for url in (gone, self.end(self.hers), f"/devices/{10**30}/end/"):
            page = self.here.get(url)
            self.assertContains(page, "You have no such device", status_code=404)
            self.assertContains(page, 'href="/devices/"', status_code=404)
            self.assertNotContains(page, "<form", status_code=404)
        self.assertEqual(self.users(), ["bob", "AnonymousUser", "eve"])

    def test_of_very_many_devices_it_looks_at_some(self) -> None:
        long_ago = timezone.now() - timedelta(days=1)
        StoredSession.objects.filter(id=self.id_of(self.phone)).update(last_seen_at=long_ago)
        with patch("django_multistore.pages.views.LOOKED_AT", 1):
            page = self.here.get(self.end(self.phone))
        self.assertContains(page, "Log out the device")
        self.assertNotContains(page, "Firefox on Linux")

    def test_visitors_come_back_to_the_form_only_from_a_get(self) -> None:
        end = self.end(self.phone)
        for url in (OTHERS, EVERYWHERE, end):
            self.assertEqual(Client().get(url).url, f"/login/?next={url}")
            self.assertEqual(Client().post(url).url, "/login/?next=/devices/")

    def test_a_view_without_get_is_not_led_back_to(self) -> None:
        self.without_password()
        self.logged_in_an_hour_ago()
        self.assertEqual(self.here.post("/only-post/").url, "/login/?next=/name/")
        self.assertEqual(self.here.get("/only-post/").status_code, 405)

    def test_the_error_is_the_field_s(self) -> None:
        page = self.here.post(OTHERS, {"password": "wrong"})
        text = page.content.decode()
        self.assertInHTML("<title>Error: Log out other devices</title>", text)
        (field,) = re.findall(r"<input[^>]*type=\"password\"[^>]*>", text)
        for attribute in (
            'aria-invalid="true"',
            "autofocus",
            'aria-describedby="id_password_error"',
        ):
            self.assertIn(attribute, field)
        said = "Wrong password. Nothing was logged out. Please try again."
        self.assertInHTML(
            '<div role="alert"><ul class="errorlist" id="id_password_error">'
            f"<li>{said}</li></ul></div>",
            text,
        )
        self.assertNotIn('wrong"', text)

    def test_so_is_that_of_an_empty_one(self) -> None:
        page = self.here.post(OTHERS, {"password": ""})
        self.assertContains(page, 'id="id_password_error"')
        self.assertContains(page, 'aria-invalid="true"')

    def test_no_field_is_blamed_where_a_hook_looks_at_several(self) -> None:
        page = self.here.post("/hook/", {"password": PASSWORD})
        self.assertContains(page, "Your identity could not be confirmed.")
        self.assertContains(page, '<div role="alert">')
        self.assertNotContains(page, "aria-invalid")

    def test_each_button_has_a_name_of_its_own(self) -> None:
        for _ in range(5):
            self.device(self.user)
        page = self.here.get("/devices/").content.decode()
        names = re.findall(r'<button[^>]*aria-label="([^"]*)"', page)
        self.assertEqual(len(names), devices.count_for_user(self.user) - 1)
        self.assertEqual(len(set(names)), len(names))
        for said in names:
            self.assertTrue(said.startswith("Log out: "))  # what the button shows
