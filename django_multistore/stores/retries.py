"""How often to try again what another request came before, and how long to wait between."""

from __future__ import annotations

import random
from collections.abc import Iterator

MODIFY_ATTEMPTS = 25


def backoff(attempts: int = MODIFY_ATTEMPTS) -> Iterator[float]:
    """
    Yield the seconds to wait before each attempt, random so that rivals part.

    Args:
        attempts: how many.
    """
    for attempt in range(attempts):
        yield random.uniform(0, min(0.001 * 2**attempt, 0.05)) if attempt else 0.0  # noqa: S311
