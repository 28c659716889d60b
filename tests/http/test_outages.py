"""
The store of a site is taken away while its users go on asking, over HTTP, and is brought back.

Nobody is logged out, and nothing that was answered is lost. Meanwhile there are 503s, in bounded
time.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import httpx
import pytest
from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.urls import path

from django_multistore.records import key_of
from django_multistore.stores import stores
from tests import servers
from tests.settings import cache, database
from tests.support.doors import Door
from tests.support.helpers import rounds
from tests.support.meeting import cache_store_on, data_of, orm_store_on, saved
from tests.support.paths import CHECKOUT
from tests.support.trouble import Trouble

COOKIE = django_settings.SESSION_COOKIE_NAME

IS_FULL = rounds() >= 20_000
# OUTAGE in seconds, as are the others. PACE: from one request of a client to its next.
CLIENTS, OUTAGE, PACE = (200, 10, 4) if IS_FULL else (40, 3, 1)
BEFORE, AFTER = PACE + 1, PACE + 2
TIMEOUT = 1  # of a connection to Redis or memcached, and of a command
CONNECT_TIMEOUT = 2  # to PostgreSQL; less is not to be had from psycopg
LOCK = 2  # for how long a lock lasts that CacheStore could not give back
SLACK = 3  # which this machine may take for itself
START = 60

pytestmark = [pytest.mark.fault, pytest.mark.urls(__name__)]


# What is taken away, and what it may cost.


@dataclass
class Outage:
    """What begins and ends it, and the site with a store that it happens to."""

    begin: Callable[[], None]
    end: Callable[[], None]
    site: dict[str, Any]  # settings
    timeout: float  # seconds: the store gives up no sooner, unless it knows that it is in vain
    limit: float  # and no later


Site = tuple[dict[str, Any], float, float]  # See Outage.


def on_redis(address: str, file: str) -> Site:
    options = {"URL": f"redis://{address}/0", "TIMEOUT": TIMEOUT, "CONNECT_TIMEOUT": TIMEOUT}
    backend = "django_multistore.stores.redis.RedisStore"
    settings = {
        "DATABASES": {"default": database("sqlite", file)},
        "SESSION_STORES": {"default": {"BACKEND": backend, "OPTIONS": options}},
    }
    # In a thread to connect and to ask, on the event loop to load and to save.
    return settings, TIMEOUT, 2 * TIMEOUT


def on_postgres(address: str, file: str) -> Site:
    sessions = database("postgres", "postgres", address)
    sessions["OPTIONS"] = {"connect_timeout": CONNECT_TIMEOUT}
    settings = {
        "DATABASES": {"default": database("sqlite", file), "sessions": sessions},
        "SESSION_STORES": orm_store_on("sessions"),
    }
    return settings, CONNECT_TIMEOUT, CONNECT_TIMEOUT


def on_memcached(address: str, file: str) -> Site:
    entry = cache("memcached", address)
    entry["OPTIONS"] = entry["OPTIONS"] | {"timeout": TIMEOUT, "connect_timeout": TIMEOUT}
    settings = {
        "CACHES": {"default": entry},
        "DATABASES": {"default": database("sqlite", file)},
        "SESSION_STORES": cache_store_on("default", CACHE="default", LOCK_SECONDS=LOCK),
    }
    # A command, and the unlocking; or a lock that was left.
    return settings, TIMEOUT, 2 * TIMEOUT + LOCK


STORES = {"redis": on_redis, "postgres": on_postgres, "memcached": on_memcached}


@contextmanager
def outage_of(kind: str, trouble: str, file: Path) -> Iterator[Outage]:
    # What a server of these has answered for outlives SIGKILL, but for memcached's.
    with servers.private(kind, durable=True) as server, Door(server.address) as door:
        begin, end = {
            "killed": (server.kill, server.start),
            "frozen": (server.freeze, server.thaw),
            "refused": (door.shut, door.open),
        }[trouble]
        address = door.address if trouble == "refused" else server.address
        yield Outage(begin, end, *STORES[kind](address, str(file)))


OUTAGES = [
    *(("redis", "killed"), ("redis", "frozen"), ("redis", "refused")),
    *(("postgres", "killed"), ("postgres", "refused")),
    *(("memcached", "frozen"), ("memcached", "refused")),
]


# The site.


@contextmanager
def site_with(settings: dict[str, Any], log: Path) -> Iterator[str]:
    """Serve the site, and return its URL."""
    with socket.create_server((servers.HOST, 0)) as listener, log.open("wb") as written:
        url = f"http://{servers.HOST}:{listener.getsockname()[1]}"
        fd = listener.fileno()
        command = [sys.executable, "-m", "tests.support.outage_site", str(fd), json.dumps(settings)]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stderr=written, pass_fds=[fd], cwd=CHECKOUT
        )
    try:
        yield url
        assert process.poll() is None
    finally:
        process.communicate(timeout=START)
        print(log.read_text()[-10_000:])  # noqa: T201 - pytest shows it where a test fails


# Its users.


@dataclass(frozen=True)
class Answer:
    """What came of a request; the times are time.monotonic()'s."""

    method: str
    response: httpx.Response
    began: float
    ended: float

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    @property
    def is_visitors(self) -> bool:
        return self.status == 200 and self.response.json()["user"] is None

    @property
    def is_users(self) -> bool:
        return self.status == 200 and not self.is_visitors


