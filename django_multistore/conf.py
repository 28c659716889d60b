"""The settings of this package with their defaults."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils.module_loading import import_string

from .records import Limit

if TYPE_CHECKING:
    from django.http import HttpRequest

DEFAULT_TOUCH_INTERVAL = 300
DEFAULT_IP_RESOLVER = "django_multistore.addresses.remote_address"
EVICT_OLDEST, REFUSE = "evict-oldest", "refuse"  # SESSION_MAX_PER_USER_POLICY
UNAVAILABLE, ANONYMOUS = "503", "anonymous"  # SESSION_ON_OUTAGE
REFUSE_BOTH, OF_SESSION, OF_REQUEST = "refuse", "session", "request"  # SESSION_ON_OTHER_USER

DEFAULT_STORES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django_multistore.stores.orm.OrmStore"},
}


def session_stores() -> dict[str, dict[str, Any]]:
    """Return SESSION_STORES: one store's BACKEND and OPTIONS for each alias."""
    return getattr(settings, "SESSION_STORES", DEFAULT_STORES)


@cache
def touch_interval() -> timedelta:
    """Return SESSION_TOUCH_INTERVAL: how often last-seen moves at the most (seconds)."""
    return timedelta(seconds=getattr(settings, "SESSION_TOUCH_INTERVAL", DEFAULT_TOUCH_INTERVAL))


def touch_interval_of(lifetime: timedelta) -> timedelta:
    """Return how often last-seen moves for a session that lives so long after its last use."""
    return min(touch_interval(), lifetime / 10)


@cache
def absolute_age() -> timedelta | None:
    """Return SESSION_ABSOLUTE_AGE: how long a login may last in all (seconds or None)."""
    seconds = getattr(settings, "SESSION_ABSOLUTE_AGE", None)
    return None if seconds is None else timedelta(seconds=seconds)


@cache
def session_limit() -> Limit | None:
    """Return SESSION_MAX_PER_USER and SESSION_MAX_PER_USER_POLICY; None for no limit."""
    most = getattr(settings, "SESSION_MAX_PER_USER", None)
    policy = getattr(settings, "SESSION_MAX_PER_USER_POLICY", EVICT_OLDEST)
    return None if most is None else Limit(most=most, evicts=policy == EVICT_OLDEST)


@cache
def serves_anonymous_on_outage() -> bool:
    """Say whether SESSION_ON_OUTAGE is "anonymous"."""
    return getattr(settings, "SESSION_ON_OUTAGE", UNAVAILABLE) == ANONYMOUS


@cache
def on_other_user() -> str:
    """Return SESSION_ON_OTHER_USER: who counts where request.user is not the session's user."""
    return str(getattr(settings, "SESSION_ON_OTHER_USER", REFUSE_BOTH))


@cache
def ip_resolver() -> Callable[[HttpRequest], str | None] | None:
    """Return SESSION_IP_RESOLVER, imported; None where SESSION_DEVICE_IP is False."""
    if not getattr(settings, "SESSION_DEVICE_IP", True):
        return None
    resolver = getattr(settings, "SESSION_IP_RESOLVER", DEFAULT_IP_RESOLVER)
    found: Callable[[HttpRequest], str | None]
    found = import_string(resolver) if isinstance(resolver, str) else resolver
    return found


@cache
def user_namespace() -> Callable[[], str | None] | None:
    """Return SESSION_USER_NAMESPACE, imported: it says whose site's users these are just now."""
    function = getattr(settings, "SESSION_USER_NAMESPACE", None)
    found: Callable[[], str | None] | None
    found = import_string(function) if isinstance(function, str) else function
    return found


@cache
def keeps_user_agent() -> bool:
    """Return SESSION_DEVICE_USER_AGENT."""
    return bool(getattr(settings, "SESSION_DEVICE_USER_AGENT", True))


def session_admin() -> bool:
    """Return SESSION_ADMIN: whether the admin of users shows their sessions."""
    return bool(getattr(settings, "SESSION_ADMIN", False))


# Looking for a setting that isn't there takes 3 us, and each request looks.
@receiver(setting_changed, dispatch_uid="django_multistore.conf")
def _read_again(**kwargs: object) -> None:
    for read in (
        touch_interval,
        absolute_age,
        session_limit,
        serves_anonymous_on_outage,
        on_other_user,
        ip_resolver,
        user_namespace,
        keeps_user_agent,
    ):
        read.cache_clear()
