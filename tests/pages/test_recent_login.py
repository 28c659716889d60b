"""Views that need a recent login: each test once sync and once async."""

from __future__ import annotations

from datetime import timedelta
from inspect import iscoroutinefunction
from typing import Any
from unittest.mock import patch

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.mixins import PermissionRequiredMixin
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, SimpleTestCase, TestCase, override_settings
from django.urls import include, path
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.generic import View

from django_multistore.decorators import recent_login_required
from django_multistore.exceptions import InvalidStore, StoreUnavailable
from django_multistore.models import StoredSession
from django_multistore.stores import stores
from django_multistore.views import RecentLoginRequiredMixin

ELSEWHERE = "http://accounts.example/login/"
DJANGOS_MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]


def page(request: HttpRequest, number: int | None = None) -> HttpResponse:
    return HttpResponse("safe" if number is None else f"safe {number}")


async def apage(request: HttpRequest, number: int | None = None) -> HttpResponse:
    return page(request, number)


def code(request: HttpRequest) -> HttpResponse:
    request.session.restart_authentication()
    return HttpResponse("right")


class LoginView(auth_views.LoginView):
    template_name = "django_multistore/log_out_other_devices.html"


class PlainView(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("safe")

    post = get


class AsyncPlainView(View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("safe")

    post = get


class SafeView(RecentLoginRequiredMixin, PlainView):
    recent_login_seconds = 60


class AsyncSafeView(RecentLoginRequiredMixin, AsyncPlainView):
    recent_login_seconds = 60


class PermittedView(SafeView, PermissionRequiredMixin):
    permission_required = "auth.add_user"


def urls_of(kind: str, function: Any, plain: type[View], safe: type[View]) -> list[Any]:
    return [
        path(f"{kind}/function/", recent_login_required(60)(function)),
        path(f"{kind}/class/", safe.as_view()),
        path(f"{kind}/as_view/", recent_login_required(60)(plain.as_view())),
        path(f"{kind}/numbered/<int:number>/", recent_login_required(60)(function)),
        path(f"{kind}/function/float/", recent_login_required(1800.5)(function)),
        path(f"{kind}/class/float/", safe.as_view(recent_login_seconds=1800.5)),
        path(
            f"{kind}/function/403/",
            recent_login_required(60, raise_exception=True)(function),
        ),
        path(f"{kind}/class/403/", safe.as_view(raise_exception=True)),
        path(
            f"{kind}/function/elsewhere/",
            recent_login_required(60, login_url=ELSEWHERE, redirect_field_name="back")(function),
        ),
        path(
            f"{kind}/class/elsewhere/",
            safe.as_view(login_url=ELSEWHERE, redirect_field_name="back"),
        ),
        path(
            f"{kind}/function/named/",
            recent_login_required(60, login_url="accounts:again")(function),
        ),
        path(f"{kind}/class/zero/", safe.as_view(recent_login_seconds=0)),
        path(
            f"{kind}/open/",
            recent_login_required(60, raise_exception=True)(login_not_required(function)),
        ),
    ]


urlpatterns = [
    path("login/", LoginView.as_view()),
    path(
        "login-again/",
        include(([path("", LoginView.as_view(), name="again")], "accounts")),
    ),
    path("permitted/", PermittedView.as_view()),
    path("code/", code),
    *urls_of("sync", page, PlainView, SafeView),
    *urls_of("async", apage, AsyncPlainView, AsyncSafeView),
]


@override_settings(ROOT_URLCONF="tests.pages.test_recent_login", LOGIN_URL="/login/")
class RecentLoginTests(TestCase):
    kind = "sync"
    ways = ("function", "class", "as_view")

    def setUp(self) -> None:
        self.user = User.objects.create_user("bob", password="secret")
        self.browser = self.new_browser()
        self.browser.force_login(self.user)

    def new_browser(self) -> Any:
        return Client()

    def ask(self, where: str, method: str = "get", **kwargs: Any) -> Any:
        return getattr(self.browser, method)(f"/{self.kind}/{where}", **kwargs)

    def logged_in(self, **ago: float) -> None:
        moment = timezone.now() - timedelta(**ago)
        self.assertEqual(StoredSession.objects.sessions().update(authenticated_at=moment), 1)

    def assert_safe(self, where: str, method: str = "get", **kwargs: Any) -> None:
        response = self.ask(where, method, **kwargs)
        self.assertEqual(response.status_code, 200)
        self.assertEqual(response.content, b"" if method == "head" else b"safe")

    def assert_sent_to_log_in(self, where: str, method: str = "get", **kwargs: Any) -> None:
        response = self.ask(where, method, **kwargs)
        self.assertEqual(response.status_code, 302)
        self.assertEqual(response.url, f"/login/?next=/{self.kind}/{where}")

    def test_a_recent_login_opens_the_view_and_an_older_one_the_login_page(self) -> None:
        for way in self.ways:
            for method in ("get", "post", "head"):
                with self.subTest(way, method=method):
                    self.logged_in(seconds=50)
                    self.assert_safe(f"{way}/", method)
                    self.logged_in(seconds=61)
                    self.assert_sent_to_log_in(f"{way}/", method)

    def test_a_login_opens_it_again(self) -> None:
        for way in self.ways:
            self.logged_in(hours=1)
            response = self.ask(f"{way}/", data={"page": "1"})
            self.assertEqual(response.url, f"/login/?next=/{self.kind}/{way}/%3Fpage%3D1")
            answer = self.login_at(response.url)
            self.assertEqual(answer.url, f"/{self.kind}/{way}/?page=1")
            self.assert_safe(f"{way}/")

    def test_a_site_s_own_way_to_ask_opens_it_too(self) -> None:
        self.logged_in(hours=1)
        self.get("/code/")
        self.assert_safe("function/")

    def get(self, url: str) -> Any:
        return self.browser.get(url)

    def login_at(self, url: str) -> Any:
        self.assertEqual(self.get(url).status_code, 200)
        return self.browser.post(url, {"username": "bob", "password": "secret"})

    def test_visitors_are_sent_to_log_in(self) -> None:
        self.browser = self.new_browser()
        for way in self.ways:
            self.assert_sent_to_log_in(f"{way}/")

    def test_seconds_may_have_a_fraction(self) -> None:
        for way in ("function", "class"):
            self.logged_in(seconds=1790)
            self.assert_safe(f"{way}/float/")
            self.logged_in(seconds=1801)
            self.assert_sent_to_log_in(f"{way}/float/")

    def test_a_session_without_a_login_time_is_not_recent(self) -> None:
        StoredSession.objects.sessions().update(authenticated_at=None)
        for way in self.ways:
            self.assert_sent_to_log_in(f"{way}/")

    def test_a_login_before_the_clock_was_put_back(self) -> None:
        for way in self.ways:
            self.logged_in(seconds=-50)
            self.assert_safe(f"{way}/")
            self.logged_in(seconds=-70)
            self.assert_sent_to_log_in(f"{way}/")

    def test_a_user_who_was_deactivated_is_sent_to_log_in(self) -> None:
        User.objects.update(is_active=False)
        for way in self.ways:
            self.assert_sent_to_log_in(f"{way}/")

    def test_a_user_whose_password_was_changed_elsewhere_is_too(self) -> None:
        self.user.set_password("another")
        self.user.save()
        self.assert_sent_to_log_in("function/")

    def test_a_403_instead(self) -> None:
        for way in ("function", "class"):
            self.assert_safe(f"{way}/403/")
            self.logged_in(seconds=70)
            with self.assertLogs("django.request", "WARNING"):
                self.assertEqual(self.ask(f"{way}/403/").status_code, 403)
            self.logged_in(seconds=50)

    def test_the_login_page_of_another_host_gets_the_whole_url(self) -> None:
        self.logged_in(seconds=70)
        for way in ("function", "class"):
            here = f"http%3A//testserver/{self.kind}/{way}/elsewhere/"
            self.assertEqual(self.ask(f"{way}/elsewhere/").url, f"{ELSEWHERE}?back={here}")

    def test_the_login_page_of_another_scheme_does_too(self) -> None:
        self.logged_in(seconds=70)
        for way in self.ways:
            for scheme, here in (("http", ""), ("https", "http%3A//testserver")):
                login_url = f"{scheme}://testserver/login/"
                with override_settings(LOGIN_URL=login_url):
                    url = self.ask(f"{way}/").url
                self.assertEqual(url, f"{login_url}?next={here}/{self.kind}/{way}/")

    def test_the_login_page_may_be_named(self) -> None:
        self.logged_in(seconds=70)
        url = self.ask("function/named/").url
        self.assertEqual(url, f"/login-again/?next=/{self.kind}/function/named/")

    def test_arguments_reach_the_view(self) -> None:
        self.assertEqual(self.ask("numbered/7/").content, b"safe 7")

    def test_caches_are_told_that_it_depends_on_the_cookie(self) -> None:
        for seconds in (50, 70):
            self.logged_in(seconds=seconds)
            for way in self.ways:
                self.assertIn("Cookie", self.ask(f"{way}/")["Vary"])

    def test_an_older_login_costs_the_load_of_the_session(self) -> None:
        self.logged_in(seconds=70)
        for way in self.ways:
            with self.assertNumQueries(1):
                self.ask(f"{way}/")

    @override_settings(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies")
    def test_another_engine_is_a_clear_error(self) -> None:
        for way in self.ways:
            with pytest.raises(InvalidStore, match="Set it to 'django_multistore"):
                self.ask(f"{way}/")

    @override_settings(MIDDLEWARE=DJANGOS_MIDDLEWARE)  # It lets the error through.
    def test_an_outage_is_no_reason_to_log_in(self) -> None:
        store = stores["default"]
        with (
            patch.object(store, "read", side_effect=StoreUnavailable("down")),
            patch.object(store, "aread", side_effect=StoreUnavailable("down")),
        ):
            for way in self.ways:
                with pytest.raises(StoreUnavailable):
                    self.ask(f"{way}/")

    def test_the_middleware_for_logins_sends_visitors_to_the_same_page(self) -> None:
        self.browser = self.new_browser()
        middleware = "django.contrib.auth.middleware.LoginRequiredMiddleware"
        with self.modify_settings(MIDDLEWARE={"append": middleware}):
            here = f"http%3A//testserver/{self.kind}/function/elsewhere/"
            self.assertEqual(self.ask("function/elsewhere/").url, f"{ELSEWHERE}?back={here}")
            with self.assertLogs("django.request", "WARNING"):
                self.assertEqual(self.ask("open/").status_code, 403)

    def test_a_mixin_with_no_time_is_a_clear_error(self) -> None:
        with pytest.raises(ValueError, match="above 0"):
            self.ask("class/zero/")


class AsyncRecentLoginTests(RecentLoginTests):
    """A session that is loaded by sync code here is Django's SynchronousOnlyOperation."""

    kind = "async"

    def new_browser(self) -> Any:
        return AsyncClient()

    def ask(self, where: str, method: str = "get", **kwargs: Any) -> Any:
        return async_to_sync(getattr(self.browser, method))(f"/{self.kind}/{where}", **kwargs)

    def get(self, url: str) -> Any:
        return async_to_sync(self.browser.get)(url)

    def login_at(self, url: str) -> Any:
        self.assertEqual(self.get(url).status_code, 200)
        data = {"username": "bob", "password": "secret"}
        return async_to_sync(self.browser.post)(url, data)


@override_settings(ROOT_URLCONF="tests.pages.test_recent_login", LOGIN_URL="/login/")
class PermissionTests(TestCase):
    def test_a_user_who_may_not_do_it_is_not_asked_to_log_in_again(self) -> None:
        self.client.force_login(User.objects.create_user("bob"))
        with self.assertLogs("django.request", "WARNING"):
            self.assertEqual(self.client.get("/permitted/").status_code, 403)
        StoredSession.objects.sessions().update(
            authenticated_at=timezone.now() - timedelta(hours=1)
        )
        self.assertEqual(self.client.get("/permitted/").url, "/login/?next=/permitted/")


class DecoratingTests(SimpleTestCase):
    def test_what_is_no_number_of_seconds_is_refused_at_once(self) -> None:
        for seconds in (page, "600", None, True, timedelta(minutes=10)):
            with (
                self.subTest(seconds),
                pytest.raises(TypeError, match=r"_required\(600\), and not"),
            ):
                recent_login_required(seconds)
        for seconds in (0, -1, -0.5, float("nan")):
            with self.subTest(seconds), pytest.raises(ValueError, match="above 0"):
                recent_login_required(seconds)

    def test_the_view_keeps_its_name_and_its_marks(self) -> None:
        for view in (page, apage):
            decorated = recent_login_required(60)(csrf_exempt(view))
            self.assertEqual(decorated.__name__, view.__name__)
            self.assertTrue(decorated.csrf_exempt)
            self.assertIs(iscoroutinefunction(decorated), view is apage)
