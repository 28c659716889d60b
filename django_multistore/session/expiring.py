"""When a session expires: what set_expiry() takes, and what is kept of that in the session."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.utils import timezone

from . import clock

KEPT_AS = "_session_expiry"  # By Django: seconds, or a time as text.
EPOCH = datetime.fromtimestamp(0, UTC)
LATEST_COOKIE = clock.LAST - timedelta(days=1)  # Its header is written a moment later.
TAKEN = "set_expiry() takes seconds, a timedelta, a datetime or None"

# Seconds from each use on, a time, or None for that of the settings.
Expiry: TypeAlias = float | datetime | None


def checked(value: object) -> Any:
    """
    Return what set_expiry() shall keep of what it was given.

    Args:
        value: of a datetime without a time zone it is taken for the wall clock's.

    Returns:
        Seconds, a datetime in UTC, or None.

    Raises:
        TypeError: it is none of the types that mean something.
        ValueError: it is no number, or reaches beyond the years that there are.
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


def understood(kept: object) -> Expiry:
    """Return what an expiry means that is in a session, and None for one that means nothing."""
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


def later(timestamp: datetime, seconds: float) -> datetime:
    """Return a time so many seconds later, or the first or last that there is."""
    try:
        return timestamp + timedelta(seconds=seconds)
    except OverflowError:
        return clock.FIRST if seconds < 0 else clock.LAST


def _is_finite(number: float) -> bool:
    return -math.inf < number < math.inf  # Of an int that no float can hold, too.


def _is_beyond(seconds: float) -> bool:
    return later(clock.now(), seconds) in (clock.FIRST, clock.LAST)


class ExpiringSession(SessionBase):
    """
    Django's session, whose expiry is in UTC.

    What set_expiry() can't mean is refused there, and what is found in a session and means
    nothing counts as if it were not there.
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
        super().set_expiry(checked(value))

    async def aset_expiry(self, value: Any) -> None:
        """See set_expiry()."""
        await super().aset_expiry(checked(value))

    def get_expiry_age(self, **kwargs: Any) -> Any:
        """Return how many seconds the session lives from `modification` (default: now) on."""
        if "expiry" not in kwargs:
            kwargs["expiry"] = self.get(KEPT_AS)
        return self._age(**kwargs)

    async def aget_expiry_age(self, **kwargs: Any) -> Any:
        """See get_expiry_age()."""
        if "expiry" not in kwargs:
            kwargs["expiry"] = await self.aget(KEPT_AS)
        return self._age(**kwargs)

    def get_expiry_date(self, **kwargs: Any) -> datetime:
        """Return when the session expires: in UTC, or with USE_TZ = False as Django's times are."""
        if "expiry" not in kwargs:
            kwargs["expiry"] = self.get(KEPT_AS)
        return self._date(**kwargs)

    async def aget_expiry_date(self, **kwargs: Any) -> datetime:
        """See get_expiry_date()."""
        if "expiry" not in kwargs:
            kwargs["expiry"] = await self.aget(KEPT_AS)
        return self._date(**kwargs)

    def get_expire_at_browser_close(self) -> bool:
        """Say whether the cookie ends with the browser's session."""
        return self._ends_with_browser(self.get(KEPT_AS))

    async def aget_expire_at_browser_close(self) -> bool:
        """See get_expire_at_browser_close()."""
        return self._ends_with_browser(await self.aget(KEPT_AS))

    def _expires_at(self, kept: object, used_at: datetime) -> datetime:
        expiry = understood(kept)
        if isinstance(expiry, datetime):
            return expiry
        return later(used_at, expiry or self.get_session_cookie_age())

    def _age(self, *, expiry: object, modification: datetime | None = None) -> int:
        used_at = clock.now() if modification is None else clock.to_utc(modification)
        # Of which Django makes a cookie's date.
        expires_at = min(max(self._expires_at(expiry, used_at), EPOCH), LATEST_COOKIE)
        left = expires_at - used_at
        return left.days * 86400 + left.seconds

    def _date(self, *, expiry: object, modification: datetime | None = None) -> datetime:
        used_at = clock.now() if modification is None else clock.to_utc(modification)
        expires_at = self._expires_at(expiry, used_at)
        if settings.USE_TZ:
            return expires_at
        try:
            return timezone.make_naive(expires_at, timezone.get_default_timezone())
        except OverflowError:
            return expires_at.replace(tzinfo=None)

    def _ends_with_browser(self, kept: object) -> bool:
        expiry = understood(kept)
        if expiry is None:
            return bool(settings.SESSION_EXPIRE_AT_BROWSER_CLOSE)
        return expiry == 0
