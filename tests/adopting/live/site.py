"""
The site of tests/adopting/test_live_site.py, in a process of its own.

    python -m tests.adopting.live.site wsgi FD      serve, on the socket FD
    python -m tests.adopting.live.site asgi FD      likewise
    python -m tests.adopting.live.site prepare N    make the tables, and N users, from primary key 1
    python -m tests.adopting.live.site seed N       make N sessions, and print their session keys
    python -m tests.adopting.live.site manage ...   run a command of manage.py

LIVE_SITE is JSON: Django's settings, as far as they differ from process to process. With
LIVE_KILLED_AT=N a command is killed at its Nth write. A server ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from importlib import import_module
from importlib.util import find_spec
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import django
import uvicorn
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.management import call_command, execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

BACKEND = "django.contrib.auth.backends.ModelBackend"
OURS = "django_multistore.engine"
WRITES = ("create", "create_many", "destroy", "update", "update_many")
BATCH = 4  # sessions that a killed command adopts at a time, where a store takes many at once


# The pages, each for threads and for the event loop.


def log_in(request: HttpRequest) -> HttpResponse:
    """Log a user in, by primary key."""
    from django.contrib.auth import login  # noqa: PLC0415 - once Django is set up
    from django.contrib.auth.models import User  # noqa: PLC0415

    login(request, User.objects.get(pk=request.GET["user"]), backend=BACKEND)
    return read(request)


async def alog_in(request: HttpRequest) -> HttpResponse:
    from django.contrib.auth import alogin  # noqa: PLC0415 - once Django is set up
    from django.contrib.auth.models import User  # noqa: PLC0415

    await alogin(request, await User.objects.aget(pk=request.GET["user"]), backend=BACKEND)
    return await aread(request)


def read(request: HttpRequest) -> HttpResponse:
    """Answer who is logged in, and which changes the session has."""
    return _answer(request.user.pk, request.session.keys())


async def aread(request: HttpRequest) -> HttpResponse:
    user = await request.auser()
    return _answer(user.pk, await request.session.akeys())


def write(request: HttpRequest) -> HttpResponse:
    """Make a change that no other has made."""
    request.session[request.GET["key"]] = 1
    return read(request)


async def awrite(request: HttpRequest) -> HttpResponse:
    await request.session.aset(request.GET["key"], 1)
    return await aread(request)


def rotate(request: HttpRequest) -> HttpResponse:
    """Move to a new session key, as a change of the password does."""
    request.session.cycle_key()
    return read(request)


async def arotate(request: HttpRequest) -> HttpResponse:
    await request.session.acycle_key()
    return await aread(request)


def log_out(request: HttpRequest) -> HttpResponse:
    """Log out."""
    from django.contrib.auth import logout  # noqa: PLC0415 - once Django is set up

    logout(request)
    return _answer(None, ())


async def alog_out(request: HttpRequest) -> HttpResponse:
    from django.contrib.auth import alogout  # noqa: PLC0415 - once Django is set up

    await alogout(request)
    return _answer(None, ())


def log_out_others(request: HttpRequest) -> HttpResponse:
    """Log out the user's other devices."""
    from django_multistore.devices import log_out_other_devices  # noqa: PLC0415

    log_out_other_devices(request)
    return read(request)


async def alog_out_others(request: HttpRequest) -> HttpResponse:
    from django_multistore.devices import alog_out_other_devices  # noqa: PLC0415

    await alog_out_other_devices(request)
    return await aread(request)


def end_user(request: HttpRequest) -> HttpResponse:
    """Log a user out everywhere."""
    from django.contrib.auth.models import User  # noqa: PLC0415 - once Django is set up

    from django_multistore.devices import log_out_everywhere  # noqa: PLC0415

    log_out_everywhere(User(pk=request.GET["user"]))
    return _answer(None, ())


async def aend_user(request: HttpRequest) -> HttpResponse:
    from django.contrib.auth.models import User  # noqa: PLC0415 - once Django is set up

    from django_multistore.devices import alog_out_everywhere  # noqa: PLC0415

    await alog_out_everywhere(User(pk=request.GET["user"]))
    return _answer(None, ())


def _answer(user: object, keys: Any) -> HttpResponse:
    # Django's own keys begin with "_".
    return JsonResponse({"user": user, "keys": [key for key in keys if not key.startswith("_")]})


