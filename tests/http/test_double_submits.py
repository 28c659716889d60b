"""A double click: the second POST of one form, on its way beside the first or just behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import views as auth_views
from django.contrib.auth.models import User
from django.db.models.signals import post_save
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.test import Client
from django.urls import include, path

from django_multistore import devices
from django_multistore.views import LogoutOtherDevicesMixin
from tests.support.meeting import MEMORY, REDIS_CLUSTER, REDIS_SERVER, on, store_setting

COOKIE = django_settings.SESSION_COOKIE_NAME
KINDS = [MEMORY, "sqlite", "postgres", "mariadb", REDIS_SERVER, REDIS_CLUSTER, "memcached+sqlite"]
EVERYWHERE = pytest.mark.parametrize("kind", on(*KINDS))
OLD, NEW = "old secret", "NEW-4-you!"
CHANGE = {"old_password": OLD, "new_password1": NEW, "new_password2": NEW}

crossing: list[Callable[[], object]] = []
looks_at_user = [True]


class PasswordChangeView(LogoutOtherDevicesMixin, auth_views.PasswordChangeView):
    success_url = "/page/"
    template_name = "django_multistore/log_out_other_devices.html"


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{request.user} {request.session.get('written', '')}".strip())


urlpatterns = [
    path("change/", PasswordChangeView.as_view()),
    path("account/", include("django_multistore.urls")),
    path("login/", auth_views.LoginView.as_view(template_name="registration/logged_out.html")),
    path("page/", page),
]


def cross(get_response: Any) -> Any:
    """Do what crosses a request once that has loaded its session and its user."""

    def middleware(request: HttpRequest) -> Any:
        if crossing:
            assert request.session.get("_auth_user_id")
            assert not looks_at_user or request.user.is_authenticated
            crossing.pop()()
        return get_response(request)

    return middleware


@pytest.fixture(autouse=True)
def site(kind: str, settings: Any) -> Iterator[None]:
    settings.SESSION_STORES = store_setting(kind)
    settings.ROOT_URLCONF = __name__
    settings.LOGIN_URL = "/login/"
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.http.test_double_submits.cross"]
    yield
    assert not crossing


@pytest.fixture
def user() -> User:
    user = User.objects.create_user("ann", password=OLD)
    devices.log_out_everywhere(user)  # Another test's, of the same number.
    return user


class Browser:
    """Tabs of one browser, which send what cookie they have when they are asked to."""

    def __init__(self, user: User, url: str) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(user)
        self.user, self.url, self.cookies = user, url, client.cookies
        # As each form's, it is masked.
        found = client.get("/account/", headers={"accept": "application/json"})
        self.token = found.json()["csrf_token"]
        self.sent_with = {name: morsel.value for name, morsel in client.cookies.items()}

    def post(self, data: Any, *, token: str | None = None, **headers: str) -> HttpResponseBase:
        client = Client(enforce_csrf_checks=True)
        client.cookies.load(self.sent_with)
        sent = {"csrfmiddlewaretoken": token or self.token, **data}
        return client.post(self.url, sent, headers=headers)  # type: ignore[return-value]


def page_of(*responses: HttpResponseBase) -> list[bytes]:
    """Return what a browser sees with the cookie of each of these."""
    seen = []
    for response in responses:
        client = Client()
        client.cookies[COOKIE] = response.cookies[COOKIE].value
        seen.append(client.get("/page/").content)
    return seen


@pytest.fixture
def others(user: User) -> None:
    for _ in range(2):
        Client().force_login(user)


def in_order(browser: Browser, data: Any, **headers: str) -> list[HttpResponseBase]:
    return [browser.post(data, **headers), browser.post(data, **headers)]


def crossed(browser: Browser, data: Any, **headers: str) -> list[HttpResponseBase]:
    first: list[HttpResponseBase] = []
    crossing.append(lambda: first.append(browser.post(data, **headers)))
    second = browser.post(data, **headers)
    return [*first, second]


def crossed_early(browser: Browser, data: Any, **headers: str) -> list[HttpResponseBase]:
    """Cross the request before it looks at its user."""
    looks_at_user.clear()
    try:
        return crossed(browser, data, **headers)
    finally:
        looks_at_user.append(True)


ORDERS = pytest.mark.parametrize("twice", [in_order, crossed, crossed_early])


@ORDERS
@EVERYWHERE
def test_log_out_other_devices(user: User, others: None, twice: Any) -> None:
    browser = Browser(user, "/account/end-others/")
    first, second = twice(browser, {"password": OLD})
    assert [first.status_code, second.status_code] == [302, 302]
    assert first.url == second.url
    assert page_of(first, second) == [b"ann", b"ann"]
    assert devices.count_for_user(user) == 1


@ORDERS
@EVERYWHERE
def test_as_json(user: User, others: None, twice: Any) -> None:
    browser = Browser(user, "/account/end-others/")
    first, second = twice(browser, {"password": OLD}, accept="application/json")
    assert [first.json(), second.json()] == [{"ended": 2}, {"ended": 0}]
    assert page_of(first, second) == [b"ann", b"ann"]


@ORDERS
@EVERYWHERE
def test_change_of_the_password(user: User, others: None, twice: Any) -> None:
    browser = Browser(user, "/change/")
    first, second = twice(browser, CHANGE)
    assert [first.status_code, second.status_code] == [302, 302]
    assert first.url == second.url == "/page/"
    assert page_of(first, second) == [b"ann", b"ann"]
    assert devices.count_for_user(user) == 1
    user.refresh_from_db()
    assert user.check_password(NEW)


class Replicas:
    """A router by whose replica what was written just now isn't there yet."""

    lags = False

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "a replica that lags" if self.lags and model is User else None


