"""An engine of a site's own, whose sessions live for an hour, and which has another salt."""

from __future__ import annotations

from django.contrib.sessions.backends import db

HOUR = 3600


class SessionStore(db.SessionStore):
    def get_session_cookie_age(self) -> int:
        return HOUR
