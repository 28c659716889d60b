"""What several test modules need; servers have tests.servers."""

from __future__ import annotations

import os
from datetime import datetime, timedelta

from django.db import connections
from django.utils import timezone


class Clock:
    """A timezone.now() that can be put forward."""

    def __init__(self) -> None:
        self._now, self._offset = timezone.now, timedelta()

    def __call__(self) -> datetime:
        return self._now() + self._offset

    def advance(self, **duration: float) -> None:
        """Put it forward by as much as timedelta() takes."""
        self._offset += timedelta(**duration)


def rounds() -> int:
    """Return how often a test repeats a race: MULTISTORE_ROUNDS, or 300."""
    return int(os.environ.get("MULTISTORE_ROUNDS", "300"))


def environment() -> dict[str, str]:
    """Return the environment for a second process that is to work on this test's own databases."""
    names = {
        f"MULTISTORE_NAME_{alias.upper()}": str(connections[alias].settings_dict["NAME"])
        for alias in connections
    }
    return os.environ | names
