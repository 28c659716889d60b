"""Where request.user is another user than the session's: nothing is done to one for the other."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib import admin
from django.contrib.auth import HASH_SESSION_KEY
from django.contrib.auth import views as auth_views
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.template import Context, RequestContext, Template
from django.test import AsyncClient, Client, TestCase, override_settings
from django.urls import include, path
from django.utils.functional import SimpleLazyObject
from django.views.generic import View

from django_multistore import devices
from django_multistore.decorators import ahas_recent_login, has_recent_login, recent_login_required
from django_multistore.engine import SessionStore
from django_multistore.exceptions import OtherUser
from django_multistore.stores import stores
from django_multistore.views import LogoutOtherDevicesMixin, RecentLoginRequiredMixin
from tests import servers
from tests.models import NamedUser, ProxyUser
from tests.support.cases.device_pages import JSON
from tests.support.stores import ON_A_CACHE, ON_REDIS
from tests.support.users import request_with

PASSWORD = "old secret"
PAGES = ("/devices/end-others/", "/devices/end-all/")


def by_token(get_response: Callable[[HttpRequest], HttpResponse]) -> Any:
    """Know users by a header, as middlewares for tokens and for impersonation do."""

    def middleware(request: HttpRequest) -> HttpResponse:
        kind, _, name = request.headers.get("X-Token", "").partition(" ")
        if kind == "user":
            request.user = User.objects.get(username=name)
        elif kind == "lazy":
            request.user = SimpleLazyObject(lambda: User.objects.get(username=name))
        elif kind == "claims":
            pk = User.objects.get(username=name).pk
            request.user = SimpleNamespace(is_authenticated=True, pk=pk)  # type: ignore[assignment]
        return get_response(request)

    return middleware


class PasswordChangeView(LogoutOtherDevicesMixin, auth_views.PasswordChangeView):
    success_url = "/name/"
    template_name = "django_multistore/log_out_other_devices.html"


class OwnPasswordChangeView(PasswordChangeView):
    """Of a site that knows of both: the password is that of who is logged in."""

    def get_form_kwargs(self) -> dict[str, Any]:
        user = User.objects.get(pk=self.request.session["_auth_user_id"])
        return super().get_form_kwargs() | {"user": user}


class AnyView(LogoutOtherDevicesMixin, View):
    def post(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(str(self.log_out_other_devices()))


class SafeView(RecentLoginRequiredMixin, View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("safe")


class AsyncSafeView(RecentLoginRequiredMixin, View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("safe")


@recent_login_required(60)
def safe(request: HttpRequest) -> HttpResponse:
    return HttpResponse("safe")


@recent_login_required(60)
async def asafe(request: HttpRequest) -> HttpResponse:
    return HttpResponse("safe")


def recent(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(has_recent_login(request, 60)))


async def arecent(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(await ahas_recent_login(request, 60)))


def others(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(devices.log_out_other_devices(request)))


async def aothers(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(await devices.alog_out_other_devices(request)))


def name(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(request.user))


def count(request: HttpRequest) -> HttpResponse:
    template = Template("{% load multistore %}{% devices_count %}")
    # The page is about eve, and so is its `user`.
    about = {"user": User.objects.get(username="eve")}
    return HttpResponse(template.render(RequestContext(request, about)))


# Its modules can be imported where it is installed, which it is for its own test.


def impersonate(request: HttpRequest, pk: int) -> HttpResponse:
    from impersonate import views  # noqa: PLC0415

    return views.impersonate(request, pk)


def stop(request: HttpRequest) -> HttpResponse:
    from impersonate import views  # noqa: PLC0415

    return views.stop_impersonate(request)


urlpatterns = [
    path("devices/", include("django_multistore.urls")),
    path("change/", PasswordChangeView.as_view()),
    path("change-own/", OwnPasswordChangeView.as_view()),
    path("any/", AnyView.as_view()),
    path("safe/class/", SafeView.as_view()),
    path("safe/aclass/", AsyncSafeView.as_view()),
    path("safe/function/", safe),
    path("safe/afunction/", asafe),
    *(path(f"{view.__name__}/", view) for view in (recent, arecent, others, aothers, name, count)),
    path("impersonate/stop/", stop),
    path("impersonate/<int:pk>/", impersonate),
]

CHANGE = {"old_password": PASSWORD, "new_password1": "NEW-4-you!", "new_password2": "NEW-4-you!"}
WITH_TOKENS = {"append": "tests.auth.test_other_user.by_token"}


@override_settings(ROOT_URLCONF="tests.auth.test_other_user", LOGIN_URL="/login/")
class OtherUserTestCase(TestCase):
    middleware: dict[str, str] = WITH_TOKENS

    def setUp(self) -> None:
        self.enterContext(self.modify_settings(MIDDLEWARE=self.middleware))
        self.staff, self.bob, self.eve = (
            User.objects.create_user(name, password=PASSWORD) for name in ("staff", "bob", "eve")
        )
        for user in (self.staff, self.bob, self.eve):
            devices.log_out_everywhere(user)  # An earlier test's user had this primary key.
        self.here = self.device(self.staff)
        self.devices = [self.device(user) for user in (self.staff, self.bob, self.bob, self.eve)]

    def device(self, user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    def session(self, client: Client) -> SessionStore:
        return SessionStore(client.cookies["sessionid"].value)

    def id_of(self, client: Client) -> int:
        record = stores["default"].read(self.session(client).key)
        assert record is not None
        return record.id

    def users(self) -> list[str]:
        return [
            client.get("/name/").content.decode().removesuffix("AnonymousUser")
            for client in (self.here, *self.devices)
        ]

    def assert_nothing_was_done(self) -> None:
        assert self.users() == ["staff", "staff", "bob", "bob", "eve"]

    def get(self, url: str, token: str = "", **headers: str) -> Any:
        return self.here.get(url, headers={"X-Token": token} | headers)

    def post(self, url: str, data: Any = None, token: str = "", **headers: str) -> Any:
        return self.here.post(url, data or {}, headers={"X-Token": token} | headers)

    def post_json(self, url: str, data: Any, token: str) -> Any:
        return self.here.post(
            url,
            json.dumps(data),
            content_type="application/json",
            headers={"X-Token": token} | JSON,
        )

    def listed(self, token: str) -> list[int]:
        found = self.get("/devices/", token, **JSON).json()["devices"]
        return [int(each["id"]) for each in found]


class RefusedTests(OtherUserTestCase):
    """As long as the site says nothing."""

    tokens = ("user bob", "lazy bob", "claims bob")

    def test_the_pages(self) -> None:
        end = f"/devices/{self.id_of(self.devices[1])}/end/"
        key = self.here.cookies["sessionid"].value
        for token in self.tokens:
            assert self.get("/devices/", token).status_code == 403
            for url in (end, *PAGES):
                assert self.post(url, {"password": PASSWORD}, token).status_code == 403
        assert self.here.cookies["sessionid"].value == key
        self.assert_nothing_was_done()

    def test_programs_are_told_why(self) -> None:
        end = f"/devices/{self.id_of(self.devices[1])}/end/"
        for token in self.tokens:
            posted = [self.post_json(url, {"password": PASSWORD}, token) for url in (end, *PAGES)]
            for response in (self.get("/devices/", token, **JSON), *posted):
                assert response.status_code == 403
                assert response.json()["error"]["code"] == "other_user"
                assert response.json()["error"]["message"].startswith("Only the user who")
        self.assert_nothing_was_done()

    def test_a_session_of_nobody_is_not_the_user_s_either(self) -> None:
        self.here = Client()
        for token in self.tokens:
            assert self.get("/devices/", token).status_code == 403
            response = self.post_json("/devices/end-all/", {"password": PASSWORD}, token)
            assert response.json()["error"]["code"] == "other_user"
            assert self.get("/safe/function/", token).status_code == 403
        assert devices.count_for_user(self.bob) == 2

    def test_a_program_whose_token_is_of_the_session_s_user(self) -> None:
        for token in ("user staff", "lazy staff", "claims staff"):
            assert len(self.listed(token)) == 2
            assert self.get("/safe/function/", token).content == b"safe"
            assert self.get("/safe/afunction/", token).content == b"safe"
        response = self.post_json("/devices/end-all/", {"password": PASSWORD}, "claims staff")
        assert response.json() == {"ended": 2}

    def test_visitors_are_still_sent_to_the_login_page(self) -> None:
        self.here = Client()
        for url in ("/devices/", "/safe/function/", "/safe/class/", "/safe/afunction/"):
            assert self.get(url).url == f"/login/?next={url}"
        assert self.get("/devices/", **JSON).status_code == 401

    def test_the_functions(self) -> None:
        for view in ("others", "aothers"):
            for token in self.tokens:
                assert self.get(f"/{view}/", token).status_code == 403
        self.assert_nothing_was_done()
        assert self.get("/aothers/").content == b"1"

    def test_the_functions_under_asgi(self) -> None:
        client = AsyncClient()
        client.force_login(self.staff)
        for view in ("others", "aothers"):
            for token in self.tokens:
                response = async_to_sync(client.get)(f"/{view}/", headers={"X-Token": token})
                assert response.status_code == 403
        self.assert_nothing_was_done()
        assert async_to_sync(client.get)("/aothers/").content == b"2"

    def test_any_view_with_the_mixin(self) -> None:
        assert self.post("/any/", token="user bob").status_code == 403
        self.assert_nothing_was_done()

    def test_a_change_of_the_password(self) -> None:
        """Django's view would write one's hash into the other's session."""
        assert self.post("/change/", CHANGE, "user bob").status_code == 403
        self.bob.refresh_from_db()
        assert self.bob.check_password(PASSWORD)
        self.assert_nothing_was_done()

    def test_a_recent_login_is_the_session_s_user_s(self) -> None:
        for way in ("function", "class", "afunction", "aclass"):
            assert self.get(f"/safe/{way}/").content == b"safe"
            for token in self.tokens:
                assert self.get(f"/safe/{way}/", token).status_code == 403
        for view in ("recent", "arecent"):
            assert self.get(f"/{view}/").content == b"True"
            for token in self.tokens:
                assert self.get(f"/{view}/", token).content == b"False"

    def test_nor_under_asgi(self) -> None:
        client = AsyncClient()
        client.force_login(self.staff)
        for way in ("function", "class", "afunction", "aclass"):
            assert async_to_sync(client.get)(f"/safe/{way}/").content == b"safe"
            for token in self.tokens:
                response = async_to_sync(client.get)(f"/safe/{way}/", headers={"X-Token": token})
                assert response.status_code == 403

    def test_the_count_of_devices(self) -> None:
        assert self.get("/count/").content == b"2"
        assert self.get("/count/", "user bob").content == b""
        rendered = Template("{% load multistore %}{% devices_count %}")
        assert rendered.render(Context({"user": self.bob})) == "2"
        request = HttpRequest()  # Of a site whose users come without sessions.
        assert rendered.render(Context({"user": self.bob, "request": request})) == "2"

    def test_a_row_of_another_model_is_another_user(self) -> None:
        session = self.session(self.here)
        key = NamedUser(name=str(self.staff.pk))
        for call in (devices.log_out_other_devices, async_to_sync(devices.alog_out_other_devices)):
            with pytest.raises(OtherUser):
                call(request_with(session, key))
        proxy = ProxyUser.objects.get(pk=self.staff.pk)
        assert devices.log_out_other_devices(request_with(session, proxy)) == 1

    def test_an_auser_who_is_another(self) -> None:
        session = self.session(self.here)
        request = request_with(session, self.staff)

        async def auser() -> User:
            return self.bob

        request.auser = auser
        with pytest.raises(OtherUser, match="SESSION_ON_OTHER_USER"):
            async_to_sync(devices.alog_out_other_devices)(request)
        self.assert_nothing_was_done()


