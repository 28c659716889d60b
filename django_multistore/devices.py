"""
The sessions of one user: list them, end one, end the others, end all.

It is for views, commands and a site's own code, and works on whichever store SESSION_ENGINE uses.
Each function raises NotSupported where the store can't find a user's sessions, and
StoreUnavailable where it could not be asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import signals
from .http.request_subject import (
    afind_other_user,
    find_other_user,
    get_engine,
    get_session,
    takes_precedence,
)
from .records import Page, SessionRecord, latest_first, parse_id
from .session import namespaces
from .signals import Reason

__all__ = [
    "acount_for_user",
    "aend_session",
    "alog_out_everywhere",
    "alog_out_other_devices",
    "apage_for_user",
    "asessions_for_user",
    "count_for_user",
    "end_session",
    "log_out_everywhere",
    "log_out_other_devices",
    "page_for_user",
    "sessions_for_user",
]

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.http import HttpRequest

    from .engine import SessionStore


def sessions_for_user(user: AbstractBaseUser) -> list[SessionRecord]:
    """List the live sessions of a user, the one seen last first, without payloads."""
    store = get_engine().get_store()
    found: dict[int, SessionRecord] = {}
    for user_id in namespaces.list_user_ids(user):
        found |= {each.id: each for each in store.sessions_for_user(user_id)}
    return latest_first(found.values())


async def asessions_for_user(user: AbstractBaseUser) -> list[SessionRecord]:
    """See sessions_for_user()."""
    store = get_engine().get_store()
    found: dict[int, SessionRecord] = {}
    for user_id in namespaces.list_user_ids(user):
        found |= {each.id: each for each in await store.asessions_for_user(user_id)}
    return latest_first(found.values())


def page_for_user(user: AbstractBaseUser, *, start: int, size: int) -> Page:
    """
    List some of the live sessions of a user, the one seen last first, without payloads.

    On the stores of this package the cost does not grow with their number.

    Args:
        user: whose.
        start: how many come before the page.
        size: the most that the page has.
    """
    store, pages = get_engine().get_store(), PageCollector(start, size)
    for user_id in namespaces.list_user_ids(user):
        pages.add(store.page_for_user(user_id, start=pages.start, size=pages.size))
    return pages.join()


async def apage_for_user(user: AbstractBaseUser, *, start: int, size: int) -> Page:
    """See page_for_user()."""
    store, pages = get_engine().get_store(), PageCollector(start, size)
    for user_id in namespaces.list_user_ids(user):
        pages.add(await store.apage_for_user(user_id, start=pages.start, size=pages.size))
    return pages.join()


def count_for_user(user: AbstractBaseUser) -> int:
    """Count the live sessions of a user."""
    return page_for_user(user, start=0, size=0).total


async def acount_for_user(user: AbstractBaseUser) -> int:
    """See count_for_user()."""
    return (await apage_for_user(user, start=0, size=0)).total


def end_session(user: AbstractBaseUser, id: int | str) -> bool:
    """
    End one session of a user, even if it is moving to another key just now.

    Args:
        user: whose it must be.
        id: the session's public name, as a number or as the text that URLs and JSON have.

    Returns:
        Whether the user had such a session.
    """
    engine, user_ids, number = get_engine(), namespaces.list_user_ids(user), _read_id(id)
    if number is None:
        return False
    for user_id in user_ids:
        if engine.get_store().destroy_session(user_id, number):
            signals.send_ended(engine, Reason.REVOKED, user_id=user_ids[-1], id=number)
            return True
    return False


async def aend_session(user: AbstractBaseUser, id: int | str) -> bool:
    """See end_session()."""
    engine, user_ids, number = get_engine(), namespaces.list_user_ids(user), _read_id(id)
    if number is None:
        return False
    for user_id in user_ids:
        if await engine.get_store().adestroy_session(user_id, number):
            await signals.asend_ended(engine, Reason.REVOKED, user_id=user_ids[-1], id=number)
            return True
    return False


def log_out_other_devices(request: HttpRequest) -> int:
    """
    End all sessions of the user but this request's, and move that one to a new key.

    The new key shuts out a thief who holds this very cookie. It comes first: from then on no
    request with the old key gets a newer one, so that the destroy finds whatever there is.

    Where request.user is another than the session's user, SESSION_ON_OTHER_USER says whose
    sessions are meant. With "request" all of that user's are ended, and this one stays.

    Returns:
        How many others were ended; 0 for a visitor who isn't logged in.

    Raises:
        OtherUser: request.user is another, and the setting doesn't say who counts.
        SessionInterrupted: this session was ended itself, meanwhile.
    """
    other = find_other_user(request)
    if takes_precedence(other):
        return log_out_everywhere(other)
    return end_others(get_session(request))


async def alog_out_other_devices(request: HttpRequest) -> int:
    """See log_out_other_devices()."""
    other = await afind_other_user(request)
    if takes_precedence(other):
        return await alog_out_everywhere(other)
    return await aend_others(get_session(request))


def end_others(session: SessionStore) -> int:
    """End all sessions of a session's user but this one; see log_out_other_devices()."""
    user_id = session.stored_user_id(session._get_session())
    if user_id is None:
        return 0
    if not session.is_out_of_reach:
        session.cycle_key()
    # If that has renewed the hash of a former SECRET_KEY, whoever has the old key may follow.
    if session.may_have_moved_on:
        session.cycle_key()
    store, ended = session.get_store(), 0
    for each in session.spellings_of(user_id):
        count = store.destroy_for_user(each, except_key=session.key)
        signals.send_ended(type(session), Reason.REVOKED, user_id=user_id, count=count)
        ended += count
    return ended


