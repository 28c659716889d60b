"""The pages of a user's devices, and the same as JSON."""

from __future__ import annotations

import json
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, TestCase, override_settings
from django.urls import include, path
from django.utils import timezone

from django_multistore import devices
from django_multistore.engine import SessionStore
from django_multistore.models import StoredSession
from django_multistore.records import Device, key_of
from django_multistore.stores import stores
from tests.support.descriptions import FIREFOX, GRAZ, write_database

JSON = {"Accept": "application/json"}
PASSWORD = "old secret"


def templates_with(templates: dict[str, str]) -> override_settings:
    """Give the site templates of its own."""
    (engine,) = settings.TEMPLATES
    loaders = [
        ("django.template.loaders.locmem.Loader", templates),
        "django.template.loaders.app_directories.Loader",
    ]
    options = engine["OPTIONS"] | {"loaders": loaders}
    return override_settings(TEMPLATES=[engine | {"APP_DIRS": False, "OPTIONS": options}])


def name(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(request.user))


urlpatterns = [
    path("devices/", include("django_multistore.urls")),
    path("name/", name),
    path("login/", name, name="login"),
]


@override_settings(ROOT_URLCONF=__name__, LOGIN_URL="/login/")
class PagesTestCase(TestCase):
    def setUp(self) -> None:
        self.user = User.objects.create_user("bob", password=PASSWORD)
        self.stranger = User.objects.create_user("eve", password="hers")
        self.here = self.device(self.user)
        self.phone = self.device(self.user, agent=FIREFOX)
        self.hers = self.device(self.stranger)

    def device(self, user: User, agent: str = "", **options: Any) -> Client:
        client = Client(headers={"User-Agent": agent}, **options)
        client.force_login(user)
        session = SessionStore(self.session_key(client))
        session.device = Device(ip_address="127.0.0.1", user_agent=agent)
        session["a device"] = "is known from here on"
        session.save()
        return client

    def session_key(self, client: Client) -> str:
        return client.cookies["sessionid"].value

    def id_of(self, client: Client) -> int:
        record = stores["default"].read(key_of(self.session_key(client)))
        assert record is not None
        return record.id

    def end(self, client: Client) -> str:
        return f"/devices/{self.id_of(client)}/end/"

    def users(self) -> list[str]:
        clients = (self.here, self.phone, self.hers)
        return [client.get("/name/").content.decode() for client in clients]

    def logged_in_an_hour_ago(self) -> None:
        StoredSession.objects.update(authenticated_at=timezone.now() - timedelta(hours=1))

    def without_password(self) -> None:
        self.user.set_unusable_password()
        self.user.save()
        for client in (self.here, self.phone):
            client.force_login(self.user)

    def said(self, response: Any) -> list[str]:
        """Return what the response says, and have nothing of it said again."""
        response.client.cookies.pop("messages", None)
        return [str(message) for message in get_messages(response.wsgi_request)]

    def assert_nothing_ended(self) -> None:
        self.assertEqual(self.users(), ["bob", "bob", "eve"])


