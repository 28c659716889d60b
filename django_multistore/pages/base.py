"""What pages have in common: whom they are about, who may see them, HTML or JSON, and numbers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.sessions.exceptions import SessionInterrupted
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpResponse, HttpResponseRedirect
from django.utils import translation
from django.utils.cache import patch_vary_headers
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_exempt

from .. import devices
from ..decorators import redirect_to_login_page
from ..exceptions import OtherUser
from ..http.double_submits import follow_first_post, start_anew
from ..http.forgery import protect
from ..http.languages import find_language
from ..http.refusals import (
    ONLY_WHO_LOGGED_IN,
    REFUSALS,
    answer_in_json,
    build_error,
    refuse_in_json,
    wants_json,
)
from ..http.request_subject import find_subject, get_session
from .frames import find_frame

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.core.paginator import Page as NumberedPage
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase
    from django.views.generic import TemplateView

    from ..records import Page, SessionRecord

    _PageView = TemplateView
else:
    _PageView = object


# Visitors are answered here, where a program gets JSON, and not by LoginRequiredMiddleware; forged
# requests likewise, which are checked as by the middleware, and not by it.
@method_decorator([login_not_required, csrf_exempt], name="dispatch")
class UserPageMixin(LoginRequiredMixin, _PageView):
    """
    Let a page be about one user, in the site's own frame, or in JSON for programs.

    Visitors are refused, and users who are another than their session's user.

    Attributes:
        user: whom the page is about: the session's user, unless SESSION_ON_OTHER_USER says that
            it is a request.user who is another.
        owns_session: whether the request's session is that user's.
    """

    user: Any = None
    owns_session = False

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if self.wants_json:
            answer_in_json(request)
        try:
            response = self._dispatch(request, *args, **kwargs)
        except REFUSALS as error:
            if not self.wants_json:
                raise
            response = refuse_in_json(error, request)
        patch_vary_headers(response, ["Accept"])
        return response

    def http_method_not_allowed(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        response: HttpResponse = super().http_method_not_allowed(request, *args, **kwargs)
        if not self.wants_json:
            return response
        refusal = _("This URL does not take this method.")
        error = build_error("method_not_allowed", refusal, status=405)
        error["Allow"] = response["Allow"]
        return error

    @property
    def wants_json(self) -> bool:
        """Whether the answer is JSON, and no page."""
        return wants_json(self.request)

    @property
    def this(self) -> SessionRecord | None:
        """The session of the request, if it is the user's."""
        return get_session(self.request).record if self.owns_session else None

    def render_to_response(self, context: dict[str, Any], **response_kwargs: Any) -> HttpResponse:
        if self.wants_json:
            return self.render_json(context)
        # With i18n_patterns a URL has a language too, which is the user's whatever the text is in.
        context = context | {
            "base_template": find_frame(),
            "site_language": translation.get_language() or find_language(),
        }
        return super().render_to_response(context, **response_kwargs)

    def render_json(self, context: dict[str, Any]) -> HttpResponse:
        """Answer a program by what is in the context of the page."""
        raise NotImplementedError

    def handle_no_permission(self) -> HttpResponse:  # type: ignore[override]
        """Answer a visitor, or a user whose login is too long ago."""
        if self.wants_json:
            # If the session's user counts and not request.user, that one may be nobody by now.
            users = [user for user in (self.request.user, self.user) if user is not None]
            return _build_refusal(is_user=all(user.is_authenticated for user in users))
        if self.raise_exception:
            raise PermissionDenied(self.get_permission_denied_message())
        return self.redirect_to_login()

    def redirect_to_login(self) -> HttpResponseRedirect:
        """Send the user to the login page, and from there to here."""
        return redirect_to_login_page(
            self.request, self.get_login_url(), self.get_redirect_field_name()
        )

    def _allowed_methods(self) -> list[str]:
        # View's own has the same name, and goes into Allow.
        return [name.upper() for name in self.http_method_names if hasattr(self, name)]

    def _dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer what needs no user, and then what no other site may have sent."""
        if request.method not in self._allowed_methods():
            return self.http_method_not_allowed(request, *args, **kwargs)
        if request.method == "OPTIONS":
            return self.options(request, *args, **kwargs)
        answer: HttpResponseBase = protect(self._serve)(request, *args, **kwargs)
        return answer

    def _serve(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        follow_first_post(request)
        try:
            refusal = self._refuse()
            return super().dispatch(request, *args, **kwargs) if refusal is None else refusal
        except SessionInterrupted:
            # The session was ended meanwhile, or moved by another form: here it is a visitor's now.
            start_anew(request)
            return self.handle_no_permission()

    def _refuse(self) -> HttpResponse | None:
        """Find out whom the page is about, and answer whoever may not see it."""
        try:
            self.user, self.owns_session = find_subject(self.request)
        except OtherUser:
            raise OtherUser(ONLY_WHO_LOGGED_IN) from None
        return None if self.user.is_authenticated else self.handle_no_permission()


def find_page(user: AbstractBaseUser, asked: str, size: int) -> tuple[Page, NumberedPage[int]]:
    """
    Return the sessions on the page that a request asks for, and where among the pages it is.

    What is no number means the first, and a number beyond the last one the last: some may have
    ended since the link was made.
    """
    number = int(asked) if re.fullmatch("[1-9][0-9]{0,8}", asked) else 1
    found = _read_page(user, number, size)
    there = Paginator(range(found.total), size).get_page(number)
    if there.number != number:
        found = _read_page(user, there.number, size)
    return found, there


def _read_page(user: AbstractBaseUser, number: int, size: int) -> Page:
    return devices.page_for_user(user, start=(number - 1) * size, size=size)


def _build_refusal(*, is_user: bool) -> HttpResponse:
    if is_user:
        refusal = _("Log in once more: this login is too long ago.")
        return build_error("recent_login_required", refusal, status=403)
    response = build_error("login_required", _("Log in first."), status=401)
    # RFC 9110, 15.5.2, wants one. Browsers pass over a scheme that they don't know.
    response["WWW-Authenticate"] = "Session"
    return response
