"""When a session ends: what set_expiry() takes, what is kept of that, and the absolute age."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.utils import timezone

from ..conf import conf
from ..records import SessionRecord
from . import clock

# Django keeps the expiry under this name in a session: as seconds, or as the text of a time.
KEPT_AS = "_session_expiry"
EPOCH = datetime.fromtimestamp(0, UTC)
# The header of a cookie is written a moment later, and a later expiry would have no date by then.
LATEST_COOKIE = clock.LAST - timedelta(days=1)
TAKEN = "set_expiry() takes seconds, a timedelta, a datetime or None"

# An expiry is seconds from each use on, a time, or None for what the settings say.
Expiry: TypeAlias = float | datetime | None


def check_expiry(value: object) -> Any:
    """
    Return what set_expiry() shall keep of what it was given.

    Args:
        value: what set_expiry() takes. A datetime without a time zone is the wall clock's.

    Returns:
        Seconds, a datetime in UTC, or None.

    Raises:
        TypeError: it has none of the types that mean something.
        ValueError: it is no number, or reaches beyond the years 1 to 9999.
    """
    if isinstance(value, datetime):
        return clock.to_utc(value)
    if value is None or isinstance(value, timedelta):
        seconds = value.total_seconds() if value else 0
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value
    else:
        raise TypeError(f"{TAKEN}, and no {type(value).__name__}.")
    if not _is_finite(seconds) or _is_beyond(seconds):
        raise ValueError(f"{TAKEN}. This is no number, or reaches beyond the years 1 to 9999.")
    return clock.now() + value if isinstance(value, timedelta) else value


def read_expiry(kept: object) -> Expiry:
    """Return what an expiry in a session means; None for one that means nothing."""
    if isinstance(kept, str):
        try:
            kept = datetime.fromisoformat(kept)
        except ValueError:
            return None
    if isinstance(kept, datetime):
        return clock.to_utc(kept)
    if isinstance(kept, int | float) and not isinstance(kept, bool) and _is_finite(kept):
        return kept
    return None


def add_seconds(timestamp: datetime, seconds: float) -> datetime:
    """Return a time so many seconds later; the first or the last that there is beyond these."""
    try:
        return timestamp + timedelta(seconds=seconds)
    except OverflowError:
        return clock.FIRST if seconds < 0 else clock.LAST


def is_too_old(record: SessionRecord) -> bool:
    """Say whether a session has reached SESSION_ABSOLUTE_AGE, whenever it was stored."""
    limit = compute_absolute_limit(record.authenticated_at or record.created_at)
    return limit is not None and limit <= clock.now()


def compute_absolute_limit(start: datetime) -> datetime | None:
    """Return when a session ends that began, or whose user logged in, at `start`."""
    age = conf.absolute_age
    return None if age is None else add_seconds(start, age.total_seconds())


def _is_finite(number: float) -> bool:
    return -math.inf < number < math.inf  # math.isfinite() fails for an int beyond floats.


def _is_beyond(seconds: float) -> bool:
    return add_seconds(clock.now(), seconds) in (clock.FIRST, clock.LAST)


class ExpiringSession(SessionBase):
    """
    Django's session, whose expiry is in UTC.

    set_expiry() refuses what means nothing. Where a session has such an expiry all the same, it
    counts as if it had none.
    """

    def set_expiry(self, value: Any) -> None:
        """
        Set how long after each use the session expires, or when. See Django's.

        Args:
            value: seconds, 0 for the end of the browser's session; a timedelta from now on; a
                datetime; or None for what the settings say.

        Raises:
            TypeError: it is none of these.
            ValueError: it is no number, or reaches beyond the year 9999.
        """
        super().set_expiry(check_expiry(value))

    async def aset_expiry(self, value: Any) -> None:
        """See set_expiry()."""
        await super().aset_expiry(check_expiry(value))

    def get_expiry_age(self, **kwargs: Any) -> Any:
        """Return how many seconds the session lives from `modification` (default: now) on."""
        if "expiry" not in kwargs:
            kwargs["expiry"] = self.get(KEPT_AS)
        return self._compute_age(**kwargs)

    async def aget_expiry_age(self, **kwargs: Any) -> Any:
        """See get_expiry_age()."""
        if "expiry" not in kwargs:
            kwargs["expiry"] = await self.aget(KEPT_AS)
        return self._compute_age(**kwargs)

    def get_expiry_date(self, **kwargs: Any) -> datetime:
        """Return when the session expires: in UTC, or with USE_TZ = False as Django's times are."""
        if "expiry" not in kwargs:
            kwargs["expiry"] = self.get(KEPT_AS)
        return self._compute_date(**kwargs)

    async def aget_expiry_date(self, **kwargs: Any) -> datetime:
        """See get_expiry_date()."""
        if "expiry" not in kwargs:
            kwargs["expiry"] = await self.aget(KEPT_AS)
        return self._compute_date(**kwargs)

    def get_expire_at_browser_close(self) -> bool:
        """Say whether the cookie ends with the browser's session."""
        return self._ends_with_browser(self.get(KEPT_AS))

    async def aget_expire_at_browser_close(self) -> bool:
        """See get_expire_at_browser_close()."""
        return self._ends_with_browser(await self.aget(KEPT_AS))

    def _add_expiry(self, kept: object, used_at: datetime) -> datetime:
        expiry = read_expiry(kept)
        if isinstance(expiry, datetime):
            return expiry
        return add_seconds(used_at, expiry or self.get_session_cookie_age())

    def _compute_age(self, *, expiry: object, modification: datetime | None = None) -> int:
        used_at = clock.now() if modification is None else clock.to_utc(modification)
        # Django makes a cookie's date of it.
        expires_at = min(max(self._add_expiry(expiry, used_at), EPOCH), LATEST_COOKIE)
        left = expires_at - used_at
        return left.days * 86400 + left.seconds

    def _compute_date(self, *, expiry: object, modification: datetime | None = None) -> datetime:
        used_at = clock.now() if modification is None else clock.to_utc(modification)
        expires_at = self._add_expiry(expiry, used_at)
        if settings.USE_TZ:
            return expires_at
        try:
            return timezone.make_naive(expires_at, timezone.get_default_timezone())
        except OverflowError:
            return expires_at.replace(tzinfo=None)

    def _ends_with_browser(self, kept: object) -> bool:
        expiry = read_expiry(kept)
        if expiry is None:
            return bool(settings.SESSION_EXPIRE_AT_BROWSER_CLOSE)
        return expiry == 0
