"""Who the user of a request is, whoever has put it there, in sync and in async code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.utils.functional import LazyObject, empty

if TYPE_CHECKING:
    from django.http import HttpRequest

DJANGOS_MIDDLEWARE = "django.contrib.auth.middleware"


def get_user(request: HttpRequest) -> Any:
    """Return what sync code takes for the user of a request."""
    return request.user


async def aget_user(request: HttpRequest) -> Any:
    """Return what async code takes for the user of a request."""
    return await request.auser()


def find_users(request: HttpRequest) -> list[Any]:
    """Return request.user; nobody for a visitor, and without a middleware that sets it."""
    user = getattr(request, "user", None)
    return [user] if _is_authenticated(user) else []


async def afind_users(request: HttpRequest) -> list[Any]:
    """
    Return the users of request.auser() and request.user, without visitors.

    Most who replace request.user leave request.auser() alone, and a view may go by either.
    """
    users: list[Any] = []
    if hasattr(request, "auser"):
        users.append(await request.auser())
    user: Any = getattr(request, "user", None)
    if not (users and _is_djangos(user)):
        if isinstance(user, LazyObject) and user._wrapped is empty:
            # The user is another package's, whose function is sync and may ask the database.
            await sync_to_async(_is_authenticated)(user)
        users.append(user)
    return [user for user in users if _is_authenticated(user)]


def _is_authenticated(user: Any) -> bool:
    return bool(getattr(user, "is_authenticated", False))


def _is_djangos(user: Any) -> bool:
    """Say whether it is Django's, which is found in the session as that of auser() is."""
    setup = getattr(user, "__dict__", {}).get("_setupfunc")
    return isinstance(user, LazyObject) and getattr(setup, "__module__", "") == DJANGOS_MIDDLEWARE
