"""Views that only somebody who has logged in a short time ago may use."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlsplit

# On Python 3.11 inspect's doesn't see what Django marks as async: as_view(), for example.
from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.shortcuts import resolve_url

from .exceptions import OtherUser
from .http.request_subject import afind_subject, find_subject, get_session
from .session import clock

__all__ = ["ahas_recent_login", "has_recent_login", "recent_login_required"]

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponseRedirect
    from django.utils.functional import _StrPromise

    _Refusal = Callable[[HttpRequest], HttpResponseRedirect]

_View = TypeVar("_View", bound=Callable[..., Any])


def recent_login_required(
    seconds: float,
    *,
    login_url: str | _StrPromise | None = None,
    redirect_field_name: str | None = REDIRECT_FIELD_NAME,
    raise_exception: bool = False,
) -> Callable[[_View], _View]:
    """
    Decorate a view, sync or async, that only a user who has logged in recently may use.

    Others are sent to the login page, and come back from there. Where request.user is another
    than the session's user, the answer is a 403: no login of that user is in the session.

    Args:
        seconds: how long ago the login may be.
        login_url: of the login page; None for LOGIN_URL.
        redirect_field_name: the login page's parameter for the way back; None for no way back.
        raise_exception: raise PermissionDenied instead, for an answer with status 403.

    Raises:
        TypeError: seconds is not a number.
        ValueError: seconds is not positive.
    """
    _require_positive(seconds)

    def refuse(request: HttpRequest) -> HttpResponseRedirect:
        if raise_exception:
            raise PermissionDenied
        return redirect_to_login_page(request, login_url or settings.LOGIN_URL, redirect_field_name)

    def decorator(view: _View) -> _View:
        guard = _guard_async if iscoroutinefunction(view) else _guard
        guarded: Any = guard(view, seconds, refuse)
        # LoginRequiredMiddleware reads them, and answers visitors before this view would.
        guarded.login_url = login_url
        guarded.redirect_field_name = redirect_field_name
        return cast("_View", wraps(view)(guarded))

    return decorator


def has_recent_login(request: HttpRequest, seconds: float) -> bool:
    """
    Say whether the user is logged in, and has been for this long at most.

    Not so for a request.user who is another than the session's user, unless
    SESSION_ON_OTHER_USER says that the session's counts.

    Raises:
        InvalidStore: SESSION_ENGINE is not one of this package.
        StoreUnavailable: the store could not be asked.
        TypeError: seconds is not a number.
        ValueError: seconds is not positive.
    """
    try:
        return admits(request, seconds)
    except OtherUser:
        return False


async def ahas_recent_login(request: HttpRequest, seconds: float) -> bool:
    """See has_recent_login()."""
    try:
        return await aadmits(request, seconds)
    except OtherUser:
        return False


def admits(request: HttpRequest, seconds: float) -> bool:
    """
    Say the same as has_recent_login(), and tell apart whom no login would help.

    Raises:
        OtherUser: request.user is another than the session's user, and SESSION_ON_OTHER_USER
            doesn't say which of them counts.
    """
    _require_positive(seconds)
    session = get_session(request)
    session.open()
    login_at = session.authenticated_at
    # The user need not be asked for to tell an old login.
    if login_at is not None and not _is_recent(login_at, seconds):
        return False
    # Whoever was deactivated still has a session, and a login time in it.
    _, owns_session = find_subject(request)
    return login_at is not None and owns_session


async def aadmits(request: HttpRequest, seconds: float) -> bool:
    """See admits()."""
    _require_positive(seconds)
    session = get_session(request)
    await session.aopen()
    login_at = session.authenticated_at
    # The user need not be asked for to tell an old login.
    if login_at is not None and not _is_recent(login_at, seconds):
        return False
    # Whoever was deactivated still has a session, and a login time in it.
    _, owns_session = await afind_subject(request)
    return login_at is not None and owns_session


def redirect_to_login_page(
    request: HttpRequest, login_url: str | _StrPromise, redirect_field_name: str | None
) -> HttpResponseRedirect:
    """Redirect to a login page that leads back to this request's URL, as login_required does."""
    resolved = resolve_url(login_url)
    here = request.build_absolute_uri()
    scheme, host = urlsplit(resolved)[:2]
    scheme_here, host_here = urlsplit(here)[:2]
    if scheme in ("", scheme_here) and host in ("", host_here):
        here = request.get_full_path()
    return redirect_to_login(here, resolved, redirect_field_name)


def _guard(view: Callable[..., Any], seconds: float, refuse: _Refusal) -> Callable[..., Any]:
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if not admits(request, seconds):
            return refuse(request)
        return view(request, *args, **kwargs)

    return guarded


def _guard_async(view: Callable[..., Any], seconds: float, refuse: _Refusal) -> Callable[..., Any]:
    async def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if not await aadmits(request, seconds):
            return refuse(request)
        return await view(request, *args, **kwargs)

    return guarded


def _is_recent(login_at: datetime, seconds: float) -> bool:
    # A login in the future is one before the clock was put back. If that was by more than
    # `seconds`, the login must not stay recent until the clock gets there.
    return abs((clock.now() - login_at).total_seconds()) <= seconds


def _require_positive(seconds: float) -> None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(
            "How long ago a recent login may be is a number of seconds, as in "
            f"recent_login_required(600), and not {seconds!r}."
        )
    if not seconds > 0:
        raise ValueError(
            "How many seconds ago a recent login may be is a number above 0, as 600, and not "
            f"{seconds!r}."
        )
