"""Template tags: {% load multistore %}."""

from __future__ import annotations

from typing import Any

from django import template
from django.template import Context

from .. import devices
from ..exceptions import StoreUnavailable

register = template.Library()


@register.simple_tag(takes_context=True)
def devices_count(context: Context) -> int | str:
    """
    Return on how many devices the user of the request is logged in.

    One more query, or round trip, of the store. Nothing, if the store could not be asked: a
    number beside a link is not worth an error.

    Raises:
        StoreUnavailable: the store could not be asked, and the view's transaction is lost with it.
    """
    user: Any = context.get("user")
    if user is None or not user.is_authenticated:
        return 0
    try:
        return devices.count_for_user(user)
    except StoreUnavailable as outage:
        if outage.loses_transaction:
            raise
        return ""
