"""What time it is on the servers where sessions are kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from django.core.checks import CheckMessage, Warning

from ...session import clock

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

# They are asked of databases whose clock is another than this host's.
QUESTIONS = {
    "postgresql": "SELECT STATEMENT_TIMESTAMP() AT TIME ZONE 'UTC'",
    "mysql": "SELECT UTC_TIMESTAMP(6)",
}
TOLERATED = timedelta(seconds=30)


def read_clock(connection: BaseDatabaseWrapper) -> datetime | None:
    """Return what time it is by a database's clock; None for one that is this host's."""
    question = QUESTIONS.get(connection.vendor)
    if question is None:
        return None
    with connection.cursor() as cursor:
        cursor.execute(question)
        (there,) = cursor.fetchone()
    timestamp: datetime = there.replace(tzinfo=UTC)
    return timestamp


def check_clock(alias: str, place: str, there: datetime) -> list[CheckMessage]:
    """Warn of a clock that is not this host's: in words, of which place, and what it shows."""
    ahead = clock.now() - there
    if abs(ahead) <= TOLERATED:
        return []
    side = "ahead of" if ahead > timedelta() else "behind"
    return [
        Warning(
            f"Session store {alias!r}: this host's clock is {abs(ahead).total_seconds():.0f} s "
            f"{side} that of {place}. Its visitors' sessions seem to have ended, or live on for "
            "as long.",
            hint="Have both clocks set by NTP.",
            id="django_multistore.W028",
        )
    ]
