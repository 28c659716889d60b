"""The pages where a user sees which devices are logged in, and logs them out. As JSON too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import JsonResponse
from django.middleware.csrf import get_token
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.generic import TemplateView

from .. import devices
from ..descriptions import described
from ..http import negotiation
from ..http.negotiation import wants_json
from ..search.usernames import actors
from .base import UserPageMixin
from .paging import asked_page
from .reauthentication import ReauthenticationView

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


@method_decorator(never_cache, name="dispatch")
class DevicesView(UserPageMixin, TemplateView):
    """List the user's devices, this one first, then the one seen last."""

    http_method_names = ["get", "head", "options"]
    template_name = "django_multistore/devices.html"
    paginate_by = 50

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        found, there = asked_page(self.user, request.GET.get("page", ""), self.paginate_by)
        number, pages = there.number, there.paginator.num_pages
        this = self.this
        here = None if this is None else this.id
        listed = [record for record in found.records if record.id != here]
        if this is not None and number == 1:
            listed.insert(0, this)
        names = actors(listed)
        shown = [described(record, current_id=here, usernames=names) for record in listed]
        if wants_json(request):
            return JsonResponse(
                {
                    "devices": [negotiation.device(device) for device in shown],
                    "count": found.total,
                    "page": number,
                    "pages": pages,
                    "csrf_token": get_token(request),
                }
            )
        context = {"devices": shown, "count": found.total, "number": number, "pages": pages}
        return self.render_to_response(self.get_context_data(**context))


class EndDeviceView(ReauthenticationView):
    """End one of the user's sessions, by its public name."""

    template_name = "django_multistore/end_device.html"
    # One device after the other should not ask for the password each time.
    accepts_recent_login = True

    def confirmed(self) -> HttpResponse:
        id, this = self.kwargs["id"], self.this
        if this is not None and this.id == id:
            return self.log_out_here(1)
        ended = int(devices.end_session(self.user, id))
        if not ended and wants_json(self.request):
            refusal = _("You have no such device, or it was logged out before.")
            return negotiation.error("not_found", refusal, status=404)
        return self.answer(ended)

    def message(self, ended: int) -> str:
        return _("The device was logged out.") if ended else _("The device was logged out before.")


class LogoutEverywhereView(ReauthenticationView):
    """End all of the user's sessions, this one too."""

    template_name = "django_multistore/log_out_everywhere.html"

    def confirmed(self) -> HttpResponse:
        if not self.owns_session:
            return self.answer(devices.log_out_everywhere(self.user))
        # This one last: if the store fails in between, the user can ask once more.
        others = devices.log_out_other_devices(self.request)
        return self.log_out_here(1 + others)

    def message(self, ended: int) -> str:
        said = ngettext(
            "You were logged out on %(count)d device.",
            "You were logged out on %(count)d devices.",
            ended,
        )
        return said % {"count": ended}
