"""An old site's own requests, in a few words."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from django.conf import settings
from django.utils import timezone

DJANGOS = "django.contrib.sessions.backends."
OWN = "tests.support.old_engines."
TABLES = {
    "db": f"{DJANGOS}db",
    "cached_db": f"{DJANGOS}cached_db",
    "own": f"{OWN}accounts",
    "cached own": f"{OWN}cached_accounts",
    "own text": f"{OWN}reversed",
}
KEY = "k" * 32
NO_KEYS = [
    "",
    "short",
    "k" * 31 + "\0",
    "k" * 31 + " ",
    "\n" * 9,
    "é" * 32,
    "\ud800" * 9,
    "k" * 300,
]


class SessionsTo:
    """A router that has the sessions' tables in one database."""

    alias = "default"

    def db_for_read(self, model: Any, **hints: object) -> str | None:
        return self.alias if model.__name__.endswith("Session") else None

    db_for_write = db_for_read


def open_old(engine: str, session_key: str | None = None) -> Any:
    """Return the old engine's own session."""
    return import_module(engine).SessionStore(session_key)


def make_old(engine: str, data: dict[str, Any] | None = None, expiry: Any = None) -> str:
    """Let the old engine make a session, and return its key."""
    session = open_old(engine)
    session.update({"_auth_user_id": "7", "cart": [1]} if data is None else data)
    if expiry is not None:
        session.set_expiry(expiry)
    session.create()
    session.save()
    return str(session.session_key)


def read_old(engine: str, session_key: str) -> dict[str, Any]:
    """Return what the old engine serves under a key: nothing, if it has none."""
    session = open_old(engine, session_key)
    return dict(session.items())


def in_utc(timestamp: datetime) -> datetime:
    """Return a time of Django's in UTC."""
    if settings.USE_TZ:
        return timestamp.astimezone(UTC)
    return timezone.make_aware(timestamp, timezone.get_default_timezone()).astimezone(UTC)
