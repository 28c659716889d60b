"""A view for what only the user may do, who shows once more who it is."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import HASH_SESSION_KEY, authenticate, logout, update_session_auth_hash
from django.contrib.auth.views import RedirectURLMixin, redirect_to_login
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.http import HttpResponseRedirect, JsonResponse
from django.shortcuts import resolve_url
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import FormView

from ..decorators import has_recent_login
from ..http.languages import speak
from ..http.refusals import JSON, build_error
from ..http.request_subject import get_session
from .base import UserPageMixin

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    _AnyFormView = FormView[Any]
else:
    _AnyFormView = FormView

NOT_YOU = _("Your identity could not be confirmed. Please try again.")
WRONG_PASSWORD = _("Wrong password. Nothing was logged out. Please try again.")
PASSWORD = "password"  # noqa: S105 - the field's name
FAILED = "reauthentication_failed"


def validate_encodable(text: str) -> None:
    """Refuse half of a surrogate pair, as some charsets of a form have it: it can't be hashed."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValidationError(RegexValidator.message) from error


class PasswordConfirmationForm(forms.Form):
    """Ask a user who is logged in for the password again."""

    password = forms.CharField(
        label=_("Password"),
        strip=False,
        validators=[validate_encodable],
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )


@method_decorator([sensitive_post_parameters(), never_cache], name="dispatch")
class ReauthenticationView(UserPageMixin, RedirectURLMixin, _AnyFormView):
    """
    Do something, by POST, for a user who shows once more who it is.

    Without a password, or with a wrong one, it shows a form that asks for it. A user who has
    no password that Django could check must have logged in recently. Then it goes to `next`,
    to the attribute next_page or to LOGIN_REDIRECT_URL. A request that accepts JSON gets it.
    GET does nothing, and shows people the form: for the way back, a tab that is restored, or a
    login in between.
    """

    http_method_names = ["get", "head", "post", "options"]
    form_class = PasswordConfirmationForm
    recent_login_seconds: float = 600
    accepts_recent_login = False  # In place of the password, from all users.

    @abstractmethod
    def confirmed(self) -> HttpResponse:
        """Do it, and answer."""

    @abstractmethod
    def message(self, ended: int) -> str:
        """Say how many sessions were ended."""

    def answer(self, ended: int) -> HttpResponse:
        """Tell how many sessions were ended, and go on."""
        return self._answer(ended, self.get_success_url())

    def answer_json(self, ended: int) -> HttpResponse:
        """Tell a program how many sessions were ended."""
        return JsonResponse({"ended": ended})

    def log_out_here(self, ended: int) -> HttpResponse:
        """End the request's own session, tell how many it was in all, and go on as a visitor."""
        logout(self.request)
        return self._answer(ended, resolve_url(settings.LOGOUT_REDIRECT_URL or settings.LOGIN_URL))

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        self.posted: Mapping[str, Any] = {}

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        is_enough = self._is_login_enough()
        if not (is_enough or self._has_password()):
            return self.handle_no_permission()
        return self.render_to_response(self.get_context_data(login_is_enough=is_enough))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**{"success_url": self.get_success_url()} | kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            self.posted = _read_posted(request)
        except ValueError:
            refusal = _("The body of the request is not a JSON object.")
            return build_error("invalid_json", refusal, status=400)
        if self._is_login_enough():
            return self.confirmed()
        # A password that was sent all the same may be one of a directory.
        if not self._has_password() and not self.posted.get(PASSWORD):
            return self.handle_no_permission()
        return super().post(request, *args, **kwargs)

    def get_form(self, form_class: Any = None) -> forms.BaseForm:
        form: forms.BaseForm = super().get_form(form_class)
        names = {form.add_prefix(name) for name in form.fields}
        if names and names.isdisjoint(self.posted):
            form.is_bound = False  # The form was not shown yet, so nothing is missing.
        return form

    def get_form_kwargs(self) -> dict[str, Any]:
        return super().get_form_kwargs() | ({"data": self.posted} if self.posted else {})

    def form_valid(self, form: forms.BaseForm) -> HttpResponse:
        if not self.reauthenticate(form):
            # Of a hook's fields any may be wrong.
            names_field = PASSWORD in form.fields and not self._has_hook()
            field, said = (PASSWORD, WRONG_PASSWORD) if names_field else (None, NOT_YOU)
            form.add_error(field, ValidationError(said, code=FAILED))
            return self.form_invalid(form)
        if self.owns_session:
            get_session(self.request).restart_authentication()
        return self.confirmed()

    def form_invalid(self, form: forms.BaseForm) -> HttpResponse:
        # Who can't see the page hears what is wrong together with the field that has the focus.
        for name in [name for name in form.fields if form.has_error(name)][:1]:
            form.fields[name].widget.attrs["autofocus"] = True
        return super().form_invalid(form)

    def render_json(self, context: dict[str, Any]) -> HttpResponse:
        form: forms.BaseForm = context["form"]
        for error in chain.from_iterable(form.errors.as_data().values()):
            if error.code == FAILED:
                return build_error(FAILED, error.message, status=403)
        return build_error(
            "reauthentication_required",
            _("Please confirm your identity."),
            status=403,
            fields=[form.add_prefix(name) for name in form.fields],
        )

    def reauthenticate(self, form: forms.BaseForm) -> bool:
        """
        Say whether it is the user who asks: a hook for other means than the password.

        The password goes through AUTHENTICATION_BACKENDS, so that it works for users of a
        directory too, and lockout tools see each failure.
        """
        found = authenticate(
            self.request,
            username=self.user.get_username(),
            password=form.cleaned_data[PASSWORD],
        )
        if found is None or found.pk != self.user.pk:
            return False
        # The password may have been hashed anew just now, which would log out this device.
        if self.owns_session:
            update_session_auth_hash(self.request, found)
            # Django does it for request.user alone.
            self.request.session[HASH_SESSION_KEY] = found.get_session_auth_hash()
        return True

    def redirect_to_login(self) -> HttpResponseRedirect:
        # A user whose login is too old finds the form again, and who asked for it by its URL. Not
        # so a visitor's POST: it may be the second one of "log out everywhere".
        may_come_back = self.user.is_authenticated or self.request.method != "POST"
        if may_come_back and "GET" in self._allowed_methods():
            return super().redirect_to_login()
        return redirect_to_login(self.get_default_redirect_url(), self.get_login_url())

    def get_default_redirect_url(self) -> str:
        return resolve_url(self.next_page or settings.LOGIN_REDIRECT_URL)

    def _answer(self, ended: int, url: str) -> HttpResponse:
        if self.wants_json:
            return self.answer_json(ended)
        with speak():
            said = self.message(ended)
        messages.success(self.request, said, fail_silently=True)
        return HttpResponseRedirect(url)

    def _allowed_methods(self) -> list[str]:
        # There is no form for programs.
        names = super()._allowed_methods()
        return [each for each in names if not (self.wants_json and each in ("GET", "HEAD"))]

    def _is_login_enough(self) -> bool:
        takes_login = self.accepts_recent_login or not self._has_password()
        return takes_login and has_recent_login(self.request, self.recent_login_seconds)

    def _has_password(self) -> bool:
        # A subclass with a hook of its own has said what it asks these users for.
        return self._has_hook() or bool(self.user.has_usable_password())

    def _has_hook(self) -> bool:
        return type(self).reauthenticate is not ReauthenticationView.reauthenticate


def _read_posted(request: HttpRequest) -> Mapping[str, Any]:
    """
    Return a form's fields, or the members of an object; ValueError: there is no such thing.

    Half of a surrogate pair is valid JSON, and text that UTF-8 can't encode: no password is hashed
    from it, no database keeps it, no answer repeats it (RFC 7493, section 2.1).
    """
    if request.content_type != JSON or not request.body:
        return request.POST
    try:
        posted = json.loads(request.body)
        json.dumps(posted, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("Expected an object, without so many levels.") from error
    if not isinstance(posted, dict):
        raise ValueError("Expected an object.")
    return posted
