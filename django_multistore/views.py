"""Views that end a user's other sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import authenticate, update_session_auth_hash
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import RedirectURLMixin, redirect_to_login
from django.shortcuts import resolve_url
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import FormView

from . import devices
from .forms import PasswordConfirmationForm

if TYPE_CHECKING:
    from django import forms
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.http import HttpResponse, HttpResponseRedirect

    _AnyFormView = FormView[Any]
    _FormViewMixin = FormView[Any]
else:
    _AnyFormView = FormView
    _FormViewMixin = object


class LogoutOtherDevicesMixin(_FormViewMixin):
    """
    End a user's other sessions when a form view's form was valid.

    For Django's PasswordChangeView, where this device stays logged in, and its
    PasswordResetConfirmView, where the user's sessions end everywhere. Any other view calls
    log_out_other_devices() where it wants it.
    """

    def form_valid(self, form: forms.BaseForm) -> HttpResponse:
        response = super().form_valid(form)
        self.log_out_other_devices(getattr(form, "user", None))
        return response

    def log_out_other_devices(self, user: AbstractBaseUser | None = None) -> int:
        """
        End the user's sessions, but for this request's if it is one of them.

        Args:
            user: whose sessions. None: the user's who is logged in here.

        Returns:
            How many were ended.

        Raises:
            SessionInterrupted: this request's session was ended meanwhile.
            StoreUnavailable: the store could not be asked.
        """
        if user is None or user == self.request.user:
            return devices.log_out_other_devices(self.request)
        return devices.log_out_everywhere(user)


@method_decorator([sensitive_post_parameters(), csrf_protect, never_cache], name="dispatch")
class LogoutOtherDevicesView(
    LoginRequiredMixin, LogoutOtherDevicesMixin, RedirectURLMixin, _AnyFormView
):
    """
    End the user's other sessions, after asking for the password. POST only.

    Without a password, or with a wrong one, it shows a form that asks for it. Then it goes
    to `next`, to the attribute next_page or to LOGIN_REDIRECT_URL.
    """

    http_method_names = ["post", "options"]
    form_class = PasswordConfirmationForm
    template_name = "django_multistore/log_out_other_devices.html"

    def handle_no_permission(self) -> HttpResponseRedirect:
        if self.raise_exception:
            return super().handle_no_permission()
        # Not back to here after the login: that would be a GET.
        return redirect_to_login(self.get_default_redirect_url(), self.get_login_url())

    def form_valid(self, form: forms.BaseForm) -> HttpResponse:
        if not self.reauthenticate(form):
            form.add_error(None, _("This did not show that it is you. Please try again."))
            return self.form_invalid(form)
        return super().form_valid(form)

    def reauthenticate(self, form: forms.BaseForm) -> bool:
        """
        Say whether it is the user who asks: a hook for other means than the password.

        The password goes through AUTHENTICATION_BACKENDS, so that it works for users of a
        directory too, and lockout tools see each failure.
        """
        user = self.request.user
        found = authenticate(
            self.request,
            username=user.get_username(),
            password=form.cleaned_data["password"],
        )
        if found is None or found.pk != user.pk:
            return False
        # The password may have been hashed anew just now, which would log out this device.
        update_session_auth_hash(self.request, found)
        return True

    def log_out_other_devices(self, user: AbstractBaseUser | None = None) -> int:
        count = super().log_out_other_devices(user)
        said = ngettext(
            "%(count)d other device was logged out.",
            "%(count)d other devices were logged out.",
            count,
        )
        messages.success(self.request, said % {"count": count}, fail_silently=True)
        return count

    def get_default_redirect_url(self) -> str:
        return resolve_url(self.next_page or settings.LOGIN_REDIRECT_URL)
