"""What a store raises whose cells fail it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...exceptions import StoreUnavailable

REMEDY = "'manage.py check --deploy' says which option makes that an error"


@dataclass(frozen=True, slots=True)
class Failures:
    """The errors of one store, each for the caller to raise."""

    alias: str  # the store's
    place: str  # where its cells are, in words
    unavailable: Callable[[BaseException], StoreUnavailable]  # of what a client has raised

    def has_not_stored(self) -> StoreUnavailable:
        """Say that a write was refused, of which a part may have been done."""
        return self._error(
            f"{self.place} did not store what it was given. Nothing is known about "
            "the session. Look whether it is out of memory."
        )

    def refuses_what_is_new(self) -> StoreUnavailable:
        """Say that nothing is added where there is nothing."""
        return self._error(
            f"{self.place} does not store what is new, and has nothing in its place. "
            f"It reports an outage as an answer, or is full; {REMEDY}."
        )

    def forgets(self) -> StoreUnavailable:
        """Say that something was lost which was said to be stored."""
        return self._error(
            f"{self.place} doesn't have what it was just given, so nothing is known "
            f"about any session. It reports an outage as a miss, or is full; {REMEDY}."
        )

    def gave_up(self, why: str) -> StoreUnavailable:
        """Say what came between each time."""
        return self._error(f"{why}. Nothing was written.")

    def is_too_large(self, size: int) -> ValueError:
        """Say that a payload of so many bytes is too large for one item."""
        return ValueError(
            f"Session store {self.alias!r}: this session has {size} bytes, more than "
            f"{self.place} takes for one item. Nothing was written. Keep less in the session, "
            "or raise memcached's limit by its option -I."
        )

    def _error(self, text: str) -> StoreUnavailable:
        return StoreUnavailable(f"Session store {self.alias!r}: {text}")
