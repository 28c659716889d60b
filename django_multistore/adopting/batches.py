"""
Many sessions of the old engine at once, in as few commands as the store and the engine need.

What is as it should be goes this way: a session that is unknown here, and is there still
once it is entered. Whatever is otherwise is left to the protocol, one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..records import Outcome, SessionRecord
from ..session.keys import Secret
from . import envelopes
from .asking import ask
from .old_sessions import OldSession
from .store import AdoptingStore


class Found(NamedTuple):
    """A session of the old engine that can be read."""

    secret: Secret
    old: OldSession


@dataclass(frozen=True, slots=True)
class Entered:
    """A session that has a record now, which follows the old engine's."""

    secret: Secret
    record: SessionRecord  # Its payload is the codec's.


def enter(store: AdoptingStore, batch: Sequence[Found]) -> tuple[list[Entered], list[Found]]:
    """
    Enter sessions that are unknown here.

    Returns:
        Those that were entered, and those that are not unknown, or aren't to be taken over.
    """
    built = [(each, store.translator.build_record(each.secret.key, each.old)) for each in batch]
    records = [Entered(each.secret, record) for each, record in built if record is not None]
    are_new = store.store.create_many(
        [envelopes.seal(each.record, each.secret) for each in records]
    )
    entered = [each for each, is_new in zip(records, are_new, strict=True) if is_new]
    done = {each.secret.key for each in entered}
    return entered, [each for each in batch if each.secret.key not in done]


def take_over(store: AdoptingStore, entered: Sequence[Entered]) -> list[Entered]:
    """
    Take over sessions that were entered just now.

    Returns:
        Those that were; another process has come upon the others.
    """
    old = store.adoption.old
    # One that was ended before it was entered must not come back.
    present = ask(old, lambda: old.find_present([each.secret.session_key for each in entered]))
    there = [each for each in entered if each.secret.session_key in present]
    outcomes = store.store.update_many([each.record for each in there])
    taken = [each for each, outcome in zip(there, outcomes, strict=True) if outcome is Outcome.DONE]
    ask(old, lambda: old.delete_many([each.secret.session_key for each in taken]))
    return taken
