"""Django's session middleware, without a thread under ASGI, and careful with cookies."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.sessions.exceptions import SessionInterrupted
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware
from django.http import HttpResponse
from django.utils.cache import add_never_cache_headers, patch_vary_headers

from .addresses import read_device
from .conf import conf
from .engine import SessionStore
from .exceptions import StoreUnavailable
from .http.client_hints import ask_for_hints
from .http.cookies import (
    CookieRequest,
    CookieSession,
    NewKeyRequest,
    Scratch,
    aanswer_error,
    answer_error,
    find_unsent_key,
)
from .http.refusals import (
    answer_503,
    arefuse_in_json,
    is_answered_in_json,
    refuse_in_json,
    replace_if_outage,
)
from .session.endings import collect_endings
from .stores import stores
from .stores.steps import Steps, arun, call, run

__all__ = ["SessionMiddleware"]

if TYPE_CHECKING:
    from django.http import HttpRequest

SAFE_METHODS = {"GET", "HEAD", "OPTIONS", "TRACE"}  # RFC 9110, section 9.2.1


class SessionMiddleware(DjangoSessionMiddleware):
    """
    Load and save sessions for each request, in place of Django's middleware of this name.

    What Django's does to a response, it still does; here it does so once the store was asked,
    under ASGI by async code. A subclass that overrides process_response() overrides
    aprocess_response() as well.
    """

    def __init__(self, get_response: Any) -> None:
        """
        Build the stores, so that a server doesn't start with one that is wrongly configured.

        Raises:
            InvalidStore: the message names the store, the option and the remedy.
        """
        super().__init__(get_response)
        if issubclass(self.SessionStore, SessionStore):
            stores.build_all()  # Says so, too, where the app isn't installed.
            self.SessionStore.get_store()

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        session = request.session
        if isinstance(session, SessionStore):
            session.device = read_device(request)
            session.tolerates_outage = (
                conf.serves_anonymous_on_outage and request.method in SAFE_METHODS
            )

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer by 503 where a view could not have its session."""
        return answer_503(exception, request) if isinstance(exception, StoreUnavailable) else None

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        session = getattr(request, "session", None)
        if not isinstance(session, SessionStore):
            return super().process_response(request, response)
        return run(self._respond(request, session, response))

    async def aprocess_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """See process_response()."""
        session = getattr(request, "session", None)
        if not isinstance(session, SessionStore):
            return await sync_to_async(super().process_response)(request, response)
        return await arun(self._respond(request, session, response))

    def __call__(self, request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        if self.async_mode:
            return self.__acall__(request)
        self.process_request(request)
        session: Any = request.session
        with collect_endings() as session.own_endings:
            try:
                response: HttpResponse = self.get_response(request)  # type: ignore[assignment]
            except StoreUnavailable as outage:
                response = answer_503(outage, request)
            return self.process_response(request, response)

    async def __acall__(self, request: HttpRequest) -> HttpResponse:
        self.process_request(request)
        session: Any = request.session
        with collect_endings() as session.own_endings:
            try:
                response: HttpResponse = await self.get_response(request)  # type: ignore[misc]
            except StoreUnavailable as outage:
                # From a handler of errors that needs the session, as with CSRF_USE_SESSIONS.
                response = answer_503(outage, request)
            return await self.aprocess_response(request, response)

    def _respond(
        self, request: HttpRequest, session: SessionStore, response: HttpResponse
    ) -> Steps[HttpResponse]:
        try:
            response = yield from self._save(request, session, replace_if_outage(response, request))
        except SessionInterrupted as error:
            if not is_answered_in_json(request):
                raise
            return (yield from call(refuse_in_json, arefuse_in_json, error, request))
        except Exception as error:
            # Django answers it where no cookie can be set any more.
            if not session.is_moved:
                raise
            response = yield from call(answer_error, aanswer_error, request, error)
        if (yield from self._owes_cookie(request, session, response)):
            self._send_new_key(session, response)
        if response.status_code >= 500 and settings.SESSION_COOKIE_NAME not in response.cookies:
            yield from self._end_unsent(session)
        ask_for_hints(request, response)
        return response

    def _save(
        self, request: HttpRequest, session: SessionStore, response: HttpResponse
    ) -> Steps[HttpResponse]:
        cookie = self._run_dry(request, session, response)
        try:
            yield from cookie.act(response.status_code)
        except StoreUnavailable as outage:
            return answer_503(outage, request)
        response = self._run(request, cookie, response)
        if cookie.is_in_doubt:
            add_never_cache_headers(response)
        elif not cookie.was_saved and session.is_stored_for_user and session.needs_new_key:
            # The view has saved it with a user whom it didn't have, under a key others may know.
            with suppress(StoreUnavailable, SessionInterrupted):
                yield from call(session.cycle_key, session.acycle_key)
        elif not cookie.was_saved and response.status_code < 500:
            yield from call(session.touch, session.atouch)
        return response

    def _run_dry(
        self, request: HttpRequest, session: SessionStore, response: HttpResponse
    ) -> CookieSession:
        """Find out what Django's process_response() wants of a session and of a response."""
        cookie = CookieSession(session, request.COOKIES.get(settings.SESSION_COOKIE_NAME))
        seen = CookieRequest(request, cookie.wishes, was_flushed=session.was_flushed)
        cookie.scratch = Scratch(response.status_code)
        super().process_response(seen, cookie.scratch)  # type: ignore[arg-type]
        return cookie

    def _run(
        self, request: HttpRequest, cookie: CookieSession, response: HttpResponse
    ) -> HttpResponse:
        """Let Django's process_response() answer, if it has more to say than "Vary"."""
        if not (cookie.wishes.needs_load or cookie.scratch.has_cookie):
            if "Vary" in cookie.scratch.headers:
                patch_vary_headers(response, [cookie.scratch.headers["Vary"]])
            return response
        seen = CookieRequest(request, cookie, was_flushed=cookie.was_flushed)
        return super().process_response(seen, response)  # type: ignore[arg-type]

    def _owes_cookie(
        self, request: HttpRequest, session: SessionStore, response: HttpResponse
    ) -> Steps[bool]:
        """Say whether the browser's session key is dead, and nothing has told it the new one."""
        if not session.has_new_key:
            return False
        with suppress(StoreUnavailable):
            if settings.SESSION_COOKIE_NAME not in response.cookies:
                if session.record is not None and session.record.user_id is None:
                    yield from call(session.look_for_trail, session.alook_for_trail)
                if session.may_have_moved_on:
                    yield from call(session.look_for_key, session.alook_for_key)
        key = find_unsent_key(request, session, response)
        if key is None:
            return False
        with suppress(StoreUnavailable):
            if session.is_move_certain:
                return True
            store = session.get_store()
            return (yield from call(store.read, store.aread, key)) is not None
        return False

    def _end_unsent(self, session: SessionStore) -> Steps[None]:
        """End a login's session that no browser is told of: it would count until it expires."""
        if session.was_created_for_user:
            with suppress(StoreUnavailable):
                yield from call(session.flush, session.aflush)

    def _send_new_key(self, session: SessionStore, response: HttpResponse) -> None:
        carrier = HttpResponse()
        super().process_response(NewKeyRequest(session), carrier)  # type: ignore[arg-type]
        response.cookies.update(carrier.cookies)
        patch_vary_headers(response, ["Cookie"])
