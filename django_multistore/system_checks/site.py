"""Checks of what a site has put into its middleware and its admin."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware
from django.core.checks import CheckMessage, Warning
from django.utils.module_loading import import_string

from ..conf import conf
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


def check_session_admin(**kwargs: Any) -> list[CheckMessage]:
    """Check that SESSION_ADMIN has had its effect."""
    if not conf.session_admin or _users_have_session_admin():
        return []
    return [
        Warning(
            "SESSION_ADMIN is True, and the user model's admin lacks the mixin, so that the admin "
            "shows no sessions.",
            hint="Give the mixin to it: class MyUserAdmin(UserSessionsAdminMixin, UserAdmin), from "
            "django_multistore.session_admin.",
            id="django_multistore.W019",
        )
    ]


def _import(path: str) -> object:
    try:
        return import_string(path)
    except ImportError:
        return None  # Django says it when it loads the middleware.


def _users_have_session_admin() -> bool:
    if not apps.is_installed("django.contrib.admin"):
        return False
    # These modules need django.contrib.auth, which a site need not have.
    from django.contrib.admin import site  # noqa: PLC0415
    from django.contrib.auth import get_user_model  # noqa: PLC0415

    from ..session_admin import UserSessionsAdminMixin  # noqa: PLC0415

    users = get_user_model()
    return site.is_registered(users) and isinstance(
        site.get_model_admin(users), UserSessionsAdminMixin
    )
