"""System checks: settings that can't work, or can't keep what the package promises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from .conf import (
    ANONYMOUS,
    DEFAULT_IP_RESOLVER,
    DEFAULT_TOUCH_INTERVAL,
    EVICT_OLDEST,
    OF_REQUEST,
    OF_SESSION,
    REFUSE,
    REFUSE_BOTH,
    UNAVAILABLE,
    conf,
)
from .devices import configured_engine
from .exceptions import InvalidStore
from .middleware import SessionMiddleware
from .session import namespaces
from .session.users import user_model
from .stores import stores
from .stores.base import BaseStore
from .system_checks.takeovers import check_takeovers

TAG = "sessions"
CHOICES = {
    "SESSION_MAX_PER_USER_POLICY": (EVICT_OLDEST, REFUSE),
    "SESSION_ON_OUTAGE": (UNAVAILABLE, ANONYMOUS),
    "SESSION_ON_OTHER_USER": (REFUSE_BOTH, OF_SESSION, OF_REQUEST),
}


def register_checks() -> None:
    """Register them with Django."""
    register(check_settings, TAG)
    register(check_limit, TAG)
    register(check_ip_resolver, TAG)
    register(check_user_namespace, TAG)
    register(check_tenants, TAG)
    register(check_middleware, TAG)
    register(check_session_admin, TAG)
    register(check_takeovers, TAG)
    register(check_stores, TAG)
    register(check_stores_for_production, TAG, deploy=True)


def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """Check the values of the settings that hold seconds, and the count of sessions."""
    messages: list[CheckMessage] = []
    if not _is_seconds(getattr(settings, "SESSION_TOUCH_INTERVAL", 0)):
        messages.append(
            Error(
                "SESSION_TOUCH_INTERVAL is no number of seconds.",
                hint=f"Set it to {DEFAULT_TOUCH_INTERVAL}, for example, or to 0.",
                id="django_multistore.E002",
            )
        )
    absolute_age = getattr(settings, "SESSION_ABSOLUTE_AGE", None)
    if absolute_age is not None and (not _is_seconds(absolute_age) or absolute_age == 0):
        messages.append(
            Error(
                "SESSION_ABSOLUTE_AGE is neither None nor a number of seconds above 0.",
                hint="Set it to 60 * 60 * 12, for example.",
                id="django_multistore.E003",
            )
        )
    most = getattr(settings, "SESSION_MAX_PER_USER", None)
    if most is not None and (type(most) is not int or most < 1):
        messages.append(
            Error(
                "SESSION_MAX_PER_USER is neither None nor a whole number above 0.",
                hint="Set it to 5, for example.",
                id="django_multistore.E010",
            )
        )
    messages.extend(_unknown_choices())
    return messages


def check_limit(**kwargs: Any) -> list[CheckMessage]:
    """Check that the engine's store can count what SESSION_MAX_PER_USER limits."""
    engine = configured_engine()
    if engine is None or conf.session_limit is None:
        return []
    try:
        store = engine.get_store()
    except InvalidStore:
        return []  # check_stores() says it.
    if type(store).sessions_for_user is not BaseStore.sessions_for_user:
        return []
    return [
        Error(
            f"SESSION_MAX_PER_USER is set, and session store {store.alias!r} "
            f"({type(store).__name__}) can't find the sessions of one user.",
            hint="Use django_multistore.stores.orm.OrmStore, for example.",
            id="django_multistore.E013",
        )
    ]


def check_ip_resolver(**kwargs: Any) -> list[CheckMessage]:
    """Check that SESSION_IP_RESOLVER is, or names, something to call."""
    try:
        is_usable = conf.ip_resolver is None or callable(conf.ip_resolver)
        reason = "it can't be called"
    except ImportError as error:
        is_usable, reason = False, str(error)
    if is_usable:
        return []
    return [
        Error(
            f"SESSION_IP_RESOLVER can't be used: {reason}.",
            hint="Set it to a function that takes a request, or to the dotted path of one, for "
            f"example {DEFAULT_IP_RESOLVER!r}.",
            id="django_multistore.E012",
        )
    ]


