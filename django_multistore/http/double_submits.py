"""
A form that was posted twice: a double click, or a browser that sends again.

The first POST moves the session to a new key. The second may come with the old cookie still, and
finds its session by what only this form has: the random mask of its CSRF token. Whoever has stolen
the cookie has another form, with another mask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth import get_user
from django.middleware.csrf import CSRF_TOKEN_LENGTH
from django.utils.functional import SimpleLazyObject

from ..engine import SessionStore
from ..records import key_of
from ..session.keys import Secret

if TYPE_CHECKING:
    from django.http import HttpRequest


def follow_first_post(request: HttpRequest, *, only_if_same: bool = False) -> bool:
    """
    Go on with the session that the first POST of the same form has moved, if this is a second.

    It is called before the view looks at the user. Rotations in this request then give the session
    a key that another POST of the same form finds.

    Args:
        request: of any method.
        only_if_same: whether a second POST must say the same to the same URL, since it is answered
            without being done. All forms of a page have one token, and a user may have thought
            better of what was typed.

    Returns:
        Whether it is a second one, which came with a session key that is dead by now.
    """
    session = request.session
    mask = _find_masked_token(request)
    if not isinstance(session, SessionStore) or mask is None:
        return False
    session.form = _identify_form(request, mask) if only_if_same else Secret(mask)
    session.open()
    if session.has_followed_form:
        return True  # With SECRET_KEY_FALLBACKS the load itself looks for a moved session.
    if session.session_key is not None:
        # Django looks at the hash now, and ends what has one of before a change of the password.
        _ = request.user.is_authenticated
    if session.session_key is not None or not session.follow_form():
        return False
    # Somebody may have looked already, and seen a visitor.
    _forget_user(request)
    request.user = SimpleLazyObject(lambda: get_user(request))  # type: ignore[assignment]
    return True


def _identify_form(request: HttpRequest, mask: str) -> Secret:
    # It is hashed, for there may be a password in it. ascii() takes what can't be encoded, too.
    return Secret(key_of(ascii((mask, request.get_full_path(), [*request.POST.lists()]))))


def start_anew(request: HttpRequest) -> None:
    """Go on as a visitor whose session was ended, or moved to a key that isn't this request's."""
    # Its module can be imported only where django.contrib.auth is installed.
    from django.contrib.auth.models import AnonymousUser  # noqa: PLC0415

    session: Any = request.session
    session.forget_ended()
    _forget_user(request)
    request.user = AnonymousUser()


def _forget_user(request: HttpRequest) -> None:
    for name in ("_cached_user", "_acached_user"):
        request.__dict__.pop(name, None)


def _find_masked_token(request: HttpRequest) -> str | None:
    if request.method != "POST":
        return None
    token = request.POST.get("csrfmiddlewaretoken") or request.META.get(settings.CSRF_HEADER_NAME)
    # A token that isn't masked is the cookie's, and the same in all of the browser's forms.
    return token if token is not None and len(token) == CSRF_TOKEN_LENGTH else None