@override_settings(SESSION_ON_OTHER_USER="session")
class SessionCountsTests(OtherUserTestCase):
    def test_the_list(self) -> None:
        both = [self.id_of(client) for client in (self.here, self.devices[0])]
        for token in RefusedTests.tokens:
            assert self.listed(token) == both
        assert self.get("/count/", "user bob").content == b"2"

    def test_one_device(self) -> None:
        mine, bobs = (f"/devices/{self.id_of(self.devices[each])}/end/" for each in (0, 1))
        assert self.post_json(bobs, {}, "user bob").status_code == 404
        assert self.post_json(mine, {}, "user bob").json() == {"ended": 1}
        assert self.users() == ["staff", "", "bob", "bob", "eve"]

    def test_the_others(self) -> None:
        assert self.post_json(PAGES[0], {"password": PASSWORD}, "user bob").json() == {"ended": 1}
        assert self.users() == ["staff", "", "bob", "bob", "eve"]

    def test_all(self) -> None:
        assert self.post_json(PAGES[1], {"password": PASSWORD}, "user bob").json() == {"ended": 2}
        assert self.users() == ["", "", "bob", "bob", "eve"]

    def test_the_password_is_the_session_s_user_s(self) -> None:
        self.bob.set_password("bob's")
        self.bob.save()
        assert self.post_json(PAGES[0], {"password": "bob's"}, "user bob").status_code == 403

    def test_a_password_that_is_hashed_anew_leaves_this_device_logged_in(self) -> None:
        hashers = [
            "django.contrib.auth.hashers.ScryptPasswordHasher",
            "django.contrib.auth.hashers.MD5PasswordHasher",
        ]
        with override_settings(PASSWORD_HASHERS=hashers):
            self.post(PAGES[0], {"password": PASSWORD}, "user bob")
        self.staff.refresh_from_db()
        assert self.staff.password.startswith("scrypt")
        assert self.users()[:2] == ["staff", ""]

    def test_the_functions(self) -> None:
        for view, ended in (("others", b"1"), ("aothers", b"0")):
            assert self.get(f"/{view}/", "user bob").content == ended
        assert self.users() == ["staff", "", "bob", "bob", "eve"]

    def test_changes_of_passwords(self) -> None:
        assert self.post("/change/", CHANGE, "user bob").status_code == 302
        assert self.users() == ["staff", "staff", "", "", "eve"]
        assert self.post("/change-own/", CHANGE, "user bob").status_code == 302
        assert self.users() == ["staff", "", "", "", "eve"]

    def test_a_recent_login(self) -> None:
        for way in ("function", "class", "afunction", "aclass"):
            assert self.get(f"/safe/{way}/", "user bob").content == b"safe"

    def test_a_session_of_nobody_is_a_visitor_s(self) -> None:
        self.here = Client()
        assert self.get("/devices/", "user bob").url == "/login/?next=/devices/"
        response = self.get("/devices/", "user bob", **JSON)
        assert response.json()["error"]["code"] == "login_required"
        assert self.get("/safe/function/", "user bob").url == "/login/?next=/safe/function/"

    def test_a_user_who_may_not_log_in_any_more_is_one_too(self) -> None:
        User.objects.filter(pk=self.staff.pk).update(is_active=False)
        assert self.get("/devices/", "user bob").url == "/login/?next=/devices/"
        assert self.get("/safe/function/", "user bob").url == "/login/?next=/safe/function/"


