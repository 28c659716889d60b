"""A user's sessions on a page, and the three places where they end."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import PasswordChangeView, PasswordResetConfirmView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from django_multistore import devices
from django_multistore.forms import PasswordConfirmationForm
from django_multistore.views import LogoutOtherDevicesMixin


@never_cache
@login_required
def home(request: HttpRequest) -> HttpResponse:
    """Show the user's sessions, this one marked."""
    context = {
        "sessions": devices.sessions_for_user(request.user),
        "this_key": request.session.key,
        "password_form": PasswordConfirmationForm(),
    }
    return render(request, "home.html", context)


@require_POST
@login_required
def end_session(request: HttpRequest, id: int) -> HttpResponse:
    """End one session of the user who asks, and of nobody else."""
    if devices.end_session(request.user, id):
        messages.success(request, "That device was logged out.")
    else:
        messages.info(request, "That session had ended before.")
    return redirect("home")


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