class ListTests(PagesTestCase):
    def names(self, page: Any) -> list[tuple[int, bool]]:
        return [(device.id, device.is_current) for device in page.context["devices"]]

    def test_it_has_the_user_s_devices_this_one_first(self) -> None:
        page = self.here.get("/devices/")
        listed = [(self.id_of(self.here), True), (self.id_of(self.phone), False)]
        self.assertEqual(self.names(page), listed)
        self.assertContains(page, "You are logged in on 2 devices.")
        self.assertContains(page, "Firefox on Linux")
        self.assertContains(page, "127.0.0.1")
        self.assertContains(page, "This device", count=1)

    def test_there_is_nothing_to_log_out_where_there_is_one_device(self) -> None:
        self.phone.logout()
        page = self.here.get("/devices/")
        self.assertContains(page, "You are logged in on this device only.")
        self.assertNotContains(page, "<form")

    def test_it_has_no_key(self) -> None:
        for headers in ({}, JSON):
            page = self.here.get("/devices/", headers=headers).content.decode()
            for client in (self.here, self.phone):
                self.assertNotIn(self.session_key(client), page)
                self.assertNotIn(key_of(self.session_key(client)), page)

    def test_visitors_are_sent_to_the_login_page_and_back(self) -> None:
        page = Client().get("/devices/?page=2")
        self.assertRedirects(
            page, "/login/?next=/devices/%3Fpage%3D2", fetch_redirect_response=False
        )

    @override_settings(LOGIN_URL="https://accounts.example/login/")
    def test_the_login_page_of_another_host_leads_back_too(self) -> None:
        page = Client().get("/devices/")
        back = "http%3A//testserver/devices/"
        self.assertEqual(page.url, f"https://accounts.example/login/?next={back}")

    def test_nobody_keeps_it(self) -> None:
        page = self.here.get("/devices/")
        self.assertIn("no-store", page["Cache-Control"])
        self.assertIn("Accept", page["Vary"])

    def test_a_user_agent_is_no_markup(self) -> None:
        self.device(self.user, agent="<script>alert(1)</script>")
        page = self.here.get("/devices/")
        self.assertContains(page, "&lt;script&gt;")
        self.assertNotContains(page, "<script>")

    def test_it_says_where_about_an_address_is(self) -> None:
        with tempfile.TemporaryDirectory() as directory, override_settings(GEOIP_PATH=directory):
            write_database(Path(directory, "GeoLite2-City.mmdb"), "GeoLite2-City")
            StoredSession.objects.filter(id=self.id_of(self.phone)).update(ip_address=GRAZ)
            page = self.here.get("/devices/")
            this, phone = self.here.get("/devices/", headers=JSON).json()["devices"]
        self.assertContains(page, "<dt>Approximate place</dt><dd>Graz, Austria</dd>", count=1)
        self.assertEqual((this["place"], phone["place"]), (None, "Graz, Austria"))

    def test_it_stands_alone_or_in_the_site_s_frame(self) -> None:
        self.assertContains(self.here.get("/devices/"), "<title>Your devices</title>")
        site = "<h9>The site</h9>{% block title %}{% endblock %}|{% block content %}{% endblock %}"
        with templates_with({"base.html": site}):
            page = self.here.get("/devices/")
            asked = self.here.post("/devices/end-others/")
        self.assertContains(page, "<h9>The site</h9>Your devices|")
        self.assertContains(asked, "<h9>The site</h9>Log out other devices|")

    def test_a_frame_with_other_blocks_is_the_site_s_to_give(self) -> None:
        site = "<h9>The site</h9>{% block multistore %}{% endblock %}"
        with templates_with({"django_multistore/base.html": site}):
            page = self.here.get("/devices/")
        self.assertContains(page, "<h9>The site</h9>")
        self.assertContains(page, "Firefox on Linux")

    def test_messages_are_shown_once(self) -> None:
        frame = (
            "{% for each in messages %}[{{ each }}]{% endfor %}{% block content %}{% endblock %}"
        )
        for templates, shown in (({}, "<li>{}</li>"), ({"base.html": frame}, "[{}]")):
            phone = self.device(self.user)
            with templates_with(templates):
                page = self.here.post(self.end(phone), follow=True)
            self.assertContains(page, shown.format("The device was logged out."))
            self.assertContains(page, "The device was logged out.", count=1)

    def test_it_is_in_the_user_s_language(self) -> None:
        page = self.here.get("/devices/")
        self.assertContains(page, '<html lang="en-us">')
        with override_settings(LANGUAGE_CODE="fa"):
            page = self.here.get("/devices/")
        self.assertContains(page, '<html lang="fa" dir="rtl">')

    def test_under_asgi(self) -> None:
        client = AsyncClient()
        client.force_login(self.user)
        page = async_to_sync(client.get)("/devices/")
        self.assertEqual(len(page.context["devices"]), 3)


