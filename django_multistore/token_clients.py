"""Sessions whose key a program sends as a token, so that they come past the middleware."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .addresses import read_device
from .http.request_subject import require_ours

__all__ = ["atouch_from", "touch_from"]

if TYPE_CHECKING:
    from django.contrib.sessions.backends.base import SessionBase
    from django.http import HttpRequest


def touch_from(request: HttpRequest, session: SessionBase) -> None:
    """
    Note that a session is used by a request, and from where, as the middleware does with its own.

    Last-seen and the device move once in SESSION_TOUCH_INTERVAL, with SESSION_SAVE_EVERY_REQUEST
    the expiry too; nothing does if the session isn't there. Whoever changes the session saves it.

    Raises:
        InvalidStore: SESSION_ENGINE is not one of this package.
        StoreUnavailable: the session wasn't loaded yet, and the store could not be asked.
    """
    ours = require_ours(session)
    ours.device = read_device(request)
    ours.open()
    ours.touch()


async def atouch_from(request: HttpRequest, session: SessionBase) -> None:
    """See touch_from()."""
    ours = require_ours(session)
    ours.device = read_device(request)
    await ours.aopen()
    await ours.atouch()