@EVERYWHERE
def test_the_hash_is_not_read_from_a_replica(user: User, settings: Any) -> None:
    router = Replicas()
    settings.DATABASE_ROUTERS = [router]
    browser = Browser(user, "/change/")

    def lag(**kwargs: Any) -> None:
        router.lags = True

    post_save.connect(lag, sender=User)
    try:
        response = browser.post(CHANGE)
    finally:
        post_save.disconnect(lag, sender=User)
        router.lags = False
    assert response.status_code == 302
    assert page_of(response) == [b"ann"]


@EVERYWHERE
def test_another_password_in_the_same_form_is_not_said_to_be_set(user: User) -> None:
    """What is answered without being done has been done: this has not."""
    browser = Browser(user, "/change/")
    browser.post(CHANGE)
    second = browser.post(
        {**CHANGE, "new_password1": "Better-4-me!", "new_password2": "Better-4-me!"}
    )
    assert second.url.startswith("/login/")  # type: ignore[attr-defined]
    user.refresh_from_db()
    assert user.check_password(NEW)


@EVERYWHERE
def test_a_password_is_not_said_to_be_set_by_another_form_of_the_page(user: User) -> None:
    """They have one token, as what a script of the page sends has."""
    browser = Browser(user, "/account/end-others/")
    browser.post({"password": OLD})
    browser.url = "/change/"
    second = browser.post(CHANGE)
    assert second.url.startswith("/login/")  # type: ignore[attr-defined]
    user.refresh_from_db()
    assert user.check_password(OLD)


@pytest.mark.parametrize("when", ["before", "long before"])
@ORDERS
@EVERYWHERE
def test_change_of_the_password_where_the_secret_key_has_changed(
    user: User, others: None, twice: Any, when: str, settings: Any
) -> None:
    browser = Browser(user, "/change/")
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY if when == "before" else "another"]
    if when == "before":
        settings.SECRET_KEY = "the key that comes after it"
    first, second = twice(browser, CHANGE)
    assert [first.status_code, second.status_code] == [302, 302]
    assert first.url == second.url == "/page/"
    assert page_of(first, second) == [b"ann", b"ann"]
    assert devices.count_for_user(user) == 1


@ORDERS
@EVERYWHERE
def test_log_out_everywhere(user: User, others: None, twice: Any) -> None:
    browser = Browser(user, "/account/end-all/")
    first, second = twice(browser, {"password": OLD})
    assert [first.status_code, second.status_code] == [302, 302]
    assert second.url.startswith("/login/")
    assert devices.count_for_user(user) == 0


@ORDERS
@EVERYWHERE
def test_another_form_of_the_old_cookie_is_a_stranger_s(
    user: User, others: None, twice: Any
) -> None:
    """Who has stolen the cookie has a form of its own."""
    browser = Browser(user, "/account/end-others/")
    thief = Browser(user, browser.url)
    thief.sent_with = {**thief.sent_with, COOKIE: browser.sent_with[COOKIE]}
    first: list[HttpResponseBase] = []
    if twice is crossed:
        crossing.append(lambda: first.append(browser.post({"password": OLD})))
    else:
        first.append(browser.post({"password": OLD}))
    second = thief.post({"password": OLD})
    assert second.status_code == 302
    assert second.url.startswith("/login/")  # type: ignore[attr-defined]
    assert COOKIE not in second.cookies
    assert page_of(*first) == [b"ann"]
    assert devices.count_for_user(user) == 1


@EVERYWHERE
def test_a_token_that_is_not_masked_is_no_form(user: User) -> None:
    """The CSRF cookie's own is the same in each form, and stolen with the other cookie."""
    browser = Browser(user, "/account/end-others/")
    secret = browser.sent_with["csrftoken"]
    assert len(secret) == 32
    first = browser.post({"password": OLD}, token=secret)
    second = browser.post({"password": OLD}, token=secret)
    assert page_of(first) == [b"ann"]
    assert second.url.startswith("/login/")  # type: ignore[attr-defined]


@EVERYWHERE
def test_a_second_post_after_a_logout_is_a_stranger_s(user: User) -> None:
    browser = Browser(user, "/account/end-others/")
    browser.post({"password": OLD})
    devices.log_out_everywhere(user)
    second = browser.post({"password": OLD})
    assert second.url.startswith("/login/")  # type: ignore[attr-defined]
    assert devices.count_for_user(user) == 0
