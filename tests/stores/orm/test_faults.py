"""
Locks that aren't to be had, servers that go away, processes that die.

None of it may look like the end of a session: it is StoreUnavailable, and the next request goes on.
"""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import logout
from django.contrib.auth.models import User
from django.db import OperationalError, close_old_connections, connections, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from django_multistore import devices
from django_multistore.engine import SessionStore
from django_multistore.exceptions import StoreUnavailable
from django_multistore.stores import stores
from django_multistore.stores.orm import OrmStore
from django_multistore.testing import Calls
from tests.races import victim
from tests.support import trouble as support_trouble
from tests.support.helpers import environment
from tests.support.meeting import (
    Actor,
    actors,
    alias_of,
    data_of,
    live_users,
    loaded,
    login_of,
    new_user,
    on,
    saved,
    server_id,
    store_setting,
    wait_until,
)
from tests.support.paths import CHECKOUT
from tests.support.unreachable import OPERATIONS, a_closed_port, own_server, redirected

COOKIE = django_settings.SESSION_COOKIE_NAME

pytestmark = [
    pytest.mark.fault,
    pytest.mark.urls(__name__),
    pytest.mark.skipif(
        django_settings.DEFAULT_DB != "sqlite",
        reason="the users are to stay in SQLite while the sessions' database is in trouble",
    ),
]

DATABASES = pytest.mark.parametrize("kind", on("sqlite", "postgres", "mariadb", transaction=True))
SERVERS = pytest.mark.parametrize("kind", on("postgres", "mariadb", transaction=True))


@pytest.fixture(autouse=True)
def store(kind: str, settings: Any) -> None:
    settings.SESSION_STORES = store_setting(kind)
    # With it a view's exceptions arrive here. tests/http/test_outages.py has ours.
    settings.MIDDLEWARE = [
        name.replace("django_multistore.middleware", "django.contrib.sessions.middleware")
        for name in settings.MIDDLEWARE
    ]


@pytest.fixture
def user() -> User:
    return new_user()


# A site, and the trouble that comes over it while a view is at work.


no_trouble = support_trouble.no_trouble
trouble = support_trouble.trouble


def visit(request: HttpRequest) -> HttpResponse:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse(f"{request.user.pk} {request.session['visits']}")


def in_trouble_load(request: HttpRequest) -> HttpResponse:
    trouble.strike()
    return visit(request)


def in_trouble_save(request: HttpRequest) -> HttpResponse:
    response = visit(request)
    trouble.strike()
    return response


def in_trouble_merge(request: HttpRequest) -> HttpResponse:
    response = visit(request)
    other = loaded(str(request.session.session_key))
    other["theirs"] = 1
    other.save()
    trouble.strike()
    return response


def in_trouble_rotate(request: HttpRequest) -> HttpResponse:
    response = visit(request)
    trouble.strike()
    request.session.cycle_key()
    return response


def in_trouble_log_out(request: HttpRequest) -> HttpResponse:
    response = visit(request)
    trouble.strike()
    logout(request)
    return response


def in_trouble_log_out_others(request: HttpRequest) -> HttpResponse:
    response = visit(request)
    trouble.strike()
    devices.log_out_other_devices(request)
    return response


WRITERS = [
    in_trouble_save,
    in_trouble_merge,
    in_trouble_rotate,
    in_trouble_log_out,
    in_trouble_log_out_others,
]
VIEWS = [in_trouble_load, *WRITERS]

urlpatterns = [path("visit", visit), *(path(view.__name__, view) for view in VIEWS)]


class Browser:
    """A client that is logged in, on a server that drops broken connections between requests."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.client = Client()
        self.client.force_login(user)
        self.cookie = self.client.cookies[COOKIE].value
        self.visits = 0

    def get(self, name: str) -> HttpResponse:
        close_old_connections()
        try:
            return self.client.get(f"/{name}")
        finally:
            close_old_connections()

    def visits_as_before(self) -> None:
        self.visits += 1
        assert self.get("visit").content.decode() == f"{self.user.pk} {self.visits}"
        assert self.client.cookies[COOKIE].value == self.cookie

    def meets_trouble(self, view: Any) -> None:
        with pytest.raises(StoreUnavailable) as raised:
            self.get(view.__name__)
        assert "nothing is known about the session" in str(raised.value)
        assert self.client.cookies[COOKIE].value == self.cookie


@pytest.fixture
def browser(store: None, user: User) -> Browser:
    browser = Browser(user)
    browser.visits_as_before()
    return browser


# Locks.


def give_up_soon(alias: str) -> None:
    """Make this thread's connection wait for no lock, or hardly."""
    statement = {
        "sqlite": "PRAGMA busy_timeout = 50",
        "postgresql": "SET lock_timeout = '50ms'",
        "mysql": "SET innodb_lock_wait_timeout = 0",
    }[connections[alias].vendor]
    with connections[alias].cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.parametrize("view", WRITERS)
