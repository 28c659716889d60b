"""What the protocol asks of cells: one session under its key, and how it changes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ...records import Outcome, SessionRecord
from ..steps import Steps
from .values import Entry


class Cell(NamedTuple):
    """What was found under a key."""

    entry: Entry | None  # The session, which may have expired but was not ended.
    is_empty: bool  # There is nothing at all, not even what remains of a session that has ended.
    is_unreadable: bool  # It may be a session to another process, and is none to this one.


@dataclass(slots=True, repr=False)  # It has a key.
class OpenCell:
    """A cell as it was found by somebody who may be about to change it."""

    key: str
    entry: Entry | None
    is_empty: bool

    @property
    def is_overdue(self) -> bool:
        """Whether it may not be changed any more."""
        return False


class Cells(ABC):
    """
    The cells of one store, as steps.

    What changes one tells how that has ended. DONE: so it is now. GONE: the session has ended, or
    has moved. CONFLICT: somebody else has changed it since it was opened, and nothing was done;
    cells that only one can open at a time have none.
    """

    @abstractmethod
    def find(self, key: str) -> Steps[OpenCell]:
        """Look what is under a key. Others may look, and change it."""

    @abstractmethod
    def open(self, key: str) -> Steps[OpenCell]:
        """Find a cell to replace or to move what is in it."""

    def reopen(self, key: str, record: SessionRecord) -> OpenCell | None:
        """Return the cell as the record was read from it, if that is all it takes to change it."""
        return None

    def close(self, cell: OpenCell) -> Steps[None]:
        """Let others open it, if that took turns. It raises nothing."""
        yield from ()

    @abstractmethod
    def look(self, keys: Sequence[str], *, prove: bool = False) -> Steps[dict[str, Cell]]:
        """
        Return what is under each of these keys.

        To prove it, StoreUnavailable is raised if an outage might look so.
        """

    @abstractmethod
    def add(self, entry: Entry) -> Steps[Outcome | None]:
        """
        Add a session under its key.

        Returns:
            CONFLICT if the key is taken; a key under which a session has ended is. GONE if it was
            ended while it was added. None if it was not stored, and nothing is there.
        """

    @abstractmethod
    def replace(self, cell: OpenCell, entry: Entry) -> Steps[Outcome]:
        """Write a session over the one that was found."""

    @abstractmethod
    def move(self, cell: OpenCell, entry: Entry) -> Steps[Outcome]:
        """Put a session under a fresh key, in place of the one that was found. Never both live."""

    @abstractmethod
    def end(self, cell: OpenCell) -> Steps[Outcome]:
        """End the session that was found."""

    @abstractmethod
    def require_room(self, record: SessionRecord) -> Steps[None]:
        """Raise ValueError if a session is too large, where a write would tell that too late."""

    @abstractmethod
    def write_tombstones(self, keys: Iterable[str]) -> Steps[None]:
        """End sessions, whatever is under their keys."""

    @abstractmethod
    def require_tombstones(self, keys: Sequence[str]) -> Steps[None]:
        """Raise StoreUnavailable if tombstones that were just written may not be there."""