@override_settings(SESSION_ON_OTHER_USER="request")
class RequestCountsTests(OtherUserTestCase):
    def hash(self) -> str:
        return self.session(self.here)[HASH_SESSION_KEY]

    def test_the_list(self) -> None:
        both = {self.id_of(client) for client in self.devices[1:3]}
        for token in ("user bob", "lazy bob"):
            assert set(self.listed(token)) == both
            found = self.get("/devices/", token, **JSON).json()["devices"]
            assert [each["is_current"] for each in found] == [False, False]
        assert self.get("/count/", "user bob").content == b"2"

    def test_of_claims_no_sessions_can_be_found(self) -> None:
        assert self.get("/devices/", "claims bob").status_code == 403
        assert self.get("/others/", "claims bob").status_code == 403

    def test_one_device(self) -> None:
        own, mine, bobs = (
            f"/devices/{self.id_of(client)}/end/" for client in (self.here, *self.devices[:2])
        )
        for url in (own, mine):
            response = self.post_json(url, {"password": PASSWORD}, "user bob")
            assert response.status_code == 404
        # The login of another is not recent enough for this one.
        response = self.post_json(bobs, {}, "user bob")
        assert response.json()["error"]["code"] == "reauthentication_required"
        before = self.hash()
        response = self.post_json(bobs, {"password": PASSWORD}, "user bob")
        assert response.json() == {"ended": 1}
        assert self.hash() == before
        assert self.users() == ["staff", "staff", "", "bob", "eve"]

    def test_the_others_and_all_are_all_of_that_user_s(self) -> None:
        for url in PAGES:
            response = self.post_json(url, {"password": PASSWORD}, "user bob")
            assert response.json() == {"ended": 2}
            assert self.users() == ["staff", "staff", "", "", "eve"]
            self.devices[1:3] = [self.device(self.bob), self.device(self.bob)]

    def test_a_password_is_no_login_in_another_s_session(self) -> None:
        before = stores["default"].read(self.session(self.here).key)
        self.post_json(PAGES[0], {"password": PASSWORD}, "user bob")
        after = stores["default"].read(self.session(self.here).key)
        assert before is not None
        assert after is not None
        assert after.authenticated_at == before.authenticated_at

    def test_without_a_session_of_one_s_own(self) -> None:
        self.here = Client()
        assert len(self.listed("user bob")) == 2
        response = self.post_json(PAGES[1], {"password": PASSWORD}, "user bob")
        assert response.json() == {"ended": 2}
        assert devices.count_for_user(self.bob) == 0

    def test_the_functions(self) -> None:
        for view in ("others", "aothers"):
            assert self.get(f"/{view}/", "user bob").content == b"2"
            assert self.users() == ["staff", "staff", "", "", "eve"]
            self.devices[1:3] = [self.device(self.bob), self.device(self.bob)]

    def test_changes_of_passwords(self) -> None:
        before = self.hash()
        assert self.post("/change/", CHANGE, "user bob").status_code == 302
        assert self.hash() == before
        assert self.users() == ["staff", "staff", "", "", "eve"]
        assert self.post("/change-own/", CHANGE, "user bob").status_code == 302
        assert self.users() == ["staff", "", "", "", "eve"]

    def test_a_recent_login_is_not_that_user_s(self) -> None:
        for way in ("function", "class", "afunction", "aclass"):
            assert self.get(f"/safe/{way}/", "user bob").status_code == 302
        assert self.get("/recent/", "user bob").content == b"False"


