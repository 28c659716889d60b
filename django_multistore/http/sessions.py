"""The engine of the site, and the session of a request as one of that engine."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from django.conf import settings

from ..engine import SessionStore
from ..exceptions import InvalidStore

if TYPE_CHECKING:
    from django.contrib.sessions.backends.base import SessionBase
    from django.http import HttpRequest


def find_engine() -> type[SessionStore] | None:
    """Return the session class of SESSION_ENGINE; None if it isn't one of this package."""
    session_class: Any = import_module(settings.SESSION_ENGINE).SessionStore
    return session_class if issubclass(session_class, SessionStore) else None


def get_engine() -> type[SessionStore]:
    """
    Return the session class of SESSION_ENGINE.

    Raises:
        InvalidStore: it is not one of this package.
    """
    session_class = find_engine()
    if session_class is None:
        raise _build_refusal()
    return session_class


def get_session(request: HttpRequest) -> SessionStore:
    """Return a request's session; see require_ours()."""
    return require_ours(request.session)


def require_ours(session: SessionBase) -> SessionStore:
    """
    Return a session as what this package adds to Django's.

    Raises:
        InvalidStore: SESSION_ENGINE is not one of this package.
    """
    if not isinstance(session, SessionStore):
        raise _build_refusal()
    return session


def _build_refusal() -> InvalidStore:
    return InvalidStore(
        f"SESSION_ENGINE is {settings.SESSION_ENGINE!r}, whose sessions lack what is asked for "
        "here. Set it to 'django_multistore.engine'."
    )