@DATABASES
def test_a_lock_timeout(kind: str, view: Any, browser: Browser) -> None:
    alias = alias_of(kind)

    def lock() -> None:
        holder.locks(browser.cookie)
        give_up_soon(alias)

    with Actor(alias) as holder:
        trouble.strike = lock
        browser.meets_trouble(view)
        holder.ends(commit=True)
    browser.visits_as_before()


@SERVERS
def test_a_deadlock(kind: str, user: User) -> None:
    alias = alias_of(kind)
    session_keys = [saved(**login_of(user)) for _ in range(2)]

    def change(session_key: str) -> None:
        session = SessionStore(session_key)
        session["more"] = 1
        session.save()

    with actors(alias, 2) as (one, other):
        for actor, session_key in zip((one, other), session_keys, strict=True):
            actor.begins()
            actor.does(change, session_key)
        changes = [
            one.reaches_a_lock(change, session_keys[1]),
            other.starts(change, session_keys[0]),
        ]
        errors = [change.exception(60) for change in changes]
        for actor, error in zip((one, other), errors, strict=True):
            actor.ends(commit=error is None)
        (error,) = [error for error in errors if error is not None]
        assert isinstance(error, StoreUnavailable)
        assert isinstance(error.__cause__, OperationalError)
        for actor, session_key in zip((one, other), session_keys, strict=True):
            actor.does(change, session_key)
    assert [data_of(session_key) for session_key in session_keys] == [
        {**login_of(user), "more": 1}
    ] * 2


# Connections.


def cut_connection(alias: str) -> None:
    """Have the server end this thread's connection."""
    number = server_id(alias)
    is_there = {
        "postgresql": "SELECT 1 FROM pg_stat_activity WHERE pid = %s",
        "mysql": "SELECT 1 FROM information_schema.processlist WHERE id = %s",
    }[connections[alias].vendor]
    end = {"postgresql": "SELECT pg_terminate_backend(%s)", "mysql": "KILL %s"}
    another = connections[alias].copy()
    try:
        with another.cursor() as cursor:

            def has_gone() -> bool:
                cursor.execute(is_there, [number])
                return cursor.fetchone() is None

            cursor.execute(end[another.vendor], [number])
            wait_until(has_gone)
    finally:
        another.close()


@pytest.mark.parametrize("view", VIEWS)
@SERVERS
def test_a_cut_connection(kind: str, view: Any, browser: Browser) -> None:
    trouble.strike = lambda: cut_connection(alias_of(kind))
    browser.meets_trouble(view)
    browser.visits_as_before()


@SERVERS
def test_a_persistent_connection_cut_between_two_requests(
    kind: str, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    alias = alias_of(kind)
    monkeypatch.setitem(connections[alias].settings_dict, "CONN_MAX_AGE", None)
    connections[alias].close()
    browser.visits_as_before()
    cut_connection(alias)
    with pytest.raises(StoreUnavailable):
        browser.client.get("/visit")
    browser.visits_as_before()
    connections[alias].close()


@SERVERS
def test_a_connection_cut_inside_of_a_transaction(kind: str, browser: Browser) -> None:
    alias = alias_of(kind)

    def rotate() -> None:
        session = loaded(browser.cookie)
        with transaction.atomic(using=alias):
            cut_connection(alias)
            session.cycle_key()

    with pytest.raises(StoreUnavailable):
        rotate()
    close_old_connections()
    browser.visits_as_before()


@SERVERS
def test_a_server_that_is_killed_and_comes_back(kind: str, user: User) -> None:
    with own_server(kind) as server:
        browser = Browser(user)
        for view in VIEWS:
            browser.visits_as_before()
            trouble.strike = server.kill
            browser.meets_trouble(view)
            trouble.strike = lambda: None
            browser.meets_trouble(view)
            server.start()
        browser.visits_as_before()


@contextmanager
def gone(kind: str, nowhere: Path) -> Iterator[None]:
    """Let the database of the sessions be out of reach."""
    where = {"NAME": str(nowhere / "gone")} if kind == "sqlite" else {"PORT": a_closed_port()}
    with redirected(alias_of(kind), **where):
        yield


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    return tmp_path / "no directory"


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=list(OPERATIONS))
@DATABASES
def test_no_connection_is_to_be_had(
    kind: str, operation: Any, is_async: bool, nowhere: Path
) -> None:
    alias = alias_of(kind)
    # A thread and a store of their own, for which the database never answered before.
    with gone(kind, nowhere), Actor(alias) as process:
        store = OrmStore("default", DATABASE=alias)
        with pytest.raises(StoreUnavailable):
            process.does(operation, Calls(store, is_async=is_async))


