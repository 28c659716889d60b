"""
The sessions of one user: list them, end one, end the others, end all.

For views, commands and a site's own code. Works on whichever store SESSION_ENGINE uses.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from django.conf import settings

from . import signals
from .auth import request_users
from .conf import OF_REQUEST, OF_SESSION, conf
from .engine import SessionStore
from .exceptions import InvalidStore, OtherUser
from .records import Page, SessionRecord, latest_first, parse_id
from .session import namespaces, users
from .signals import Reason

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.sessions.backends.base import SessionBase
    from django.http import HttpRequest


def sessions_for_user(user: AbstractBaseUser) -> list[SessionRecord]:
    """
    List the live sessions of a user, the one seen last first, without payloads.

    Raises:
        NotSupported: the store can't find them.
        StoreUnavailable: the store could not be asked.
    """
    store = _engine().get_store()
    found: dict[int, SessionRecord] = {}
    for user_id in ids_of_user(user):
        found |= {each.id: each for each in store.sessions_for_user(user_id)}
    return latest_first(found.values())


async def asessions_for_user(user: AbstractBaseUser) -> list[SessionRecord]:
    """See sessions_for_user()."""
    store = _engine().get_store()
    found: dict[int, SessionRecord] = {}
    for user_id in ids_of_user(user):
        found |= {each.id: each for each in await store.asessions_for_user(user_id)}
    return latest_first(found.values())


def page_for_user(user: AbstractBaseUser, *, start: int, size: int) -> Page:
    """
    List some of the live sessions of a user, the one seen last first, without payloads.

    At a cost that does not grow with their number, on the stores of this package.

    Args:
        user: whose.
        start: how many come before the page.
        size: the most that the page has.

    Raises:
        NotSupported: the store can't find them.
        StoreUnavailable: the store could not be asked.
    """
    store, pages = _engine().get_store(), Pages(start, size)
    for user_id in ids_of_user(user):
        pages.add(store.page_for_user(user_id, start=pages.start, size=pages.size))
    return pages.as_one()


async def apage_for_user(user: AbstractBaseUser, *, start: int, size: int) -> Page:
    """See page_for_user()."""
    store, pages = _engine().get_store(), Pages(start, size)
    for user_id in ids_of_user(user):
        pages.add(await store.apage_for_user(user_id, start=pages.start, size=pages.size))
    return pages.as_one()


def count_for_user(user: AbstractBaseUser) -> int:
    """
    Count the live sessions of a user.

    Raises:
        NotSupported: the store can't find them.
        StoreUnavailable: the store could not be asked.
    """
    return page_for_user(user, start=0, size=0).total


async def acount_for_user(user: AbstractBaseUser) -> int:
    """See count_for_user()."""
    return (await apage_for_user(user, start=0, size=0)).total


def end_session(user: AbstractBaseUser, id: int | str) -> bool:
    """
    End one session of a user, even if it is moving to another key just now.

    Args:
        user: whose it must be.
        id: the session's public name, SessionRecord.id; or its text, as URLs and JSON have it.

    Returns:
        Whether the user had such a session.

    Raises:
        NotSupported: the store can't find a user's sessions.
        StoreUnavailable: the store could not be asked.
    """
    engine, user_ids, number = _engine(), ids_of_user(user), _number_of(id)
    if number is None:
        return False
    for user_id in user_ids:
        if engine.get_store().destroy_session(user_id, number):
            signals.ended(engine, Reason.REVOKED, user_id=user_ids[-1], id=number)
            return True
    return False


async def aend_session(user: AbstractBaseUser, id: int | str) -> bool:
    """See end_session()."""
    engine, user_ids, number = _engine(), ids_of_user(user), _number_of(id)
    if number is None:
        return False
    for user_id in user_ids:
        if await engine.get_store().adestroy_session(user_id, number):
            await signals.aended(engine, Reason.REVOKED, user_id=user_ids[-1], id=number)
            return True
    return False


def log_out_other_devices(request: HttpRequest) -> int:
    """
    End all sessions of the user but this request's, and move that one to a new key.

    The new key is for the thief who holds this very cookie. It comes first: from then on
    no request with the old one can get at a newer, so the destroy finds whatever there is.

    Where request.user is another than the session's user, SESSION_ON_OTHER_USER says whose
    sessions are meant. With "request" all of that user's are ended, and this one stays.

    Returns:
        How many others were ended; 0 for a visitor who isn't logged in.

    Raises:
        OtherUser: request.user is another, and the setting doesn't say who counts.
        SessionInterrupted: this session was ended itself, meanwhile.
        NotSupported: the store can't find a user's sessions.
        StoreUnavailable: the store could not be asked.
    """
    other = other_user(request)
    if stands_in(other):
        return log_out_everywhere(other)
    return end_others(session_of(request))


async def alog_out_other_devices(request: HttpRequest) -> int:
    """See log_out_other_devices()."""
    other = await aother_user(request)
    if stands_in(other):
        return await alog_out_everywhere(other)
    return await aend_others(session_of(request))


def end_others(session: SessionStore) -> int:
    """End all sessions of a session's user but this one; see log_out_other_devices()."""
    user_id = session.stored_user_id(session._get_session())
    if user_id is None:
        return 0
    if not session.is_out_of_reach:
        session.cycle_key()
    # If that has renewed the hash of a former SECRET_KEY, who has the old key may follow.
    if session.may_have_moved_on:
        session.cycle_key()
    store, ended = session.get_store(), 0
    for each in session.spellings_of(user_id):
        count = store.destroy_for_user(each, except_key=session.key)
        signals.ended(type(session), Reason.REVOKED, user_id=user_id, count=count)
        ended += count
    return ended


