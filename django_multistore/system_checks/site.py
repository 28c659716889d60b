"""Checks of a site's admin and URLs, its proxies and its tenants."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core.checks import CheckMessage, Warning
from django.urls import get_resolver

from ..addresses import TrustedProxies
from ..conf import conf
from ..exceptions import InvalidStore
from ..http.request_subject import find_engine
from ..session.user_ids import find_user_model
from .registering import TAG, register

# Application servers other than waitress, as packages have them.
OTHER_SERVERS = (
    *("bjoern", "cheroot", "cherrypy", "daphne", "granian", "gunicorn", "hypercorn", "mod-wsgi"),
    *("nginx-unit", "pyuwsgi", "tornado", "uvicorn", "uwsgi"),
)

# These views begin or end a takeover.
VIEWS = frozenset(
    {
        "hijack.views.AcquireUserView",
        "hijack.views.ReleaseUserView",
        "loginas.views.user_login",
        "loginas.views.user_logout",
    }
)


@register(TAG, deploy=True)
def check_proxies(**kwargs: Any) -> list[CheckMessage]:
    """Check that TrustedProxies isn't used where the server removes the proxies' header."""
    try:
        resolver = conf.ip_resolver
    except ImportError:
        return []  # check_ip_resolver() says it.
    if find_engine() is None or not isinstance(resolver, TrustedProxies):
        return []
    if not _is_installed("waitress") or any(map(_is_installed, OTHER_SERVERS)):
        return []
    return [
        Warning(
            f"SESSION_IP_RESOLVER is TrustedProxies({resolver.count}), and waitress is the only "
            "application server that is installed. Unless it is told whom to trust it removes "
            "X-Forwarded-For, and each session has the proxy's address.",
            hint="Run waitress-serve with --trusted-proxy, --trusted-proxy-count="
            f"{resolver.count} and --trusted-proxy-headers=x-forwarded-for, then silence this "
            "check.",
            id="django_multistore.W056",
        )
    ]


@register(TAG)
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


@register(TAG)
def check_takeovers(**kwargs: Any) -> list[CheckMessage]:
    """Check that the views of django-hijack and django-loginas are wrapped, where it matters."""
    if conf.session_limit is None or find_engine() is None:
        return []
    if not getattr(settings, "ROOT_URLCONF", None):
        return []
    unmarked = {
        name
        for view in iterate_views(get_resolver().url_patterns)
        if (name := _get_name(view)) in VIEWS and not getattr(view, "marks_takeovers", False)
    }
    if not unmarked:
        return []
    return [
        Warning(
            f"SESSION_MAX_PER_USER counts the takeovers of {', '.join(sorted(unmarked))} as logins "
            "of the user: they end a session of the user's own, or are refused.",
            hint="Put those views into the URLs yourself, each wrapped in "
            "django_multistore.takeovers.takes_over().",
            id="django_multistore.W027",
        )
    ]


@register(TAG)
def check_tenants(**kwargs: Any) -> list[CheckMessage]:
    """Check that with django-tenants it was said whose users are whose."""
    engine = find_engine()
    is_said = hasattr(settings, "SESSION_USER_NAMESPACE")
    if engine is None or is_said or not apps.is_installed("django_tenants"):
        return []
    users = find_user_model()
    if users is None or not _is_in_schemas(users._meta.app_config):
        return []  # All tenants have the same users.
    try:
        store = engine.get_store()
        index = store.database_index() if store.has_database_index else None
    except InvalidStore:
        return []  # check_stores() says it.
    if index is not None and _is_in_schemas(index.model._meta.app_config):
        return []
    return [
        Warning(
            "django_tenants is installed, each tenant has users of its own, and their sessions are "
            "in one place: user 1 of a tenant sees and ends the sessions of user 1 of another.",
            hint="Set SESSION_USER_NAMESPACE to a function that returns the tenant's schema; or, "
            "where the store has a table, put 'django_multistore' into TENANT_APPS.",
            id="django_multistore.W024",
        )
    ]


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


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


def iterate_views(patterns: list[Any]) -> Iterator[Any]:
    """Return the view of each pattern, and of those that are included."""
    for pattern in patterns:
        if hasattr(pattern, "url_patterns"):
            yield from iterate_views(pattern.url_patterns)
        else:
            yield pattern.callback


def _get_name(view: Any) -> str:
    # What as_view() returns knows the class, and so does what wraps that.
    named = getattr(view, "view_class", view)
    return f"{getattr(named, '__module__', '')}.{getattr(named, '__qualname__', '')}"


def _is_in_schemas(config: AppConfig) -> bool:
    """Say whether each tenant has tables of this app in a schema of its own."""
    types = getattr(settings, "TENANT_TYPES", {})
    public = getattr(settings, "PUBLIC_SCHEMA_NAME", "public")
    lists = [types[name]["APPS"] for name in types if name != public]
    names = {config.name, f"{type(config).__module__}.{type(config).__qualname__}"}
    return any(
        not names.isdisjoint(listed) for listed in lists or [getattr(settings, "TENANT_APPS", [])]
    )
