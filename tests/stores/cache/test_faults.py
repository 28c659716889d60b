"""
Caches that are killed, frozen, cut off, flushed or full under the engine; and their index.

An outage is StoreUnavailable, within the timeouts, and the next request goes on. It ends no
session, and whatever it leaves behind is listed, can be ended and goes with gc.
"""

from __future__ import annotations

import itertools
import logging
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.contrib.auth import alogin, alogout, login, logout
from django.contrib.auth.models import User
from django.core.cache import caches
from django.core.management import CommandError, call_command
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.urls import path

from django_multistore import devices
from django_multistore.exceptions import StoreUnavailable
from django_multistore.models import UserSession
from django_multistore.records import Outcome, SessionRecord, key_of
from django_multistore.session import keys
from django_multistore.stores import stores
from django_multistore.stores.cache.cells import LOCK, SESSION, TOMBSTONE
from django_multistore.stores.cache.client import CacheClient
from django_multistore.stores.indexed import users as cache_users
from django_multistore.testing import Calls, make_record
from tests import servers
from tests.settings import cache
from tests.support import proxies
from tests.support.meeting import CACHES, cache_store_on, login_of, new_user, on, saved
from tests.support.trouble import Trouble
from tests.support.unreachable import OPERATIONS, a_closed_port, own_server

COOKIE = django_settings.SESSION_COOKIE_NAME
QUICK = 0.3  # seconds, of a cache that is frozen here: tests/settings.py has more patience
SLACK = 3  # seconds, which this machine may take for itself
LOCK_SECONDS = 2

pytestmark = [
    pytest.mark.fault,
    pytest.mark.urls(__name__),
    pytest.mark.django_db(transaction=True),
]

KINDS = pytest.mark.parametrize("kind", list(CACHES))


# A site, and the trouble that comes over it while a view is at work.


trouble = Trouble()


@pytest.fixture(autouse=True)
def no_trouble(caplog: Any) -> Iterator[None]:
    caplog.set_level(logging.CRITICAL, "django.request")  # The responses know what was raised.
    yield
    trouble.__init__()


def load(request: HttpRequest) -> HttpResponse:
    trouble.strike()
    return HttpResponse(f"{request.user.pk} {request.session.get('visits')}")


def visit(request: HttpRequest, act: Callable[[HttpRequest], object]) -> HttpResponse:
    visits = request.session["visits"] = request.session.get("visits", 0) + 1
    response = HttpResponse(f"{request.user.pk} {visits}")
    trouble.strike()
    act(request)
    return response


async def aload(request: HttpRequest) -> HttpResponse:
    trouble.strike()
    user = await request.auser()
    return HttpResponse(f"{user.pk} {await request.session.aget('visits')}")


async def avisit(request: HttpRequest, act: Callable[[HttpRequest], Any]) -> HttpResponse:
    visits = await request.session.aget("visits", 0) + 1
    await request.session.aset("visits", visits)
    user = await request.auser()
    response = HttpResponse(f"{user.pk} {visits}")
    trouble.strike()
    await act(request)
    return response


async def alog_in(request: HttpRequest) -> None:
    await alogin(request, await User.objects.aget(pk=request.GET["user"]))


async def alog_out_everywhere(request: HttpRequest) -> None:
    await devices.alog_out_everywhere(await User.objects.aget(pk=request.GET["user"]))


async def alist(request: HttpRequest) -> None:
    await devices.asessions_for_user(await User.objects.aget(pk=request.GET["user"]))


def user_of(request: HttpRequest) -> User:
    return User.objects.get(pk=request.GET["user"])


ACTIONS: dict[str, Callable[[Any], object]] = {
    "save": lambda request: None,  # The middleware does it.
    "rotate": lambda request: request.session.cycle_key(),
    "log_in": lambda request: login(request, user_of(request)),
    "log_out": logout,
    "log_out_others": devices.log_out_other_devices,
    "log_out_everywhere": lambda request: devices.log_out_everywhere(user_of(request)),
    "list": lambda request: devices.sessions_for_user(user_of(request)),
}
TWINS: dict[str, Callable[[Any], object]] = {
    "save": lambda request: request.session.asave(),
    "rotate": lambda request: request.session.acycle_key(),
    "log_in": alog_in,
    "log_out": alogout,
    "log_out_others": devices.alog_out_other_devices,
    "log_out_everywhere": alog_out_everywhere,
    "list": alist,
}

