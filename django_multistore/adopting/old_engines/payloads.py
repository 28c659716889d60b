"""What old engines keep of a session: sealed text, an expiry in the data, a user in the data."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase
from django.core import signing
from django.utils import timezone

from ...session import clock, lifetimes, user_ids


def open_text(store: Any, text: str) -> dict[str, Any] | None:
    """
    Return the data that an engine has sealed.

    Args:
        store: an instance of the engine's class, which knows the salt and the serializer.
        text: as it is stored.

    Returns:
        None if they can't be read: another SECRET_KEY, serializer or class has sealed them.
    """
    # Django's own decode() returns {} for what it can't read, and logs that it is corrupted.
    if type(store).decode is SessionBase.decode:
        try:
            data = signing.loads(text, salt=store.key_salt, serializer=store.serializer)
        except Exception:  # noqa: BLE001 - whatever a serializer raises on what is not its own
            return None
    else:
        # From a site's own decode(), {} may mean either. Of an empty session nothing is lost.
        data = store.decode(text) or None
    return data if isinstance(data, dict) else None


def read_signing_time(text: str) -> datetime | None:
    """Return when a text was signed; None for one that has no such time."""
    try:
        seconds = signing.b62_decode(text.rsplit(":", 2)[-2])
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, IndexError, OverflowError, OSError):
        return None


def first_of(*times: datetime | None) -> datetime:
    """Return the earliest of the times that are known, of which now is one."""
    return min(clock.now(), *(each for each in times if each is not None), clock.LAST)


def compute_expiry(store: Any, data: dict[str, Any], start: datetime) -> datetime:
    """
    Return when a session expires that was last written at `start`.

    Args:
        store: an instance of the engine's class, which may have a lifetime of its own.
        data: the session, in which set_expiry() may have left something.
        start: in UTC.
    """
    expiry = lifetimes.read_expiry(data.get(lifetimes.KEPT_AS))
    if isinstance(expiry, datetime):
        return expiry
    return lifetimes.add_seconds(start, expiry or store.get_session_cookie_age())


def prepare(data: dict[str, Any]) -> dict[str, Any]:
    """
    Return a copy of a session's data that Django's own classes can take.

    They subtract the time in the data from their own now, and fail if one of the two has a time
    zone and the other has none.
    """
    kept = data.get(lifetimes.KEPT_AS)
    expiry = lifetimes.read_expiry(kept) if isinstance(kept, str | datetime) else None
    if not isinstance(expiry, datetime):
        return dict(data)
    if not settings.USE_TZ:
        expiry = timezone.make_naive(expiry, timezone.get_default_timezone())
    return {**data, lifetimes.KEPT_AS: expiry.isoformat()}


def user_id_in(data: dict[str, Any]) -> str | None:
    """Return the primary key of a session's user as text; None if it has no user."""
    user_id = data.get(SESSION_KEY)
    return None if user_id in (None, "") else user_ids.spell(user_id)
