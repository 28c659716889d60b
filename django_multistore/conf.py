"""
The settings of this package with their defaults.

Read at each use, never at import, so that override_settings() works.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings

DEFAULT_TOUCH_INTERVAL = 300

DEFAULT_STORES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django_multistore.stores.orm.OrmStore"},
}


def session_stores() -> dict[str, dict[str, Any]]:
    """Return SESSION_STORES: one store's BACKEND and OPTIONS for each alias."""
    return getattr(settings, "SESSION_STORES", DEFAULT_STORES)


def touch_interval() -> timedelta:
    """Return SESSION_TOUCH_INTERVAL: how often last-seen moves at the most (seconds)."""
    return timedelta(seconds=getattr(settings, "SESSION_TOUCH_INTERVAL", DEFAULT_TOUCH_INTERVAL))


def absolute_age() -> timedelta | None:
    """Return SESSION_ABSOLUTE_AGE: how long a login may last in all (seconds or None)."""
    seconds = getattr(settings, "SESSION_ABSOLUTE_AGE", None)
    return None if seconds is None else timedelta(seconds=seconds)
