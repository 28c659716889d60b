"""memcached that is killed, frozen, cut off, flushed or full under the engine."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import AsyncClient, Client
from pymemcache import Client as RawClient

from django_multistore import devices
from django_multistore.exceptions import StoreUnavailable
from django_multistore.records import Outcome, key_of
from django_multistore.stores import stores
from django_multistore.stores.memcached.connections import Connections
from django_multistore.testing import Calls, make_record
from tests import servers
from tests.support import proxies
from tests.support.faulty_site import (
    ENDING,
    MOVES,
    VIEWS,
    Browser,
    Story,
    drawn,
    gc_removes_nothing,
    gc_waits_for_no_one,
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
from tests.support.meeting import memcached_store_on
from tests.support.unreachable import OPERATIONS, a_closed_port

__all__ = ["drawn", "no_trouble", "user"]

QUICK = 0.3  # seconds, of a server that is frozen here
SLACK = 3  # seconds, which this machine may take for itself

pytestmark = [
    pytest.mark.fault,
    pytest.mark.urls("tests.support.faulty_site"),
    pytest.mark.django_db(transaction=True),
]
BOTH = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


def use(settings: Any, *addresses: str, timeout: float = 2) -> None:
    """Keep the sessions in the servers that are at these addresses."""
    timeouts = {"TIMEOUT": timeout, "CONNECT_TIMEOUT": timeout}
    settings.SESSION_STORES = memcached_store_on("default", *addresses, **timeouts)


@contextmanager
def own_server(
    settings: Any, *, arguments: tuple[str, ...] = (), timeout: float = 2
) -> Iterator[servers.Server]:
    """Keep the sessions in a server that may be killed."""
    with servers.private("memcached", durable=True, arguments=arguments) as server:
        use(settings, server.address, timeout=timeout)
        yield server


def is_on(server: servers.Server, browser: Browser) -> bool:
    """Say which of several servers has a browser's session."""
    store: Any = stores["default"]
    name = store._cells.name(key_of(str(browser.cookie)))
    return bool(store._client._find(name)._server[1] == server.port)


@contextmanager
def struck_at(
    number: int, strike: Callable[[], object], *, command: str | None = None
) -> Iterator[list[str]]:
    """
    Strike before one of the commands that are given to memcached.

    Args:
        number: which one, from 1.
        strike: what to do.
        command: count only these.

    Returns:
        Those that were counted.
    """
    given: list[str] = []
    ask = Connections.ask

    def noted(self: Connections, name: str, *arguments: Any) -> Any:
        if command in (None, name):
            given.append(name)
            if len(given) == number:
                strike()
        return ask(self, name, *arguments)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Connections, "ask", noted)
        yield given
    assert len(given) >= number or command is None


def test_killed_and_back(settings: Any, drawn: list[str], user: User) -> None:
    with own_server(settings) as server:
        for view in VIEWS:
            browser = Browser(user)
            browser.visits_as_before()
            trouble.strike = server.kill
            browser.meets_outage(view, user=user.pk)
            assert browser.seconds < SLACK
            trouble.strike = lambda: None
            browser.meets_outage("load")
            Browser().meets_outage("log_in", user=user.pk)
            if view == "load":
                gc_removes_nothing()
            server.start()
            # It is well again at once, and has forgotten everything.
            assert live_of(drawn) == {}
            with_cookie(browser.cookie).is_a_stranger()
        Browser(user).visits_as_before()
        assert len(users_of(drawn)) == 1
        only_what_lives_has_rows(drawn)


def test_restarted_between_two_requests(settings: Any, user: User) -> None:
    """The connections that wait are all lost, and nobody notices."""
    with own_server(settings) as server:
        browser = Browser(user)
        browser.visits_as_before()
        server.kill()
        server.start()
        for view in ("save", "load", "log_in"):
            assert Browser(user).sees(view, user=user.pk)[0] in (str(user.pk), "None")
        with_cookie(browser.cookie).is_a_stranger()


FROZEN_AT = [
    ("load", "gets", 1),
    ("list", "get_many", 1),
    ("save", "cas", 1),
    ("log_in", "add", 1),
    ("rotate", "cas", 1),
    ("rotate", "add", 2),
    ("log_out", "cas", 1),
    ("log_out_everywhere", "set_many", 1),
]


