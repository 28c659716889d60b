"""The words of a store, and of its parts, for a backend that could not be asked."""

from __future__ import annotations

from dataclasses import dataclass

from ..exceptions import StoreUnavailable


@dataclass(frozen=True, slots=True)
class Outages:
    """
    What makes StoreUnavailable errors that name the store, for others to raise.

    Attributes:
        alias: the store's key in SESSION_STORES.
        kind: the name of its class.
    """

    alias: str
    kind: str

    def unavailable(self, error: BaseException) -> StoreUnavailable:
        """Say that the backend could not be asked; the caller raises it from `error`."""
        return StoreUnavailable(
            f"Session store {self.alias!r} ({self.kind}) could not be asked, so "
            f"nothing is known about the session ({type(error).__name__}: {error})."
        )

    def gave_up(self, why: str, attempts: int) -> StoreUnavailable:
        """Say that an operation was in vain, in all of its attempts, since `why` came between."""
        return StoreUnavailable(
            f"Session store {self.alias!r} ({self.kind}) gave up after {attempts} attempts: {why}."
        )