async def aend_others(session: SessionStore) -> int:
    """See end_others()."""
    user_id = session.stored_user_id(await session._aget_session())
    if user_id is None:
        return 0
    if not session.is_out_of_reach:
        await session.acycle_key()
    # If that has renewed the hash of a former SECRET_KEY, who has the old key may follow.
    if session.may_have_moved_on:
        await session.acycle_key()
    store, ended = session.get_store(), 0
    for each in session.spellings_of(user_id):
        count = await store.adestroy_for_user(each, except_key=session.key)
        await signals.aended(type(session), Reason.REVOKED, user_id=user_id, count=count)
        ended += count
    return ended


def log_out_everywhere(user: AbstractBaseUser) -> int:
    """
    End all sessions of a user.

    Returns:
        How many were ended.

    Raises:
        NotSupported: the store can't find them.
        StoreUnavailable: the store could not be asked.
    """
    engine, user_ids, ended = _engine(), ids_of_user(user), 0
    for user_id in user_ids:
        count = engine.get_store().destroy_for_user(user_id)
        signals.ended(engine, Reason.REVOKED, user_id=user_ids[-1], count=count)
        ended += count
    return ended


async def alog_out_everywhere(user: AbstractBaseUser) -> int:
    """See log_out_everywhere()."""
    engine, user_ids, ended = _engine(), ids_of_user(user), 0
    for user_id in user_ids:
        count = await engine.get_store().adestroy_for_user(user_id)
        await signals.aended(engine, Reason.REVOKED, user_id=user_ids[-1], count=count)
        ended += count
    return ended


def other_user(request: HttpRequest) -> Any:
    """
    Return the user of a request where that is another than its session's; else None.

    As with django-impersonate, or a middleware that knows users by a token. A visitor is nobody.
    """
    session = session_of(request)
    user_id = _user_id_in(session, session._get_session())
    found = request_users.users_of(request)
    return next((user for user in found if not _is_of(user_id, user)), None)


async def aother_user(request: HttpRequest) -> Any:
    """See other_user()."""
    session = session_of(request)
    user_id = _user_id_in(session, await session._aget_session())
    found = await request_users.ausers_of(request)
    return next((user for user in found if not _is_of(user_id, user)), None)


