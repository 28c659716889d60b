"""Users who log in, and requests of theirs."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import login
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.test import RequestFactory

from django_multistore.engine import SessionStore

BACKEND = "django.contrib.auth.backends.ModelBackend"


def request_with(session: SessionStore, user: Any = None) -> HttpRequest:
    request = RequestFactory().get("/")
    request.session = session
    request.user = user or AnonymousUser()

    async def auser() -> Any:
        return request.user

    request.auser = auser
    return request


def logged_in(user: Any) -> SessionStore:
    session = SessionStore()
    login(request_with(session), user, backend=BACKEND)
    session.save()
    return SessionStore(session.session_key)
