"""
The site of tests/http/test_outages.py, in a process of its own.

    python -m tests.support.outage_site FD SETTINGS

FD is the socket on which it listens. SETTINGS is JSON: a few of Django's settings, and USERS, how
many there are to be, from primary key 1. It ends when its standard input does.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from typing import Any

import django
import uvicorn
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.management import call_command
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

BACKEND = "django.contrib.auth.backends.ModelBackend"


async def log_in(request: HttpRequest) -> HttpResponse:
    """Log a user in, by primary key."""
    from django.contrib.auth import alogin  # noqa: PLC0415 - once Django is set up
    from django.contrib.auth.models import User  # noqa: PLC0415

    await alogin(request, await User.objects.aget(pk=request.GET["user"]), backend=BACKEND)
    return HttpResponse()


async def read(request: HttpRequest) -> HttpResponse:
    """Answer what the session has, by async code."""
    return _answer(
        await request.session.aget("_auth_user_id"), await request.session.aget("writes")
    )


def page(request: HttpRequest) -> HttpResponse:
    """Answer the same by sync code; the user comes from the database."""
    user_id = None if request.user.pk is None else str(request.user.pk)
    return _answer(user_id, request.session.get("writes"))


async def write(request: HttpRequest) -> HttpResponse:
    """Count the writes, by async code."""
    writes = await request.session.aget("writes", 0) + 1
    await request.session.aset("writes", writes)
    return _answer(await request.session.aget("_auth_user_id"), writes)


def _answer(user_id: str | None, writes: int | None) -> HttpResponse:
    return JsonResponse({"user": user_id, "writes": writes or 0})


urlpatterns = [path(view.__name__, view) for view in (log_in, read, page, write)]


def prepare(chosen: dict[str, Any], users: int) -> None:
    """Set Django up, and its databases."""
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django_multistore",
        ],
        LOGGING_CONFIG=None,  # Python's own prints warnings and errors.
        MIDDLEWARE=[
            "django_multistore.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        ROOT_URLCONF=__name__,
        SECRET_KEY="not a secret: for tests only",
        SESSION_ENGINE="django_multistore.engine",
        USE_TZ=True,
        **chosen,
    )
    django.setup()
    for alias in settings.DATABASES:
        call_command("migrate", database=alias, verbosity=0)
    from django.contrib.auth.models import User  # noqa: PLC0415

    User.objects.bulk_create(User(pk=pk, username=f"user {pk}") for pk in range(1, users + 1))


def end_with_standard_input() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def main(arguments: list[str]) -> None:
    chosen = json.loads(arguments[1])
    listener = socket.socket(fileno=int(arguments[0]))
    threading.Thread(target=end_with_standard_input, daemon=True).start()
    prepare(chosen, chosen.pop("USERS"))
    config = uvicorn.Config(
        get_asgi_application(),
        access_log=False,
        backlog=1000,
        lifespan="off",
        log_level="warning",
        timeout_keep_alive=60,  # seconds: longer than a client waits between two requests
        ws="none",
    )
    uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    main(sys.argv[1:])
