"""Checks that sessions are this package's, where its app or its middleware is there."""

from __future__ import annotations

from typing import Any

from django.conf import global_settings, settings
from django.core.checks import CheckMessage, Error

from ..http.request_subject import find_engine
from ..middleware import SessionMiddleware
from .chain import find_classes
from .registering import TAG, register

REMEDY = "Write SESSION_ENGINE = 'django_multistore.engine' into the settings."


@register(TAG, needs_engine=False)
def check_engine(**kwargs: Any) -> list[CheckMessage]:
    """Check that SESSION_ENGINE can be imported, and is this package's or inherits from it."""
    try:
        engine = find_engine()
    except Exception as error:  # noqa: BLE001 - whatever a site's module raises
        return [
            Error(
                f"SESSION_ENGINE is {settings.SESSION_ENGINE!r}, which is no module with a class "
                f"SessionStore ({type(error).__name__}: {error}).",
                hint=REMEDY,
                id="django_multistore.E021",
            )
        ]
    if engine is not None:
        return []
    used = "its app is in INSTALLED_APPS"
    if any(issubclass(each, SessionMiddleware) for each in find_classes()):
        used = "its middleware is in MIDDLEWARE"
    is_default = global_settings.SESSION_ENGINE == settings.SESSION_ENGINE
    value = f"{'still ' if is_default else ''}{settings.SESSION_ENGINE!r}"
    return [
        Error(
            f"SESSION_ENGINE is {value}, so that sessions are not django_multistore's, although "
            f"{used}: its pages fail, its commands find no sessions, and a user who is "
            "deactivated stays logged in.",
            hint=REMEDY,
            id="django_multistore.E020",
        )
    ]
