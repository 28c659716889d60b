"""The system checks of the package, as Django gets them."""

from __future__ import annotations

from django.core.checks import register

from .system_checks.settings import check_ip_resolver, check_limit, check_settings
from .system_checks.site import check_middleware, check_session_admin
from .system_checks.stores import check_stores, check_stores_for_production
from .system_checks.takeovers import check_takeovers
from .system_checks.tenants import check_tenants, check_user_namespace

TAG = "sessions"


def register_checks() -> None:
    """Register them with Django."""
    for check in (
        check_settings,
        check_limit,
        check_ip_resolver,
        check_user_namespace,
        check_tenants,
        check_middleware,
        check_session_admin,
        check_takeovers,
        check_stores,
    ):
        register(check, TAG)
    register(check_stores_for_production, TAG, deploy=True)
