"""Client hints between a browser and the site: who is asked for them, and what a session keeps."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib import admin
from django.contrib.auth import views as auth_views
from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from django.urls import include, path

from django_multistore import devices
from django_multistore.session.client_hints import SEPARATOR
from tests.support.meeting import MEMORY, REDIS_CLUSTER, REDIS_SERVER, on, store_setting

KINDS = [MEMORY, "sqlite", "postgres", "mariadb", REDIS_SERVER, REDIS_CLUSTER, "memcached+sqlite"]
PASSWORD = "old secret"
ASKED = "Sec-CH-UA-Platform-Version, Sec-CH-UA-Model, Sec-CH-UA-Form-Factors"
CHROME = {
    "User-Agent": (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/146.0.0.0 Safari/537.36"
    ),
    "Sec-CH-UA": '"Chromium";v="146", "Not-A.Brand";v="24", "Google Chrome";v="146"',
    "Sec-CH-UA-Platform": '"Windows"',
}
TELLING = CHROME | {
    "Sec-CH-UA-Platform-Version": '"15.0.0"',
    "Sec-CH-UA-Model": '""',
    "Sec-CH-UA-Form-Factors": '"Desktop"',
}


def own_hints(request: HttpRequest) -> HttpResponse:
    return HttpResponse(headers={"Accept-CH": "DPR, sec-ch-ua-model"})


login_view = auth_views.LoginView.as_view(template_name="registration/logged_out.html")
urlpatterns = [
    path("login/", login_view, name="login"),
    path("own/", own_hints),
    path("devices/", include("django_multistore.urls")),
    path("admin/", admin.site.urls),
]


@pytest.fixture(autouse=True)
def _site(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    settings.LOGIN_URL = "login"
    settings.SESSION_DEVICE_CLIENT_HINTS = True


@pytest.fixture
def user(db: None) -> User:
    return User.objects.create_user("bob", password=PASSWORD)


def log_in(client: Client, headers: dict[str, str]) -> None:
    answer = client.post("/login/", {"username": "bob", "password": PASSWORD}, headers=headers)
    assert answer.status_code == 302


def get_name(client: Client, headers: dict[str, str]) -> str:
    answer = client.get("/devices/", headers=headers | {"Accept": "application/json"}).json()
    name: str = answer["devices"][0]["name"]
    return name


@pytest.mark.django_db
class TestAsked:
    def test_a_browser_that_knows_them_is_asked_on_the_login_page(self) -> None:
        answer = Client().get("/login/", headers=CHROME)
        assert answer["Accept-CH"] == ASKED
        assert "Sec-CH" not in answer.get("Vary", "")
        assert "Critical-CH" not in answer
        assert async_to_sync(AsyncClient().get)("/login/", headers=CHROME)["Accept-CH"] == ASKED

    def test_so_on_that_of_the_admin(self) -> None:
        assert Client().get("/admin/login/", headers=CHROME)["Accept-CH"] == ASKED

    def test_what_a_page_asks_for_itself_stays(self, settings: Any) -> None:
        settings.LOGIN_URL = "/own/?from=here"
        asked = Client().get("/own/", headers=CHROME)["Accept-CH"]
        assert asked == ("DPR, sec-ch-ua-model, Sec-CH-UA-Platform-Version, Sec-CH-UA-Form-Factors")

    @pytest.mark.parametrize(
        ("address", "headers", "changed"),
        [
            ("/login/", {}, {}),  # A browser that doesn't know them, or HTTP in clear.
            ("/devices/", CHROME, {}),
            ("/nowhere/", CHROME, {}),
            ("/login/", CHROME, {"SESSION_DEVICE_CLIENT_HINTS": False}),
            ("/login/", CHROME, {"LOGIN_URL": "no-such-name"}),
            ("/login/", CHROME, {"LOGIN_URL": "https://id.example/login/"}),
        ],
    )
    def test_nobody_else_is(
        self, address: str, headers: dict[str, str], changed: dict[str, Any], settings: Any
    ) -> None:
        for name, value in changed.items():
            setattr(settings, name, value)
        assert "Accept-CH" not in Client().get(address, headers=headers)


class TestKept:
    @pytest.mark.parametrize("kind", on(*KINDS))
    def test_on_each_store(self, kind: str, user: User, settings: Any) -> None:
        settings.SESSION_STORES = store_setting(kind)
        client = Client()
        log_in(client, TELLING)
        assert get_name(client, CHROME) == "Chrome on Windows 11"
        assert devices.log_out_everywhere(user) == 1

    def test_with_the_session_of_the_login(self, user: User) -> None:
        client = Client()
        log_in(client, TELLING)
        assert get_name(client, CHROME) == "Chrome on Windows 11"
        (record,) = devices.sessions_for_user(user)
        assert record.device.user_agent.startswith(CHROME["User-Agent"] + SEPARATOR)

    def test_json_has_the_user_agent_as_it_was_sent(self, user: User) -> None:
        client = Client()
        log_in(client, TELLING | {"Sec-CH-UA-Model": '"Surface"'})
        answer = client.get("/devices/", headers={"Accept": "application/json"})
        (device,) = answer.json()["devices"]
        assert device["user_agent"] == CHROME["User-Agent"]
        assert (device["kind"], device["model"]) == ("computer", "Surface")
        assert device["system"] == "Windows 11"

    def test_none_without_the_setting(self, user: User, settings: Any) -> None:
        settings.SESSION_DEVICE_CLIENT_HINTS = False
        client = Client()
        log_in(client, TELLING)
        assert get_name(client, TELLING) == "Chrome on Windows"
        (record,) = devices.sessions_for_user(user)
        assert record.device.user_agent == CHROME["User-Agent"]

    def test_requests_with_and_without_them_write_no_more(self, user: User) -> None:
        client = Client()
        log_in(client, CHROME)
        with CaptureQueriesContext(connection) as seen:
            for headers in (TELLING, CHROME, TELLING, CHROME):
                client.get("/devices/", headers=headers)
        assert not [each for each in seen if each["sql"].startswith(("UPDATE", "INSERT"))]

    def test_a_touch_takes_them_and_a_later_one_leaves_them(
        self, user: User, settings: Any
    ) -> None:
        settings.SESSION_TOUCH_INTERVAL = 0
        client = Client()
        log_in(client, CHROME)
        client.get("/devices/", headers=TELLING)
        assert get_name(client, CHROME) == "Chrome on Windows 11"
        client.get("/devices/", headers=CHROME)
        newer = {name: text.replace("146", "147") for name, text in CHROME.items()}
        client.get("/devices/", headers=newer)
        assert get_name(client, newer) == "Chrome on Windows 11"
        (record,) = devices.sessions_for_user(user)
        assert record.device.user_agent.startswith(newer["User-Agent"] + SEPARATOR)

    def test_another_browser_with_the_cookie_has_none_of_them(
        self, user: User, settings: Any
    ) -> None:
        settings.SESSION_TOUCH_INTERVAL = 0
        client = Client()
        log_in(client, TELLING)
        client.get("/devices/", headers={"User-Agent": "curl/8.14.1"})
        (record,) = devices.sessions_for_user(user)
        assert record.device.user_agent == "curl/8.14.1"
