"""
A session in which somebody else acts as its user: staff, by django-hijack or django-loginas.

It doesn't count against SESSION_MAX_PER_USER, and whoever sees it sees who acts. The mark is a
part of the session's data and names the user as well, so that each login removes it that isn't
marked anew.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from .engine import SessionStore
from .http.request_subject import get_session
from .records import ACTOR_SESSION_KEY
from .session import namespaces

__all__ = ["amark_as_takeover", "mark_as_takeover", "takes_over"]

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.http import HttpRequest

    View = Callable[..., Any]


def mark_as_takeover(request: HttpRequest, *, by: AbstractBaseUser) -> None:
    """
    Say that whom the request logs in next is somebody else's to act as, before it does.

    If another user than `by` is logged in already, the session is marked at once. A login that
    goes back to `by` marks nothing.

    Args:
        request: the one that logs in.
        by: who acts. A user whose session is itself a takeover stands for who acts there.

    Raises:
        TypeError: `by` is nobody.
        StoreUnavailable: the session could not be loaded.
        InvalidStore: SESSION_ENGINE is not one of this package.
    """
    actor_id, session = _get_id(by), get_session(request)
    _announce(session, session._get_session(), actor_id)


async def amark_as_takeover(request: HttpRequest, *, by: AbstractBaseUser) -> None:
    """See mark_as_takeover()."""
    actor_id, session = _get_id(by), get_session(request)
    _announce(session, await session._aget_session(), actor_id)


def takes_over(view: View) -> View:
    """
    Mark as takeovers what a view logs in, by the user whose session the request has.

    It is for the views of other packages, sync or async: those that begin a takeover and those
    that end it.
    """
    if iscoroutinefunction(view):

        @wraps(view)
        async def marking(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            session = get_session(request)
            data = await session._aget_session()
            _announce(session, data, session.stored_user_id(data))
            return await view(request, *args, **kwargs)

    else:

        @wraps(view)
        def marking(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            session = get_session(request)
            data = session._get_session()
            _announce(session, data, session.stored_user_id(data))
            return view(request, *args, **kwargs)

    marking.marks_takeovers = True  # type: ignore[attr-defined] # A system check reads it.
    return marking


def follow_login(*, request: HttpRequest, **kwargs: Any) -> None:
    """Mark the session that a login has begun, or take from it the mark of the login before."""
    session = getattr(request, "session", None)
    if isinstance(session, SessionStore):
        actor_id, session.next_actor_id = session.next_actor_id, None
        _mark(session, session._get_session(), actor_id)


def _get_id(by: AbstractBaseUser) -> str:
    if not by.is_authenticated:
        raise TypeError("Expected the user who acts (by), and nobody is logged in.")
    return namespaces.get_user_id(by)


def _announce(session: SessionStore, data: dict[str, Any], actor_id: str | None) -> None:
    user_id = session.stored_user_id(data)
    if actor_id is not None and actor_id == user_id:
        actor_id = session.get_actor_id(data) or actor_id
    session.next_actor_id = actor_id
    if user_id is not None and user_id != actor_id:
        _mark(session, data, actor_id)


def _mark(session: SessionStore, data: dict[str, Any], actor_id: str | None) -> None:
    user_id = session.stored_user_id(data)
    is_takeover = actor_id is not None and user_id is not None and actor_id != user_id
    mark = {"actor_id": actor_id, "user_id": user_id} if is_takeover else None
    if data.get(ACTOR_SESSION_KEY) == mark:
        return
    if mark is None:
        del data[ACTOR_SESSION_KEY]
    else:
        data[ACTOR_SESSION_KEY] = mark
    session.modified = True
