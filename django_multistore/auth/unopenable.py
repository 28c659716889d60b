"""
Sessions that no request can open, which SESSION_MAX_PER_USER must not refuse a login for.

They are looked for only where a login would be refused, and no further than it takes to make room.

A session of a password that is no longer the user's is closed to everyone: Django's get_user() ends
it wherever it meets it, and so does this. A session that only this process can't open lives on, and
takes no place: one that is too old by this clock and SESSION_ABSOLUTE_AGE, or that was sealed with
a SECRET_KEY that isn't known here yet.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.utils.crypto import constant_time_compare

from .. import signals
from ..exceptions import StoreUnavailable
from ..records import Limit, SessionRecord
from ..session.lifetimes import is_too_old
from ..signals import Reason
from ..stores import steps
from . import session_hashes

if TYPE_CHECKING:
    from ..session.tracking import TrackedSession
    from ..stores.base import BaseStore

# So many sessions are read beyond those that the limit allows, at the most.
A_LITTLE = 10


class Verdict(enum.Enum):
    """What may be said of a session."""

    OPENS = "opens"  # This is said as well where nobody can tell.
    IS_DOUBTFUL = "is doubtful"  # The session has another hash than the login.
    HAS_OTHER_HASH = "has other hash"  # None of the user's present and former keys makes this hash.
    UNREADABLE = "unreadable"
    TOO_OLD = "too old"


CLOSED_HERE = (Verdict.UNREADABLE, Verdict.TOO_OLD)


class Search:
    """The sessions of a user to look at, and what was found; see make_room() for the arguments."""

    def __init__(
        self,
        session: TrackedSession,
        record: SessionRecord,
        limit: Limit,
        listed: list[SessionRecord],
    ) -> None:
        others = [each for each in limit.counted(listed) if each.id != record.id]
        # The oldest logins are the likeliest.
        others.sort(key=lambda each: (each.authenticated_at or each.created_at, each.id))
        self._candidates = others[: limit.most + A_LITTLE]
        self._excess = len(others) - limit.most + 1  # So many must not count.
        self._closed_here = 0
        self._limit = limit
        self._session = session
        self.login: dict[str, Any] = session._session_cache
        self.user: Any = None  # Whoever finds one doubtful gets it.

    def __iter__(self) -> Iterator[SessionRecord]:
        for candidate in self._candidates:
            if self._excess <= 0:
                return
            yield candidate

    @property
    def widened(self) -> Limit | None:
        """The limit, beside what takes no place; None: there is no room."""
        if self._excess > 0:
            return None
        return replace(self._limit, most=self._limit.most + self._closed_here)

    def judge(self, stored: SessionRecord) -> Verdict:
        """Say what may be said of a session; without its user that may be doubtful."""
        if is_too_old(stored):
            return Verdict.TOO_OLD
        try:
            opened = self._session._read_payload(stored)
        except StoreUnavailable:  # This process lacks what unpacks it.
            return Verdict.OPENS
        return Verdict.UNREADABLE if opened is None else self._judge_hash(opened[1])

    def note(self, verdict: Verdict) -> None:
        """Count a session among those that take no place, if it is one."""
        self._excess -= verdict is Verdict.HAS_OTHER_HASH or verdict in CLOSED_HERE
        self._closed_here += verdict in CLOSED_HERE

    def _judge_hash(self, data: Mapping[str, Any]) -> Verdict:
        own, of_login = session_hashes.read_hash(data), session_hashes.read_hash(self.login)
        # A user without a hash, and a login by other means than Django's, can't be told.
        if not own or not of_login or constant_time_compare(own, of_login):
            return Verdict.OPENS
        if self.user is None:
            return Verdict.IS_DOUBTFUL
        # The user of the login may be of before a password was changed. Then it is the login that
        # won't open.
        if not session_hashes.is_present(of_login, self.user) or session_hashes.is_fallback(
            own, self.user
        ):
            return Verdict.OPENS
        return Verdict.HAS_OTHER_HASH


def make_room(
    session: TrackedSession, store: BaseStore, record: SessionRecord, limit: Limit
) -> Limit | None:
    """
    Look for sessions of a user that take a place, and that no request can open.

    Args:
        session: the one that is to get in.
        store: the engine's.
        record: what was to be written of it.
        limit: what refused it.

    Returns:
        The limit under which it may be tried again; None if there is no room.

    Raises:
        StoreUnavailable: the store could not be asked.
    """
    search = Search(session, record, limit, store.sessions_for_user(record.user_id))
    for listed in search:
        stored = store.read(listed.key)
        if stored is None or stored.user_id != record.user_id:
            continue
        verdict = search.judge(stored)
        if verdict is Verdict.IS_DOUBTFUL:
            search.user = steps.run(session_hashes.load_user(search.login))
            verdict = search.judge(stored)
        search.note(verdict)
        if verdict is Verdict.HAS_OTHER_HASH and store.destroy(stored.key):
            user_id, id = stored.user_id, stored.id
            signals.send_ended(type(session), Reason.REVOKED, user_id=user_id, id=id)
    return search.widened


async def amake_room(
    session: TrackedSession, store: BaseStore, record: SessionRecord, limit: Limit
) -> Limit | None:
    """See make_room()."""
    search = Search(session, record, limit, await store.asessions_for_user(record.user_id))
    for listed in search:
        stored = await store.aread(listed.key)
        if stored is None or stored.user_id != record.user_id:
            continue
        verdict = search.judge(stored)
        if verdict is Verdict.IS_DOUBTFUL:
            search.user = await steps.arun(session_hashes.load_user(search.login))
            verdict = search.judge(stored)
        search.note(verdict)
        if verdict is Verdict.HAS_OTHER_HASH and await store.adestroy(stored.key):
            user_id, id = stored.user_id, stored.id
            await signals.asend_ended(type(session), Reason.REVOKED, user_id=user_id, id=id)
    return search.widened
