"""Users who log in, and requests of theirs."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import login
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.test import RequestFactory

from django_multistore.engine import SessionStore
from django_multistore.testing import Calls

BACKEND = "django.contrib.auth.backends.ModelBackend"


def request_with(session: SessionStore, user: Any = None) -> HttpRequest:
    """Return a request as the middleware hands it on; without a user it is nobody's."""
    request = RequestFactory().get("/")
    request.session = session
    request.user = user or AnonymousUser()

    async def auser() -> Any:
        return request.user

    request.auser = auser
    return request


def log_in(user: Any, *, is_async: bool = False) -> SessionStore:
    """Return the session in which a login of the user was saved."""
    session = SessionStore()
    login(request_with(session), user, backend=BACKEND)
    Calls(session, is_async=is_async).save()
    return session


def logged_in(user: Any) -> SessionStore:
    """Return a session with a login of the user, as the next request meets it."""
    return SessionStore(log_in(user).session_key)
