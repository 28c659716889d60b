"""
What pytest loads by itself: each test begins with empty stores, under names of its own.

It does nothing where another engine has the sessions, or where all of them are in the database.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest


@pytest.fixture(scope="session", autouse=True)
def isolated_session_stores() -> Iterator[None]:
    """Keep what fixtures of a wider scope do away from the stores that the settings name."""
    with _isolate():
        yield
    if (isolation := sys.modules.get("django_multistore.testing.isolation")) is not None:
        isolation.remove_leftovers()


@pytest.fixture(autouse=True)
def empty_session_stores(isolated_session_stores: None) -> Iterator[None]:
    """Let a test begin with empty stores. Override it to have a module's tests share them."""
    with _isolate():
        yield


def _isolate() -> Any:
    # Nothing of Django is imported here that the site has not imported.
    apps = getattr(sys.modules.get("django.apps"), "apps", None)
    if apps is None or not apps.ready or not apps.is_installed("django_multistore"):
        return nullcontext()
    from .testing.isolation import isolated_stores  # noqa: PLC0415

    return isolated_stores()
