"""Under ASGI: what a request costs in threads and in round trips, and that Redis needs none."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.conf import settings as django_settings
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import path

from django_multistore.engine import SessionStore
from django_multistore.stores.redis.client.server import ServerClient
from tests import servers
from tests.support import pools
from tests.support.meeting import on, orm_store_on

COOKIE = django_settings.SESSION_COOKIE_NAME
OURS = "django_multistore.middleware.SessionMiddleware"
DJANGOS = "django.contrib.sessions.middleware.SessionMiddleware"


async def ignore(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ignored")


async def read(request: HttpRequest) -> HttpResponse:
    return HttpResponse(await request.session.aget("name"))


async def write(request: HttpRequest) -> HttpResponse:
    await request.session.aset("n", await request.session.aget("n", 0) + 1)
    return HttpResponse("written")


async def rotate(request: HttpRequest) -> HttpResponse:
    await request.session.acycle_key()
    return HttpResponse("rotated")


async def flush(request: HttpRequest) -> HttpResponse:
    await request.session.aflush()
    return HttpResponse("flushed")


async def as_ada(request: HttpRequest) -> HttpResponse:
    await request.session.aset("_auth_user_id", "ada")
    return HttpResponse("logged in")


POSTGRES = pytest.mark.parametrize("kind", on("postgres", transaction=True))

VIEWS = [ignore, read, write, rotate, flush]
urlpatterns = [path(view.__name__, view) for view in (*VIEWS, as_ada)]


@pytest.fixture
def on_redis(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    settings.SESSION_STORES = {
        "default": {
            "BACKEND": "django_multistore.stores.redis.RedisStore",
            "OPTIONS": {
                "URL": f"redis://{servers.require('redis')}/6",
                "KEY_PREFIX": f"{django_settings.OWN_PREFIX}:hops:",
            },
        }
    }


@pytest.fixture
def on_postgresql(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    settings.SESSION_STORES = pools.setting()


@pytest.fixture
def session_key(on_redis: None) -> str:
    return new_session()


@pytest.fixture
def pooled_key(on_postgresql: None) -> str:
    return new_session()


def new_session() -> str:
    session = SessionStore()
    session["name"] = "value"
    session.save()
    assert session.session_key is not None
    return session.session_key


@pytest.fixture
def hops(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count what goes to a thread, by the function that sent it there."""
    counted: Counter[str] = Counter()
    run_in_executor = asyncio.BaseEventLoop.run_in_executor

    def counting(self: Any, executor: Any, function: Any, *args: Any) -> Any:
        frame = sys._getframe(1)
        counted[frame.f_code.co_name] += 1
        return run_in_executor(self, executor, function, *args)

    monkeypatch.setattr(asyncio.BaseEventLoop, "run_in_executor", counting)
    return counted


