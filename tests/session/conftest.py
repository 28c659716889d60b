"""What several modules here need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from django_multistore import devices
from tests.support.meeting import store_setting


@pytest.fixture
def calls(kind: str, is_async: bool, settings: Any) -> Callable[[str], Any]:
    """Return what gives a function of devices.py, or its async variant, on a kind of store."""
    settings.SESSION_STORES = store_setting(kind)

    def call(name: str) -> Any:
        return async_to_sync(getattr(devices, f"a{name}")) if is_async else getattr(devices, name)

    return call
