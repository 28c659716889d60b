"""Whatever refuses a program is an object, of one shape."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import patch

from asgiref.sync import async_to_sync
from django.core.exceptions import BadRequest, MiddlewareNotUsed, PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware, rotate_token
from django.test import AsyncClient, Client, override_settings
from django.urls import include, path

from django_multistore.exceptions import StoreUnavailable
from django_multistore.stores import stores
from django_multistore.views import LogoutOtherDevicesView
from tests.support.cases.device_pages import JSON, PASSWORD, PagesTestCase, name

DJANGOS_CSRF = "django.middleware.csrf.CsrfViewMiddleware"
OTHERS = "/devices/end-others/"
raised: list[Exception] = []


class RaisingView(LogoutOtherDevicesView):
    def reauthenticate(self, form: Any) -> bool:
        raise raised[0]


urlpatterns = [
    path("devices/", include("django_multistore.urls")),
    path("raise/", RaisingView.as_view()),
    path("name/", name),
]


class Stricter(CsrfViewMiddleware):
    """A middleware of a site's, which wants more than Django's."""

    def process_view(self, request: HttpRequest, *args: Any) -> Any:
        refusal = super().process_view(request, *args)
        if refusal is None and request.method == "POST" and "X-Strict" not in request.headers:
            if getattr(args[0], "csrf_exempt", False):
                return None
            return self._reject(request, "not strict enough")
        return refusal


class Laxer(CsrfViewMiddleware):
    """A middleware of a site's, which lets everything through."""

    def process_view(self, request: HttpRequest, *args: Any) -> Any:
        return None


class Unused(CsrfViewMiddleware):
    """A middleware that isn't for this site."""

    def __init__(self, get_response: Any) -> None:
        raise MiddlewareNotUsed


def log_in_anew(get_response: Any) -> Any:
    """Change the secret as a login does: RemoteUserMiddleware's, say."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if "anew" in request.GET:
            rotate_token(request)
        return get_response(request)  # type: ignore[no-any-return]

    return middleware


def end_before_the_view(get_response: Any) -> Any:
    """End the session once it was loaded, with its user."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated and request.method == "POST":
            stores["default"].destroy(request.session.key)
        return get_response(request)  # type: ignore[no-any-return]

    return middleware


