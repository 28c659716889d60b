"""The demo site's own pages."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import PasswordChangeView, PasswordResetConfirmView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse_lazy
from django.views.decorators.cache import never_cache

from django_multistore.engine import SessionStore
from django_multistore.views import LogoutOtherDevicesMixin


@never_cache
@login_required
def home(request: HttpRequest) -> HttpResponse:
    """Say who is logged in, on how many devices."""
    # Before the site moves here it has Django's engine, whose sessions nobody can list.
    return render(request, "home.html", {"has_devices": isinstance(request.session, SessionStore)})


class PasswordChange(LogoutOtherDevicesMixin, PasswordChangeView):
    """Whoever knew the old password is logged out; this device stays."""

    template_name = "form.html"
    extra_context = {"button": "Change password"}
    success_url = reverse_lazy("home")


class PasswordResetConfirm(LogoutOtherDevicesMixin, PasswordResetConfirmView):
    """Nobody is logged in here, so the user's sessions end everywhere."""

    template_name = "form.html"
    extra_context = {"button": "Set password"}
    success_url = reverse_lazy("login")