class ImpersonateTests(OtherUserTestCase):
    """With django-impersonate, which puts another user into request.user alone."""

    middleware: dict[str, str] = {"append": "impersonate.middleware.ImpersonateMiddleware"}

    def setUp(self) -> None:
        pytest.importorskip("impersonate")
        self.addCleanup(self.forget_its_admin)
        self.enterContext(self.modify_settings(INSTALLED_APPS={"append": "impersonate"}))
        self.enterContext(self.settings(IMPERSONATE={"DISABLE_LOGGING": True}))  # Without a table.
        super().setUp()
        User.objects.filter(pk=self.staff.pk).update(is_staff=True, is_superuser=True)
        assert self.here.get("/name/").content == b"staff"
        self.here.get(f"/impersonate/{self.bob.pk}/")
        assert self.here.get("/name/").content == b"bob"

    def forget_its_admin(self) -> None:
        for model in [*admin.site._registry]:
            if model._meta.app_label == "impersonate":
                admin.site.unregister(model)

    def users(self) -> list[str]:
        """Return who is logged in here, and not who is impersonated."""
        _, *others = super().users()
        user_id = self.session(self.here).get("_auth_user_id")
        return ["staff" if user_id == str(self.staff.pk) else "", *others]

    def test_it_is_refused(self) -> None:
        for url in ("/devices/", "/others/", "/aothers/", "/safe/function/", "/safe/afunction/"):
            assert self.get(url).status_code == 403
        for url in PAGES:
            assert self.post_json(url, {"password": PASSWORD}, "").status_code == 403
        assert self.post("/change/", CHANGE).status_code == 403
        assert self.get("/recent/").content == b"False"
        self.assert_nothing_was_done()

    def test_it_is_refused_under_asgi(self) -> None:
        client = AsyncClient()
        client.cookies["sessionid"] = self.here.cookies["sessionid"].value
        for url in ("/devices/", "/others/", "/aothers/", "/safe/aclass/", "/safe/afunction/"):
            assert async_to_sync(client.get)(url).status_code == 403
        assert async_to_sync(client.get)("/arecent/").content == b"False"
        self.assert_nothing_was_done()

    def test_who_has_stopped_is_welcome(self) -> None:
        self.here.get("/impersonate/stop/")
        assert len(self.listed("")) == 2
        assert self.get("/safe/afunction/").content == b"safe"
        assert self.get("/aothers/").content == b"1"

    def test_the_session_counts(self) -> None:
        with override_settings(SESSION_ON_OTHER_USER="session"):
            assert self.id_of(self.here) == self.listed("")[0]
            assert self.post_json(PAGES[0], {"password": PASSWORD}, "").json() == {"ended": 1}
        assert self.users() == ["staff", "", "bob", "bob", "eve"]

    def test_the_other_counts(self) -> None:
        with override_settings(SESSION_ON_OTHER_USER="request"):
            assert self.id_of(self.here) not in self.listed("")
            assert self.post_json(PAGES[1], {"password": PASSWORD}, "").json() == {"ended": 2}
        assert self.users() == ["staff", "staff", "", "", "eve"]


@ON_A_CACHE
class RefusedOnACacheTests(RefusedTests):
    pass


@ON_A_CACHE
class RequestCountsOnACacheTests(RequestCountsTests):
    pass


@ON_REDIS
class RefusedOnRedisTests(RefusedTests):
    def setUp(self) -> None:
        servers.require("redis")
        super().setUp()


@ON_REDIS
class RequestCountsOnRedisTests(RequestCountsTests):
    def setUp(self) -> None:
        servers.require("redis")
        super().setUp()
