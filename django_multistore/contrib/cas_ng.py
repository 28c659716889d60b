"""Single logout of django-cas-ng for sessions that move to new keys."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.apps import apps
from django.conf import settings
from django.db import Error

from ..engine import SessionStore

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

__all__ = ["SessionTicketMiddleware"]

logger = logging.getLogger("django_multistore")

MODELS = ("SessionTicket", "ProxyGrantingTicket")


class SessionTicketMiddleware:
    """
    Move the tickets of a session with it, when a request gives it a new session key.

    django-cas-ng keeps them under the session key of the login, and finds none under the next. It
    stands before the session's middleware, which may give a new key after the view.
    """

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.async_mode: bool = iscoroutinefunction(get_response)
        if self.async_mode:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        if self.async_mode:
            return self.__acall__(request)
        response: HttpResponse = self.get_response(request)
        for tickets, session_key in _find_moved(request):
            try:
                tickets.update(session_key=session_key)
            except Error as error:
                _log(error)
        return response

    async def __acall__(self, request: HttpRequest) -> HttpResponse:
        response: HttpResponse = await self.get_response(request)
        for tickets, session_key in _find_moved(request):
            try:
                await tickets.aupdate(session_key=session_key)
            except Error as error:
                _log(error)
        return response


def _find_moved(request: HttpRequest) -> list[tuple[Any, str]]:
    """Return the tickets of a session that has moved, each model's with its new session key."""
    session = getattr(request, "session", None)
    old = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    if not old or not isinstance(session, SessionStore):
        return []
    # What was flushed has ended. The session after it is another, of another login.
    if session.was_flushed or not session.is_moved or session.session_key is None:
        return []
    models = (apps.get_model("django_cas_ng", name) for name in MODELS)
    return [(each.objects.filter(session_key=old), session.session_key) for each in models]


def _log(error: Error) -> None:
    # A response without its cookie would log the user out. The error's text may have session keys.
    logger.error("Tickets of django-cas-ng could not be moved: %s", type(error).__name__)
