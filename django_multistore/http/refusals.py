"""
How a request is refused: in JSON or by a page, and by a 503 while the store can't be asked.

With the 503 the cookie is left alone.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.contrib.sessions.exceptions import SessionInterrupted
from django.core.exceptions import (
    BadRequest,
    ImproperlyConfigured,
    PermissionDenied,
    SuspiciousOperation,
)
from django.core.handlers.exception import response_for_exception
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.multipartparser import MultiPartParserError
from django.template import TemplateDoesNotExist, loader
from django.utils.cache import add_never_cache_headers, patch_vary_headers
from django.utils.translation import gettext_lazy as _

from ..exceptions import OtherUser, StoreUnavailable
from .languages import speak

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

HTML, JSON = "text/html", "application/json"
RETRY_AFTER = 5  # seconds
# The first that the templates have: a site may have a page of its own.
TEMPLATES = ["503.html", "django_multistore/503.html"]
TRY_AGAIN = _("This page can't be shown just now. Please try again in a moment.")
ONLY_WHO_LOGGED_IN = _("Only the user who has logged in here may see or do this.")
CAN_NOT_READ = _("The request can't be read.")

# What Django answers by a page of the site's, and what programs are told. The first that fits.
SAID: dict[type[Exception], tuple[str, str | _StrPromise]] = {
    SessionInterrupted: (
        "session_ended",
        _("You were logged out while this was under way. Log in, and look again."),
    ),
    OtherUser: ("other_user", ONLY_WHO_LOGGED_IN),
    PermissionDenied: ("permission_denied", _("You may not do this.")),
    Http404: ("not_found", _("There is no such thing.")),
    BadRequest: ("bad_request", CAN_NOT_READ),
    SuspiciousOperation: ("bad_request", CAN_NOT_READ),
    MultiPartParserError: ("bad_request", CAN_NOT_READ),
}
REFUSALS = tuple(SAID)

logger = logging.getLogger("django_multistore")


def wants_json(request: HttpRequest) -> bool:
    """Say whether a request would rather have JSON than a page, or has sent some."""
    return request.content_type == JSON or request.get_preferred_type([HTML, JSON]) == JSON


def build_error(code: str, message: str | _StrPromise, *, status: int, **more: Any) -> JsonResponse:
    """
    Build the JSON that refuses a request.

    Programs read its code, which docs/devices.md lists, and what more they need; people read the
    message, in their language.
    """
    with speak():
        error = {"code": code, "message": str(message), **more}
    return JsonResponse({"error": error}, status=status)


def refuse_in_json(error: Exception, request: HttpRequest) -> JsonResponse:
    """Build the JSON for an exception of REFUSALS, once Django has logged it as it does."""
    status = response_for_exception(request, error).status_code
    code, refusal = next(said for kind, said in SAID.items() if isinstance(error, kind))
    return build_error(code, refusal, status=status)


async def arefuse_in_json(error: Exception, request: HttpRequest) -> JsonResponse:
    """See refuse_in_json()."""
    return await sync_to_async(refuse_in_json, thread_sensitive=False)(error, request)


def answer_in_json(request: HttpRequest) -> None:
    """Note that a request is one for a page of this package, by a program."""
    request._gets_json_of_multistore = True  # type: ignore[attr-defined]


def is_answered_in_json(request: HttpRequest) -> bool:
    """Say whether answer_in_json() was told of a request."""
    return hasattr(request, "_gets_json_of_multistore")


def answer_503(outage: StoreUnavailable, request: HttpRequest) -> HttpResponse:
    """Return the 503 for a request that can't be served without its session, and log why."""
    logger.error("A request was answered by 503: %s", outage)
    return _build_response(request)


def note_outage(request: HttpRequest | None, **kwargs: Any) -> None:
    """
    Remember that a request's 500 is an outage: a receiver of got_request_exception.

    By the time the middleware sees what came of an exception in another middleware, Django has
    made a response of it.
    """
    if isinstance(sys.exception(), StoreUnavailable) and request is not None:
        request._session_store_is_unavailable = True  # type: ignore[attr-defined]


def replace_if_outage(response: HttpResponse, request: HttpRequest) -> HttpResponse:
    """Return a 503 in place of the 500 that note_outage() has noted; else the response."""
    is_outage = getattr(request, "_session_store_is_unavailable", False)
    return _build_response(request) if is_outage and response.status_code == 500 else response


def _build_response(request: HttpRequest) -> HttpResponse:
    with speak():
        if wants_json(request):
            response: HttpResponse = build_error("unavailable", TRY_AGAIN, status=503)
        else:
            response = _build_page()
    response["Retry-After"] = str(RETRY_AFTER)
    add_never_cache_headers(response)
    patch_vary_headers(response, ["Accept"])
    return response


def _build_page() -> HttpResponse:
    try:
        # It gets no request, for what context processors add may need the session.
        return HttpResponse(loader.render_to_string(TEMPLATES), status=503)
    except (TemplateDoesNotExist, ImproperlyConfigured):
        return HttpResponse(TRY_AGAIN, status=503, content_type="text/plain; charset=utf-8")
