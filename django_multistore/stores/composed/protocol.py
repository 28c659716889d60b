"""The steps of MigratingStore's operations, over two stores that keep promises of their own."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Final, Literal, TypeAlias

from ...records import Outcome, Page, SessionRecord, page_of
from ..attempts import MODIFY_ATTEMPTS, Outages, backoff
from ..base import BaseStore
from ..steps import Steps, call, pause
from ..stepwise import Operations
from .dormancy import State, awake, belong_together, ended, state_of
from .moves import Found, Moves


class Again(enum.Enum):
    """What a look comes to while others move the session."""

    AGAIN = "again"


AGAIN: Final = Again.AGAIN
GONE_HOME = (State.MOVED, State.LEFT)
OVERTAKEN = "one session was saved by another request each time"

Look: TypeAlias = Found | Literal[Again.AGAIN] | None
Seen: TypeAlias = tuple[BaseStore, SessionRecord | None]
Reader: TypeAlias = Callable[[BaseStore, str], Steps[SessionRecord | None]]
Action: TypeAlias = Callable[[BaseStore, int | None], Steps[Outcome]]


class MigratingProtocol(Operations):
    """The operations on a session that may be in either of two stores, or on its way."""

    def __init__(self, outages: Outages, home: BaseStore, away: BaseStore, *, moves: bool) -> None:
        self._outages = outages
        self._home = home
        self._away = away
        self._moves = moves
        self._homewards = Moves(source=away, target=home)
        self._outwards = Moves(source=home, target=away)

    # One session.

    def read_on(self, key: str, at_home: SessionRecord | None) -> Steps[SessionRecord | None]:
        """Return the live session under a key, of which this was found at home."""
        look = yield from self._look(key, at_home, _read)
        if look is AGAIN:
            look = yield from self.find(key)
        return None if look is None else look.record

    def find(self, key: str) -> Steps[Found | None]:
        """
        Find the live session under a key, and where it is, once it was moved if it is to be.

        Raises:
            StoreUnavailable: others have moved it each time.
        """
        for delay in backoff():
            yield from pause(delay)
            at_home = yield from _reread(self._home, key)
            look = yield from self._look(key, at_home, _reread)
            if look is not AGAIN:
                return look
        raise self._outages.gave_up("the session kept moving", MODIFY_ATTEMPTS)

    def _look(self, key: str, at_home: SessionRecord | None, read: Reader) -> Steps[Look]:
        """Look for a session once, after this was found at home, and move it if it is to be."""
        if at_home is not None and state_of(at_home) is State.LIVE:
            return Found(self._home, at_home)
        at_away = yield from read(self._away, key)
        if at_away is not None and state_of(at_away) is State.LIVE:
            if not self._moves or not (yield from self._homewards.may_begin(at_away)):
                return Found(self._away, at_away)
            return (yield from self._homewards.move(at_away, at_home)) or AGAIN
        if at_home is not None and at_away is not None:
            if belong_together(at_away, at_home):
                return (yield from self._homewards.confirm(at_away, at_home)) or AGAIN
            if belong_together(at_home, at_away):
                return (yield from self._outwards.confirm(at_home, at_away)) or AGAIN
        # It may have come home since that was looked at.
        again = yield from read(self._home, key)
        if again is not None and state_of(again) is State.LIVE:
            return Found(self._home, again)
        return None if again == at_home else AGAIN

    def _act(self, key: str, version: int | None, act: Action) -> Steps[Outcome]:
        """Write over a session where it is, if the version that is there is the one given."""
        # No place and no mark has a version that a record was loaded with.
        if version is not None:
            outcome = yield from act(self._home, version)
            if outcome is Outcome.DONE:
                return outcome
        for delay in backoff():
            yield from pause(delay)
            found = yield from self.find(key)
            if found is None:
                return Outcome.GONE
            if version not in (None, found.record.version):
                return Outcome.CONFLICT
            outcome = yield from act(found.store, found.record.version)
            # GONE says that it has ended, or has moved.
            if outcome is Outcome.DONE or (outcome is Outcome.CONFLICT and version is not None):
                return outcome
        raise self._outages.gave_up(OVERTAKEN, MODIFY_ATTEMPTS)

    def create(self, record: SessionRecord) -> Steps[bool]:
        if (yield from _read(self._away, record.key)) is not None:
            return False
        return (yield from call(self._home.create, self._home.acreate, record))

    def update(self, record: SessionRecord) -> Steps[Outcome]:
        def update(store: BaseStore, version: int | None) -> Steps[Outcome]:
            return call(store.update, store.aupdate, replace(record, version=version))

        return self._act(record.key, record.version, update)

    def rotate(self, old_key: str, record: SessionRecord) -> Steps[Outcome]:
        def rotate(store: BaseStore, version: int | None) -> Steps[Outcome]:
            return call(store.rotate, store.arotate, old_key, replace(record, version=version))

        return self._act(old_key, record.version, rotate)

    def touch(self, record: SessionRecord) -> Steps[bool]:
        def touch(store: BaseStore, version: int | None) -> Steps[Outcome]:
            is_done = yield from call(store.touch, store.atouch, record)
            return Outcome.DONE if is_done else Outcome.CONFLICT

        outcome = yield from self._act(record.key, record.version or 0, touch)
        return outcome is Outcome.DONE

    def modify(self, key: str, change: Callable[[SessionRecord], SessionRecord]) -> Steps[Outcome]:
        for delay in backoff():
            yield from pause(delay)
            found = yield from self.find(key)
            if found is None:
                return Outcome.GONE
            store, stored = found
            record = replace(change(stored), version=stored.version)
            if record.key == key:
                outcome = yield from call(store.update, store.aupdate, record)
            else:
                outcome = yield from call(store.rotate, store.arotate, key, record)
            if outcome is Outcome.DONE:
                return outcome
        raise self._outages.gave_up(OVERTAKEN, MODIFY_ATTEMPTS)

    def destroy(self, key: str) -> Steps[bool]:
        was_alive = False
        for delay in backoff():
            yield from pause(delay)
            at_home = yield from _reread(self._home, key)
            at_away = yield from _reread(self._away, key)
            alive = _find_alive((self._home, at_home), (self._away, at_away))
            if alive is not None:
                # By compare-and-set, for only that tells whether it had moved on, to another key as
                # well, since it was read.
                store, record = alive
                outcome = yield from call(store.update, store.aupdate, ended(record))
                if outcome is not Outcome.DONE:
                    continue
                was_alive = True
            is_left = False
            for store in (self._home, self._away):
                # What has ended by compare-and-set may still be there, and is removed.
                is_there = yield from call(store.destroy, store.adestroy, key)
                is_left |= is_there and (alive is None or store is not alive.store)
            if not is_left:
                return was_alive
        raise self._outages.gave_up(OVERTAKEN, MODIFY_ATTEMPTS)

    # One user's sessions.

    def sessions_for_user(self, user_id: str) -> Steps[list[SessionRecord]]:
        at_home, at_away = yield from self._list(user_id)
        alive = _select_alive(at_home, at_away)
        if any(state_of(each) in GONE_HOME and each.id not in alive for each in at_away):
            # It may have come home since that was listed.
            alive = _select_alive((yield from _list(self._home, user_id)), at_away)
        return list(alive.values())

    def page_for_user(self, user_id: str, *, start: int, size: int) -> Steps[Page]:
        return page_of((yield from self.sessions_for_user(user_id)), start, size)

    def destroy_for_user(self, user_id: str, *, except_key: str | None = None) -> Steps[int]:
        at_home, at_away = yield from self._list(user_id)
        alive = _select_alive(at_home, at_away)
        targets = {each.id for each in (*at_home, *at_away) if each.key != except_key}
        for delay in backoff():
            yield from pause(delay)
            for store in (self._home, self._away):
                destroy = partial(store.destroy_for_user, except_key=except_key)
                variant = partial(store.adestroy_for_user, except_key=except_key)
                yield from call(destroy, variant, user_id)
            # One that moved between the two was in neither when it was that one's turn. What it
            # leaves tells of it.
            listed = yield from self._list(user_id)
            left = [each for each in chain(*listed) if each.key != except_key]
            if not any(each.id in targets for each in left):
                return sum(id in targets for id in alive)
        raise self._outages.gave_up("a session of the user kept moving", MODIFY_ATTEMPTS)

    def destroy_session(self, user_id: str, id: int) -> Steps[bool]:
        listed = yield from self.sessions_for_user(user_id)
        was_alive = any(each.id == id for each in listed)
        was_there = False
        for delay in backoff():
            yield from pause(delay)
            is_left = False
            for store in (self._home, self._away):
                is_left |= yield from call(
                    store.destroy_session, store.adestroy_session, user_id, id
                )
            if not is_left:
                return was_alive and was_there
            was_there = True
        raise self._outages.gave_up("the session kept moving", MODIFY_ATTEMPTS)

    def _list(self, user_id: str) -> Steps[tuple[list[SessionRecord], list[SessionRecord]]]:
        at_home = yield from _list(self._home, user_id)
        return at_home, (yield from _list(self._away, user_id))


def _read(store: BaseStore, key: str) -> Steps[SessionRecord | None]:
    return call(store.read, store.aread, key)


def _reread(store: BaseStore, key: str) -> Steps[SessionRecord | None]:
    return call(store.reread, store.areread, key)


def _list(store: BaseStore, user_id: str) -> Steps[list[SessionRecord]]:
    return call(store.sessions_for_user, store.asessions_for_user, user_id)


def _find_alive(one: Seen, other: Seen) -> Found | None:
    """Return what makes a session alive: its record, or the place that is kept for it."""
    for (store, record), (_, elsewhere) in ((one, other), (other, one)):
        if record is None:
            continue
        if state_of(record) is State.LIVE or belong_together(elsewhere, record):
            return Found(store, record)
    return None


def _select_alive(
    at_home: list[SessionRecord], at_away: list[SessionRecord]
) -> dict[int, SessionRecord]:
    """Return the live sessions of what two stores have listed, each once, by its id."""
    alive: dict[int, SessionRecord] = {}
    for here, there in ((at_home, at_away), (at_away, at_home)):
        kept = {each.key for each in there if state_of(each) is State.PENDING}
        on_their_way = [e for e in here if state_of(e) is State.MOVED and e.key in kept]
        alive |= {each.id: awake(each) for each in on_their_way}
    for each in (*at_home, *at_away):
        if state_of(each) is State.LIVE:
            alive[each.id] = each
    return alive
