"""
Caches that are killed, frozen, cut off, flushed or full under the engine; and their index.

An outage is StoreUnavailable, within the timeouts, and the next request goes on. It ends no
session, and whatever it leaves behind is listed, can be ended and goes with gc.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.cache import caches
from django.core.management import CommandError, call_command
from django.test import AsyncClient, Client

from django_multistore import devices
from django_multistore.exceptions import StoreUnavailable
from django_multistore.records import Outcome, key_of
from django_multistore.stores import stores
from django_multistore.stores.cache.cells import LOCK, SESSION, TOMBSTONE
from django_multistore.stores.cache.client import CacheClient
from django_multistore.testing import Calls, make_record
from tests import servers
from tests.settings import cache
from tests.support import proxies
from tests.support.faulty_site import (
    COOKIE,
    ENDING,
    VIEWS,
    Browser,
    Story,
    drawn,
    gc_removes_nothing,
    gc_waits_for_no_one,
    is_outage,
    live_of,
    no_trouble,
    only_what_lives_has_rows,
    rows,
    somebody,
    trouble,
    user,
    users_of,
    with_cookie,
)
from tests.support.meeting import CACHES, cache_store_on, login_of, on, saved
from tests.support.unreachable import OPERATIONS, a_closed_port, own_server

__all__ = ["drawn", "no_trouble", "user"]

QUICK = 0.3  # seconds, of a cache that is frozen here: tests/settings.py has more patience
SLACK = 3  # seconds, which this machine may take for itself
LOCK_SECONDS = 2

pytestmark = [
    pytest.mark.fault,
    pytest.mark.urls("tests.support.faulty_site"),
    pytest.mark.django_db(transaction=True),
]

KINDS = pytest.mark.parametrize("kind", list(CACHES))


# Caches, to be put behind this site.


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


def free_locks(drawn: list[str]) -> None:
    """Remove the locks whose holders don't know that they have them, as time would."""
    for session_key in drawn:
        caches["sessions"].delete(f"{LOCK}{key_of(session_key)}")


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


@contextmanager
def line_to(settings: Any, kind: str, **options: Any) -> Iterator[proxies.FaultyLine]:
    """Reach a cache, which may be others' as well, by a line that is ours alone."""
    with proxies.FaultyLine(servers.require(CACHES[kind][0])) as line:
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
