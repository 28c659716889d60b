"""Django's protection against forged requests, with an answer that programs can read."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.decorators import decorator_from_middleware
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _

from .refusals import build_error, wants_json

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

_View = Callable[..., Any]


def protect(view: _View) -> _View:
    """
    Check a view's requests as the site's CsrfViewMiddleware does, and then as Django's.

    The view is exempt from the former, whose refusal is a page. Programs get an object here;
    everybody else gets that page. The second check is for a middleware that lets requests through
    which Django's would not: one that was passed isn't made again.
    """
    protected = view
    for checks in (CsrfViewMiddleware, _find_middleware()):
        with suppress(MiddlewareNotUsed):  # Django leaves such a one out.
            protected = decorator_from_middleware(_build_check(checks))(protected)
    return protected


@cache
def _find_middleware() -> type[CsrfViewMiddleware]:
    for path in settings.MIDDLEWARE:
        found = import_string(path)
        if isinstance(found, type) and issubclass(found, CsrfViewMiddleware):
            return found
    return CsrfViewMiddleware


@cache
def _build_check(middleware: type[CsrfViewMiddleware]) -> type[CsrfViewMiddleware]:
    class Check(middleware):  # type: ignore[misc,valid-type]
        def process_request(self, request: HttpRequest) -> None:
            # The site's has done it, and a login since then, as RemoteUserMiddleware's, may have
            # made a new secret. That of the cookie would take its place.
            if "CSRF_COOKIE" not in request.META:
                super().process_request(request)

        def _reject(self, request: HttpRequest, reason: str) -> HttpResponse:
            # It is the site's page for people, and the log's line in any case.
            refusal: HttpResponse = super()._reject(request, reason)
            if not wants_json(request):
                return refusal
            return build_error("csrf_failed", _("The CSRF token is missing or wrong."), status=403)

    return Check


@receiver(setting_changed, dispatch_uid="django_multistore.http.forgery")
def _forget(*, setting: str, **kwargs: object) -> None:
    if setting == "MIDDLEWARE":
        _find_middleware.cache_clear()