VIEWS = ["load", *ACTIONS]
ENDING = ["log_out", "log_out_everywhere"]

urlpatterns = [
    path("load", load),
    path("async/load", aload),
    *(path(name, visit, {"act": act}) for name, act in ACTIONS.items()),
    *(path(f"async/{name}", avisit, {"act": act}) for name, act in TWINS.items()),
]


class Browser:
    """A client that sees an error as others do, as the status 503."""

    def __init__(self, user: User | None = None, client: type[Any] = Client) -> None:
        self.user = user
        self.visits = 0
        self.client = client(raise_request_exception=False)
        if user is not None:
            self.client.cookies[COOKIE] = saved(**login_of(user))

    @property
    def cookie(self) -> str | None:
        morsel = self.client.cookies.get(COOKIE)
        return morsel.value if morsel else None

    def get(self, view: str, **query: Any) -> Any:
        began = time.monotonic()
        if isinstance(self.client, AsyncClient):
            response = async_to_sync(self.client.get)(f"/async/{view}", query)
        else:
            response = self.client.get(f"/{view}", query)
        self.seconds = time.monotonic() - began
        for connection in connections.all(initialized_only=True):
            if connection.errors_occurred:
                connection.close_if_unusable_or_obsolete()
        return response

    def sees(self, view: str, **query: Any) -> tuple[str, str]:
        """Return the user whom a view knows this browser as, and which visit it takes this for."""
        response = self.get(view, **query)
        assert response.status_code == 200, response.exc_info
        user, visits = response.content.decode().split()
        return user, visits

    def visits_as_before(self) -> None:
        before = self.cookie
        self.visits += 1
        assert self.sees("save") == (str(self.user.pk), str(self.visits))
        assert self.cookie == before

    def meets_outage(self, view: str, **query: Any) -> None:
        cookie, before = self.cookie, row_ids()
        is_outage(self.get(view, **query), moves=view in MOVES)
        assert self.cookie == cookie or view in MOVES
        assert row_ids() >= before

    def is_still_logged_in(self) -> None:
        assert self.sees("load") == (str(self.user.pk), str(self.visits))

    def is_a_stranger(self) -> None:
        """With this cookie, under which nothing is kept: another one, or none for a minute."""
        before = self.cookie
        assert self.sees("save") == ("None", "1")
        if self.cookie == before:
            assert self.sees("save") == ("None", "1")


# A rotation that the cache has acknowledged before it was out has sent its cookie.
MOVES = ("rotate", "log_in", "log_out_others")


def is_outage(response: Any, *, moves: bool = False) -> None:
    assert response.status_code == 503
    assert "Retry-After" in response
    assert moves or COOKIE not in response.cookies


def with_cookie(cookie: str | None) -> Browser:
    browser = Browser()
    browser.client.cookies[COOKIE] = cookie
    return browser


def rows() -> Any:
    return UserSession.objects.using(stores["default"].database)


def row_ids() -> set[int]:
    return set(rows().values_list("row_id", flat=True))


numbers = itertools.count()


def somebody() -> User:
    return new_user(f"user {next(numbers)}")


@pytest.fixture
def user() -> User:
    return somebody()


