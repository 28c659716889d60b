"""Django's session middleware, without a thread under ASGI, and careful with cookies."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware
from django.http import HttpResponse
from django.utils.cache import add_never_cache_headers, patch_vary_headers

from .addresses import read_device
from .conf import conf
from .engine import SessionStore
from .exceptions import StoreUnavailable
from .http.cookies import CookieRequest, ErrorAnswers, NewKeyRequest, StoreWanted
from .http.outages import answer_503, replace_if_outage
from .session.endings import collect_endings
from .stores.steps import Step, Steps, arun, run

if TYPE_CHECKING:
    from django.http import HttpRequest

SAFE_METHODS = {"GET", "HEAD", "OPTIONS", "TRACE"}  # RFC 9110, section 9.2.1


class SessionMiddleware(DjangoSessionMiddleware):
    """
    Load and save sessions for each request, in place of Django's middleware of this name.

    What Django's does to a response, it still does; here it does so once the store was asked,
    under ASGI by async code. A subclass that overrides process_response() overrides its twin.
    """

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
        return run(self._responding(request, session, response))

    async def aprocess_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """See process_response()."""
        session = getattr(request, "session", None)
        if not isinstance(session, SessionStore):
            return await sync_to_async(super().process_response)(request, response)
        return await arun(self._responding(request, session, response))

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

    def _responding(
        self, request: HttpRequest, session: SessionStore, response: HttpResponse
    ) -> Steps[HttpResponse]:
        try:
            response = yield from self._saving(request, session, response)
        except SessionInterrupted:
            raise
        except Exception as error:
            # Django answers it where no cookie can be set any more.
            if not session.is_moved:
                raise
            response = yield Step(ErrorAnswers(request), "answer", (error,))
        if (yield from self._owes_cookie(request, session, response)):
            carrier = HttpResponse()
            super().process_response(NewKeyRequest(session), carrier)  # type: ignore[arg-type]
            response.cookies.update(carrier.cookies)
            patch_vary_headers(response, ["Cookie"])
        return response

    def _owes_cookie(
        self, request: HttpRequest, session: SessionStore, response: HttpResponse
    ) -> Steps[bool]:
        """Say whether the browser's session key is dead, and nothing has told it the new one."""
        cookie = settings.SESSION_COOKIE_NAME
        if session.has_new_key and cookie not in response.cookies:
            with suppress(StoreUnavailable):
                if session.record is not None and session.record.user_id is None:
                    yield Step(session, "look_for_trail", ())
                if session.may_have_moved_on:
                    yield Step(session, "look_for_key", ())
        if not session.is_moved or cookie in response.cookies:
            return False
        if request.COOKIES.get(cookie) == session.session_key:
            return False
        if session.is_move_certain:
            return True
        try:
            # By its key: an error's report shows the step.
            return (yield Step(session.get_store(), "read", (session.key,))) is not None
        except StoreUnavailable:
            return False

    def _saving(
        self, request: HttpRequest, session: SessionStore, response: HttpResponse
    ) -> Steps[HttpResponse]:
        response = replace_if_outage(response, request)
        cookie_request = CookieRequest(request, session)
        cookie_session = cookie_request.session
        while True:
            try:
                response = super().process_response(cookie_request, response)  # type: ignore[arg-type]
                break
            except StoreWanted as wanted:
                step = wanted.step
            try:
                yield step
            except UpdateError as error:
                cookie_session.has_lost(error, response)
            except StoreUnavailable as outage:
                if not cookie_session.can_do_without(step):
                    return answer_503(outage, request)
                cookie_session.is_left_alone = True
            cookie_session.took(step)
        if cookie_session.is_in_doubt:
            add_never_cache_headers(response)
        elif not cookie_session.is_saved and session.is_stored_for_user and session.needs_new_key:
            # The view has saved it with a user whom it didn't have, under the visitor's key.
            with suppress(StoreUnavailable, SessionInterrupted):
                yield Step(session, "cycle_key", ())
        elif not cookie_session.is_saved and response.status_code < 500:
            yield Step(session, "touch", ())
        return response
