"""While sessions are adopted, no session key is told either, and no outage is a logout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.contrib import auth
from django.contrib.auth.models import User
from django.db import connections

from django_multistore import devices
from django_multistore.engine import SessionStore
from django_multistore.exceptions import StoreUnavailable
from django_multistore.records import key_of
from django_multistore.session.keys import new_session_key
from django_multistore.testing import Calls
from tests.adopting.conftest import OldCache
from tests.adopting.site import CACHE, DB, FILE, PHASES, adopting, get, old_session
from tests.support.leaks import (
    all_of,
    all_that_is_logged,
    chain,
    change,
    everything_in,
    raised_by,
    report_of,
)
from tests.support.meeting import MEMORY, on, request_with, store_setting

pytestmark = [pytest.mark.elsewhere, pytest.mark.urls("tests.adopting.site")]

both_ways = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
each_phase = pytest.mark.parametrize("phase", PHASES)
each_engine = pytest.mark.parametrize("engine", [DB, CACHE, FILE], ids=["db", "cache", "file"])


@pytest.fixture(autouse=True)
def site(kind: str, settings: Any, old_place: Path) -> None:
    settings.SESSION_STORES = store_setting(kind)


@contextmanager
def old_outage(engine: str, settings: Any) -> Iterator[None]:
    """Let the old engine alone be out of reach."""
    if engine == CACHE:
        OldCache.is_gone = True
        try:
            yield
        finally:
            OldCache.is_gone = False
    elif engine == FILE:
        place = Path(settings.SESSION_FILE_PATH)
        moved = place.rename(place.with_name("away"))
        yield
        moved.rename(place)
    else:
        with connections["default"].cursor() as cursor:
            cursor.execute("ALTER TABLE django_session RENAME TO away")
        yield
        connections["default"].set_rollback(False)
        with connections["default"].cursor() as cursor:
            cursor.execute("ALTER TABLE away RENAME TO django_session")


def assert_no_trace(cookies: list[str], text: str) -> None:
    for cookie in cookies:
        assert len(cookie) == 32
        assert cookie not in text
        assert cookie.encode().hex() not in text


def assert_tells_nothing(error: Exception, cookies: list[str]) -> None:
    told = [report_of(error, cookies[0])]
    for link in chain(error):
        told += [str(link), repr(link), repr(link.args), repr(vars(link))]
    assert_no_trace(cookies, "\n".join(told))


ACTS: dict[str, Callable[[Any, str, User], object]] = {
    "load": lambda call, key, user: call(SessionStore(key)).load(),
    "exists": lambda call, key, user: call(SessionStore()).exists(key),
    "delete": lambda call, key, user: call(SessionStore()).delete(key),
    "own delete": lambda call, key, user: call(SessionStore(key)).delete(),
    "flush": lambda call, key, user: call(SessionStore(key)).flush(),
}
ONCE_LOADED: dict[str, Callable[[Any, SessionStore, User], object]] = {
    "save": lambda call, session, user: call(change(session)).save(),
    "cycle_key": lambda call, session, user: call(session).cycle_key(),
    "flush": lambda call, session, user: call(session).flush(),
    "logout": lambda call, session, user: call(auth).logout(request_with(session)),
    "hash": lambda call, session, user: call(auth).update_session_auth_hash(
        request_with(session), user
    ),
    "others": lambda call, session, user: call(devices).log_out_other_devices(
        request_with(session)
    ),
}


@each_engine
@each_phase
@both_ways
@pytest.mark.parametrize("act", ACTS.values(), ids=list(ACTS))
@pytest.mark.parametrize("kind", on(MEMORY))
def test_an_outage_of_the_old_engine_tells_no_key(
    act: Any, engine: str, phase: str, is_async: bool, user: User, settings: Any
) -> None:
    cookie = old_session(engine, user)
    with adopting(engine, phase), old_outage(engine, settings):
        error = raised_by(lambda: act(lambda it: Calls(it, is_async=is_async), cookie, user))
        assert isinstance(error, StoreUnavailable)
        assert engine in str(error)
        assert_tells_nothing(error, [cookie])


@each_engine
@both_ways
@pytest.mark.parametrize("act", ONCE_LOADED.values(), ids=list(ONCE_LOADED))
@pytest.mark.parametrize("kind", on(MEMORY))
def test_an_outage_after_loading_tells_no_key(
    act: Any, engine: str, is_async: bool, user: User, settings: Any
) -> None:
    cookie = old_session(engine, user)
    with adopting(engine, "follow"):
        session = SessionStore(cookie)
        assert session.keys()
        with old_outage(engine, settings):
            error = raised_by(lambda: act(lambda it: Calls(it, is_async=is_async), session, user))
            assert isinstance(error, StoreUnavailable)
            assert_tells_nothing(error, [cookie])


@each_engine
@each_phase
@both_ways
@pytest.mark.parametrize("kind", on(MEMORY))
def test_an_outage_of_the_old_engine_is_no_logout(
    engine: str, phase: str, is_async: bool, user: User, settings: Any
) -> None:
    cookie = old_session(engine, user)
    with adopting(engine, phase):
        for _ in range(2):
            with old_outage(engine, settings):
                for path in ("show", "write/new", "logout", "rotate"):
                    answer = get(path, cookie, is_async=is_async)
                    # What was taken over needs the old engine no more, but to end it.
                    assert (answer.status, answer.was_sent) == (503, False)
        assert get("show", cookie, is_async=is_async).user == user.pk


@each_engine
@pytest.mark.parametrize("kind", on(MEMORY))
def test_what_was_taken_over_can_be_read_without_the_old_engine(
    engine: str, user: User, settings: Any
) -> None:
    cookie = old_session(engine, user)
    with adopting(engine, "adopt"):
        get("show", cookie)
        with old_outage(engine, settings):
            assert get("write/new", cookie).user == user.pk
            assert get("show", cookie).data == {"new": 1}


@each_engine
@each_phase
@both_ways
@pytest.mark.parametrize("kind", on("sqlite"))
def test_no_key_is_in_the_log(
    engine: str, phase: str, is_async: bool, user: User, settings: Any, caplog: Any
) -> None:
    """But in the statements of Django's own table, which has them as they are."""
    cookie, other = old_session(engine, user), old_session(engine, user)
    with adopting(engine, phase), all_that_is_logged(caplog):
        get("show", cookie, is_async=is_async)
        get("write/new", cookie, is_async=is_async)
        moved = str(get("rotate", cookie, is_async=is_async).cookie)
        with old_outage(engine, settings):
            get("show", other, is_async=is_async)
            get("show", moved, is_async=is_async)
        get("others", moved, is_async=is_async)
        get("logout", moved, is_async=is_async)
    records = [each for each in caplog.records if each.name != "django.db.backends"]
    assert_no_trace([cookie, other, moved], "\n".join(map(all_of, records)))


@each_phase
@pytest.mark.parametrize("kind", on("sqlite"))
def test_no_key_is_in_our_table(phase: str, user: User) -> None:
    cookie = old_session(CACHE, user)
    with adopting(CACHE, phase):
        get("show", cookie)
        stored = everything_in("default")
    assert key_of(cookie).encode() in stored
    assert cookie.encode() not in stored
    assert cookie.encode().hex().encode() not in stored
    assert new_session_key() != cookie