class EndManyTests(PagesTestCase):
    def test_log_out_other_devices_asks_even_after_a_login_just_now(self) -> None:
        asked = self.here.post("/devices/end-others/")
        self.assertContains(asked, 'type="password"')
        self.assertNotContains(asked, "errorlist")
        self.assertContains(
            self.here.post("/devices/end-others/", {"password": "wrong"}), "errorlist"
        )
        self.assert_nothing_ended()
        response = self.here.post("/devices/end-others/", {"password": PASSWORD})
        self.assertRedirects(response, "/devices/", fetch_redirect_response=False)
        self.assertEqual(self.said(response), ["1 other device was logged out."])
        self.assertEqual(self.users(), ["bob", "AnonymousUser", "eve"])

    def test_log_out_everywhere(self) -> None:
        self.assertContains(self.here.post("/devices/end-all/"), 'type="password"')
        self.assert_nothing_ended()
        response = self.here.post("/devices/end-all/", {"password": PASSWORD})
        self.assertRedirects(response, "/login/", fetch_redirect_response=False)
        self.assertEqual(self.said(response), ["You were logged out on 2 devices."])
        self.assertEqual(self.users(), ["AnonymousUser", "AnonymousUser", "eve"])
        self.assertEqual(devices.count_for_user(self.user), 0)

    @override_settings(LOGOUT_REDIRECT_URL="/name/")
    def test_it_goes_where_a_logout_goes(self) -> None:
        response = self.here.post("/devices/end-all/", {"password": PASSWORD})
        self.assertRedirects(response, "/name/", fetch_redirect_response=False)


