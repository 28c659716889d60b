"""A check of MIDDLEWARE."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware
from django.core.checks import CheckMessage, Warning
from django.utils.module_loading import import_string

from ..http.sessions import find_engine
from ..middleware import SessionMiddleware


def check_middleware(**kwargs: Any) -> list[CheckMessage]:
    """Check that what the engine offers through its middleware isn't missed by accident."""
    if find_engine() is None:
        return []
    classes = [_import(path) for path in settings.MIDDLEWARE]
    if DjangoSessionMiddleware not in classes or SessionMiddleware in classes:
        return []
    return [
        Warning(
            "MIDDLEWARE has Django's SessionMiddleware. With it a session has the device of its "
            "login at most, and an outage of the store is a 500; a response that comes late can "
            "take away the cookie of a new login; and under ASGI each request waits for a thread "
            "twice.",
            hint="Replace it by 'django_multistore.middleware.SessionMiddleware'.",
            id="django_multistore.W018",
        )
    ]


def _import(path: str) -> object:
    try:
        return import_string(path)
    except ImportError:
        return None  # Django says it when it loads the middleware.
