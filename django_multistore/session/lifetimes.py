"""Until when a session may live."""

from __future__ import annotations

from datetime import datetime

from ..conf import conf
from ..records import SessionRecord
from . import clock
from .expiring import add_seconds


def is_too_old(record: SessionRecord) -> bool:
    """Say whether a session has reached SESSION_ABSOLUTE_AGE, whenever it was stored."""
    limit = compute_absolute_limit(record.authenticated_at or record.created_at)
    return limit is not None and limit <= clock.now()


def compute_absolute_limit(start: datetime) -> datetime | None:
    """Return when a session ends that began, or whose user logged in, at `start`."""
    age = conf.absolute_age
    return None if age is None else add_seconds(start, age.total_seconds())
