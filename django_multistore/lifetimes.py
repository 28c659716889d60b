"""Until when a session may live."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.utils import timezone

from . import conf
from .records import SessionRecord


def is_too_old(record: SessionRecord) -> bool:
    """Say whether a session has reached SESSION_ABSOLUTE_AGE, whenever it was stored."""
    limit = absolute_limit(record.authenticated_at or record.created_at)
    return limit is not None and limit <= timezone.now()


def absolute_limit(start: datetime) -> datetime | None:
    """Return when a session ends that began, or whose user logged in, at `start`."""
    age = conf.absolute_age()
    return None if age is None else start + age


def in_current_timezone(moment: datetime) -> datetime:
    """Make a datetime that was passed to set_expiry() comparable with timezone.now()."""
    if timezone.is_aware(moment) == settings.USE_TZ:
        return moment
    return timezone.make_aware(moment) if settings.USE_TZ else timezone.make_naive(moment)