@pytest.mark.parametrize(("view", "command", "number"), FROZEN_AT)
def test_frozen_and_thawed(
    view: str, command: str, number: int, settings: Any, drawn: list[str], user: User
) -> None:
    with own_server(settings, timeout=QUICK) as server:
        browser = Browser(user)
        browser.visits_as_before()
        cookie = browser.cookie
        with struck_at(number, server.freeze, command=command):
            browser.meets_outage(view, user=user.pk)
        assert browser.seconds < 2 * QUICK + SLACK
        Browser().meets_outage("log_in", user=user.pk)
        gc_removes_nothing()
        server.thaw()
        # By now it may have done what it was asked to before. A login rotates too.
        if view not in ("rotate", "log_in", "log_out", "log_out_everywhere"):
            assert browser.sees("save")[0] == str(user.pk)
        assert browser.get("log_out").status_code == 200
        with_cookie(cookie).is_a_stranger()
        Browser(user).visits_as_before()
        devices.log_out_everywhere(user)
        assert users_of(drawn) == []
        only_what_lives_has_rows(drawn)


@BOTH
def test_no_operation_takes_an_outage_for_a_miss(is_async: bool, settings: Any) -> None:
    with own_server(settings) as server:
        record = make_record(id=1, user_id="1")
        store = Calls(stores["default"], is_async=is_async)
        assert store.create(record)
        read = store.read(record.key)
        server.kill()
        for operation in (*OPERATIONS.values(), lambda store: store.update(read)):
            with pytest.raises(StoreUnavailable):
                operation(store)
        assert rows().count() == 1
        server.start()
        assert store.update(read) is Outcome.GONE


@BOTH
def test_a_server_that_was_never_there(is_async: bool, settings: Any) -> None:
    use(settings, f"{servers.HOST}:{a_closed_port()}")
    stores["default"]._index.insert(make_record(id=1, user_id="1"))
    store = Calls(stores["default"], is_async=is_async)
    for operation in OPERATIONS.values():
        with pytest.raises(StoreUnavailable, match="'default'"):
            operation(store)
    assert rows().count() == 1


def test_flushed(settings: Any, drawn: list[str]) -> None:
    with own_server(settings) as server:
        raw = RawClient(server.address)
        for view in VIEWS:
            browser = Browser(somebody())
            browser.visits_as_before()
            before = browser.cookie
            trouble.strike = raw.flush_all
            # 400 is SessionInterrupted: its session has gone during the request.
            assert browser.get(view, user=browser.user.pk).status_code in (200, 400)
            trouble.strike = lambda: None
            assert live_of(drawn) == {}
            with_cookie(before).is_a_stranger()
            assert browser.sees("log_in", user=browser.user.pk)[0] == "None"
            assert browser.sees("load")[0] == str(browser.user.pk)
        raw.close()
        (live,) = [record.id for record in live_of(drawn).values() if record.user_id]
        lost = rows().exclude(id=live).count()
        assert lost >= len(VIEWS)
        assert stores["default"].gc() == 0  # They may be on their way.
        with gc_waits_for_no_one():
            assert stores["default"].gc() == lost
        assert list(rows().values_list("id", flat=True)) == [live]


# A server that is full, and refuses.

THAT_FILLS = ("-m", "1", "-M", "-I", "512k", "-f", "4", "-o", "slab_automove=0")
OF_TOMBSTONES, OF_SESSIONS = 200, 1000  # bytes, of an item that takes the place of one


