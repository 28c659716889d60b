"""Times as whole numbers, in values that are packed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

NOTHING = -(2**63)  # In place of a time that isn't there.

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
LATEST = (datetime.max.replace(tzinfo=UTC) - EPOCH) // MICROSECOND


def to_timestamp(time: datetime | None) -> int:
    """Return a time in microseconds since the epoch, in 63 bits and a sign."""
    if time is None:
        return NOTHING
    # The last evening of the last year, west of Greenwich, is in no year by UTC.
    return min((time - EPOCH) // MICROSECOND, LATEST)


def from_timestamp(number: int) -> datetime:
    """
    Return the time of which to_timestamp() made this.

    Raises:
        OverflowError: it is beyond the years that there are, so something else made it.
    """
    return EPOCH + timedelta(microseconds=number)


def from_optional_timestamp(number: int) -> datetime | None:
    """Return the time, or None, of which to_timestamp() made this. See from_timestamp()."""
    return None if number == NOTHING else from_timestamp(number)
