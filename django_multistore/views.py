"""Mixins for a site's own views, and the page that logs out a user's other devices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, REDIRECT_FIELD_NAME, SESSION_KEY
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.mixins import AccessMixin
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.core.exceptions import PermissionDenied
from django.db import router, transaction
from django.db.models import Model
from django.http import HttpResponseRedirect
from django.utils.translation import gettext_lazy as _
from django.views.generic import FormView, View
from django.views.generic.detail import SingleObjectMixin
from django.views.generic.edit import FormMixin

from . import devices
from .decorators import aadmits, admits, redirect_to_login_page
from .exceptions import SessionLimitReached
from .http.double_submits import follow_first_post, start_anew
from .http.request_subject import find_other_user, get_session, owns_session, takes_precedence
from .pages.views import LogoutOtherDevicesView

__all__ = [
    "LogoutOtherDevicesMixin",
    "LogoutOtherDevicesView",
    "RecentLoginRequiredMixin",
    "SessionLimitMixin",
]

if TYPE_CHECKING:
    from django import forms
    from django.http import HttpRequest, HttpResponse
    from django.http.response import HttpResponseBase

    _FormViewMixin = FormView[Any]
    _ViewMixin = View
else:
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
        if not admits(request, self.recent_login_seconds):
            return self.handle_no_recent_login()
        return super().dispatch(request, *args, **kwargs)

    async def _adispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not await aadmits(request, self.recent_login_seconds):
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


@contextmanager
def _keep_owners_hash(request: HttpRequest, user: Any) -> Iterator[None]:
    """
    Have a session keep the hash of its own user, while a form is done with.

    Django's PasswordChangeView writes that of request.user, whosever session it is. Where it isn't
    clear who counts, OtherUser is raised before the form has had its effect.
    """
    other = find_other_user(request)
    takes_precedence(other)
    session = get_session(request)
    owner, hashed = session.get(SESSION_KEY), session.get(HASH_SESSION_KEY)
    yield
    if other is None or hashed is None or session.get(SESSION_KEY) != owner:
        return
    if user is not None and owns_session(user, request):
        hashed = user.get_session_auth_hash()
    session[HASH_SESSION_KEY] = hashed


class LogoutOtherDevicesMixin(_FormViewMixin):
    """
    End a user's other sessions when a form view's form was valid.

    For Django's PasswordChangeView, where this device stays logged in, and its
    PasswordResetConfirmView, where the user's sessions end everywhere. Any other view calls
    log_out_other_devices() where it wants it.
    """

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        is_form = isinstance(self, FormMixin) and not isinstance(self, SingleObjectMixin)
        if not self.view_is_async and follow_first_post(request, only_if_same=is_form) and is_form:
            return self.form_posted_before()
        try:
            return super().dispatch(request, *args, **kwargs)
        except SessionInterrupted:
            if not is_form:
                raise
            # Another form has moved the session, and this one has changed nothing.
            start_anew(request)
            return redirect_to_login_page(request, settings.LOGIN_URL, REDIRECT_FIELD_NAME)

    def form_posted_before(self) -> HttpResponse:
        """Answer the second POST of a form: the first has done all but, perhaps, end the others."""
        # The user is not looked at: if the password is being changed, its hash may be on its way.
        devices.end_others(get_session(self.request))
        return HttpResponseRedirect(self.get_success_url())

    def form_valid(self, form: forms.BaseForm) -> HttpResponse:
        user: Any = getattr(form, "user", None)
        with ExitStack() as stack:
            if isinstance(user, Model):
                # A new password must not be seen before the session has moved: a request beside
                # this one would find the session's hash wrong, and end it.
                using = router.db_for_write(type(user), instance=user)
                stack.enter_context(transaction.atomic(using=using))
            with _keep_owners_hash(self.request, user):
                response = super().form_valid(form)
            is_owner = isinstance(user, AbstractBaseUser) and owns_session(user, self.request)
            if is_owner:
                self._save_session()
        self.log_out_other_devices(user)
        if is_owner:
            self._settle_hash(user)
        return response

    def _save_session(self) -> None:
        try:
            self.request.session.save()
        except UpdateError as error:
            raise SessionInterrupted("The session was ended while the form was saved.") from error

    def _settle_hash(self, user: Any) -> None:
        # The second POST of a form sets the password too, with a salt of its own. The session has
        # to go with whichever was set last.
        session = self.request.session
        # A replica may still have the password of before.
        using = router.db_for_write(type(user), instance=user)
        user.refresh_from_db(using=using, fields=["password"])
        present = user.get_session_auth_hash()
        if session.get(HASH_SESSION_KEY, present) != present:
            session[HASH_SESSION_KEY] = present
            self._save_session()

    def log_out_other_devices(self, user: AbstractBaseUser | None = None) -> int:
        """
        End the user's sessions, but for this request's if it is one of them.

        Args:
            user: whose sessions. None: the user's who is logged in here; if request.user is
                another, see devices.log_out_other_devices(), for what is raised too.

        Returns:
            How many were ended.
        """
        if user is None:
            return devices.log_out_other_devices(self.request)
        if owns_session(user, self.request):
            return devices.end_others(get_session(self.request))
        return devices.log_out_everywhere(user)
