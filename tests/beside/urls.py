"""The pages of the site, and the packages' own."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth import get_user
from django.contrib.auth.views import PasswordChangeView
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path
from hijack import views as hijack
from loginas import views as loginas
from two_factor.urls import urlpatterns as two_factor
from wagtail.admin import urls as wagtail

from django_multistore import devices
from django_multistore.takeovers import takes_over
from tests.beside.pages import make_module

for page, file in (
    ("wagtail", "mysite/wagtail_hooks.py"),
    ("debug-toolbar", "mysite/admin.py"),
    ("identity-providers", "mysite/oidc.py"),
):
    make_module(page, file)
drf = make_module("apis", "mysite/drf.py")
ninja = make_module("apis", "mysite/ninja.py")
views = make_module("two-factor", "mysite/views.py")


def whoami(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"<html><body>{get_user(request).get_username()}</body></html>")


def end_others(request: HttpRequest) -> HttpResponse:
    """Log out other devices, which moves this session to a new key."""
    return HttpResponse(devices.log_out_other_devices(request))


def note_saml(request: HttpRequest) -> HttpResponse:
    """Keep something in djangosaml2's own session."""
    if "note" in request.GET:
        request.saml_session["note"] = request.GET["note"]
    return JsonResponse({"note": request.saml_session.get("note")})


hijack_urls = [
    path("acquire/", takes_over(hijack.AcquireUserView.as_view()), name="acquire"),
    path("release/", takes_over(hijack.ReleaseUserView.as_view()), name="release"),
]
loginas_urls = [
    path("login/user/<str:user_id>/", takes_over(loginas.user_login), name="loginas-user-login"),
    path("logout/", takes_over(loginas.user_logout), name="loginas-logout"),
]
urlpatterns = [
    path("hijack/", include((hijack_urls, "hijack"))),
    path("loginas/", include(loginas_urls)),
    path("admin/", admin.site.urls),
    path("cms/", include(wagtail)),
    path("whoami/", whoami),
    path("end-others/", end_others),
    path("end-others-by-code/", views.LogoutOtherDevices.as_view(next_page="/whoami/")),
    path("password/", PasswordChangeView.as_view(success_url="/whoami/")),
    path("devices/", include("django_multistore.urls")),
    path("accounts/", include("allauth.urls")),
    path("cas/", include("tests.beside.cas_urls")),
    path("", include(two_factor)),
    path("saml/", note_saml),
    path("oidc/", include("mozilla_django_oidc.urls")),
    path("social/", include("social_django.urls", namespace="social")),
    path("impersonate/", include("impersonate.urls")),
    path("drf/", drf.OtherDevices.as_view()),
    path("ninja/", ninja.api.urls),
    path("__debug__/", include("debug_toolbar.urls")),
]


def always(request: HttpRequest) -> bool:
    """Say that the debug toolbar may be shown."""
    return True
