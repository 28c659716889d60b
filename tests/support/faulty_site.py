"""
A site whose store fails under it, for stores with an index in a database.

An outage is a 503. It ends no session, and whatever it leaves behind is listed, can be ended and
goes with gc.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.contrib.auth import alogin, alogout, login, logout
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.urls import path

from django_multistore import devices
from django_multistore.exceptions import StoreUnavailable
from django_multistore.models import UserSession
from django_multistore.records import SessionRecord, key_of
from django_multistore.session import keys
from django_multistore.stores import stores
from django_multistore.stores.indexed import users as indexed_users
from tests.support.meeting import login_of, new_user, saved
from tests.support.trouble import Trouble

COOKIE = django_settings.SESSION_COOKIE_NAME

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


@contextmanager
def gc_waits_for_no_one() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(indexed_users, "IN_FLIGHT", -timedelta(minutes=1))
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