@dataclass
class Browser:
    """A user's, with one connection. What the session may hold is known, within bounds."""

    http: httpx.AsyncClient
    user: int
    limit: float
    serves_visitors: bool = False
    cookie: str = ""
    least: int = 0  # writes that were answered for
    most: int = 0  # and those of which nothing is known
    answers: list[Answer] = field(default_factory=list)

    async def logs_in(self) -> None:
        response = await self.http.post("/log_in", params={"user": self.user}, timeout=START)
        assert response.status_code == 200, response.text
        self.cookie = self.http.cookies[COOKIE]

    async def goes_on(self, until: asyncio.Event) -> None:
        """Ask for one thing after the other, at this client's pace."""
        next_at = time.monotonic() + PACE * self.user / CLIENTS
        for number in range(1_000_000):
            await asyncio.sleep(max(0, next_at - time.monotonic()))
            if until.is_set():
                return
            next_at = max(next_at + PACE, time.monotonic())
            await self.asks(["read", "write", "page"][(number + self.user) % 3])

    async def asks(self, view: str) -> Answer:
        method = "POST" if view == "write" else "GET"
        began = time.monotonic()
        response = await self.http.request(method, f"/{view}", timeout=self.limit + SLACK + 5)
        answer = Answer(method, response, began, time.monotonic())
        self.answers.append(answer)
        assert answer.seconds < self.limit + SLACK
        self.looks_at_cookie(response)
        if answer.status == 503:
            self.looks_at_503(answer)
        elif answer.is_visitors and self.serves_visitors:
            self.looks_at_visitors(answer)
        else:
            self.looks_at_content(answer)
        return answer

    def looks_at_cookie(self, response: httpx.Response) -> None:
        for header in response.headers.get_list("set-cookie"):
            morsel = SimpleCookie(header).get(COOKIE)
            assert morsel is None or morsel.value == self.cookie
        assert self.http.cookies[COOKIE] == self.cookie

    def looks_at_503(self, answer: Answer) -> None:
        headers = answer.response.headers
        assert int(headers["Retry-After"]) > 0
        assert "no-store" in headers["Cache-Control"]
        assert "Set-Cookie" not in headers
        if answer.method == "POST":
            self.most += 1

    def looks_at_visitors(self, answer: Answer) -> None:
        assert answer.method == "GET"
        assert answer.response.json()["writes"] == 0
        headers = answer.response.headers
        assert {"private", "no-store"} <= {*headers["Cache-Control"].split(", ")}
        assert "Set-Cookie" not in headers

    def looks_at_content(self, answer: Answer) -> None:
        assert answer.status == 200, answer.response.text
        content = answer.response.json()
        assert content["user"] == str(self.user)
        if answer.method == "POST":
            self.least, self.most = self.least + 1, self.most + 1
        assert self.least <= content["writes"] <= self.most
        self.least = content["writes"]
        if answer.method == "POST":
            self.most = self.least

    async def is_still_logged_in(self) -> None:
        for view in ("read", "write", "page"):
            assert (await self.asks(view)).is_users


@dataclass
class Times:
    """When it was taken away and given back (time.monotonic()): down for sure, and perhaps."""

    struck: float
    down: float
    mended: float
    up: float


async def run(url: str, outage: Outage, *, serves_visitors: bool) -> tuple[list[Browser], Times]:
    """Have the users live through the outage, and return them, with when it was."""
    tls = ssl.create_default_context()  # Once; each client would load one.
    limits = httpx.Limits(max_connections=1)
    async with AsyncExitStack() as stack:
        browsers = []
        for user in range(1, CLIENTS + 1):
            client = httpx.AsyncClient(base_url=url, limits=limits, verify=tls)
            http = await stack.enter_async_context(client)
            browsers.append(Browser(http, user, outage.limit, serves_visitors))
            await browsers[-1].logs_in()
        async with asyncio.TaskGroup() as group:
            is_over = asyncio.Event()
            for browser in browsers:
                group.create_task(browser.goes_on(is_over))
            await asyncio.sleep(BEFORE)
            struck = time.monotonic()
            await asyncio.to_thread(outage.begin)
            down = time.monotonic()
            await asyncio.sleep(OUTAGE)
            mended = time.monotonic()
            await asyncio.to_thread(outage.end)
            times = Times(struck, down, mended, time.monotonic())
            await asyncio.sleep(AFTER)
            is_over.set()
        for browser in browsers:
            await browser.is_still_logged_in()
    return browsers, times


