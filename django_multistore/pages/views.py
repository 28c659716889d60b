"""The pages where a user sees which devices are logged in, and logs them out."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from django.http import JsonResponse
from django.middleware.csrf import get_token
from django.utils.decorators import method_decorator
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache
from django.views.generic import TemplateView

from .. import devices
from ..descriptions import DeviceDescription, describe
from ..http.languages import speak
from ..http.refusals import build_error
from ..search.usernames import find_actors
from .base import UserPageMixin, find_page
from .reauthentication import ReauthenticationView

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

# Of how many devices the form looks for the one that it would log out, to say which that is.
LOOKED_AT = 200


@method_decorator(never_cache, name="dispatch")
class DevicesView(UserPageMixin, TemplateView):
    """List the user's devices, this one first, then the one seen last."""

    http_method_names = ["get", "head", "options"]
    template_name = "django_multistore/devices.html"
    paginate_by = 50

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        found, there = find_page(self.user, self.request.GET.get("page", ""), self.paginate_by)
        this = self.this
        here = None if this is None else this.id
        listed = [record for record in found.records if record.id != here]
        if this is not None and there.number == 1:
            listed.insert(0, this)
        names = find_actors(listed)
        with speak():
            shown = [describe(record, current_id=here, usernames=names) for record in listed]
        return super().get_context_data(
            **kwargs,
            devices=shown,
            count=found.total,
            number=there.number,
            pages=there.paginator.num_pages,
        )

    def render_json(self, context: dict[str, Any]) -> HttpResponse:
        return JsonResponse(
            {
                "devices": [build_device(device) for device in context["devices"]],
                "count": context["count"],
                "page": context["number"],
                "pages": context["pages"],
                "csrf_token": get_token(self.request),
            }
        )


class EndDeviceView(ReauthenticationView):
    """End one of the user's sessions, by its public name."""

    template_name = "django_multistore/end_device.html"
    # Who logs out one device after the other should not be asked for the password each time.
    accepts_recent_login = True

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        device, is_certain = self._found
        if device is None and is_certain:
            self.template_name = "django_multistore/device_gone.html"
            return self.render_to_response(self.get_context_data(), status=404)
        return super().get(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**{"device": self._found[0]} | kwargs)

    @cached_property
    def _found(self) -> tuple[DeviceDescription | None, bool]:
        """Return which device would be logged out, and whether there is none if it is None."""
        id, this = self.kwargs["id"], self.this
        here = None if this is None else this.id
        found = devices.page_for_user(self.user, start=0, size=LOOKED_AT)
        for record in found.records:
            if record.id == id:
                names = find_actors([record])
                with speak():
                    return describe(record, current_id=here, usernames=names), True
        return None, found.total <= LOOKED_AT

    def confirmed(self) -> HttpResponse:
        id, this = self.kwargs["id"], self.this
        if this is not None and this.id == id:
            return self.log_out_here(1)
        return self.answer(int(devices.end_session(self.user, id)))

    def answer_json(self, ended: int) -> HttpResponse:
        if ended:
            return super().answer_json(ended)
        refusal = gettext_lazy("You have no such device, or it was logged out before.")
        return build_error("not_found", refusal, status=404)

    def message(self, ended: int) -> str:
        return _("The device was logged out.") if ended else _("The device was logged out before.")


class LogoutOtherDevicesView(ReauthenticationView):
    """
    End the user's other sessions, after asking for the password.

    See ReauthenticationView for what it asks of whom, and for where it goes.
    """

    template_name = "django_multistore/log_out_other_devices.html"

    def confirmed(self) -> HttpResponse:
        return self.answer(self.log_out_other_devices())

    def log_out_other_devices(self) -> int:
        """End them, and return how many it was."""
        return devices.log_out_other_devices(self.request)

    def message(self, ended: int) -> str:
        said = ngettext(
            "%(count)d other device was logged out.",
            "%(count)d other devices were logged out.",
            ended,
        )
        return said % {"count": ended}


class LogoutEverywhereView(ReauthenticationView):
    """End all of the user's sessions, this one too."""

    template_name = "django_multistore/log_out_everywhere.html"

    def confirmed(self) -> HttpResponse:
        if not self.owns_session:
            return self.answer(devices.log_out_everywhere(self.user))
        # This one comes last: if the store fails in between, the user can ask once more.
        others = devices.log_out_other_devices(self.request)
        return self.log_out_here(1 + others)

    def message(self, ended: int) -> str:
        said = ngettext(
            "You were logged out on %(count)d device.",
            "You were logged out on %(count)d devices.",
            ended,
        )
        return said % {"count": ended}


def build_device(description: DeviceDescription) -> dict[str, Any]:
    """Return one of the user's sessions as the JSON that docs/devices.md describes."""
    # The id has 63 bits, and JavaScript's numbers have 53.
    return asdict(description) | {"id": str(description.id)}
