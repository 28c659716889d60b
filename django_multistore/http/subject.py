"""Whom a request is about, where request.user may be another than the session's user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth import aget_user, get_user

from .. import devices

if TYPE_CHECKING:
    from django.http import HttpRequest


def whose(request: HttpRequest) -> tuple[Any, bool]:
    """
    Return the user whom a request is about, and whether its session is that user's.

    Raises:
        InvalidStore: SESSION_ENGINE is not one of this package.
        OtherUser: request.user is another than the session's user, and SESSION_ON_OTHER_USER
            doesn't say which of them counts.
        StoreUnavailable: the store could not be asked.
    """
    other = devices.other_user(request)
    if other is None and _is_at_hand(request.user):
        return request.user, request.user.is_authenticated
    if devices.stands_in(other):
        return other, False
    user = get_user(request)
    return user, user.is_authenticated


async def awhose(request: HttpRequest) -> tuple[Any, bool]:
    """See whose()."""
    other = await devices.aother_user(request)
    if other is None and _is_at_hand(user := await request.auser()):
        return user, user.is_authenticated
    if devices.stands_in(other):
        return other, False
    user = await aget_user(request)
    return user, user.is_authenticated


def _is_at_hand(user: Any) -> bool:
    """Say whether it is a visitor, or a user as devices takes one: a model's instance."""
    return not user.is_authenticated or hasattr(user, "_meta")
