"""What an instance believes of its session in the store, and takes back if that was rolled back."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime

from ..records import Fate, SessionRecord
from . import clock
from .codec import Body


class KeySource(enum.Enum):
    """How an instance came by its session key, which says who else may have that."""

    REQUEST = "the request's cookie"
    CREATION = "a session that it has created"
    ROTATION = "its own rotation, to a key that the old one doesn't lead to"
    RENEWAL = "its own rotation, to a key that whoever has the old one can follow to"
    FORM = "another request's rotation, found by the form that was posted"
    OTHER_RENEWAL = "another request's rotation, found by the old key alone"

    @property
    def is_request(self) -> bool:
        """Whether it is the session key that the request came with."""
        return self is KeySource.REQUEST

    @property
    def is_followable(self) -> bool:
        """Whether somebody who has the old session key and nothing else may have this one."""
        return self in (KeySource.RENEWAL, KeySource.OTHER_RENEWAL)

    @property
    def is_followed(self) -> bool:
        """Whether another request has given the session this key."""
        return self in (KeySource.FORM, KeySource.OTHER_RENEWAL)

    @property
    def is_move(self) -> bool:
        """Whether the session was stored under an old key before."""
        return self not in (KeySource.REQUEST, KeySource.CREATION)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Where others have moved a session whose new session key isn't known here."""

    key: str = field(repr=False)
    until: datetime  # Whoever came before the move is let there for so long.

    @property
    def is_open(self) -> bool:
        """Whether who came before the move may go there still."""
        return clock.now() < self.until


@dataclass(slots=True, kw_only=True)
class State:
    """
    What an instance believes of its session in the store.

    Attributes:
        record: it as it was loaded or written last; None for a new one.
        base: its data, serialised, against which a save finds out what has changed.
        key_source: how the instance came by its session key.
        is_key_certain: whether no rollback can take the session key back.
        elsewhere: where others have moved it.
        login_at: when its user logged in, if that isn't saved yet.
        is_cleared: whether clear() was called, and that isn't saved yet.
        gained_user: whether a save has given it a user under a key that others may know.
        was_stored: whether it was there under its session key.
        was_written: whether this instance has written, and the cookie's expiry may have moved.
    """

    record: SessionRecord | None = None
    base: Body | None = field(default=None, repr=False)
    key_source: KeySource = KeySource.REQUEST
    is_key_certain: bool = True
    elsewhere: Elsewhere | None = None
    login_at: datetime | None = None
    is_cleared: bool = False
    gained_user: bool = False
    was_stored: bool = False
    was_written: bool = False

    def forget(self) -> None:
        """Forget what is stored: the instance keeps its key and what it has done."""
        self.record = self.base = self.elsewhere = self.login_at = None
        self.is_cleared = self.gained_user = False
        self.is_key_certain = True


@dataclass(frozen=True, slots=True)
class Beliefs:
    """All that a rollback may belie."""

    session_key: str | None = field(repr=False)
    state: State


class History:
    """What was believed before each write that a rollback may still undo."""

    __slots__ = ("_writes",)

    def __init__(self) -> None:
        self._writes: list[tuple[Beliefs, Fate]] = []

    def keep(self, beliefs: Beliefs, fate: Fate | None, *, moves: bool) -> None:
        """
        Keep what is believed, before a write is believed.

        Args:
            beliefs: of before the write. They stay as they are.
            fate: the write's.
            moves: whether it has moved the session to a new key.
        """
        if fate is None or fate.is_settled:
            return
        if fate.is_unknown and moves:
            # Nobody can tell under which of the two keys the session is. The new one, which may
            # be rolled back, is not certain.
            return
        self._writes.append((beliefs, fate))

    def undo(self) -> Beliefs | None:
        """Return what was believed before the first write that was undone; None if none was."""
        before = None
        while self._writes:
            beliefs, fate = self._writes[-1]
            if fate.is_settled:
                self._writes.clear()
            elif fate.is_undone or fate.is_unknown:
                # If a write of unknown fate is there after all, the next save meets it and merges.
                self._writes.pop()
                before = beliefs
            else:
                break
        return before

    def clear(self) -> None:
        """Believe what is believed now, whatever becomes of the writes before."""
        self._writes.clear()