# Caches, to be put behind this site.


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every session key that the engine draws."""
    session_keys: list[str] = []
    draw = keys.new_session_key

    def note() -> str:
        session_keys.append(draw())
        return session_keys[-1]

    monkeypatch.setattr(keys, "new_session_key", note)
    return session_keys


def use(
    settings: Any, kind: str, *addresses: str, timeout: float | None = None, **options: Any
) -> None:
    """Keep the sessions in the cache that is at an address."""
    entry = cache(kind, addresses[0])
    if addresses[1:]:
        entry["LOCATION"] = [*addresses]
    if timeout is not None:
        quick = {
            name: timeout if "timeout" in name.lower() and value else value
            for name, value in entry["OPTIONS"].items()
        }
        entry["OPTIONS"] = quick
    settings.CACHES = {"sessions": entry}
    database = options.pop("DATABASE", "default")
    options = {"CACHE": "sessions", "LOCK_SECONDS": LOCK_SECONDS} | options
    settings.SESSION_STORES = cache_store_on(database, **options)


@contextmanager
def own_cache(
    settings: Any, kind: str, *, arguments: list[str] | None = None, **options: Any
) -> Iterator[servers.Server]:
    """Keep the sessions in a server that may be killed."""
    with servers.private(CACHES[kind][0], durable=True, arguments=arguments or ()) as server:
        use(settings, kind, server.address, **options)
        yield server


def tell(server: servers.Server, command: str) -> bytes:
    with socket.create_connection((servers.HOST, server.port)) as connection:
        connection.sendall(f"{command}\r\n".encode())
        return connection.recv(1024)


def flush(kind: str, server: servers.Server) -> None:
    if CACHES[kind][0] == "memcached":
        assert tell(server, "flush_all") == b"OK\r\n"
    else:
        assert tell(server, "FLUSHALL") == b"+OK\r\n"


def live_of(drawn: list[str]) -> dict[str, SessionRecord]:
    """Return what lives under any session key; each is listed, and under one key only."""
    store = stores["default"]
    found = {session_key: store.read(key_of(session_key)) for session_key in drawn}
    live = {session_key: record for session_key, record in found.items() if record is not None}
    ids = [record.id for record in live.values()]
    assert len(ids) == len(set(ids)), "two live keys of one session"
    owners = {record.user_id for record in live.values()} - {None}
    listed = {record.id for owner in owners for record in store.sessions_for_user(owner)}
    unlisted = [record for record in live.values() if record.user_id and record.id not in listed]
    assert not unlisted, "live sessions that aren't listed"
    return live


def users_of(drawn: list[str]) -> list[str]:
    """Return the user of each live session that has one."""
    return [record.user_id for record in live_of(drawn).values() if record.user_id is not None]


def free_locks(drawn: list[str]) -> None:
    """Remove the locks whose holders don't know that they have them, as time would."""
    for session_key in drawn:
        caches["sessions"].delete(f"{LOCK}{key_of(session_key)}")


@contextmanager
def gc_waits_for_no_one() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(cache_users, "IN_FLIGHT", -timedelta(minutes=1))
        yield


def only_what_lives_has_rows(drawn: list[str]) -> None:
    """Run gc, and look whether each row leads to a live session, and to each of a user's."""
    live = live_of(drawn).values()
    with gc_waits_for_no_one():
        stores["default"].gc()
    ids = set(rows().values_list("id", flat=True))
    assert ids <= {record.id for record in live}
    assert ids >= {record.id for record in live if record.user_id is not None}


def gc_removes_nothing() -> None:
    before = row_ids()
    assert before
    with gc_waits_for_no_one(), pytest.raises(CommandError, match="Removed until then: 0") as ended:
        call_command("gc")
    assert isinstance(ended.value.__cause__, StoreUnavailable)
    assert ended.value.returncode == 1
    assert row_ids() == before


# Servers that die, hang and come back.


@KINDS
def test_killed_and_back(kind: str, settings: Any, drawn: list[str], user: User) -> None:
    keeps = CACHES[kind][0] == "redis"  # Its data outlive it.
    with own_cache(settings, kind) as server:
        other = Browser(user)
        for view in VIEWS:
            browser = Browser(user)
            browser.visits_as_before()
            trouble.strike = server.kill
            browser.meets_outage(view, user=user.pk)
            trouble.strike = lambda: None
            browser.meets_outage("load")
            Browser().meets_outage("log_in", user=user.pk)
            if view == "load":
                gc_removes_nothing()
            server.start()
            if keeps:
                browser.visits_as_before()
                other.visits_as_before()
            else:
                assert live_of(drawn) == {}
                with_cookie(browser.cookie).is_a_stranger()
        Browser(user).visits_as_before()
        assert len(users_of(drawn)) == (len(VIEWS) + 2 if keeps else 1)
        only_what_lives_has_rows(drawn)


FROZEN_AT = [
    ("load", "read", 1),
    ("list", "read", 2),
    ("save", "add", 1),
    ("save", "set_many", 1),
    ("log_in", "set_many", 1),
    ("rotate", "add", 3),
    ("log_out", "set_many", 1),
]


