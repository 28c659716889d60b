"""An engine of a site's own: its sessions live for an hour, and keep more types."""

from __future__ import annotations

from django.contrib.sessions.backends import db

from django_multistore.serializers import TaggedJSONSerializer

HOUR = 3600


class SessionStore(db.SessionStore):
    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        self.serializer = TaggedJSONSerializer

    def get_session_cookie_age(self) -> int:
        return HOUR