View = Callable[[HttpRequest], HttpResponse | Awaitable[HttpResponse]]
PAGES: list[tuple[View, View]] = [
    (log_in, alog_in),
    (read, aread),
    (write, awrite),
    (rotate, arotate),
    (log_out, alog_out),
    (log_out_others, alog_out_others),
    (end_user, aend_user),
]
IS_ASYNC = sys.argv[1:2] == ["asgi"]
urlpatterns = [path(sync.__name__, both[IS_ASYNC]) for both in PAGES for sync in both[:1]]


# The process.


def set_up() -> None:
    """Set Django up with what this process was told."""
    chosen = json.loads(os.environ["LIVE_SITE"])
    package = chosen["SESSION_ENGINE"].partition(".")[0]
    if package == "django":
        package = "django.contrib.sessions"
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "django_multistore",
            *(["qsessions"] if find_spec("qsessions") else []),
        ],
        LOGGING_CONFIG=None,  # Python's own prints warnings and errors.
        MIDDLEWARE=[
            f"{package}.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",  # so that a client knows the length
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        ROOT_URLCONF=__name__,
        SECRET_KEY="not a secret: for tests only",
        USE_TZ=True,
        **chosen,
    )
    django.setup()
    from django.contrib.auth import user_logged_in  # noqa: PLC0415 - once Django is set up

    user_logged_in.disconnect(dispatch_uid="update_last_login")  # No test looks at it.


class ThreadedServer(ThreadingMixIn, WSGIServer):
    """One thread for each request."""

    daemon_threads = True
    request_queue_size = 1000


class QuietHandler(WSGIRequestHandler):
    """Log errors alone."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None: ...


def serve_wsgi(listener: socket.socket) -> None:
    """Serve in threads."""
    with ThreadedServer(listener.getsockname(), QuietHandler, bind_and_activate=False) as server:
        server.socket.close()
        server.socket = listener
        server.server_name, server.server_port = listener.getsockname()
        server.setup_environ()
        server.set_app(get_wsgi_application())
        server.serve_forever()


def serve_asgi(listener: socket.socket) -> None:
    """Serve on an event loop."""
    config = uvicorn.Config(
        get_asgi_application(),
        access_log=False,
        backlog=1000,
        lifespan="off",
        log_level="warning",
        ws="none",
    )
    asyncio.run(uvicorn.Server(config).serve([listener]))


def prepare(users: int) -> None:
    """Make the tables, and users."""
    for alias in settings.DATABASES:
        call_command("migrate", database=alias, verbosity=0)
    from django.contrib.auth.models import User  # noqa: PLC0415 - once Django is set up

    User.objects.bulk_create(User(pk=pk, username=f"user {pk}") for pk in range(1, users + 1))


def seed(count: int) -> None:
    """Make sessions of visitors who stay away, and print their session keys."""
    store_class = import_module(settings.SESSION_ENGINE).SessionStore
    session_keys = []
    for number in range(count):
        session = store_class()
        session[f"seed {number}"] = 1
        session.create()
        session_keys.append(session.session_key)
    print(json.dumps(session_keys))  # noqa: T201 - for the test that started this


def be_killed_at(count: int) -> None:
    """Have this process killed at one of its writes, just before it or just after it."""
    from django_multistore.adopting import bulk  # noqa: PLC0415 - once Django is set up
    from django_multistore.stores import stores  # noqa: PLC0415 - likewise

    bulk.AT_A_TIME = BATCH
    written = itertools.count(1)
    for store_class in {type(stores[alias]) for alias in settings.SESSION_STORES}:
        for name in WRITES:
            if hasattr(store_class, name):
                _have_killed(store_class, name, written, count)


def _have_killed(store_class: Any, name: str, written: Any, count: int) -> None:
    write = getattr(store_class, name)
    is_after = random.choice([False, True])

    def killed(*arguments: Any, **options: Any) -> Any:
        is_last = next(written) == count
        if is_last and not is_after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = write(*arguments, **options)
        if is_last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(store_class, name, killed)


def end_with_standard_input() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def main(action: str, *arguments: str) -> None:
    set_up()
    if action == "manage":
        if killed_at := os.environ.get("LIVE_KILLED_AT"):
            be_killed_at(int(killed_at))
        return execute_from_command_line(["manage.py", *arguments])
    number = int(arguments[0])
    if action in ("prepare", "seed"):
        return {"prepare": prepare, "seed": seed}[action](number)
    threading.Thread(target=end_with_standard_input, daemon=True).start()
    serve = serve_asgi if action == "asgi" else serve_wsgi
    return serve(socket.socket(fileno=number))


if __name__ == "__main__":
    main(*sys.argv[1:])
