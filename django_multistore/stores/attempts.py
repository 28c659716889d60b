"""Trying again what another request came before, and what to raise when a backend fails."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from ..exceptions import StoreUnavailable
from .causes import say_cause

MODIFY_ATTEMPTS = 25


def backoff(attempts: int = MODIFY_ATTEMPTS) -> Iterator[float]:
    """Yield the seconds to wait before each of the attempts, random so that rivals part."""
    for attempt in range(attempts):
        yield random.uniform(0, min(0.001 * 2**attempt, 0.05)) if attempt else 0.0  # noqa: S311


@dataclass(frozen=True, slots=True)
class Outages:
    """The errors of a store, for it and its parts to raise."""

    alias: str  # the store's key in SESSION_STORES
    kind: str  # the name of its class

    def unavailable(self, error: BaseException) -> StoreUnavailable:
        """Say that the backend could not be asked; the caller raises it from `error`."""
        return StoreUnavailable(
            f"Session store {self.alias!r} ({self.kind}) could not be asked, so "
            f"nothing is known about the session ({say_cause(error)})."
        )

    def gave_up(self, why: str, attempts: int) -> StoreUnavailable:
        """Say that an operation was in vain, in all of its attempts, since `why` came between."""
        return StoreUnavailable(
            f"Session store {self.alias!r} ({self.kind}) gave up after {attempts} attempts: {why}."
        )
