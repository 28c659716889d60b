"""The settings of this package with their defaults."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils.functional import cached_property
from django.utils.module_loading import import_string

from .records import Limit

if TYPE_CHECKING:
    from django.http import HttpRequest

DEFAULT_TOUCH_INTERVAL = 300
DEFAULT_IP_RESOLVER = "django_multistore.addresses.remote_address"
EVICT_OLDEST, REFUSE = "evict-oldest", "refuse"
UNAVAILABLE, ANONYMOUS = "503", "anonymous"
REFUSE_BOTH, OF_SESSION, OF_REQUEST = "refuse", "session", "request"
ASCII, UTF8 = "ascii", "utf-8"
DEFLATE, ZSTD, UNPACKED = "deflate", "zstd", "none"
DEFAULT_MAX_BYTES = 32 * 1024 * 1024
# What these settings may be; the first is the default.
CHOICES = {
    # The defaults are what every process can read that was ever released.
    "SESSION_JSON_ENCODING": (ASCII, UTF8),
    "SESSION_COMPRESSION": (DEFLATE, ZSTD, UNPACKED),
    "SESSION_MAX_PER_USER_POLICY": (EVICT_OLDEST, REFUSE),
    "SESSION_ON_OUTAGE": (UNAVAILABLE, ANONYMOUS),
    "SESSION_ON_OTHER_USER": (REFUSE_BOTH, OF_SESSION, OF_REQUEST),
}

DEFAULT_STORES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django_multistore.stores.orm.OrmStore"},
}


class Conf:
    """
    Each setting as the package uses it, read once and kept until a setting changes.

    Django takes 3 us to find that a setting isn't there, and each request asks for several.
    """

    @cached_property
    def session_stores(self) -> dict[str, dict[str, Any]]:
        """SESSION_STORES: one store's BACKEND and OPTIONS for each alias."""
        return getattr(settings, "SESSION_STORES", DEFAULT_STORES)

    @cached_property
    def touch_interval(self) -> timedelta:
        """SESSION_TOUCH_INTERVAL (seconds): how often last-seen moves at the most."""
        return timedelta(
            seconds=getattr(settings, "SESSION_TOUCH_INTERVAL", DEFAULT_TOUCH_INTERVAL)
        )

    @cached_property
    def absolute_age(self) -> timedelta | None:
        """SESSION_ABSOLUTE_AGE (seconds or None): how long a login may last in all."""
        seconds = getattr(settings, "SESSION_ABSOLUTE_AGE", None)
        return None if seconds is None else timedelta(seconds=seconds)

    @cached_property
    def writes_utf8(self) -> bool:
        """Whether SESSION_JSON_ENCODING is "utf-8"."""
        return getattr(settings, "SESSION_JSON_ENCODING", ASCII) == UTF8

    @cached_property
    def compression(self) -> str:
        """SESSION_COMPRESSION: how payloads are packed that are written."""
        return str(getattr(settings, "SESSION_COMPRESSION", DEFLATE))

    @cached_property
    def max_bytes(self) -> int | None:
        """SESSION_MAX_BYTES (or None): how long a session may be, serialised and not packed."""
        return getattr(settings, "SESSION_MAX_BYTES", DEFAULT_MAX_BYTES)

    @cached_property
    def session_limit(self) -> Limit | None:
        """SESSION_MAX_PER_USER and SESSION_MAX_PER_USER_POLICY; None for no limit."""
        most = getattr(settings, "SESSION_MAX_PER_USER", None)
        policy = getattr(settings, "SESSION_MAX_PER_USER_POLICY", EVICT_OLDEST)
        return None if most is None else Limit(most=most, evicts=policy == EVICT_OLDEST)

    @cached_property
    def serves_anonymous_on_outage(self) -> bool:
        """Whether SESSION_ON_OUTAGE is "anonymous"."""
        return getattr(settings, "SESSION_ON_OUTAGE", UNAVAILABLE) == ANONYMOUS

    @cached_property
    def on_other_user(self) -> str:
        """SESSION_ON_OTHER_USER: who counts where request.user is not the session's user."""
        return str(getattr(settings, "SESSION_ON_OTHER_USER", REFUSE_BOTH))

    @cached_property
    def ip_resolver(self) -> Callable[[HttpRequest], str | None] | None:
        """SESSION_IP_RESOLVER, imported; None where SESSION_DEVICE_IP is False."""
        if not getattr(settings, "SESSION_DEVICE_IP", True):
            return None
        return _import(getattr(settings, "SESSION_IP_RESOLVER", DEFAULT_IP_RESOLVER))

    @cached_property
    def user_namespace(self) -> Callable[[], str | None] | None:
        """SESSION_USER_NAMESPACE, imported: it says whose site's users these are just now."""
        return _import(getattr(settings, "SESSION_USER_NAMESPACE", None))

    @cached_property
    def keeps_user_agent(self) -> bool:
        """SESSION_DEVICE_USER_AGENT."""
        return bool(getattr(settings, "SESSION_DEVICE_USER_AGENT", True))

    @cached_property
    def reads_client_hints(self) -> bool:
        """SESSION_DEVICE_CLIENT_HINTS: whether browsers are asked which device they are on."""
        return getattr(settings, "SESSION_DEVICE_CLIENT_HINTS", False) is True

    @cached_property
    def session_admin(self) -> bool:
        """SESSION_ADMIN: whether the admin of users shows their sessions."""
        return bool(getattr(settings, "SESSION_ADMIN", False))

    def get_touch_interval(self, lifetime: timedelta) -> timedelta:
        """Return how often last-seen moves for a session that lives so long after its last use."""
        return min(self.touch_interval, lifetime / 10)


conf = Conf()


@receiver(setting_changed, dispatch_uid="django_multistore.conf")
def _read_again(**kwargs: object) -> None:
    vars(conf).clear()


def _import(value: Any) -> Callable[..., Any] | None:
    found: Callable[..., Any] | None
    found = import_string(value) if isinstance(value, str) else value
    return found
