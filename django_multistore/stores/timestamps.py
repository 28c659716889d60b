"""Times as whole numbers, in values that are packed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

NOTHING = -(2**63)  # In place of a time that isn't there.

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
LATEST = (datetime.max.replace(tzinfo=UTC) - EPOCH) // MICROSECOND


def number_of(moment: datetime | None) -> int:
    """Return a time in microseconds since the epoch, in 63 bits and a sign."""
    if moment is None:
        return NOTHING
    # The last evening of the last year, west of Greenwich, is in no year by UTC.
    return min((moment - EPOCH) // MICROSECOND, LATEST)


def moment_at(number: int) -> datetime:
    """
    Return the time of which number_of() made this.

    Raises:
        OverflowError: it is beyond the years that there are, so something else made it.
    """
    return EPOCH + timedelta(microseconds=number)


def optional_moment_at(number: int) -> datetime | None:
    """Return the time, or None, of which number_of() made this. See moment_at()."""
    return None if number == NOTHING else moment_at(number)
