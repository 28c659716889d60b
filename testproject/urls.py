"""URLs of the demo site."""

from __future__ import annotations

import os

from django.contrib import admin
from django.contrib.auth import views as auth_views
from django.urls import include, path, reverse_lazy

from . import in_flight, views

urlpatterns = [
    path("", views.home, name="home"),
    path(
        "login/",
        auth_views.LoginView.as_view(extra_context={"title": "Log in", "button": "Log in"}),
        name="login",
    ),
    path("logout/", auth_views.LogoutView.as_view(), name="logout"),
    path("devices/", include("django_multistore.urls")),
    path("admin/", admin.site.urls),
    path("password/change/", views.PasswordChange.as_view(), name="password_change"),
    path(
        "password/reset/",
        auth_views.PasswordResetView.as_view(
            template_name="form.html",
            extra_context={"button": "Send me a link"},
            success_url=reverse_lazy("password_reset_done"),
        ),
        name="password_reset",
    ),
    path(
        "password/reset/sent/",
        auth_views.PasswordResetDoneView.as_view(template_name="sent.html"),
        name="password_reset_done",
    ),
    path(
        "reset/<uidb64>/<token>/",  # Short, so that the printed mail doesn't wrap it.
        views.PasswordResetConfirm.as_view(),
        name="password_reset_confirm",
    ),
]

if "TESTPROJECT_IN_FLIGHT" in os.environ:
    urlpatterns += [
        path("in-flight/<name>/save/", in_flight.save),
        path("in-flight/<name>/rotate/", in_flight.rotate),
        path("in-flight/<name>/wait/", in_flight.wait),
        path("in-flight/<name>/go-on/", in_flight.go_on),
    ]