@pytest.mark.parametrize("view", [visit, *VIEWS])
@SERVERS
def test_a_request_while_the_server_is_out_of_reach(
    kind: str, view: Any, browser: Browser, nowhere: Path
) -> None:
    with gone(kind, nowhere):
        browser.meets_trouble(view)
    browser.visits_as_before()


@DATABASES
def test_the_message_and_its_cause_name_the_store(kind: str, nowhere: Path) -> None:
    with gone(kind, nowhere), pytest.raises(StoreUnavailable, match="'default'") as raised:
        stores["default"].read("0" * 40)
    assert isinstance(raised.value.__cause__, OperationalError)


# Users that go while their sessions can't be asked for.


def delete_user(user: User) -> None:
    user.delete()
    assert not User.objects.filter(username=user.username).exists()


def deactivate_user(user: User) -> None:
    user.is_active = False
    user.save()
    assert not User.objects.get(pk=user.pk).is_active


@pytest.mark.parametrize("is_atomic", [False, True], ids=["autocommit", "atomic"])
@pytest.mark.parametrize("act", [delete_user, deactivate_user])
@SERVERS
def test_an_outage_holds_up_no_change_of_users(
    kind: str, act: Any, is_atomic: bool, user: User, nowhere: Path, caplog: Any
) -> None:
    def act_in_transaction() -> None:
        with transaction.atomic():
            act(user)

    pk = user.pk
    with gone(kind, nowhere), Actor(alias_of(kind)) as process, caplog.at_level(logging.ERROR):
        process.does(*((act_in_transaction,) if is_atomic else (act, user)))
    (record,) = [record for record in caplog.records if record.name == "django_multistore"]
    assert str(pk) in record.getMessage()
    assert isinstance(record.exc_info[1], StoreUnavailable)


@pytest.mark.parametrize("is_atomic", [False, True], ids=["autocommit", "atomic"])
@SERVERS
def test_a_lock_in_the_users_own_database_holds_up_no_delete(
    kind: str, is_atomic: bool, caplog: Any
) -> None:
    alias = alias_of(kind)
    user = User.objects.db_manager(alias).create_user("bob", password="correct")
    session_key = saved(**login_of(user))
    with Actor(alias) as holder:
        holder.locks(session_key)
        give_up_soon(alias)
        if is_atomic:
            with transaction.atomic(using=alias):
                user.delete(using=alias)
        else:
            user.delete(using=alias)
        holder.ends(commit=True)
    assert not User.objects.using(alias).exists()
    assert [record.name for record in caplog.records].count("django_multistore") == 1
    connections[alias].close()


# Processes that die.


class Victims:
    """The process whose children die, and what it says of each."""

    def __init__(self, kind: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", victim.__name__, alias_of(kind)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            cwd=CHECKOUT,
            text=True,
            bufsize=1,
        )

    def __enter__(self) -> Victims:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.communicate(timeout=60)

    def rotate(self, *arguments: object) -> tuple[int, list[str]]:
        """Return how a child ended that rotated a session, and the session keys that it drew."""
        self._process.stdin.write(" ".join(map(str, arguments)) + "\n")
        answer = json.loads(self._process.stdout.readline())
        return answer["status"], answer["keys"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("situation", ["alone", "conflict", "transaction"])
@DATABASES
def test_a_process_that_dies_in_cycle_key_leaves_one_live_key(
    kind: str, situation: str, when: str, user: User
) -> None:
    killed = 0
    with Victims(kind) as victims:
        while True:
            session_key = saved(**login_of(user))
            status, drawn = victims.rotate(session_key, situation, when, killed + 1)
            live = [key for key in (session_key, *drawn) if data_of(key) is not None]
            assert len(live) == 1
            assert data_of(live[0]).items() >= login_of(user).items()
            assert live_users() == [str(user.pk)]
            assert stores["default"].destroy_for_user(user.pk) == 1
            if status == 0:
                assert live == drawn
                break
            assert status == -signal.SIGKILL
            killed += 1
    assert killed >= (3 if situation == "conflict" else 1)