@contextmanager
def full(server: servers.Server, *sizes: int) -> Iterator[None]:
    """Let a server have no room for items of these sizes."""

    def names(size: int) -> list[str]:
        return [f"{size}-{number}" for number in range(1_200_000 // size)]

    def tell(lines: str) -> bytes:
        with socket.create_connection((servers.HOST, server.port)) as connection:
            connection.sendall(lines.encode())
            return connection.recv(1024)

    for size in sizes:
        body = f"0 0 {size}"
        more = "".join(f"add {name} {body} noreply\r\n{'x' * size}\r\n" for name in names(size))
        refusal = tell(f"{more}add {size} {body}\r\n{'x' * size}\r\n")
        assert refusal.startswith(b"SERVER_ERROR out of memory")
    yield
    for size in sizes:
        less = "".join(f"delete {name} noreply\r\n" for name in names(size))
        assert tell(f"{less}mn\r\n") == b"MN\r\n"


@pytest.mark.parametrize("sizes", [(OF_SESSIONS,), (OF_TOMBSTONES, OF_SESSIONS)], ids=str)
def test_full(sizes: tuple[int, ...], settings: Any, drawn: list[str]) -> None:
    with own_server(settings, arguments=THAT_FILLS) as server:
        browsers = {view: Browser(somebody()) for view in VIEWS}
        for browser in browsers.values():
            browser.visits_as_before()
        with full(server, *sizes):
            for view, browser in browsers.items():
                if view in ENDING:
                    continue
                if view != "load":
                    browser.meets_outage(view, user=browser.user.pk)
                # What makes room for itself may have been done before the request failed.
                user, visits = browser.sees("load")
                assert user == str(browser.user.pk)
                assert visits == str(browser.visits) or (view in MOVES and len(sizes) == 1)
                browser.visits = int(visits)
            Browser().meets_outage("log_in", user=browser.user.pk)
            # What ends needs little room.
            for view in ENDING if len(sizes) > 1 else ():
                browsers[view].meets_outage(view, user=browsers[view].user.pk)
        for view, browser in browsers.items():
            cookie = browser.cookie
            if view not in ENDING:
                browser.visits_as_before()
            assert browser.get("log_out").status_code == 200
            with_cookie(cookie).is_a_stranger()
            Browser(browser.user).visits_as_before()
        assert len(users_of(drawn)) == len(VIEWS)
        only_what_lives_has_rows(drawn)


# A line to a server, which fails at any moment.


@contextmanager
def line_to(settings: Any, *, timeout: float = 2) -> Iterator[proxies.FaultyLine]:
    """Reach a server, which may be others' as well, by a line that is ours alone."""
    with proxies.FaultyLine(servers.require("memcached")) as line:
        use(settings, line.address, timeout=timeout)
        yield line


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    ("state", "client"), [("cut", Client), ("deaf", Client), ("cut", AsyncClient)]
)
def test_a_line_that_fails_at_any_command(
    view: str, state: str, client: Any, settings: Any, drawn: list[str]
) -> None:
    if client is AsyncClient and view not in ("load", "save", "log_in"):
        pytest.skip("the steps are the same, in a thread")
    with line_to(settings) as line:
        story = Story(drawn)
        for who in ("user", "newcomer", "guest") if view == "log_in" else ("user",):
            for number in itertools.count(1):
                story.begins(who, client)
                with struck_at(number, partial(setattr, line, "state", state)) as given:
                    response = story.asks(view)
                line.state = "open"
                story.goes_on(view, response)
                if len(given) < number:
                    assert number > 1
                    break


LATE = [
    ("save", "cas", 1),
    ("rotate", "cas", 1),
    ("rotate", "add", 2),  # The session under its new key; the trail is before.
    ("log_in", "add", 1),
    ("log_out", "cas", 1),
]


@pytest.mark.parametrize(("view", "command", "number"), LATE)
def test_what_comes_late_brings_nothing_back(
    view: str, command: str, number: int, settings: Any, drawn: list[str], user: User
) -> None:
    with line_to(settings, timeout=QUICK) as line:
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


# Two servers, of which one is there.


def test_of_two_servers_one_is_killed(settings: Any, drawn: list[str]) -> None:
    with servers.private("memcached") as gone, servers.private("memcached") as other:
        use(settings, gone.address, other.address)
        safe, lost = [], []
        while len(safe) < 4 or len(lost) < 4:
            browser = Browser(somebody())
            browser.visits_as_before()
            (lost if is_on(gone, browser) else safe).append(browser)
        gone.kill()
        for _ in range(3):
            for browser in lost:
                for view in ("load", "save", "rotate", "log_out", "list"):
                    browser.meets_outage(view, user=browser.user.pk)
                    assert browser.seconds < SLACK
            for browser in safe:
                browser.visits_as_before()
        gc_removes_nothing()
        # Its new key would be on either of them; on the one that is gone it stays where it is.
        for browser in safe:
            for _ in range(6):
                browser.visits += 1
                response = browser.get("rotate")
                assert response.status_code in (200, 503)
                if response.status_code == 503:
                    assert is_on(other, browser)
                    browser.visits -= 1
                browser.is_still_logged_in()
        gone.start()
        for browser in safe:
            browser.visits_as_before()
        for browser in lost:
            browser.is_a_stranger()
        only_what_lives_has_rows(drawn)