async def aend_others(session: SessionStore) -> int:
    """See end_others()."""
    user_id = session.stored_user_id(await session._aget_session())
    if user_id is None:
        return 0
    if not session.is_out_of_reach:
        await session.acycle_key()
    # If that has renewed the hash of a former SECRET_KEY, whoever has the old key may follow.
    if session.may_have_moved_on:
        await session.acycle_key()
    store, ended = session.get_store(), 0
    for each in session.spellings_of(user_id):
        count = await store.adestroy_for_user(each, except_key=session.key)
        await signals.asend_ended(type(session), Reason.REVOKED, user_id=user_id, count=count)
        ended += count
    return ended


def log_out_everywhere(user: AbstractBaseUser) -> int:
    """End all sessions of a user, and return how many were ended."""
    engine, user_ids, ended = get_engine(), namespaces.list_user_ids(user), 0
    for user_id in user_ids:
        count = engine.get_store().destroy_for_user(user_id)
        signals.send_ended(engine, Reason.REVOKED, user_id=user_ids[-1], count=count)
        ended += count
    return ended


async def alog_out_everywhere(user: AbstractBaseUser) -> int:
    """See log_out_everywhere()."""
    engine, user_ids, ended = get_engine(), namespaces.list_user_ids(user), 0
    for user_id in user_ids:
        count = await engine.get_store().adestroy_for_user(user_id)
        await signals.asend_ended(engine, Reason.REVOKED, user_id=user_ids[-1], count=count)
        ended += count
    return ended


class PageCollector:
    """A page over several lists, one after the other."""

    def __init__(self, start: int, size: int) -> None:
        self.start, self.size = start, size  # The part that the next list is asked for.
        self._parts: list[Page] = []

    def add(self, page: Page) -> None:
        """Add the part of the page that the next list has."""
        if page.total:
            self._parts.append(page)
        self.start = max(0, self.start - page.total)
        self.size = max(0, self.size - len(page.records))

    def join(self) -> Page:
        """Return the page; if all of it is from one list, that list's order stays."""
        if len(self._parts) == 1:
            return self._parts[0]
        found = {each.id: each for part in self._parts for each in part.records}
        total = sum(part.total for part in self._parts)
        return Page(records=tuple(latest_first(found.values())), total=total)


def _read_id(id: int | str) -> int | None:
    try:
        return parse_id(id)
    except ValueError:
        return None
