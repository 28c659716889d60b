"""Checks of SESSION_USER_NAMESPACE, and of sites with django-tenants."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured

from ..exceptions import InvalidStore
from ..http.sessions import find_engine
from ..session import namespaces
from ..session.users import find_user_model


def check_user_namespace(**kwargs: Any) -> list[CheckMessage]:
    """Check that SESSION_USER_NAMESPACE is, or names, what returns a namespace."""
    try:
        namespaces.get_current()
        return []
    except ImproperlyConfigured as error:
        reason = str(error)
    except Exception as error:  # noqa: BLE001 - whatever a site's function raises
        reason = f"SESSION_USER_NAMESPACE can't be used ({type(error).__name__}: {error})."
    return [
        Error(
            reason,
            hint="Set it to a function without arguments, or to the dotted path of one, that "
            "returns text, or None where there is no tenant: in a command, for example.",
            id="django_multistore.E016",
        )
    ]


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


def _is_in_schemas(config: AppConfig) -> bool:
    """Say whether each tenant has tables of this app in a schema of its own."""
    types = getattr(settings, "TENANT_TYPES", {})
    public = getattr(settings, "PUBLIC_SCHEMA_NAME", "public")
    lists = [types[name]["APPS"] for name in types if name != public]
    names = {config.name, f"{type(config).__module__}.{type(config).__qualname__}"}
    return any(
        not names.isdisjoint(listed) for listed in lists or [getattr(settings, "TENANT_APPS", [])]
    )
