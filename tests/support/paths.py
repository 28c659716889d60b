"""Where the tests find the rest of the project."""

from __future__ import annotations

from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
