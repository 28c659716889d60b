"""The engine of the site, the session of a request, and whose user the request is about."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import auth

from ..auth import request_users
from ..conf import OF_REQUEST, OF_SESSION, conf
from ..engine import SessionStore
from ..exceptions import InvalidStore, OtherUser
from ..session import namespaces, user_ids

if TYPE_CHECKING:
    from django.contrib.sessions.backends.base import SessionBase
    from django.http import HttpRequest


def find_engine() -> type[SessionStore] | None:
    """Return the session class of SESSION_ENGINE; None if it isn't one of this package."""
    session_class: Any = import_module(settings.SESSION_ENGINE).SessionStore
    return session_class if issubclass(session_class, SessionStore) else None


def get_engine() -> type[SessionStore]:
    """Return the session class of SESSION_ENGINE. InvalidStore: it is not one of this package."""
    session_class = find_engine()
    if session_class is None:
        raise _build_refusal()
    return session_class


def get_session(request: HttpRequest) -> SessionStore:
    """Return a request's session; see require_ours()."""
    return require_ours(request.session)


def require_ours(session: SessionBase) -> SessionStore:
    """Return a session as one of this package. InvalidStore: SESSION_ENGINE is not its engine."""
    if not isinstance(session, SessionStore):
        raise _build_refusal()
    return session


def find_subject(request: HttpRequest) -> tuple[Any, bool]:
    """
    Return the user whom a request is about, and whether its session is that user's.

    Raises:
        InvalidStore: SESSION_ENGINE is not one of this package.
        OtherUser: request.user is another than the session's user, and SESSION_ON_OTHER_USER
            doesn't say which of them counts.
        StoreUnavailable: the store could not be asked.
    """
    other = find_other_user(request)
    if other is None and _is_at_hand(user := request_users.get_user(request)):
        return user, user.is_authenticated
    if takes_precedence(other):
        return other, False
    user = auth.get_user(request)
    return user, user.is_authenticated


async def afind_subject(request: HttpRequest) -> tuple[Any, bool]:
    """See find_subject()."""
    other = await afind_other_user(request)
    if other is None and _is_at_hand(user := await request_users.aget_user(request)):
        return user, user.is_authenticated
    if takes_precedence(other):
        return other, False
    user = await auth.aget_user(request)
    return user, user.is_authenticated


def find_other_user(request: HttpRequest) -> Any:
    """
    Return the user of a request where that is another than its session's; else None.

    That is so with django-impersonate, or a middleware that knows users by a token. A visitor is
    no user.
    """
    session = get_session(request)
    user_id = session.stored_user_id(session._get_session())
    found = request_users.find_users(request)
    return next((user for user in found if not _is_of(user_id, user)), None)


async def afind_other_user(request: HttpRequest) -> Any:
    """See find_other_user()."""
    session = get_session(request)
    user_id = session.stored_user_id(await session._aget_session())
    found = await request_users.afind_users(request)
    return next((user for user in found if not _is_of(user_id, user)), None)


def takes_precedence(other: Any) -> bool:
    """
    Say whether the user whom find_other_user() found counts in place of the session's.

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
    session = get_session(request)
    return _is_of(session.stored_user_id(session._get_session()), user)


def _is_at_hand(user: Any) -> bool:
    """Say whether it is a visitor, or a user as devices takes one: a model's instance."""
    return not user.is_authenticated or hasattr(user, "_meta")


def _is_of(user_id: str | None, user: Any) -> bool:
    """Say whether a session with this user id is this user's, who may be no model's instance."""
    if not hasattr(user, "_meta"):
        # A middleware makes such users of a token's claims, for example.
        pk = getattr(user, "pk", None)
        return pk is not None and namespaces.qualify(user_ids.spell(pk)) == user_id
    # Another model's row may have the same primary key. An engine of the site's knows its own.
    models = {each._meta.label_lower for each in user.__class__.__mro__ if hasattr(each, "_meta")}
    is_djangos = get_engine().get_user_id is SessionStore.get_user_id
    if is_djangos and settings.AUTH_USER_MODEL.lower() not in models:
        return False
    return namespaces.get_user_id(user) == user_id


def _build_refusal() -> InvalidStore:
    return InvalidStore(
        f"SESSION_ENGINE is {settings.SESSION_ENGINE!r}, whose sessions lack what is asked for "
        "here. Set it to 'django_multistore.engine'."
    )
