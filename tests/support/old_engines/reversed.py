"""Django's table with a form of the data that is a site's own, and a delete() that takes notes."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.sessions.backends.db import SessionStore as DatabaseStore

deleted: list[str | None] = []


class SessionStore(DatabaseStore):
    def encode(self, session_dict: dict[str, Any]) -> str:
        return json.dumps(session_dict)[::-1]

    def decode(self, session_data: str) -> Any:
        try:
            return json.loads(session_data[::-1])
        except ValueError:
            return {}

    def delete(self, session_key: str | None = None) -> None:
        deleted.append(session_key)
        super().delete(session_key)
