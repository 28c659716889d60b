"""
How a request is refused: in JSON or by a page, and by a 503 while the store can't be asked.

With the 503 the cookie is left alone.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import TemplateDoesNotExist, loader
from django.utils.cache import add_never_cache_headers, patch_vary_headers
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from ..exceptions import StoreUnavailable

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

HTML, JSON = "text/html", "application/json"
RETRY_AFTER = 5  # seconds
# The first that the templates have: a site may have a page of its own.
TEMPLATES = ["503.html", "django_multistore/503.html"]
TRY_AGAIN = gettext_noop("This page can't be shown just now. Please try again in a moment.")

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
    return JsonResponse({"error": {"code": code, "message": message, **more}}, status=status)


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
    if wants_json(request):
        response: HttpResponse = build_error("unavailable", _(TRY_AGAIN), status=503)
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
        return HttpResponse(_(TRY_AGAIN), status=503, content_type="text/plain; charset=utf-8")
