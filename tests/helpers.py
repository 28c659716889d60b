"""What several test modules need; servers have tests.servers."""

from __future__ import annotations

import os

from django.db import connections


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