def outlive(kind: str, trouble: str, on_outage: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with outage_of(kind, trouble, tmp_path / "site.sqlite3") as outage:
        settings = outage.site | {"SESSION_ON_OUTAGE": on_outage, "USERS": CLIENTS}
        with site_with(settings, log) as url:
            serves_visitors = on_outage == "anonymous"
            browsers, times = asyncio.run(run(url, outage, serves_visitors=serves_visitors))
    answers = [answer for browser in browsers for answer in browser.answers]
    meanwhile = [a for a in answers if times.down < a.began and a.ended < times.mended]
    for is_post in (True, False):
        found = {a.status for a in meanwhile if (a.method == "POST") is is_post}
        assert found == ({200} if serves_visitors and not is_post else {503})
    for answer in answers:
        if answer.ended < times.struck or answer.began > times.up:
            # A machine that stands still for that long is an outage too.
            assert answer.is_users or (answer.status == 503 and answer.seconds > outage.timeout)
    for browser in browsers:
        assert any(answer.is_users and answer.ended < times.struck for answer in browser.answers)
    said = log.read_text()
    assert "could not be asked" in said
    assert "Traceback" not in said
    assert not [browser.user for browser in browsers if browser.cookie in said]
    slowest = max(answer.seconds for answer in answers)
    count = f"{len(answers)} answers, {sum(a.status == 503 for a in answers)} of them 503"
    print(f"{kind} {trouble}: {count}; slowest: {slowest:.2f} s")  # noqa: T201 - for pytest -rP


@pytest.mark.stress
@pytest.mark.parametrize(("kind", "trouble"), OUTAGES)
def test_nobody_is_logged_out(kind: str, trouble: str, tmp_path: Path) -> None:
    outlive(kind, trouble, "503", tmp_path)


@pytest.mark.stress
@pytest.mark.parametrize("trouble", ["killed", "frozen"])
def test_users_are_visitors_meanwhile(trouble: str, tmp_path: Path) -> None:
    outlive("redis", trouble, "anonymous", tmp_path)


# One request, in this process.


trouble = Trouble()


def leave_alone(request: HttpRequest) -> HttpResponse:
    return HttpResponse("fine")


async def aleave_alone(request: HttpRequest) -> HttpResponse:
    return HttpResponse("fine")


def load(request: HttpRequest) -> HttpResponse:
    found = request.session.get("number")
    trouble.strike()
    return HttpResponse(f"{found}")


async def aload(request: HttpRequest) -> HttpResponse:
    found = await request.session.aget("number")
    trouble.strike()
    return HttpResponse(f"{found}")


def change(request: HttpRequest) -> HttpResponse:
    request.session["number"] = 2
    return load(request)


async def achange(request: HttpRequest) -> HttpResponse:
    await request.session.aset("number", 2)
    return await aload(request)


urlpatterns = [
    path(view.__name__, view) for view in (leave_alone, aleave_alone, load, aload, change, achange)
]

CLIENT_CLASSES = pytest.mark.parametrize("client_class", [Client, AsyncClient])
VIEW_PREFIXES = pytest.mark.parametrize("prefix", ["", "a"], ids=["sync view", "async view"])


def asked(client_class: type[Any], view: str, session_key: str, **headers: str) -> Any:
    """Ask with a cookie; the client must have just that cookie afterwards."""
    client = client_class(raise_request_exception=False)
    client.cookies[COOKIE] = session_key
    get = async_to_sync(client.get) if client_class is AsyncClient else client.get
    response = get(f"/{view}", headers=headers)
    assert client.cookies[COOKIE].value == session_key
    return response


def is_503(response: Any) -> None:
    assert response.status_code == 503
    assert int(response["Retry-After"]) > 0
    assert "no-store" in response["Cache-Control"]
    assert COOKIE not in response.cookies


def use_redis_at(settings: Any, address: str) -> None:
    settings.SESSION_STORES = on_redis(address, "")[0]["SESSION_STORES"]
    settings.MIDDLEWARE = [
        "django_multistore.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ]


@pytest.fixture
def nobody_listens(settings: Any) -> None:
    use_redis_at(settings, f"{servers.HOST}:{servers._free_port()}")


SOMEBODY = "a" * 32  # a session key; who knows whose


@pytest.mark.parametrize("debug", [False, True], ids=["production", "debug"])
@CLIENT_CLASSES
@VIEW_PREFIXES
@pytest.mark.usefixtures("nobody_listens")
def test_another_middleware_is_the_first_to_ask(
    prefix: str, client_class: type[Any], debug: bool, settings: Any
) -> None:
    settings.DEBUG = debug
    settings.MIDDLEWARE += ["django.contrib.auth.middleware.LoginRequiredMiddleware"]
    is_503(asked(client_class, f"{prefix}leave_alone", SOMEBODY))


@CLIENT_CLASSES
@VIEW_PREFIXES
@pytest.mark.usefixtures("nobody_listens")
def test_a_program_gets_json(prefix: str, client_class: type[Any], settings: Any) -> None:
    for more in ([], ["django.contrib.auth.middleware.LoginRequiredMiddleware"]):
        settings.MIDDLEWARE += more
        response = asked(client_class, f"{prefix}load", SOMEBODY, Accept="application/json")
        is_503(response)
        assert json.loads(response.content)["error"]["code"] == "unavailable"
        assert "Accept" in response["Vary"]


@CLIENT_CLASSES
@VIEW_PREFIXES
@pytest.mark.usefixtures("nobody_listens")
def test_the_handler_of_errors_needs_the_session_too(
    prefix: str, client_class: type[Any], settings: Any
) -> None:
    settings.MIDDLEWARE += ["django.middleware.csrf.CsrfViewMiddleware"]
    settings.CSRF_USE_SESSIONS = True
    is_503(asked(client_class, f"{prefix}leave_alone", SOMEBODY))


@CLIENT_CLASSES
@VIEW_PREFIXES
def test_what_does_not_answer_is_asked_once(
    prefix: str, client_class: type[Any], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = True
    use_redis_at(settings, f"{servers.HOST}:{servers._free_port()}")
    asked_for = []
    for name in ("read", "aread"):
        read = getattr(stores["default"], name)
        monkeypatch.setattr(
            stores["default"], name, lambda key, read=read: asked_for.append(key) or read(key)
        )
    is_503(asked(client_class, f"{prefix}load", SOMEBODY))
    assert len(asked_for) == 1


@CLIENT_CLASSES
@VIEW_PREFIXES
@pytest.mark.usefixtures("nobody_listens")
def test_a_visitor_without_a_cookie(prefix: str, client_class: type[Any], settings: Any) -> None:
    for on_outage, status in (("503", 503), ("anonymous", 200)):
        settings.SESSION_ON_OUTAGE = on_outage
        client = client_class(raise_request_exception=False)
        get = async_to_sync(client.get) if client_class is AsyncClient else client.get
        response = get(f"/{prefix}change")
        assert response.status_code == status
        assert not response.cookies
        assert "no-store" in response["Cache-Control"]


@pytest.mark.parametrize("saves_all", [False, True], ids=["save if changed", "save every time"])
@CLIENT_CLASSES
@VIEW_PREFIXES
@pytest.mark.usefixtures("nobody_listens")
def test_a_view_gets_by_without_the_session(
    prefix: str, client_class: type[Any], saves_all: bool, settings: Any
) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = saves_all
    response = asked(client_class, f"{prefix}leave_alone", SOMEBODY)
    assert (response.status_code, response.content) == (200, b"fine")
    assert not response.cookies


@pytest.fixture
def door(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    """Have the sessions in a Redis behind a door, which the views shut."""
    with Door(servers.require("redis")) as made:
        use_redis_at(settings, made.address)
        monkeypatch.setattr(trouble, "strike", made.shut)
        yield made


@pytest.fixture
def session_key(door: Door) -> Iterator[str]:
    made = saved(number=1)
    yield made
    door.open()
    stores["default"].destroy(key_of(made))


@pytest.mark.parametrize("saves_all", [False, True], ids=["save if changed", "save every time"])
@CLIENT_CLASSES
@VIEW_PREFIXES
def test_last_seen_could_not_be_moved(
    prefix: str,
    client_class: type[Any],
    saves_all: bool,
    session_key: str,
    settings: Any,
    caplog: Any,
) -> None:
    settings.SESSION_TOUCH_INTERVAL = 0
    settings.SESSION_SAVE_EVERY_REQUEST = saves_all
    response = asked(client_class, f"{prefix}load", session_key)
    assert (response.status_code, response.content) == (200, b"1")
    assert "Last-seen of a session did not move" in caplog.text
    assert session_key not in caplog.text


@CLIENT_CLASSES
@VIEW_PREFIXES
def test_a_change_could_not_be_saved(
    prefix: str, client_class: type[Any], door: Door, session_key: str, caplog: Any
) -> None:
    is_503(asked(client_class, f"{prefix}change", session_key))
    assert session_key not in caplog.text
    door.open()
    assert data_of(session_key) == {"number": 1}
