"""The settings of this package with their defaults."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver

DEFAULT_TOUCH_INTERVAL = 300

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


# Looking for a setting that isn't there takes 3 us, and each load looks.
@receiver(setting_changed, dispatch_uid="django_multistore.conf")
def _read_again(**kwargs: object) -> None:
    touch_interval.cache_clear()
    absolute_age.cache_clear()