def check_user_namespace(**kwargs: Any) -> list[CheckMessage]:
    """Check that SESSION_USER_NAMESPACE is, or names, what returns a namespace."""
    try:
        namespaces.current()
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
    engine = configured_engine()
    is_said = hasattr(settings, "SESSION_USER_NAMESPACE")
    if engine is None or is_said or not apps.is_installed("django_tenants"):
        return []
    users = user_model()
    if users is None or not _is_in_schemas(users._meta.app_config):
        return []  # All tenants have the same users.
    try:
        index = engine.get_store().database_index()
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


def check_middleware(**kwargs: Any) -> list[CheckMessage]:
    """Check that what the engine offers through its middleware isn't missed by accident."""
    if configured_engine() is None:
        return []
    classes = [_imported(path) for path in settings.MIDDLEWARE]
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


def check_stores(**kwargs: Any) -> list[CheckMessage]:
    """Check that each store of SESSION_STORES can be built and is content."""
    built: list[BaseStore] = []
    messages: list[CheckMessage] = []
    for alias in conf.session_stores:
        try:
            built.append(stores[alias])
        except InvalidStore as error:
            messages.append(Error(str(error), id="django_multistore.E001"))
    messages.extend(_shared_places(built))
    for store in built:
        messages.extend(store.check(**kwargs))
    return messages


def check_stores_for_production(**kwargs: Any) -> list[CheckMessage]:
    """Have each store check what only production needs."""
    messages: list[CheckMessage] = []
    for alias in conf.session_stores:
        try:
            messages.extend(stores[alias].check(**kwargs, deploy=True))
        except InvalidStore:
            continue  # check_stores() says it.
    return messages


def _is_in_schemas(config: AppConfig) -> bool:
    """Say whether each tenant has tables of this app in a schema of its own."""
    types = getattr(settings, "TENANT_TYPES", {})
    public = getattr(settings, "PUBLIC_SCHEMA_NAME", "public")
    lists = [types[name]["APPS"] for name in types if name != public]
    names = {config.name, f"{type(config).__module__}.{type(config).__qualname__}"}
    return any(
        not names.isdisjoint(listed) for listed in lists or [getattr(settings, "TENANT_APPS", [])]
    )


def _users_have_session_admin() -> bool:
    if not apps.is_installed("django.contrib.admin"):
        return False
    # It needs django.contrib.auth, which a site need not have.
    from django.contrib.admin import site  # noqa: PLC0415
    from django.contrib.auth import get_user_model  # noqa: PLC0415

    from .session_admin import UserSessionsAdminMixin  # noqa: PLC0415

    users = get_user_model()
    return site.is_registered(users) and isinstance(
        site.get_model_admin(users), UserSessionsAdminMixin
    )


def _shared_places(built: list[BaseStore]) -> Iterator[CheckMessage]:
    owners: dict[str, str] = {}
    for store in built:
        if store.place is None:
            continue
        other = owners.setdefault(store.place, store.alias)
        if other != store.alias:
            yield Error(
                f"Session stores {other!r} and {store.alias!r} would share {store.place}.",
                hint="Give one of them another place by its OPTIONS, or remove it.",
                id="django_multistore.E004",
            )


def _unknown_choices() -> Iterator[CheckMessage]:
    for name, choices in CHOICES.items():
        chosen = getattr(settings, name, choices[0])
        if chosen not in choices:
            yield Error(
                f"{name} is {chosen!r}.",
                hint=f"Set it to {' or '.join(map(repr, choices))}.",
                id="django_multistore.E011",
            )


def _imported(path: str) -> object:
    try:
        return import_string(path)
    except ImportError:
        return None  # Django says it when it loads the middleware.


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