class JsonTests(PagesTestCase):
    def post(self, url: str, body: Any = None, client: Client | None = None, **more: Any) -> Any:
        sent = body if isinstance(body, str | bytes) else json.dumps(body or {})
        poster = client or self.here
        return poster.post(url, sent, content_type="application/json", headers=JSON | more)

    def assert_refused(self, response: Any, status: int, code: str, **more: Any) -> None:
        error = response.json()["error"]
        self.assertEqual((response.status_code, error["code"]), (status, code))
        self.assertTrue(error["message"])
        self.assertEqual({key: error[key] for key in error.keys() - {"code", "message"}}, more)

    def test_the_list(self) -> None:
        logged_in_at = timezone.now() - timedelta(hours=5)
        StoredSession.objects.filter(id=self.id_of(self.phone)).update(
            authenticated_at=logged_in_at
        )
        response = self.here.get("/devices/", headers=JSON)
        self.assertEqual(response["Content-Type"], "application/json")
        found = response.json()
        this, phone = found.pop("devices")
        self.assertTrue(found.pop("csrf_token"))
        self.assertEqual(found, {"count": 2, "page": 1, "pages": 1})
        self.assertIs(this["is_current"], True)
        (stored,) = StoredSession.objects.filter(id=self.id_of(self.phone))
        moments = {
            name: getattr(stored, column).isoformat(timespec="milliseconds")[:-6] + "Z"
            for name, column in (
                ("signed_in_at", "authenticated_at"),
                ("last_seen_at", "last_seen_at"),
                ("expires_at", "expires_at"),
            )
        }
        self.assertEqual(
            phone,
            {
                "id": str(stored.id),
                "is_current": False,
                "name": "Firefox on Linux",
                "browser": "Firefox",
                "system": "Linux",
                "kind": "computer",
                "model": "",
                "user_agent": FIREFOX,
                "ip_address": "127.0.0.1",
                "place": None,
                **moments,
                "is_takeover": False,
                "actor": None,
            },
        )

    def test_a_browser_gets_the_page(self) -> None:
        for accept in ("text/html,application/xhtml+xml,*/*;q=0.8", "*/*", "image/png"):
            page = self.here.get("/devices/", headers={"Accept": accept})
            self.assertEqual(page["Content-Type"], "text/html; charset=utf-8")

    def test_it_needs_nothing_but_the_list_and_its_token(self) -> None:
        app = self.device(self.user, enforce_csrf_checks=True)
        token = app.get("/devices/", headers=JSON).json()["csrf_token"]
        self.assertEqual(self.post(self.end(self.phone), client=app).status_code, 403)
        response = self.post(self.end(self.phone), client=app, **{"X-CSRFToken": token})
        self.assertEqual((response.status_code, response.json()), (200, {"ended": 1}))
        self.assertEqual(self.users(), ["bob", "AnonymousUser", "eve"])

    def test_end_others_and_all(self) -> None:
        for url, ended in (("/devices/end-others/", 1), ("/devices/end-all/", 2)):
            self.assert_refused(
                self.post(url), 403, "reauthentication_required", fields=["password"]
            )
            for wrong in ("x", 7, None, ["x"]):
                self.assertEqual(self.post(url, {"password": wrong}).status_code, 403)
            self.assert_refused(self.post(url, {"password": "x"}), 403, "reauthentication_failed")
            self.assert_nothing_ended()
            response = self.post(url, {"password": PASSWORD})
            self.assertEqual(response.json(), {"ended": ended})
            self.phone.force_login(self.user)
        self.assertEqual(self.users(), ["AnonymousUser", "bob", "eve"])

    def test_a_form_may_be_sent_too(self) -> None:
        url = "/devices/end-others/"
        response = self.here.post(url, {"password": PASSWORD}, headers=JSON)
        self.assertEqual(response.json(), {"ended": 1})

    def test_whoever_sends_json_gets_json(self) -> None:
        url = "/devices/end-others/"
        response = self.here.post(url, {"password": PASSWORD}, content_type="application/json")
        self.assertEqual(response.json(), {"ended": 1})

    def test_visitors_are_refused(self) -> None:
        for middleware in (
            {},
            {"append": "django.contrib.auth.middleware.LoginRequiredMiddleware"},
        ):
            with self.modify_settings(MIDDLEWARE=middleware):
                response = Client().get("/devices/", headers=JSON)
                self.assert_refused(response, 401, "login_required")
                self.assertEqual(response["WWW-Authenticate"], "Session")
                response = self.post(self.end(self.phone), client=Client())
                self.assert_refused(response, 401, "login_required")

    def test_a_user_without_a_password_logs_in_once_more(self) -> None:
        self.without_password()
        self.logged_in_an_hour_ago()
        for url in (self.end(self.phone), "/devices/end-others/", "/devices/end-all/"):
            self.assert_refused(self.post(url), 403, "recent_login_required")
        self.assert_nothing_ended()

    def test_a_body_that_is_no_object(self) -> None:
        for body in (
            "{",
            "[]",
            "[" * 100_000,
            "7",
            '"x"',
            "\ud800".encode("utf-8", "surrogatepass").decode("latin1"),
        ):
            self.assert_refused(self.post("/devices/end-others/", body), 400, "invalid_json")
        self.assert_nothing_ended()

    def test_text_that_utf_8_can_not_encode(self) -> None:
        half = '{"password": "\ud800"}'
        for body in (
            r'{"password": "\ud800"}',
            r'{"password": "\udc00\ud800"}',
            r'{"password": "x", "\udfff": 1}',
            r'{"password": "x", "more": [{"x": "\udc00"}]}',
            half.encode("utf-8", "surrogatepass"),
            half.encode("utf-16-le", "surrogatepass"),
        ):
            for url in ("/devices/end-others/", "/devices/end-all/", self.end(self.phone)):
                self.logged_in_an_hour_ago()
                self.assert_refused(self.post(url, body), 400, "invalid_json")
        self.assert_nothing_ended()

    def test_a_whole_pair_is_a_character(self) -> None:
        self.user.set_password("\U0001f600")
        self.user.save()
        self.here.force_login(self.user)
        response = self.post("/devices/end-others/", r'{"password": "\ud83d\ude00"}')
        self.assertEqual(response.json(), {"ended": 1})

    def test_nor_a_form_in_a_charset_that_has_such_text(self) -> None:
        field = b'--x\r\nContent-Disposition: form-data; name="password"\r\n\r\n%s\r\n--x--\r\n'
        for charset, half in (("utf-7", b"+2AA-"), ("unicode_escape", rb"\ud800")):
            sent = f"multipart/form-data; boundary=x; charset={charset}"
            for headers, status in ((JSON, 403), ({}, 200)):
                response = self.here.generic(
                    "POST",
                    "/devices/end-others/",
                    field % half,
                    content_type=sent,
                    headers=headers,
                )
                self.assertEqual(response.status_code, status)
        self.assertContains(response, "errorlist")
        self.assert_nothing_ended()