@KINDS
def test_frozen_and_thawed(kind: str, settings: Any, drawn: list[str], user: User) -> None:
    with own_cache(settings, kind, timeout=QUICK) as server:
        for view, command, number in FROZEN_AT:
            browser = Browser(user)
            browser.visits_as_before()
            cookie = browser.cookie
            with struck_at(number, server.freeze, command=command):
                browser.meets_outage(view, user=user.pk)
            # The command's, and that of the unlocking.
            assert browser.seconds < 2 * QUICK + SLACK
            if view == "load":
                Browser().meets_outage("log_in", user=user.pk)
                gc_removes_nothing()
            server.thaw()
            free_locks(drawn)
            # By now it may have done what it was asked to before. A login rotates too.
            if view not in ("rotate", "log_in", "log_out"):
                assert browser.sees("save")[0] == str(user.pk)
            assert browser.get("log_out").status_code == 200
            with_cookie(cookie).is_a_stranger()
            Browser(user).visits_as_before()
            devices.log_out_everywhere(user)
            assert users_of(drawn) == []
        only_what_lives_has_rows(drawn)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@KINDS
def test_no_operation_takes_an_outage_for_a_miss(kind: str, is_async: bool, settings: Any) -> None:
    with own_cache(settings, kind) as server:
        record = make_record(id=1, user_id="1")
        store = Calls(stores["default"], is_async=is_async)
        assert store.create(record)
        server.kill()
        for operation in OPERATIONS.values():
            with pytest.raises(StoreUnavailable):
                operation(store)
        assert rows().count() == 1
        server.start()
        assert store.update(record) is (
            Outcome.GONE if CACHES[kind][0] == "memcached" else Outcome.DONE
        )


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@KINDS
def test_a_cache_that_was_never_there(kind: str, is_async: bool, settings: Any) -> None:
    use(settings, kind, f"{servers.HOST}:{a_closed_port()}")
    stores["default"]._index.insert(make_record(id=1, user_id="1"))
    store = Calls(stores["default"], is_async=is_async)
    for operation in OPERATIONS.values():
        with pytest.raises(StoreUnavailable, match="'default'"):
            operation(store)
    assert rows().count() == 1


@KINDS
def test_flushed(kind: str, settings: Any, drawn: list[str]) -> None:
    with own_cache(settings, kind) as server:
        for view in VIEWS:
            user = somebody()
            browser = Browser(user)
            browser.visits_as_before()
            before = browser.cookie
            trouble.strike = partial(flush, kind, server)
            # 400 is SessionInterrupted: its session has gone during the request.
            assert browser.get(view, user=user.pk).status_code in (200, 400)
            trouble.strike = lambda: None
            assert live_of(drawn) == {}
            with_cookie(before).is_a_stranger()
            assert browser.sees("log_in", user=user.pk)[0] == "None"
            assert browser.sees("load")[0] == str(user.pk)
        (live,) = [record.id for record in live_of(drawn).values() if record.user_id]
        lost = rows().exclude(id=live).count()
        assert lost >= len(VIEWS)
        assert stores["default"].gc() == 0  # They may be on their way.
        with gc_waits_for_no_one():
            assert stores["default"].gc() == lost
        assert list(rows().values_list("id", flat=True)) == [live]
        assert browser.sees("load")[0] == str(user.pk)


# Servers that are full.

THAT_FILL = {
    "memcached": ["-m", "1", "-M", "-I", "512k", "-f", "4", "-o", "slab_automove=0"],
    "redis": ["--maxmemory-policy", "noeviction"],
}
OF_LOCKS, OF_SESSIONS = 200, 1000  # bytes, of an item that takes the place of one, in memcached


