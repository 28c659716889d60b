"""
What time it is, always with a time zone and always in UTC.

With USE_TZ = False Django's own times have none. They are the wall clock of TIME_ZONE, which in
most places shows one hour twice a year and leaves another out, so that no two of them can be
compared.
"""

from __future__ import annotations

from datetime import UTC, datetime

from django.conf import settings
from django.utils import timezone

__all__ = ["now", "to_utc"]

FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def now() -> datetime:
    """Return what time it is, in UTC."""
    return timezone.now() if settings.USE_TZ else datetime.now(UTC)


def to_utc(timestamp: datetime) -> datetime:
    """
    Return a time in UTC; one that is in no year there becomes the first or the last that is.

    Args:
        timestamp: without a time zone it is the wall clock of the current one; with USE_TZ = False
            of TIME_ZONE.
    """
    if timezone.is_naive(timestamp):
        here = timezone.get_current_timezone if settings.USE_TZ else timezone.get_default_timezone
        timestamp = timestamp.replace(tzinfo=here())
    try:
        return timestamp.astimezone(UTC)
    except OverflowError:
        return FIRST if timestamp.year == FIRST.year else LAST


def to_display(timestamp: datetime) -> datetime:
    """
    Return a time as people shall see it.

    Templates convert what has a time zone to the current one, but not with USE_TZ = False. Then
    the time zone is that of TIME_ZONE.
    """
    if settings.USE_TZ:
        return timestamp
    try:
        return timestamp.astimezone(timezone.get_default_timezone())
    except OverflowError:
        return timestamp
