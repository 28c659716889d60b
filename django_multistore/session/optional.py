"""Libraries that a site may have or not."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def import_first(*names: str) -> Any:
    """Import the first of these modules that is there; None if none is."""
    for name in names:
        try:
            return import_module(name)
        except ImportError:
            continue
    return None
