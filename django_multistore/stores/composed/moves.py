"""
The move of one session from one store to another, in steps that each may be the last.

A session is alive if it is live in one store, or moved in the one and pending in the other.
docs/composed-stores.md has the order of the steps and its reasons.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

from ...records import Outcome, SessionRecord
from ...session import clock
from ..base import BaseStore
from ..record_bytes import LAST_VERSION
from ..steps import Steps, call, call_database
from .dormancy import TOKEN_LENGTH, State, awake, ended, left, moved, pending, state_of

# For so long a store remembers that a session has moved, for who has looked into the other store
# before. What ends sooner is not moved at all.
REMEMBERED = timedelta(seconds=60)
# A place is kept with a version that is so much higher at least, so that it does for a session
# that was saved as often since. What is added to that makes two places for one session differ: who
# confirms the one by compare-and-set must not meet the other.
HEAD_START = 2**16
NOTCHES = 2**24


class Found(NamedTuple):
    """A live session, and where it is."""

    store: BaseStore
    record: SessionRecord


class Moves:
    """The moves from one store to the other."""

    def __init__(self, source: BaseStore, target: BaseStore) -> None:
        self.source = source
        self.target = target

    def may_begin(self, record: SessionRecord) -> Steps[bool]:
        """Say whether a live session in the source may be moved now."""
        if record.expires_at <= clock.now() + REMEMBERED:
            return False
        # A rollback would leave the session alive twice, or nowhere.
        return not (yield from self.is_in_transaction())

    def is_in_transaction(self) -> Steps[bool]:
        """Say whether the caller's transaction may undo what either store does now."""
        for store in (self.source, self.target):
            if (yield from call_database(store.is_in_transaction)):
                return True
        return False

    def move(self, record: SessionRecord, there: SessionRecord | None) -> Steps[Found | None]:
        """
        Move a session.

        Args:
            record: the session, live in the source.
            there: what the target has under its key.

        Returns:
            Where it is alive now: in the source as well, which is where it stays while the target
            can't take it. None if others have changed it meanwhile: look again.
        """
        if state_of(there) is State.LIVE:
            return None
        place = yield from self.keep_place(record, there)
        if place is None:
            return Found(self.source, record)
        # The compare-and-set by which the session is no longer here. From now on it is alive for
        # the place that is kept, and whoever finds both may do the rest.
        mark = moved(record, place.payload)
        outcome = yield from call(self.source.update, self.source.aupdate, mark)
        if outcome is Outcome.DONE:
            return (yield from self.confirm(replace(mark, version=_next(record)), place))
        if outcome is Outcome.GONE:
            yield from self.withdraw(place)
        return None

    def keep_place(
        self, record: SessionRecord, there: SessionRecord | None
    ) -> Steps[SessionRecord | None]:
        """
        Keep a place for a session in the target.

        Args:
            record: the session, live in the source.
            there: what the target has under its key.

        Returns:
            The place as it is in the target; None if it can't have one there for now.
        """
        if there is None:
            place = build_place(record)
            if place is None:
                return None
            if (yield from call(self.target.create, self.target.acreate, place)):
                return place
            # A store may keep what has expired until gc comes, under this key or this id.
            if (yield from call(self.target.make_way, self.target.amake_way, record)) and (
                yield from call(self.target.create, self.target.acreate, place)
            ):
                return place
            there = yield from call(self.target.reread, self.target.areread, record.key)
        if there is not None and state_of(there) is State.MOVED:
            # The session has come to the source from here, and only that was left to be noted.
            yield from self.forget(self.target, there)
        if there is None or state_of(there) is not State.PENDING or _next(there) <= _number(record):
            return None
        if _is_place_for(record, there):
            return there
        # It may be another's who is about to mark the session as moved there, by that token.
        place = replace(pending(record, there.payload), version=there.version)
        outcome = yield from call(self.target.update, self.target.aupdate, place)
        return replace(place, version=_next(there)) if outcome is Outcome.DONE else None

    def confirm(self, mark: SessionRecord, place: SessionRecord) -> Steps[Found | None]:
        """
        Bring a session to life in the target, where a place is kept for it.

        Args:
            mark: the session as it was marked as moved, as it is in the source.
            place: what keeps its place, as it is in the target.

        Returns:
            Where it is; None if others have come before: look again.
        """
        record = replace(awake(mark), version=place.version)
        outcome = yield from call(self.target.update, self.target.aupdate, record)
        if outcome is not Outcome.DONE:
            return None
        # If a rollback takes the confirmation back, the mark is what the session lives by.
        if not (yield from self.is_in_transaction()):
            yield from self.forget(self.source, mark)
        return Found(self.target, replace(record, version=_next(place)))

    def forget(self, store: BaseStore, mark: SessionRecord) -> Steps[None]:
        """Let the mark of a session that has come where it is alive expire in a while."""
        # It isn't destroyed, for some stores remember which keys have ended: it may come back.
        remains = left(mark, clock.now() + REMEMBERED)
        yield from call(store.update, store.aupdate, remains)

    def withdraw(self, place: SessionRecord) -> Steps[None]:
        """Remove the place that was kept for a session which has ended."""
        # By compare-and-set: if it has come to life meanwhile, it is no longer a place.
        yield from call(self.target.update, self.target.aupdate, ended(place))
        yield from call(self.target.make_way, self.target.amake_way, place)


def build_place(record: SessionRecord) -> SessionRecord | None:
    """Return what keeps a new place for a session; None if no version is left for that."""
    version = _number(record) + HEAD_START + secrets.randbelow(NOTCHES)
    place = pending(record, secrets.token_bytes(TOKEN_LENGTH))
    return replace(place, version=version) if version < LAST_VERSION else None


def _is_place_for(record: SessionRecord, there: SessionRecord) -> bool:
    # By the user it is found, and ended, with the user's sessions.
    return there.user_id == record.user_id and there.expires_at >= record.expires_at


def _number(record: SessionRecord) -> int:
    return record.version or 0


def _next(record: SessionRecord) -> int:
    return _number(record) + 1