def stands_in(other: Any) -> bool:
    """
    Say whether the user whom other_user() found counts in place of the session's.

    Raises:
        OtherUser: SESSION_ON_OTHER_USER doesn't say which of them counts, or it's one who is no
            model's instance, of whom no sessions can be found.
    """
    if other is None or conf.on_other_user == OF_SESSION:
        return False
    if conf.on_other_user == OF_REQUEST and hasattr(other, "_meta"):
        return True
    raise OtherUser(
        "request.user is another user than the session's. SESSION_ON_OTHER_USER says which of "
        "the two counts: 'session' or 'request'."
    )


def owns_session(user: Any, request: HttpRequest) -> bool:
    """Say whether the session of a request is a user's."""
    session = session_of(request)
    return _is_of(_user_id_in(session, session._get_session()), user)


def _user_id_in(session: SessionStore, data: dict[str, Any]) -> str | None:
    """Return the user of a session as id_of_user() has users."""
    return session.stored_user_id(data)


def _is_of(user_id: str | None, user: Any) -> bool:
    """Say whether a session with this user id is this user's, who may be no model's instance."""
    if not hasattr(user, "_meta"):
        # Such as a middleware makes of a token's claims.
        pk = getattr(user, "pk", None)
        return pk is not None and namespaces.stored(users.text_from(pk)) == user_id
    # Another model's row may have the same primary key. An engine of the site's knows its own.
    models = {each._meta.label_lower for each in user.__class__.__mro__ if hasattr(each, "_meta")}
    is_djangos = _engine().get_user_id is SessionStore.get_user_id
    if is_djangos and settings.AUTH_USER_MODEL.lower() not in models:
        return False
    return id_of_user(user) == user_id


def configured_engine() -> type[SessionStore] | None:
    """Return the session class of SESSION_ENGINE; None if it isn't one of this package."""
    session_class: Any = import_module(settings.SESSION_ENGINE).SessionStore
    return session_class if issubclass(session_class, SessionStore) else None


def session_of(request: HttpRequest) -> SessionStore:
    """
    Return a request's session.

    Raises:
        InvalidStore: SESSION_ENGINE is not one of this package.
    """
    return ours(request.session)


def ours(session: SessionBase) -> SessionStore:
    """
    Return a session, of which all is known that this package adds to Django's.

    Raises:
        InvalidStore: SESSION_ENGINE is not one of this package.
    """
    if not isinstance(session, SessionStore):
        raise _not_ours()
    return session


def id_of_user(user: AbstractBaseUser) -> str:
    """Return what stores have as a user: the primary key as text, and SESSION_USER_NAMESPACE."""
    return namespaces.stored(users.text_of_user(user))


def ids_of_user(user: AbstractBaseUser) -> tuple[str, ...]:
    """Return that as the last one, and before it what sessions may have from earlier versions."""
    return namespaces.spellings_of_user(user)


class Pages:
    """A page of what several lists have, one after the other."""

    def __init__(self, start: int, size: int) -> None:
        self.start, self.size = start, size  # What is left to be asked of the next list.
        self._parts: list[Page] = []

    def add(self, page: Page) -> None:
        """Take what the next list has of it."""
        if page.total:
            self._parts.append(page)
        self.start = max(0, self.start - page.total)
        self.size = max(0, self.size - len(page.records))

    def as_one(self) -> Page:
        """Return all of it: in its own order, if it is of one list alone."""
        if len(self._parts) == 1:
            return self._parts[0]
        found = {each.id: each for part in self._parts for each in part.records}
        total = sum(part.total for part in self._parts)
        return Page(records=tuple(latest_first(found.values())), total=total)


def _number_of(id: int | str) -> int | None:
    try:
        return parse_id(id)
    except ValueError:
        return None


def _engine() -> type[SessionStore]:
    session_class = configured_engine()
    if session_class is None:
        raise _not_ours()
    return session_class


def _not_ours() -> InvalidStore:
    return InvalidStore(
        f"SESSION_ENGINE is {settings.SESSION_ENGINE!r}, whose sessions lack what is asked for "
        "here. Set it to 'django_multistore.engine'."
    )
