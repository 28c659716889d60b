"""What becomes of a browser's session when its site moves in from one of Django's engines."""

from __future__ import annotations

import pickle
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from django_multistore import devices
from django_multistore.adopting.envelopes import is_following
from django_multistore.engine import SessionStore
from django_multistore.records import key_of
from django_multistore.stores import stores
from tests.adopting.site import (
    CACHE,
    CACHED_DB,
    COOKIES,
    DB,
    FILE,
    ON_A_SERVER,
    PHASES,
    adopting,
    get,
    old_data,
    old_session,
    old_site,
    save_old,
)
from tests.support.meeting import MEMORY, REDIS_SERVER, new_user, on, store_setting

pytestmark = [pytest.mark.elsewhere, pytest.mark.urls("tests.adopting.site")]

KINDS = (MEMORY, "sqlite", REDIS_SERVER)
EVERYWHERE = pytest.mark.parametrize("kind", on(*KINDS))
IN_MEMORY = pytest.mark.parametrize("kind", on(MEMORY))
each_engine = pytest.mark.parametrize("engine", ON_A_SERVER.values(), ids=list(ON_A_SERVER))
# Each old engine, and each store.
each_of_both = pytest.mark.parametrize(
    ("kind", "engine"),
    [
        pytest.param(kind, engine, marks=found.marks, id=f"{kind}-{name}")
        for name, engine in ON_A_SERVER.items()
        for kind in KINDS
        if kind == MEMORY or (kind, name) in (("sqlite", "db"), (REDIS_SERVER, "cache"))
        for found in on(kind)  # None where the run has another default database.
    ],
)
each_phase = pytest.mark.parametrize("phase", PHASES)
both_ways = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
LATER = datetime(2100, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(autouse=True)
def site(kind: str, settings: Any, old_place: Path) -> None:
    settings.SESSION_STORES = store_setting(kind)
    settings.SESSION_COOKIE_AGE = 7 * 24 * 3600


def record_of(cookie: str) -> Any:
    return stores["default"].read(key_of(cookie))


def expiry_in(engine: str, cookie: str) -> datetime:
    store = import_module(engine).SessionStore(cookie)
    if engine in (CACHE, FILE):
        expires_at: datetime = store.get_expiry_date()
        return expires_at
    return store.get_model_class().objects.get(session_key=cookie).expire_date


# It is the same session.


@each_of_both
@each_phase
@both_ways
def test_who_is_logged_in_stays_so(engine: str, phase: str, is_async: bool, user: User) -> None:
    cookie = old_session(engine, user, cart=[1, "é"])
    with adopting(engine, phase):
        for _ in range(2):
            answer = get("show", cookie, is_async=is_async)
            assert (answer.user, answer.data) == (user.pk, {"cart": [1, "é"]})
            assert answer.cookie == cookie
        (listed,) = devices.sessions_for_user(user)
        record = record_of(cookie)
        assert (listed.id, listed.user_id) == (record.id, str(user.pk))
        assert record.authenticated_at is None
        assert is_following(record) is (phase == "follow")
    # What follows is complete there; what was taken over is gone.
    assert bool(old_data(engine, cookie)) is (phase == "follow")


@IN_MEMORY
@each_engine
@each_phase
@both_ways
def test_its_expiry_comes_with_it(engine: str, phase: str, is_async: bool, user: User) -> None:
    cookie = save_old(engine, user, lambda session: session.set_expiry(LATER))
    with adopting(engine, phase):
        assert get("show", cookie, is_async=is_async).user == user.pk
        assert record_of(cookie).expires_at == LATER


@IN_MEMORY
@pytest.mark.parametrize("engine", [DB, CACHED_DB, ON_A_SERVER["own"]])
@each_phase
@both_ways
def test_its_expiry_is_no_fresh_one(engine: str, phase: str, is_async: bool, user: User) -> None:
    cookie = old_session(engine, user)
    rows = import_module(engine).SessionStore.get_model_class().objects.filter(session_key=cookie)
    soon = timezone.now() + timedelta(minutes=20)
    rows.update(expire_date=soon)
    with adopting(engine, phase):
        assert get("show", cookie, is_async=is_async).user == user.pk
        assert record_of(cookie).expires_at == soon


@each_of_both
@both_ways
def test_both_engines_see_what_the_other_saves(engine: str, is_async: bool, user: User) -> None:
    cookie = old_session(engine, user, start=1)
    with adopting(engine, "follow"):
        assert get("write/new", cookie, is_async=is_async).user == user.pk
    with old_site(engine):
        answer = get("write/old", cookie)
        assert (answer.user, answer.data) == (user.pk, {"start": 1, "new": 1, "old": 1})
    with adopting(engine, "follow"):
        answer = get("write/more", cookie, is_async=is_async)
        assert answer.data == {"start": 1, "new": 1, "old": 1, "more": 1}
    with old_site(engine):
        assert get("show", cookie).data == {"start": 1, "new": 1, "old": 1, "more": 1}
    with adopting(engine, "adopt"):
        answer = get("write/last", cookie, is_async=is_async)
        assert answer.data == {"start": 1, "new": 1, "old": 1, "more": 1, "last": 1}
        assert get("show", cookie, is_async=is_async).data == answer.data
    assert old_data(engine, cookie) == {}


@IN_MEMORY
@each_engine
@both_ways
def test_who_goes_back_logs_nobody_out(engine: str, is_async: bool, user: User) -> None:
    with adopting(engine, "follow"):
        cookie = get("login/ann", None, is_async=is_async).cookie
        cookie = get("write/new", cookie, is_async=is_async).cookie
        assert cookie is not None
        assert is_following(record_of(cookie))
    with old_site(engine):
        answer = get("show", cookie)
        assert (answer.user, answer.data) == (user.pk, {"new": 1})


@IN_MEMORY
@each_engine
@each_phase
@both_ways
def test_a_visitor_keeps_the_cart(engine: str, phase: str, is_async: bool, user: User) -> None:
    cookie = old_session(engine, None, cart=7)
    with adopting(engine, phase):
        answer = get("show", cookie, is_async=is_async)
        assert (answer.user, answer.data, answer.cookie) == (None, {"cart": 7}, cookie)
        answer = get("login/ann", cookie, is_async=is_async)
        assert answer.cookie != cookie
        assert get("show", answer.cookie, is_async=is_async).data == {"cart": 7}
        assert get("show", cookie, is_async=is_async).user is None
        assert get("show", cookie, is_async=is_async).data == {}
        assert len(devices.sessions_for_user(user)) == 1
    with old_site(engine):
        assert get("show", cookie).data == {}
        if phase == "follow":
            assert get("show", answer.cookie).user == user.pk


@IN_MEMORY
@each_engine
@each_phase
@both_ways
def test_a_deactivated_user_stays_out(engine: str, phase: str, is_async: bool, user: User) -> None:
    cookie = old_session(engine, user, cart=7)
    User.objects.filter(pk=user.pk).update(is_active=False)
    with adopting(engine, phase):
        assert get("show", cookie, is_async=is_async).user is None


@IN_MEMORY
@each_engine
@each_phase
@both_ways
def test_an_unknown_cookie_is_nobodys(engine: str, phase: str, is_async: bool) -> None:
    with adopting(engine, phase):
        for cookie in ("a" * 32, "no key!", "x:y:z", "../../etc/passwd"):
            answer = get("write/new", cookie, is_async=is_async)
            assert (answer.status, answer.user) == (200, None)
            assert answer.cookie != cookie
            assert get("show", answer.cookie, is_async=is_async).data == {"new": 1}


# What ends it.


@each_of_both
@each_phase
@both_ways
@pytest.mark.parametrize("path", ["logout", "flush"])
@pytest.mark.parametrize("is_known", [False, True], ids=["unknown", "known"])
def test_a_logout_ends_it_everywhere(
    engine: str, phase: str, is_async: bool, path: str, is_known: bool, user: User
) -> None:
    cookie = old_session(engine, user, cart=7)
    with adopting(engine, phase):
        if is_known:
            get("show", cookie, is_async=is_async)
        answer = get(path, cookie, is_async=is_async)
        assert (answer.status, answer.cookie) == (200, None)
        assert get("show", cookie, is_async=is_async).user is None
        assert devices.sessions_for_user(user) == []
    with old_site(engine):
        assert get("show", cookie).user is None
    with adopting(engine, "adopt"):
        assert get("show", cookie, is_async=is_async).user is None


@IN_MEMORY
@each_engine
@both_ways
def test_what_an_old_process_ends_has_ended(engine: str, is_async: bool, user: User) -> None:
    cookie = old_session(engine, user)
    with adopting(engine, "follow"):
        get("show", cookie, is_async=is_async)
    with old_site(engine):
        assert get("logout", cookie).cookie is None
    with adopting(engine, "follow"):
        assert get("show", cookie, is_async=is_async).user is None
        # Whoever meets it tells the list.
        assert devices.sessions_for_user(user) == []


@each_of_both
@each_phase
@both_ways
@pytest.mark.parametrize("path", ["rotate", "password"])
def test_a_rotation_leaves_one(
    engine: str, phase: str, is_async: bool, path: str, user: User
) -> None:
    cookie = old_session(engine, user, cart=7)
    with adopting(engine, phase):
        answer = get(path, cookie, is_async=is_async)
        assert (answer.status, answer.data) == (200, {"cart": 7})
        assert answer.cookie not in (None, cookie)
        assert get("show", answer.cookie, is_async=is_async).user == user.pk
        assert get("show", answer.cookie, is_async=is_async).data == {"cart": 7}
        assert get("show", cookie, is_async=is_async).user is None
        assert len(devices.sessions_for_user(user)) == 1
    with old_site(engine):
        assert get("show", cookie).user is None
        assert get("show", answer.cookie).user == (user.pk if phase == "follow" else None)


@each_of_both
@each_phase
@both_ways
def test_other_devices_are_logged_out(engine: str, phase: str, is_async: bool, user: User) -> None:
    """Also those that have never been seen here."""
    mine, known, unknown = (old_session(engine, user, number=n) for n in range(3))
    others = old_session(engine, new_user("bob"))
    with adopting(engine, phase):
        get("show", known, is_async=is_async)
        answer = get("others", mine, is_async=is_async)
        # A cache can't be looked through: what is refused later isn't counted now.
        assert answer.body == ("1" if engine == CACHE else "2")
        assert get("show", answer.cookie, is_async=is_async).user == user.pk
        for cookie in (mine, known, unknown):
            assert get("show", cookie, is_async=is_async).user is None
        assert len(devices.sessions_for_user(user)) == 1
        assert get("show", others, is_async=is_async).user is not None
        # Who logs in afterwards stays.
        again = get("login/ann", None, is_async=is_async).cookie
        assert get("show", again, is_async=is_async).user == user.pk


@each_of_both
@each_phase
@both_ways
def test_all_devices_are_logged_out(engine: str, phase: str, is_async: bool, user: User) -> None:
    mine, known, unknown = (old_session(engine, user, number=n) for n in range(3))
    with adopting(engine, phase):
        get("show", known, is_async=is_async)
        answer = get("all", mine, is_async=is_async)
        assert answer.body == ("2" if engine == CACHE else "3")
        for cookie in (mine, known, unknown):
            assert get("show", cookie, is_async=is_async).user is None
        assert devices.sessions_for_user(user) == []


# Times and values.


@IN_MEMORY
@each_engine
@each_phase
@both_ways
def test_a_new_expiry_is_kept_in_both(engine: str, phase: str, is_async: bool, user: User) -> None:
    cookie = old_session(engine, user)
    with adopting(engine, phase):
        get("later", cookie, is_async=is_async)
        expires_at = record_of(cookie).expires_at
        assert abs(expires_at - timezone.now() - timedelta(days=50)) < timedelta(minutes=1)
        get("show", cookie, is_async=is_async)
        assert record_of(cookie).expires_at == expires_at
    if phase == "follow":
        difference = expiry_in(engine, cookie) - expires_at
        assert abs(difference) < timedelta(seconds=2)
        with old_site(engine):
            assert get("show", cookie).user == user.pk


@IN_MEMORY
@each_engine
@each_phase
@both_ways
def test_a_login_of_before_is_no_recent_one(
    engine: str, phase: str, is_async: bool, user: User, settings: Any
) -> None:
    settings.LOGIN_URL = "/login"
    cookie = old_session(engine, user)
    with adopting(engine, phase):
        assert get("recent", cookie, is_async=is_async).status == 302
        again = get("login/ann", cookie, is_async=is_async).cookie
        assert get("recent", again, is_async=is_async).status == 200


@IN_MEMORY
@pytest.mark.parametrize("engine", [DB, CACHED_DB])
@each_phase
@both_ways
def test_the_absolute_age_counts_from_its_beginning(
    engine: str, phase: str, is_async: bool, user: User, settings: Any, monkeypatch: Any
) -> None:
    cookie = old_session(engine, user)
    settings.SESSION_ABSOLUTE_AGE = 3600
    with adopting(engine, phase):
        assert get("show", cookie, is_async=is_async).user == user.pk
        settings.SESSION_ABSOLUTE_AGE = 1
        # The signature of the row says when it was written.
        record = record_of(cookie)
        assert timezone.now() - record.created_at < timedelta(minutes=1)
        now = timezone.now
        monkeypatch.setattr(timezone, "now", lambda: now() + timedelta(seconds=30))
        assert get("show", cookie, is_async=is_async).user is None


@IN_MEMORY
@each_engine
@each_phase
@both_ways
@pytest.mark.parametrize("policy", ["refuse", "evict-oldest"])
def test_no_limit_refuses_what_is_taken_over(
    engine: str, phase: str, is_async: bool, policy: str, user: User, settings: Any
) -> None:
    settings.SESSION_MAX_PER_USER = 2
    settings.SESSION_MAX_PER_USER_POLICY = policy
    cookies = [old_session(engine, user, number=n) for n in range(4)]
    with adopting(engine, phase):
        for cookie in cookies * 2:
            assert get("show", cookie, is_async=is_async).user == user.pk
        assert get("write/new", cookies[0], is_async=is_async).user == user.pk
        assert len(devices.sessions_for_user(user)) == 4


def put_in_cache(cookie: str, values: dict[Any, Any]) -> None:
    store = import_module(CACHE).SessionStore(cookie)
    name = store.cache_key_prefix + cookie
    data = pickle.loads(pickle.dumps(store._cache.get(name)))  # noqa: S301 - its own
    store._cache.set(name, data | values, 3600)


VALUES: dict[Any, Any] = {
    "date": date(2026, 1, 2),
    "price": Decimal("1.5"),
    "set": {1, 2},
    "pair": (1, "two"),
    "by number": {1: "one"},
    7: "seven",
    "kept": [1],
}
TAGGED = "django_multistore.serializers.TaggedJSONSerializer"


@IN_MEMORY
@each_phase
@both_ways
def test_what_json_cannot_keep_is_left_out(
    phase: str, is_async: bool, user: User, caplog: Any
) -> None:
    cookie = old_session(CACHE, user)
    put_in_cache(cookie, VALUES)
    with adopting(CACHE, phase):
        answer = get("show", cookie, is_async=is_async)
        assert answer.user == user.pk
        expected = {"pair": [1, "two"], "by number": {"1": "one"}, "kept": [1]}
        assert answer.data == expected
    lines = [record.getMessage() for record in caplog.records if "old engine" in record.msg]
    assert {line.partition(" under ")[2].split(" a value")[0] for line in lines} == {
        repr(str(key)) for key in VALUES if key != "kept"
    }
    text = "\n".join(lines)
    for told in ("1.5", "two", "one'", "seven", "2026", cookie):
        assert told not in text
    assert "datetime.date" in text
    assert "decimal.Decimal" in text


@IN_MEMORY
@both_ways
def test_what_json_cannot_keep_stays_there_while_it_follows(is_async: bool, user: User) -> None:
    cookie = old_session(CACHE, user)
    put_in_cache(cookie, VALUES)
    with adopting(CACHE, "follow"):
        get("write/new", cookie, is_async=is_async)
        data = old_data(CACHE, cookie)
        for key in ("date", "price", "set", 7, "kept"):
            assert data[key] == VALUES[key]
        assert data["new"] == 1
        moved = get("rotate", cookie, is_async=is_async).cookie
        assert moved is not None
        data = old_data(CACHE, moved)
        for key in ("date", "price", "set", 7, "kept"):
            assert data[key] == VALUES[key]


@IN_MEMORY
@each_phase
@both_ways
def test_a_session_that_loses_values_can_be_left_out(
    phase: str, is_async: bool, user: User
) -> None:
    cookie, whole = old_session(CACHE, user), old_session(CACHE, user, kept=1)
    put_in_cache(cookie, VALUES)
    with adopting(CACHE, phase, ON_LOSS="skip-session"):
        assert get("show", cookie, is_async=is_async).user is None
        assert get("show", whole, is_async=is_async).user == user.pk
    assert old_data(CACHE, cookie)["price"] == Decimal("1.5")


@IN_MEMORY
@each_phase
@both_ways
def test_a_richer_serializer_keeps_more(
    phase: str, is_async: bool, user: User, settings: Any, caplog: Any
) -> None:
    settings.SESSION_SERIALIZER = TAGGED
    cookie = old_session(CACHE, user)
    values = {key: VALUES[key] for key in ("date", "price", "set", "pair")}
    put_in_cache(cookie, values)
    with adopting(CACHE, phase):
        session = SessionStore(cookie)
        assert {key: session[key] for key in values} == values
    assert "old engine" not in caplog.text


# Django's signed_cookies.


@EVERYWHERE
@both_ways
def test_a_session_comes_out_of_its_cookie(is_async: bool, user: User) -> None:
    old = old_session(COOKIES, user, cart=7)
    with adopting(COOKIES, "adopt"):
        first = get("show", old, is_async=is_async)
        assert (first.user, first.data) == (user.pk, {"cart": 7})
        assert first.cookie not in (None, old)
        assert ":" not in str(first.cookie)
        # A request that was on its way with the old cookie.
        second = get("write/new", old, is_async=is_async)
        assert (second.user, second.cookie) == (user.pk, first.cookie)
        third = get("show", first.cookie, is_async=is_async)
        assert (third.user, third.data) == (user.pk, {"cart": 7, "new": 1})
        assert len(devices.sessions_for_user(user)) == 1
        get("logout", first.cookie, is_async=is_async)
        for cookie in (old, first.cookie):
            assert get("show", cookie, is_async=is_async).user is None
        assert devices.sessions_for_user(user) == []


@EVERYWHERE
@both_ways
@pytest.mark.parametrize("path", ["logout", "rotate", "password", "all", "login/bob", "flush"])
def test_an_old_cookie_opens_nothing_once_it_was_used_up(
    path: str, is_async: bool, user: User
) -> None:
    new_user("bob")
    old = old_session(COOKIES, user, cart=7)
    with adopting(COOKIES, "adopt"):
        answer = get(path, old, is_async=is_async)
        assert answer.status == 200
        again = get("show", old, is_async=is_async)
        assert (again.user, again.data) == (None, {})
        if path in ("rotate", "password", "login/bob"):
            assert get("show", answer.cookie, is_async=is_async).user is not None
        assert len(devices.sessions_for_user(user)) == (path in ("rotate", "password"))


@IN_MEMORY
@both_ways
def test_a_visitors_cookie_comes_over(is_async: bool, user: User) -> None:
    old = old_session(COOKIES, None, cart=7)
    with adopting(COOKIES, "adopt"):
        answer = get("show", old, is_async=is_async)
        assert answer.data == {"cart": 7}
        logged_in = get("login/ann", answer.cookie, is_async=is_async)
        assert get("show", logged_in.cookie, is_async=is_async).data == {"cart": 7}
        assert get("show", old, is_async=is_async).data == {}


@IN_MEMORY
@both_ways
def test_a_cookie_that_was_tampered_with_is_nobodys(is_async: bool, user: User) -> None:
    old = old_session(COOKIES, user)
    with adopting(COOKIES, "adopt"):
        for cookie in (f"{old}x", f"x{old}", old[:-1], old.replace(":", ":x", 1)):
            assert get("show", cookie, is_async=is_async).user is None


@IN_MEMORY
def test_without_the_setting_it_is_a_session_like_all_others(user: User) -> None:
    cookie = old_session(DB, user)
    with adopting(DB, "adopt"):
        assert get("show", cookie).user == user.pk
    assert get("show", cookie).user == user.pk


@IN_MEMORY
def test_without_the_setting_what_follows_opens_nothing(user: User) -> None:
    """Nobody asks the old engine any more whether it has ended."""
    cookie = old_session(DB, user)
    with adopting(DB, "follow"):
        assert get("show", cookie).user == user.pk
    assert get("show", cookie).user is None
