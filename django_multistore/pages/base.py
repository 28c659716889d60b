"""What the pages have in common that show or end a user's sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.sessions.exceptions import SessionInterrupted
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, HttpResponseRedirect
from django.template import Engine
from django.utils.cache import patch_vary_headers
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views.generic import View
from django.views.generic.base import ContextMixin

from .. import devices
from ..decorators import redirect_to_login_page
from ..exceptions import OtherUser
from ..http import negotiation
from ..http.negotiation import wants_json
from ..http.second_posts import follow_first_post, start_anew
from ..http.subject import whose

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from ..records import SessionRecord

    class _PageView(ContextMixin, View): ...

    _View = View
else:
    _PageView = _View = object

# The first that the site's templates have. A site whose base.html has other blocks than `title` and
# `content` has a django_multistore/base.html of its own.
BASE_TEMPLATES = ["base.html", "django_multistore/standalone.html"]


class OneUserMixin(LoginRequiredMixin, _View):
    """
    Let a page be about one user, and refuse those who are another than their session's user.

    Attributes:
        user: whom the page is about: the session's user, unless SESSION_ON_OTHER_USER says that
            it is a request.user who is another.
        owns_session: whether the request's session is that user's.
    """

    user: Any = None
    owns_session = False

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            self.user, self.owns_session = whose(request)
        except OtherUser:
            refusal = _("Only the user who has logged in here may see or do this.")
            if wants_json(request):
                return negotiation.error("other_user", refusal, status=403)
            raise OtherUser(refusal) from None
        if not self.user.is_authenticated:
            return self.handle_no_permission()
        return super().dispatch(request, *args, **kwargs)

    @property
    def this(self) -> SessionRecord | None:
        """The session of the request, if it is the user's."""
        return devices.session_of(self.request).record if self.owns_session else None


# Visitors are answered here, where a program gets JSON, and not by LoginRequiredMiddleware.
@method_decorator(login_not_required, name="dispatch")
class UserPageMixin(OneUserMixin, _PageView):
    """Let only users see a page, in the site's own frame, and answer programs in JSON."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        follow_first_post(request)
        try:
            response = super().dispatch(request, *args, **kwargs)
        except SessionInterrupted:
            # It was ended meanwhile, or moved by another form: this is a stranger by now.
            start_anew(request)
            response = self.handle_no_permission()
        patch_vary_headers(response, ["Accept"])
        return response

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        frame = Engine.get_default().select_template(BASE_TEMPLATES)
        return super().get_context_data(**kwargs, base_template=frame)

    def handle_no_permission(self) -> HttpResponse:  # type: ignore[override]
        """Answer a visitor, or a user whose login is too long ago."""
        if wants_json(self.request):
            # Of two users it may be the session's who counts, and is nobody by now.
            users = [user for user in (self.request.user, self.user) if user is not None]
            return _refusal(is_user=all(user.is_authenticated for user in users))
        if self.raise_exception:
            raise PermissionDenied(self.get_permission_denied_message())
        return self.redirect_to_login()

    def redirect_to_login(self) -> HttpResponseRedirect:
        """Send the user to the login page, and from there to here."""
        return redirect_to_login_page(
            self.request, self.get_login_url(), self.get_redirect_field_name()
        )


def _refusal(*, is_user: bool) -> HttpResponse:
    if is_user:
        refusal = _("Log in once more: this login is too long ago.")
        return negotiation.error("recent_login_required", refusal, status=403)
    response = negotiation.error("login_required", _("Log in first."), status=401)
    # RFC 9110, 15.5.2, wants one. Browsers pass over a scheme that they don't know.
    response["WWW-Authenticate"] = "Session"
    return response
