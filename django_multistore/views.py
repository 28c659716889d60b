"""Views that end a user's other sessions, and mixins for those where a user logs in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import authenticate, update_session_auth_hash
from django.contrib.auth.mixins import AccessMixin, LoginRequiredMixin
from django.contrib.auth.views import RedirectURLMixin, redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseRedirect
from django.shortcuts import resolve_url
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import FormView, View

from . import devices
from .decorators import ahas_recent_login, has_recent_login, redirect_to_login_page
from .exceptions import SessionLimitReached
from .forms import PasswordConfirmationForm

if TYPE_CHECKING:
    from django import forms
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.http import HttpRequest, HttpResponse
    from django.http.response import HttpResponseBase

    _AnyFormView = FormView[Any]
    _FormViewMixin = FormView[Any]
    _ViewMixin = View
else:
    _AnyFormView = FormView
    _FormViewMixin = object
    _ViewMixin = object


class RecentLoginRequiredMixin(AccessMixin, _ViewMixin):
    """
    Let only a user use a view, sync or async, who has logged in recently.

    Others are sent to the login page, and come back from there. It stands before the view,
    and in place of LoginRequiredMixin. With raise_exception it raises PermissionDenied.
    """

    recent_login_seconds: float = 600

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if self.view_is_async:
            return self._adispatch(request, *args, **kwargs)  # type: ignore[return-value]
        if not has_recent_login(request, self.recent_login_seconds):
            return self.handle_no_recent_login()
        return super().dispatch(request, *args, **kwargs)

    async def _adispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not await ahas_recent_login(request, self.recent_login_seconds):
            return self.handle_no_recent_login()
        response: Any = super().dispatch(request, *args, **kwargs)
        return await response  # type: ignore[no-any-return]

    def handle_no_recent_login(self) -> HttpResponseRedirect:
        """
        Answer a user whose login is too long ago, or a visitor.

        handle_no_permission() would refuse the user for good. It stays as it is, for mixins
        such as PermissionRequiredMixin.
        """
        if self.raise_exception:
            raise PermissionDenied(self.get_permission_denied_message())
        return redirect_to_login_page(
            self.request, self.get_login_url(), self.get_redirect_field_name()
        )


class SessionLimitMixin(_FormViewMixin):
    """
    Have a login view say, as an error of its form, that the user has too many sessions.

    For SESSION_MAX_PER_USER_POLICY = "refuse". Elsewhere such a login is answered by 403.
    """

    def form_valid(self, form: forms.BaseForm) -> HttpResponse:
        try:
            return super().form_valid(form)
        except SessionLimitReached:
            form.add_error(
                None,
                _(
                    "You are logged in on as many devices as you may be. Log out on one of them, "
                    "then try again."
                ),
            )
            return self.form_invalid(form)


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

    Without a password, or with a wrong one, it shows a form that asks for it. A user who has
    no password that Django could check must have logged in recently. Then it goes to `next`,
    to the attribute next_page or to LOGIN_REDIRECT_URL.
    """

    http_method_names = ["post", "options"]
    form_class = PasswordConfirmationForm
    template_name = "django_multistore/log_out_other_devices.html"
    recent_login_seconds: float = 600
    accepts_recent_login = False  # In place of the password, from all users.

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        has_password = self._has_password()
        takes_login = self.accepts_recent_login or not has_password
        if takes_login and has_recent_login(request, self.recent_login_seconds):
            self.log_out_other_devices()
            return HttpResponseRedirect(self.get_success_url())
        # A password that was sent all the same may be one of a directory.
        if not has_password and not request.POST.get("password"):
            return self.handle_no_permission()
        return super().post(request, *args, **kwargs)

    def _has_password(self) -> bool:
        # A subclass with a hook of its own has said what it asks these users for.
        has_hook = type(self).reauthenticate is not LogoutOtherDevicesView.reauthenticate
        user: Any = self.request.user
        return has_hook or bool(user.has_usable_password())

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