@contextmanager
def full(kind: str, server: servers.Server, *sizes: int) -> Iterator[None]:
    """Let a server have no room, memcached for items of these sizes."""
    if CACHES[kind][0] == "redis":
        assert tell(server, "CONFIG SET maxmemory 1") == b"+OK\r\n"
        yield
        assert tell(server, "CONFIG SET maxmemory 0") == b"+OK\r\n"
        return
    for size in sizes:
        more = "".join(
            f"add {size}-{number} 0 0 {size} noreply\r\n{'x' * size}\r\n"
            for number in range(1_200_000 // size)
        )
        refusal = tell(server, f"{more}add {size} 0 0 {size}\r\n{'x' * size}")
        assert refusal.startswith(b"SERVER_ERROR out of memory")
    yield
    for size in sizes:
        names = (f"{size}-{number}" for number in range(1_200_000 // size))
        less = "".join(f"delete {name} noreply\r\n" for name in names)
        assert tell(server, f"{less}mn") == b"MN\r\n"


@KINDS
def test_full(kind: str, settings: Any, drawn: list[str]) -> None:
    with own_cache(settings, kind, arguments=THAT_FILL[CACHES[kind][0]]) as server:
        browsers = {view: Browser(somebody()) for view in VIEWS}
        for browser in browsers.values():
            browser.visits_as_before()
        with full(kind, server, OF_LOCKS, OF_SESSIONS):
            for view, browser in browsers.items():
                if view != "load":
                    browser.meets_outage(view, user=browser.user.pk)
                if view not in ENDING:
                    browser.is_still_logged_in()
            Browser().meets_outage("log_in", user=browser.user.pk)
            gc_removes_nothing()
        for view, browser in browsers.items():
            cookie = browser.cookie
            if view not in ENDING:
                browser.visits_as_before()
            assert browser.get("log_out").status_code == 200
            with_cookie(cookie).is_a_stranger()
            Browser(browser.user).visits_as_before()
        assert len(users_of(drawn)) == len(VIEWS)
        only_what_lives_has_rows(drawn)


@pytest.mark.xfail(
    strict=True, reason="memcached removes what is under a name if it has no room for a new value"
)
def test_memcached_has_no_room_for_another_session(settings: Any, drawn: list[str]) -> None:
    arguments = THAT_FILL["memcached"]
    with own_cache(settings, "memcached", arguments=arguments) as server:
        for is_exact in (True, False):
            use(settings, "memcached", server.address, EXACT=is_exact)
            browser, leaver = Browser(somebody()), Browser(somebody())
            large = {"notes": "x" * 500}
            browser.client.cookies[COOKIE] = saved(**login_of(browser.user), **large)
            browser.visits_as_before()
            with full("memcached", server, OF_SESSIONS):
                browser.meets_outage("save")
                browser.is_still_logged_in()
                Browser().meets_outage("log_in", user=browser.user.pk)
                assert leaver.get("log_out").status_code == 200
            browser.visits_as_before()
            assert browser.cookie in live_of(drawn)


# A line to a server, which fails at any moment.


class FaultyLine(proxies.Line):
    """
    What a server is reached by.

    Its state is "open"; "cut": whatever is sent gets lost; "deaf": so do the next reply and
    what follows; or "slow": whatever is sent comes to the server when catch_up() is called.
    """

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.state = "open"
        self._is_caught_up = threading.Event()
        self._late: list[threading.Thread] = []

    def __exit__(self, *exception: object) -> None:
        self._is_caught_up.set()
        super().__exit__(*exception)

    def catch_up(self) -> None:
        """Let the server have what was sent while the line was slow, and wait till it has."""
        assert self._late, "nothing was sent"
        self._is_caught_up.set()
        for thread in self._late:
            thread.join()
        self._late.clear()
        self._is_caught_up.clear()

    def relay(self, client: socket.socket, server: socket.socket) -> None:
        while True:
            for source in select.select([client, server], [], [])[0]:
                data = source.recv(65536)
                if not data or not self._pass_on(data, source is client, client, server):
                    return

    def _pass_on(
        self, data: bytes, is_request: bool, client: socket.socket, server: socket.socket
    ) -> bool:
        if self.state == "cut":
            return False
        if self.state == "deaf" and not is_request:
            self.state = "cut"
            return False
        if self.state == "slow" and is_request:
            self._late.append(threading.current_thread())
            self._is_caught_up.wait()
            server.sendall(data)
            return not server.recv(65536)
        (server if is_request else client).sendall(data)
        return True


@contextmanager
def line_to(settings: Any, kind: str, **options: Any) -> Iterator[FaultyLine]:
    """Reach a cache, which may be others' as well, by a line that is ours alone."""
    with FaultyLine(servers.require(CACHES[kind][0])) as line:
        use(settings, kind, line.address, **options)
        yield line
        caches["sessions"].close()


@contextmanager
def struck_at(
    number: int, strike: Callable[[], object], *, command: str | None = None
) -> Iterator[list[str]]:
    """
    Strike before one of the commands that are given to the cache.

    Args:
        number: which one, from 1.
        strike: what to do.
        command: count only these.

    Returns:
        Those that were counted.
    """
    given: list[str] = []

    def noted(name: str) -> Callable[..., Any]:
        run = getattr(CacheClient, name)

        def note(*arguments: Any) -> Any:
            given.append(name)
            if len(given) == number:
                strike()
            return run(*arguments)

        return note

    with pytest.MonkeyPatch.context() as patched:
        for name in [command] if command else ["read", "aread", "add", "set_many", "delete"]:
            patched.setattr(CacheClient, name, noted(name))
        yield given
    assert len(given) >= number or command is None


# Each client library and each way of failing meets many views, and each pair of them a save.
MANY = {
    ("memcached", "cut", Client): VIEWS,
    ("redis", "deaf", Client): VIEWS,
    ("django_redis", "cut", AsyncClient): VIEWS,
}
FAILURES = [
    pytest.param(kind, state, client, view, id=f"{kind}-{state}-{client.__name__}-{view}".lower())
    for kind in CACHES
    for state, client in (("cut", Client), ("cut", AsyncClient), ("deaf", Client))
    for view in MANY.get((kind, state, client), ["save"])
]


@pytest.mark.parametrize(("kind", "state", "client", "view"), FAILURES)
def test_a_line_that_fails_at_any_command(
    kind: str, state: str, client: Any, view: str, settings: Any, drawn: list[str]
) -> None:
    with line_to(settings, kind) as line:

        def strike() -> None:
            if state == "deaf":  # To that of the command, and not to a new connection's greeting.
                caches["sessions"].get("anything")
            line.state = state

        story = Story(drawn)
        for who in ("user", "newcomer", "guest") if view == "log_in" else ("user",):
            for number in itertools.count(1):
                story.begins(who, client)
                with struck_at(number, strike) as given:
                    response = story.asks(view)
                line.state = "open"
                free_locks(drawn)
                story.goes_on(view, response)
                if len(given) < number:
                    assert number > 1
                    break


class Story:
    """A browser that asks for something, and what must be so afterwards."""

    def __init__(self, drawn: list[str]) -> None:
        self.drawn = drawn
        self.user, self.other = somebody(), somebody()

    def begins(self, who: str, client: type[Any]) -> None:
        self.drawn.clear()
        UserSession.objects.all().delete()
        self.device = saved(**login_of(self.user))
        saved(**login_of(self.other))
        self.browser = Browser(self.user if who == "user" else None, client)
        if who != "newcomer":
            self.browser.sees("save")
        self.cookie = self.browser.cookie

    def asks(self, view: str) -> Any:
        return self.browser.get(view, user=self.other.pk)

    def goes_on(self, view: str, response: Any) -> None:
        is_done = response.status_code == 200
        if not is_done:
            is_outage(response, moves=view in MOVES)
            if self.browser.cookie != self.cookie:
                assert view in MOVES
                assert self.browser.cookie in live_of(self.drawn)
                assert self.cookie not in live_of(self.drawn)
                self.cookie = self.browser.cookie
        # A rotation that fails may cost this one login.
        was_lost = not is_done and self.cookie not in live_of(self.drawn)
        if view in ("load", "save", "list", "log_out_everywhere"):
            user, visits = self.browser.sees("load")
            assert user == str(self.user.pk)
            assert visits in ("1" if view == "load" else "2" if is_done else "12")
        if not is_done:
            assert self.asks(view).status_code == 200
        if view == "log_in":
            assert self.browser.sees("load")[0] == str(self.other.pk)
        live = live_of(self.drawn)
        owners = [record.user_id for record in live.values()]
        if view == "log_out_everywhere":
            assert str(self.other.pk) not in owners
        if view == "log_out":
            assert owners.count(str(self.user.pk)) == 1
        if view in ("rotate", "log_out", "log_out_others"):
            assert self.cookie not in live
        if view == "rotate" and not was_lost:
            assert owners.count(str(self.user.pk)) == 2
        if view == "log_out_others" and not was_lost:
            assert owners.count(str(self.user.pk)) == 1
            assert self.device not in live
        only_what_lives_has_rows(self.drawn)
        for user in (self.user, self.other):
            devices.log_out_everywhere(user)
        assert users_of(self.drawn) == []


LATE = [
    ("save", "set_many", 1),
    ("rotate", "add", 1),  # The claim.
    ("rotate", "add", 2),  # The session under its new key.
    ("log_in", "set_many", 1),
    ("log_out", "set_many", 1),
]


@KINDS
def test_what_comes_late_brings_nothing_back(
    kind: str, settings: Any, drawn: list[str], user: User
) -> None:
    with line_to(settings, kind, timeout=QUICK, EXACT=False) as line:
        for view, command, number in LATE:
            browser = Browser(None if view == "log_in" else user)
            cookie = browser.cookie
            with struck_at(number, partial(setattr, line, "state", "slow"), command=command):
                browser.meets_outage(view, user=user.pk)
            line.state = "open"
            if view in ("save", "log_out"):
                assert browser.get("log_out").status_code == 200
            else:
                devices.log_out_everywhere(user)
            line.catch_up()
            if view == "log_in":
                # It may as well have begun now. Nobody has its session key, and it is listed.
                assert len(users_of(drawn)) <= 1
                devices.log_out_everywhere(user)
            assert users_of(drawn) == []
            if cookie:
                with_cookie(cookie).is_a_stranger()
        only_what_lives_has_rows(drawn)


def test_a_lock_that_comes_late_is_waited_for(settings: Any, user: User) -> None:
    with line_to(settings, "memcached", timeout=QUICK) as line:
        browser = Browser(user)
        browser.visits_as_before()
        with struck_at(1, partial(setattr, line, "state", "slow"), command="add"):
            browser.meets_outage("save")
        line.state = "open"
        line.catch_up()
        browser.visits_as_before()
        assert QUICK < browser.seconds < LOCK_SECONDS + SLACK


# Two servers, of which one is there.


def test_of_two_memcached_servers_one_is_killed(settings: Any, drawn: list[str]) -> None:
    with servers.private("memcached") as gone, servers.private("memcached") as other:
        use(settings, "memcached", gone.address, other.address)
        cache = caches["sessions"]

        def is_gone(kind: str, browser: Browser) -> bool:
            name = cache.make_key(f"{kind}{key_of(browser.cookie)}")
            return cache._cache._get_client(name).server[1] == gone.port

        unknown, locked, safe, lost = [], [], [], []
        while not (locked and safe and lost and len(unknown) > len(lost)):
            browser = Browser(somebody())
            browser.visits_as_before()
            if is_gone(SESSION, browser):
                lost.append(browser)
            if is_gone(SESSION, browser) or is_gone(TOMBSTONE, browser):
                unknown.append(browser)
            elif is_gone(LOCK, browser):
                locked.append(browser)
            else:
                safe.append(browser)
        gone.kill()
        for _ in range(3):
            for browser in unknown:
                for view in ("load", "save", "rotate", "log_out"):
                    browser.meets_outage(view)
            for browser in locked:
                browser.meets_outage("save")
                browser.is_still_logged_in()
            for browser in safe:
                browser.visits_as_before()
        gc_removes_nothing()
        gone.start()
        for browser in {*unknown, *locked, *safe} - {*lost}:
            browser.visits_as_before()
        for browser in lost:
            browser.is_a_stranger()
        only_what_lives_has_rows(drawn)


# The index.


@pytest.mark.skipif(
    django_settings.DEFAULT_DB != "sqlite",
    reason="the users are to stay in SQLite while the index is in trouble",
)
@pytest.mark.parametrize("database", on("postgres", transaction=True))
def test_the_index_is_killed_and_comes_back(database: str, settings: Any, drawn: list[str]) -> None:
    with own_server(database) as server:
        for kind in CACHES:
            drawn.clear()
            address = servers.require(CACHES[kind][0])
            use(settings, kind, address, DATABASE=database)
            browsers = {view: Browser(somebody()) for view in VIEWS}
            for browser in browsers.values():
                browser.visits_as_before()
            cookies = {view: browser.cookie for view, browser in browsers.items()}
            server.kill()
            for view, browser in browsers.items():
                if view in ("load", "save"):
                    browser.visits_as_before()
                    continue
                is_outage(browser.get(view, user=browser.user.pk))
                assert browser.cookie == cookies[view]
                if view != "log_out":
                    browser.is_still_logged_in()
            is_outage(Browser().get("log_in", user=browser.user.pk))
            with pytest.raises(CommandError, match="Removed until then: 0"):
                call_command("gc")
            server.start()
            for view, browser in browsers.items():
                if view == "log_out":
                    assert browser.get(view).status_code == 200
                    with_cookie(cookies[view]).is_a_stranger()
                else:
                    browser.visits_as_before()
            assert len(users_of(drawn)) == len(VIEWS) - 1
            only_what_lives_has_rows(drawn)
            for browser in browsers.values():
                devices.log_out_everywhere(browser.user)
            assert users_of(drawn) == []
