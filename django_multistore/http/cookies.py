"""
What Django's middleware gets to see of a request when it comes to the session's cookie.

Its process_response() asks the session what to do, and does it. These answer for the session:
what needs the store is raised as StoreWanted, done by whoever can wait for it, and asked again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.handlers.exception import response_for_exception

from ..stores.steps import Call

if TYPE_CHECKING:
    from django.contrib.sessions.backends.base import UpdateError
    from django.http import HttpRequest, HttpResponse

    from ..engine import SessionStore


class StoreWanted(Exception):
    """Something has to be done before process_response() can go on."""

    def __init__(self, step: Call) -> None:
        super().__init__(step.function.__name__)
        self.step = step


class CookieSession:
    """The session, as far as its cookie is concerned."""

    def __init__(self, session: SessionStore, session_key_in_cookie: str | None) -> None:
        self._session = session
        self._session_key_in_cookie = session_key_in_cookie
        self._failure: Exception | None = None
        self._is_loaded_just_now = False
        self.accessed = session.accessed  # By the view, not by what is asked here.
        self.is_saved = False
        # What could not be loaded for the view need not be asked for once more.
        self.is_left_alone = session.was_out_of_reach and not session.is_loaded

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    # What process_response() asks.

    def is_empty(self) -> bool:
        """Say whether there is nothing to save, and no cookie to send."""
        if self.is_left_alone or self._session.is_unknown:
            return True
        if self._session.is_elsewhere or self._session.is_overtaken:
            return True
        return self._has_no_news() or self._session.is_empty()

    def get_expire_at_browser_close(self) -> bool:
        if not self._session.is_loaded:
            raise StoreWanted(Call(self._session.open, self._session.aopen, ()))
        return self._session.get_expire_at_browser_close()

    def save(self) -> None:
        if self._session.may_be_overtaken:
            raise StoreWanted(Call(self._session.look_for_trail, self._session.alook_for_trail, ()))
        if not self.is_saved:
            # The visitor's session key may be known to who made the visitor use it.
            if self._session.needs_new_key:
                raise StoreWanted(Call(self._session.cycle_key, self._session.acycle_key, ()))
            raise StoreWanted(Call(self._session.save, self._session.asave, ()))
        if self._session.may_have_moved_on:
            raise StoreWanted(Call(self._session.look_for_key, self._session.alook_for_key, ()))
        if self._failure is not None:
            raise self._failure

    # What came of it.

    @property
    def is_in_doubt(self) -> bool:
        """Whether the response is a visitor's because of an outage."""
        return self._session.tolerates_outage and (self.is_left_alone or self._session.is_unknown)

    def took(self, step: Call) -> None:
        """Note that a step was taken, whatever came of it."""
        if step.function.__name__ == "open":
            self._is_loaded_just_now = True
        elif step.function.__name__ in ("save", "cycle_key"):
            self.is_saved = True

    def has_lost(self, error: UpdateError, response: HttpResponse) -> None:
        """Note that somebody else has ended the session before it could be saved."""
        if self._session.has_new_key and response.status_code >= 400:
            # The new key was rolled back with the view, and the session is what it was before.
            self.is_left_alone = True
        self._failure = error

    def can_do_without(self, step: Call) -> bool:
        """Say whether the response can be sent although a step met an outage."""
        # What the view got by without, or what a visitor had no session for.
        return step.function.__name__ in ("open", "look_for_trail", "look_for_key") or (
            self._session.tolerates_outage and self._session.session_key is None
        )

    def _has_no_news(self) -> bool:
        # A request that has loaded the session a while ago doesn't know whether another one has
        # moved it to a new key since, whose cookie this one would replace.
        return (
            self.is_saved
            and self._failure is None
            and not self._session.was_written
            and not self._is_loaded_just_now
            and self._session.session_key == self._session_key_in_cookie
        )


class CookieRequest:
    """The request, with a cookie to delete only if the request itself has ended its session."""

    def __init__(self, request: HttpRequest, session: SessionStore) -> None:
        self._request = request
        self._session = session
        self.session = CookieSession(session, request.COOKIES.get(settings.SESSION_COOKIE_NAME))

    @property
    def COOKIES(self) -> dict[str, str]:  # noqa: N802 - Django's name
        return self._request.COOKIES if self._session.was_flushed else {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)


class NewKeySession:
    """A session that is saved, or will not be, and whose new session key is yet to be sent."""

    accessed = modified = True

    def __init__(self, session: SessionStore) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def is_empty(self) -> bool:
        return False

    def save(self) -> None:
        pass


class NewKeyRequest:
    """A request whose session's cookie is sent whatever came of the request."""

    COOKIES: ClassVar[dict[str, str]] = {}

    def __init__(self, session: SessionStore) -> None:
        self.session = NewKeySession(session)


class ErrorAnswers:
    """Django's answers to exceptions, to which a cookie can still be added."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    def answer(self, error: Exception) -> HttpResponse:
        return response_for_exception(self._request, error)

    async def aanswer(self, error: Exception) -> HttpResponse:
        return await sync_to_async(response_for_exception, thread_sensitive=False)(
            self._request, error
        )
