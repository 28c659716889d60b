"""
The sessions of one user: list them, end one, end the others, end all.

For views, commands and a site's own code. Works on whichever store SESSION_ENGINE uses.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from django.conf import settings

from . import signals
from .engine import SessionStore
from .exceptions import InvalidStore
from .records import Page, SessionRecord, is_id, latest_first
from .signals import Reason

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.http import HttpRequest


def sessions_for_user(user: AbstractBaseUser) -> list[SessionRecord]:
    """
    List the live sessions of a user, the one seen last first, without payloads.

    Raises:
        NotSupported: the store can't find them.
        StoreUnavailable: the store could not be asked.
    """
    return latest_first(_engine().get_store().sessions_for_user(id_of_user(user)))


async def asessions_for_user(user: AbstractBaseUser) -> list[SessionRecord]:
    """See sessions_for_user()."""
    return latest_first(await _engine().get_store().asessions_for_user(id_of_user(user)))


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
    return _engine().get_store().page_for_user(id_of_user(user), start=start, size=size)


async def apage_for_user(user: AbstractBaseUser, *, start: int, size: int) -> Page:
    """See page_for_user()."""
    return await _engine().get_store().apage_for_user(id_of_user(user), start=start, size=size)


def count_for_user(user: AbstractBaseUser) -> int:
    """
    Count the live sessions of a user.

    Raises:
        NotSupported: the store can't find them.
        StoreUnavailable: the store could not be asked.
    """
    return _engine().get_store().page_for_user(id_of_user(user), start=0, size=0).total


async def acount_for_user(user: AbstractBaseUser) -> int:
    """See count_for_user()."""
    return (await _engine().get_store().apage_for_user(id_of_user(user), start=0, size=0)).total


def end_session(user: AbstractBaseUser, id: int) -> bool:
    """
    End one session of a user, even if it is moving to another key just now.

    Args:
        user: whose it must be.
        id: the session's public name, SessionRecord.id.

    Returns:
        Whether the user had such a session.

    Raises:
        NotSupported: the store can't find a user's sessions.
        StoreUnavailable: the store could not be asked.
    """
    engine, user_id = _engine(), id_of_user(user)
    had_it = is_id(id) and engine.get_store().destroy_session(user_id, id)
    signals.ended(engine, Reason.REVOKED, user_id=user_id, id=id, count=int(had_it))
    return had_it


async def aend_session(user: AbstractBaseUser, id: int) -> bool:
    """See end_session()."""
    engine, user_id = _engine(), id_of_user(user)
    had_it = is_id(id) and await engine.get_store().adestroy_session(user_id, id)
    await signals.aended(engine, Reason.REVOKED, user_id=user_id, id=id, count=int(had_it))
    return had_it


def log_out_other_devices(request: HttpRequest) -> int:
    """
    End all sessions of the user but this request's, and move that one to a new key.

    The new key is for the thief who holds this very cookie. It comes first: from then on
    no request with the old one can get at a newer, so the destroy finds whatever there is.

    Returns:
        How many others were ended; 0 for a visitor who isn't logged in.

    Raises:
        SessionInterrupted: this session was ended itself, meanwhile.
        NotSupported: the store can't find a user's sessions.
        StoreUnavailable: the store could not be asked.
    """
    session = session_of(request)
    user_id = session.get_user_id(session._get_session())
    if user_id is None:
        return 0
    if not session.has_fresh_key:
        session.cycle_key()
    count = session.get_store().destroy_for_user(user_id, except_key=session.key)
    signals.ended(type(session), Reason.REVOKED, user_id=user_id, count=count)
    return count


async def alog_out_other_devices(request: HttpRequest) -> int:
    """See log_out_other_devices()."""
    session = session_of(request)
    user_id = session.get_user_id(await session._aget_session())
    if user_id is None:
        return 0
    if not session.has_fresh_key:
        await session.acycle_key()
    count = await session.get_store().adestroy_for_user(user_id, except_key=session.key)
    await signals.aended(type(session), Reason.REVOKED, user_id=user_id, count=count)
    return count


def log_out_everywhere(user: AbstractBaseUser) -> int:
    """
    End all sessions of a user.

    Returns:
        How many were ended.

    Raises:
        NotSupported: the store can't find them.
        StoreUnavailable: the store could not be asked.
    """
    engine, user_id = _engine(), id_of_user(user)
    count = engine.get_store().destroy_for_user(user_id)
    signals.ended(engine, Reason.REVOKED, user_id=user_id, count=count)
    return count


async def alog_out_everywhere(user: AbstractBaseUser) -> int:
    """See log_out_everywhere()."""
    engine, user_id = _engine(), id_of_user(user)
    count = await engine.get_store().adestroy_for_user(user_id)
    await signals.aended(engine, Reason.REVOKED, user_id=user_id, count=count)
    return count


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
    if not isinstance(request.session, SessionStore):
        raise _not_ours()
    return request.session


def id_of_user(user: AbstractBaseUser) -> str:
    """Return a user's primary key as login() writes it into the session."""
    return user._meta.pk.value_to_string(user)


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
