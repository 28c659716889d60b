"""
A site whose pages do to a session what sites do: the package's own, Django's, and a few more.

Each answer says in a header whom it was made for, so that a browser's requests can be told from a
stranger's whatever the answer is.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any

from django.contrib import messages
from django.contrib.auth import get_user
from django.contrib.auth import views as auth_views
from django.contrib.auth.signals import user_logged_in
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import PermissionDenied
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.urls import include, path, reverse_lazy
from django.utils.decorators import sync_and_async_middleware

from django_multistore import devices
from django_multistore.views import LogoutOtherDevicesMixin

HOLDS = "X-Session-Of"  # The username in the answer; empty for a stranger.
FAILING = "fails after the login"  # A parameter that has a receiver of user_logged_in fail.


class Failure(Exception):
    """What a site's own code raises."""


@sync_and_async_middleware
def says_whose(get_response: Callable[[HttpRequest], Any]) -> Any:
    """Note for whom the request was when it came."""
    # A second POST of a form is told from a stranger's by its page, not before.
    if iscoroutinefunction(get_response):

        async def amiddleware(request: HttpRequest) -> HttpResponse:
            user = None if request.method == "POST" else await request.auser()
            name = None if user is None else user.get_username()
            return _named(await get_response(request), name)

        return amiddleware

    def middleware(request: HttpRequest) -> HttpResponse:
        # As async code does, which keeps what it finds apart: views look again.
        user = None if request.method == "POST" else get_user(request)
        name = None if user is None else user.get_username()
        return _named(get_response(request), name)

    return middleware


def _named(response: HttpResponse, name: str | None) -> HttpResponse:
    response[HOLDS] = name or ""
    return response


def page(request: HttpRequest) -> HttpResponse:
    """Read the session, and nothing more."""
    return HttpResponse(request.user.get_username())


def write(request: HttpRequest) -> HttpResponse:
    """Change the session, under a name that only this request uses."""
    request.session[request.GET["name"]] = 1
    return HttpResponse(request.user.get_username())


def rotate(request: HttpRequest) -> HttpResponse:
    """Move the session to a new key, as sites do by themselves."""
    request.session.cycle_key()
    return HttpResponse()


def rotate_and_fail(request: HttpRequest) -> HttpResponse:
    """Move the session to a new key, and be an error 500."""
    request.session.cycle_key()
    raise Failure


def rotate_and_write(request: HttpRequest) -> HttpResponse:
    """Move the session to a new key, and have more to save."""
    request.session.cycle_key()
    request.session["after"] = 1
    return HttpResponse()


def renew(request: HttpRequest) -> HttpResponse:
    """Have the session live its whole age from now on."""
    request.session.modified = True
    return HttpResponse()


def close_account(request: HttpRequest) -> HttpResponse:
    """Delete the user, and say so on the next page."""
    if not request.user.is_authenticated:
        raise PermissionDenied
    request.user.delete()
    messages.success(request, "Goodbye.")
    return HttpResponse()


def end_all_and_say_so(request: HttpRequest) -> HttpResponse:
    """Log the user out everywhere by the package's function, and say so on the next page."""
    if not request.user.is_authenticated:
        raise PermissionDenied
    devices.log_out_everywhere(request.user)
    messages.success(request, "Logged out.")
    return HttpResponse()


class PasswordChange(LogoutOtherDevicesMixin, PasswordChangeView):
    """Whoever knew the old password is logged out; this device stays."""

    success_url = reverse_lazy("page")

    def form_invalid(self, form: Any) -> HttpResponse:
        """Show it again, without a template."""
        return HttpResponse(form.errors.as_text())


@receiver(user_logged_in, dispatch_uid=__name__)
def fail_if_asked(*, request: HttpRequest, **kwargs: Any) -> None:
    """Fail after a login, as any site's receiver may."""
    if FAILING in getattr(request, "POST", {}):
        raise Failure


urlpatterns = [
    path("page/", page, name="page"),
    path("write/", write),
    path("rotate/", rotate),
    path("rotate-and-fail/", rotate_and_fail),
    path("rotate-and-write/", rotate_and_write),
    path("renew/", renew),
    path("close-account/", close_account),
    path("end-all-and-say-so/", end_all_and_say_so),
    path("login/", auth_views.LoginView.as_view(next_page="page"), name="login"),
    path("logout/", auth_views.LogoutView.as_view(next_page="page")),
    path("password/", PasswordChange.as_view(), name="password"),
    path("devices/", include("django_multistore.urls")),
]

SETTINGS: dict[str, Any] = {
    "ROOT_URLCONF": __name__,
    "MIDDLEWARE": [
        "django_multistore.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        f"{__name__}.says_whose",
    ],
    # So that there is something to save after whatever a page has done.
    "MESSAGE_STORAGE": "django.contrib.messages.storage.session.SessionStorage",
    "ALLOWED_HOSTS": ["*"],
    "LOGIN_URL": "/login/",
    "LOGOUT_REDIRECT_URL": "/page/",
    "LOGIN_REDIRECT_URL": "/page/",
}