async def get(name: str, session_key: str, middleware: list[str]) -> bytes:
    """Send a request through the whole of Django's ASGI handler."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": f"/{name}",
        "query_string": b"",
        "headers": [(b"host", b"testserver"), (b"cookie", f"{COOKIE}={session_key}".encode())],
    }
    django_settings.MIDDLEWARE = middleware
    communicator = ApplicationCommunicator(ASGIHandler(), scope)
    await communicator.send_input({"type": "http.request", "body": b""})
    start = await communicator.receive_output(5)
    assert start["status"] == 200, start
    body = await communicator.receive_output(5)
    await communicator.wait(5)
    return body["body"]


def hops_of(counted: Counter[str], name: str, session_key: str, middleware: list[str]) -> int:
    """Count for one request on a loop that has served others."""

    async def count() -> int:
        for warming in ("ignore", "read") if middleware else ("ignore",):
            await get(warming, session_key, middleware)
        counted.clear()
        await get(name, session_key, middleware)
        return counted.total()

    return asyncio.run(count())


@pytest.mark.parametrize("every_request", [False, True])
@pytest.mark.parametrize("view", VIEWS)
def test_redis_needs_no_thread(
    session_key: str, hops: Counter[str], view: Any, settings: Any, every_request: bool
) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = every_request
    settings.SESSION_TOUCH_INTERVAL = 0
    without = hops_of(hops, "ignore", session_key, [])
    assert without == 2  # Django's own: as a request begins, and as it ends.
    assert hops_of(hops, view.__name__, session_key, [OURS]) == without


def test_a_login_with_a_limit_needs_none_for_the_session(
    session_key: str, hops: Counter[str], settings: Any
) -> None:
    settings.SESSION_MAX_PER_USER = 3
    assert hops_of(hops, "as_ada", session_key, [OURS]) == 2


@pytest.mark.parametrize("every_request", [False, True])
@pytest.mark.parametrize("view", VIEWS)
@POSTGRES
def test_a_pool_needs_no_thread(
    kind: str,
    pooled_key: str,
    hops: Counter[str],
    view: Any,
    settings: Any,
    every_request: bool,
) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = every_request
    settings.SESSION_TOUCH_INTERVAL = 0
    assert hops_of(hops, view.__name__, pooled_key, [OURS]) == 2


@pytest.mark.parametrize("evicts", [False, True])
@POSTGRES
def test_nor_does_a_login_with_a_limit(
    kind: str, pooled_key: str, hops: Counter[str], settings: Any, evicts: bool
) -> None:
    settings.SESSION_MAX_PER_USER = 3
    settings.SESSION_MAX_PER_USER_POLICY = "evict-oldest" if evicts else "refuse"
    assert hops_of(hops, "as_ada", pooled_key, [OURS]) == 2


@POSTGRES
def test_without_a_pool_each_load_and_save_needs_one(
    kind: str, on_postgresql: None, hops: Counter[str], settings: Any
) -> None:
    settings.SESSION_STORES = orm_store_on(pools.alias())
    session_key = new_session()
    assert hops_of(hops, "read", session_key, [OURS]) == 3
    assert hops_of(hops, "write", session_key, [OURS]) == 4


@pytest.mark.parametrize(
    ("engine", "view", "expected"),
    [
        ("django_multistore.engine", "ignore", 4),
        ("django_multistore.engine", "read", 4),
        ("django_multistore.engine", "write", 4),
        ("django.contrib.sessions.backends.cache", "ignore", 4),
        ("django.contrib.sessions.backends.cache", "read", 5),
    ],
)
def test_django_s_middleware_needs_two_and_more(
    session_key: str, hops: Counter[str], settings: Any, engine: str, view: str, expected: int
) -> None:
    """What is compared, and that the counting sees it."""
    settings.SESSION_ENGINE = engine
    assert hops_of(hops, view, session_key, [DJANGOS]) == expected


@pytest.mark.parametrize("view", VIEWS)
def test_no_sync_client_on_the_way(
    session_key: str, monkeypatch: pytest.MonkeyPatch, view: Any
) -> None:
    def refuse(*args: Any) -> None:
        raise AssertionError("the sync client was used")

    for name in ("call", "call_many"):
        monkeypatch.setattr(ServerClient, name, refuse)
    asyncio.run(get(view.__name__, session_key, [OURS]))


@pytest.mark.parametrize(
    ("view", "every_request", "expected"),
    [
        ("ignore", False, 0),
        ("ignore", True, 1),
        ("read", False, 1),
        ("read", True, 1),
        ("write", False, 2),
        ("write", True, 2),
        ("rotate", False, 3),  # The last one in case the view's transaction was rolled back.
        ("flush", False, 1),
    ],
)
def test_round_trips(
    session_key: str,
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
    view: str,
    every_request: bool,
    expected: int,
) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = every_request
    trips = []

    send = ServerClient.acall_many

    async def counting(self: ServerClient, commands: Any) -> Any:
        trips.append(commands)
        return await send(self, commands)

    monkeypatch.setattr(ServerClient, "acall_many", counting)
    asyncio.run(get(view, session_key, [OURS]))
    assert len(trips) == expected
