"""Times as whole numbers, in values that are packed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.conf import settings

NOTHING = -(2**63)  # In place of a time that isn't there.

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NAIVE_EPOCH = datetime(1970, 1, 1)  # Without USE_TZ all times are naive.
MICROSECOND = timedelta(microseconds=1)


def number_of(moment: datetime | None) -> int:
    """Return a time in microseconds since the epoch, in 63 bits and a sign."""
    if moment is None:
        return NOTHING
    return (moment - (NAIVE_EPOCH if moment.tzinfo is None else EPOCH)) // MICROSECOND


def epoch() -> datetime:
    """Return the time from which those that are read are counted."""
    return EPOCH if settings.USE_TZ else NAIVE_EPOCH
