"""Template tags: {% load multistore %}."""

from __future__ import annotations

from typing import Any

from django import template
from django.template import Context

from .. import devices
from ..exceptions import OtherUser, StoreUnavailable
from ..http.languages import find_direction, find_language
from ..http.request_subject import find_subject

register = template.Library()


@register.simple_tag(takes_context=True)
def devices_count(context: Context) -> int | str:
    """
    Return on how many devices the user of the request is logged in.

    It takes one more query, or round trip, of the store. It is empty if the store could not be
    asked, or if the pages would refuse the user: a number beside a link is not worth an error.

    Raises:
        StoreUnavailable: the store could not be asked, and the view's transaction is lost with it.
    """
    try:
        user = _find_user(context)
        if user is None or not user.is_authenticated:
            return 0
        return devices.count_for_user(user)
    except StoreUnavailable as outage:
        if outage.loses_transaction:
            raise
        return ""
    except OtherUser:
        return ""


@register.simple_tag
def devices_language() -> str:
    """
    Return the language that the pages of devices are in.

    It is the current one, or another where this package has no translation into that.
    """
    return find_language()


@register.simple_tag
def devices_direction() -> str:
    """Return the direction in which that language is written, "ltr" or "rtl"."""
    return find_direction(find_language())


def _find_user(context: Context) -> Any:
    request: Any = context.get("request")
    # A page about another user may have that one as `user`.
    if hasattr(request, "session") and hasattr(request, "user"):
        return find_subject(request)[0]
    return context.get("user")
