"""A check of SESSION_ADMIN."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Warning

from ..conf import conf


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


def _users_have_session_admin() -> bool:
    if not apps.is_installed("django.contrib.admin"):
        return False
    # It needs django.contrib.auth, which a site need not have.
    from django.contrib.admin import site  # noqa: PLC0415
    from django.contrib.auth import get_user_model  # noqa: PLC0415

    from ..session_admin import UserSessionsAdminMixin  # noqa: PLC0415

    users = get_user_model()
    return site.is_registered(users) and isinstance(
        site.get_model_admin(users), UserSessionsAdminMixin
    )
