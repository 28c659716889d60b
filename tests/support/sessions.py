"""Sessions of the engine, the time that it is for them, and tests that are run both ways."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from unittest.mock import patch

from django_multistore.engine import SessionStore
from django_multistore.records import SessionRecord
from django_multistore.stores import stores
from django_multistore.testing import Calls

HOUR = timedelta(hours=1)


def saved(data: dict[Any, Any] | None = None, **attributes: Any) -> SessionStore:
    """Save a new session, and return it as the next request meets it."""
    session = SessionStore()
    session.update(data or {})
    for name, value in attributes.items():
        setattr(session, name, value)
    session.save()
    return SessionStore(session.session_key)


def record_of(session: SessionStore) -> SessionRecord:
    """Return what the store has of a session that is there."""
    record = stores["default"].read(session.key)
    assert record is not None
    return record


def at(moment: datetime) -> Any:
    """Let it be that moment for the engine and the store."""
    return patch("django.utils.timezone.now", return_value=moment)


def both_ways(test: Callable[[Any, Callable[[Any], Calls]], None]) -> Callable[[Any], None]:
    """Run a test with the methods of what it is given, and with their async variants."""

    def run(self: Any) -> None:
        for is_async in (False, True):
            with self.subTest(is_async=is_async):
                test(self, partial(Calls, is_async=is_async))

    return run
