"""
Requests that stay under way until they are told to go on. Only `make demo` has them.

Each has a name. It loads its session, says so, and waits; what it does then meets whatever
happened to the session in between.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from concurrent.futures import Future

from django.http import HttpRequest, HttpResponse

SECONDS = 20  # Nobody waits longer, so that a mistake doesn't hang the demo.

# Whether the request of this name found a user in its session, once it has loaded it.
has_user: defaultdict[str, Future[bool]] = defaultdict(Future)
may_go_on: defaultdict[str, threading.Event] = defaultdict(threading.Event)


def save(request: HttpRequest, name: str) -> HttpResponse:
    """Modify the session, which the middleware then saves."""
    _load_and_wait(request, name)
    request.session["came_back"] = True
    return HttpResponse("saved")


def rotate(request: HttpRequest, name: str) -> HttpResponse:
    """Move the session to a new key, as a login or a change of password does."""
    _load_and_wait(request, name)
    request.session.cycle_key()
    return HttpResponse("rotated")


def wait(request: HttpRequest, name: str) -> HttpResponse:
    """Answer once that request has loaded its session: 200, or 403 if it has no user."""
    return HttpResponse(status=200 if has_user[name].result(SECONDS) else 403)


def go_on(request: HttpRequest, name: str) -> HttpResponse:
    """Let that request go on."""
    may_go_on[name].set()
    return HttpResponse()


def _load_and_wait(request: HttpRequest, name: str) -> None:
    has_user[name].set_result(request.user.is_authenticated)
    if not may_go_on[name].wait(SECONDS):
        raise TimeoutError(f"Nobody told request {name!r} to go on.")