def end_behind_the_view(get_response: Any) -> Any:
    """End the session when the view has answered, and have the middleware save it."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response: HttpResponse = get_response(request)
        stores["default"].destroy(request.session.key)
        request.session["written"] = "late"
        return response

    return middleware


def fail(request: HttpRequest, reason: str = "") -> HttpResponse:
    return HttpResponse(f"the site's own page: {reason}", status=418)


@override_settings(ROOT_URLCONF=__name__)
class RefusalTests(PagesTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.app = self.device(self.user, enforce_csrf_checks=True)

    def post(self, url: str, client: Any = None, **headers: str) -> Any:
        body = json.dumps({"password": PASSWORD})
        poster = client or self.app
        return poster.post(url, body, content_type="application/json", headers=JSON | headers)

    def assert_refused(self, response: Any, status: int, code: str) -> None:
        self.assertEqual(response["Content-Type"], "application/json")
        error = response.json()["error"]
        self.assertEqual((response.status_code, error["code"]), (status, code))
        self.assertTrue(error["message"])

    def token(self) -> str:
        return self.app.get("/devices/", headers=JSON).json()["csrf_token"]  # type: ignore[no-any-return]

    # What other sites may have sent.

    def test_without_a_token(self) -> None:
        urls = (self.end(self.phone), OTHERS, "/devices/end-all/")
        for middleware in ({}, {"remove": DJANGOS_CSRF}):
            with self.modify_settings(MIDDLEWARE=middleware):
                for url in urls:
                    for headers in (
                        {},
                        {"X-CSRFToken": "x" * 64},
                        {"Origin": "https://evil.example"},
                    ):
                        with self.assertLogs("django.security.csrf", "WARNING"):
                            self.assert_refused(self.post(url, **headers), 403, "csrf_failed")
        self.assert_nothing_ended()

    def test_with_one(self) -> None:
        self.assertEqual(self.post(OTHERS, **{"X-CSRFToken": self.token()}).json(), {"ended": 2})

    def test_people_get_the_site_s_page(self) -> None:
        with override_settings(CSRF_FAILURE_VIEW=f"{__name__}.fail"):
            response = self.app.post(OTHERS, {"password": PASSWORD})
        self.assertContains(response, "the site's own page: CSRF", status_code=418)
        self.assert_nothing_ended()

    def test_a_stricter_middleware_is_as_strict_here(self) -> None:
        token = {"X-CSRFToken": self.token()}
        with self.settings(MIDDLEWARE=self.replace_csrf("Stricter")):
            self.assert_refused(self.post(OTHERS), 403, "csrf_failed")
            self.assert_refused(self.post(OTHERS, **token), 403, "csrf_failed")
            self.assert_nothing_ended()
            response = self.post(OTHERS, **token | {"X-Strict": "yes"})
            self.assertEqual(response.json(), {"ended": 2})

    def test_one_that_lets_all_through_is_followed_by_django_s(self) -> None:
        with self.settings(MIDDLEWARE=self.replace_csrf("Laxer")):
            self.assert_refused(self.post(OTHERS), 403, "csrf_failed")
        self.assert_nothing_ended()

    def test_one_that_isn_t_used_is_left_out(self) -> None:
        with self.settings(MIDDLEWARE=self.replace_csrf("Unused")):
            self.assert_refused(self.post(OTHERS), 403, "csrf_failed")
            self.assertEqual(self.here.get("/devices/").status_code, 200)

    def test_a_secret_that_a_login_has_changed_is_sent(self) -> None:
        with self.modify_settings(MIDDLEWARE={"append": f"{__name__}.log_in_anew"}):
            old = self.token_in_cookie("/devices/")
            self.assertNotEqual(self.token_in_cookie("/devices/?anew"), old)

    def token_in_cookie(self, url: str) -> str:
        self.app.get(url)
        return self.app.cookies["csrftoken"].value

    def replace_csrf(self, name: str) -> list[str]:
        from django.conf import settings  # noqa: PLC0415

        own = f"{__name__}.{name}"
        return [own if each == DJANGOS_CSRF else each for each in settings.MIDDLEWARE]

    # What there is not.

    def test_another_method(self) -> None:
        for client in (self.here, Client(), self.app):
            for url in (OTHERS, self.end(self.phone)):
                for verb in ("get", "head", "put", "delete"):
                    response = getattr(client, verb)(url, headers=JSON)
                    self.assertEqual(response["Allow"], "POST, OPTIONS")
                    self.assertEqual(response.status_code, 405)
                    if verb != "head":
                        self.assert_refused(response, 405, "method_not_allowed")
                self.assertEqual(client.options(url, headers=JSON)["Allow"], "POST, OPTIONS")
            self.assert_refused(self.post("/devices/", client), 405, "method_not_allowed")
        self.assert_nothing_ended()

    def test_another_user_s_device(self) -> None:
        response = self.post(self.end(self.hers), **{"X-CSRFToken": self.token()})
        self.assert_refused(response, 404, "not_found")

    # What ends on the way.

    def test_a_session_that_ends_behind_the_view(self) -> None:
        middleware = {"append": f"{__name__}.end_behind_the_view"}
        with self.modify_settings(MIDDLEWARE=middleware):
            response = self.post(self.end(self.phone), self.here)
        self.assert_refused(response, 400, "session_ended")

    def test_people_get_django_s_page_then(self) -> None:
        middleware = {"append": f"{__name__}.end_behind_the_view"}
        with self.modify_settings(MIDDLEWARE=middleware):
            page = self.here.get("/devices/")
        self.assertEqual((page.status_code, page["Content-Type"][:9]), (400, "text/html"))

    def test_so_under_asgi(self) -> None:
        client = AsyncClient()
        client.force_login(self.user)
        with self.modify_settings(MIDDLEWARE={"append": f"{__name__}.end_behind_the_view"}):
            response = async_to_sync(client.get)("/devices/", headers=JSON)
        self.assert_refused(response, 400, "session_ended")

    def test_a_session_that_ends_before_the_view_acts(self) -> None:
        with self.modify_settings(MIDDLEWARE={"append": f"{__name__}.end_before_the_view"}):
            self.assert_refused(self.post(OTHERS, self.here), 401, "login_required")
        self.assertEqual(self.users()[1:], ["bob", "eve"])

    def test_an_outage(self) -> None:
        def be_out(*args: Any, **kwargs: Any) -> Any:
            raise StoreUnavailable("out")

        with patch.object(stores["default"], "page_for_user", be_out):
            response = self.here.get("/devices/", headers=JSON)
        self.assert_refused(response, 503, "unavailable")
        self.assertEqual(response["Retry-After"], "5")

    # What a hook, or the reading of the request, raises.

    def test_what_a_hook_raises(self) -> None:
        for error, status, code in (
            (PermissionDenied("locked"), 403, "permission_denied"),
            (Http404("no"), 404, "not_found"),
            (BadRequest("no"), 400, "bad_request"),
        ):
            raised[:] = [error]
            self.assert_refused(self.post("/raise/", self.here), status, code)
            page = self.here.post("/raise/", {"password": PASSWORD})
            self.assertEqual((page.status_code, page["Content-Type"][:9]), (status, "text/html"))

    @override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=10)
    def test_a_body_that_is_too_long(self) -> None:
        with self.assertLogs("django.security.RequestDataTooBig", "ERROR"):
            response = self.post(OTHERS, self.here)
        self.assert_refused(response, 400, "bad_request")

    def test_a_form_that_can_not_be_read(self) -> None:
        response = self.here.generic(
            "POST", OTHERS, b"x", content_type="multipart/form-data; boundary=", headers=JSON
        )
        self.assert_refused(response, 400, "bad_request")
