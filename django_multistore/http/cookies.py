"""
What Django's middleware gets to see of a request when it comes to the session's cookie.

Its process_response() decides and acts in one go, in sync code. So it is run twice: dry, on a
response that nobody gets and a session that only notes what is wanted of it; and, once the engine
has done that, on the response itself and a session that says what came of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.sessions.backends.base import UpdateError
from django.core.handlers.exception import response_for_exception

from ..exceptions import StoreUnavailable
from ..stores.steps import Steps, call

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from ..engine import SessionStore


class Wishes:
    """A session that does nothing, and notes what process_response() wants of it."""

    session_key = ""
    needs_load = needs_save = False

    def __init__(self, accessed: bool, modified: bool, is_empty: bool) -> None:
        self.accessed = accessed
        self.modified = modified
        self._is_empty = is_empty

    def is_empty(self) -> bool:
        return self._is_empty

    def get_expire_at_browser_close(self) -> bool:
        self.needs_load = True
        return True

    def save(self) -> None:
        self.needs_save = True


class Scratch:
    """A response that nobody gets, with what process_response() uses of one."""

    has_cookie = False

    def __init__(self, status_code: int) -> None:
        self.status_code = status_code
        self.headers: dict[str, str] = {}

    def has_header(self, name: str) -> bool:
        return name in self.headers

    def set_cookie(self, *args: Any, **kwargs: Any) -> None:
        self.has_cookie = True

    delete_cookie = set_cookie


class CookieSession:
    """
    The session as far as its cookie is concerned: what is done for it, and what came of that.

    Attributes:
        wishes: what process_response() wants of the session.
        scratch: what it has done to a response that nobody gets.
        was_saved: whether the store was asked to save it, whatever it said.
        is_left_alone: whether the response can say nothing of it because of an outage.
    """

    scratch: Scratch

    def __init__(self, session: SessionStore, session_key_in_cookie: str | None) -> None:
        self._session = session
        self._session_key_in_cookie = session_key_in_cookie
        self._failure: UpdateError | None = None
        self._was_loaded_here = False
        # What the view has made of it, and not what is done here.
        self.accessed, self.modified = session.accessed, session.modified
        self.was_saved = False
        # What could not be loaded for the view need not be asked for once more.
        self.is_left_alone = session.was_out_of_reach and not session.is_loaded
        # A thread that the view has left behind may go on to write into it.
        self._was_empty = False
        self._was_empty = self.is_empty()
        self.wishes = Wishes(self.accessed, self.modified, self._was_empty)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    # What process_response() asks.

    def is_empty(self) -> bool:
        """Say whether there is nothing to save, and no cookie to send."""
        if self._was_empty or self.is_left_alone or self._session.is_unknown:
            return True
        if self._session.is_elsewhere or self._session.is_overtaken:
            return True
        return self._has_no_news() or self._session.is_empty()

    def save(self) -> None:
        """Say that it was saved; see act(). UpdateError: somebody else has ended it before."""
        if self._failure is not None:
            raise self._failure

    # What is done.

    @property
    def is_in_doubt(self) -> bool:
        """Whether the response is an anonymous one because of an outage."""
        return self._session.tolerates_outage and (self.is_left_alone or self._session.is_unknown)

    def act(self, status: int) -> Steps[None]:
        """
        Do what process_response() wants.

        Args:
            status: of the response.

        Raises:
            StoreUnavailable: there is no response to this request without its session.
            SessionInterrupted: the session needs a new key, and was ended meanwhile.
        """
        if self.wishes.needs_load and not self._session.is_loaded:
            self._was_loaded_here = True
            with self._leaving_alone():
                yield from call(self._session.open, self._session.aopen)
        if self.wishes.needs_save and not self.is_empty():
            yield from self._look_around()
        if self.wishes.needs_save and not self.is_empty():
            with self._saving(status):
                # Whoever made the visitor use the session key may know it.
                if self._session.needs_new_key:
                    yield from call(self._session.cycle_key, self._session.acycle_key)
                else:
                    yield from call(self._session.save, self._session.asave)
            yield from self._look_around()

    def _look_around(self) -> Steps[None]:
        """Find out whether another request has got the browser a newer cookie."""
        with self._leaving_alone():
            if not self.is_empty() and self._session.may_be_overtaken:
                yield from call(self._session.look_for_trail, self._session.alook_for_trail)
            if self.was_saved and not self.is_empty() and self._session.may_have_moved_on:
                yield from call(self._session.look_for_key, self._session.alook_for_key)

    @contextmanager
    def _leaving_alone(self) -> Iterator[None]:
        """Let the response be sent, without a cookie, where the view got by without the store."""
        try:
            yield
        except StoreUnavailable:
            self.is_left_alone = True

    @contextmanager
    def _saving(self, status: int) -> Iterator[None]:
        try:
            yield
        except UpdateError as error:
            if self._session.has_new_key and status >= 400:
                # The new key was rolled back with the view, and the session is what it was before.
                self.is_left_alone = True
            self._failure = error
        except StoreUnavailable:
            # A visitor had no session that could be missed.
            if not self._session.tolerates_outage or self._session.session_key is not None:
                raise
            self.is_left_alone = True
        self.was_saved = True

    def _has_no_news(self) -> bool:
        # A request that has loaded the session a while ago doesn't know whether another one has
        # moved it to a new key since, whose cookie this one would replace.
        return (
            self.was_saved
            and self._failure is None
            and not self._session.was_written
            and not self._was_loaded_here
            and self._session.session_key == self._session_key_in_cookie
        )


class CookieRequest:
    """The request, with a cookie to delete only if the request itself has ended its session."""

    def __init__(self, request: HttpRequest, session: Any, *, was_flushed: bool) -> None:
        self._request = request
        self.session = session
        self.COOKIES = request.COOKIES if was_flushed else {}

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


def find_unsent_key(
    request: HttpRequest, session: SessionStore, response: HttpResponse
) -> str | None:
    """Return the key of a session that was moved, if no cookie that is sent tells the new one."""
    cookie = settings.SESSION_COOKIE_NAME
    if not session.is_moved or cookie in response.cookies:
        return None
    return None if request.COOKIES.get(cookie) == session.session_key else session.key


def answer_error(request: HttpRequest, error: Exception) -> HttpResponse:
    """Answer as Django does where no cookie could be added any more."""
    return response_for_exception(request, error)


async def aanswer_error(request: HttpRequest, error: Exception) -> HttpResponse:
    """See answer_error()."""
    return await sync_to_async(response_for_exception, thread_sensitive=False)(request, error)
