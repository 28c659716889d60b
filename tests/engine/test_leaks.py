"""
What a cookie could be made from is in no table, log line, message, repr or error report.

And what comes from outside, cookies and stored payloads, is taken for a session only if it is one.
"""

from __future__ import annotations

import base64
import re
import secrets
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings as django_settings
from django.contrib import auth
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import CreateError, UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path

from django_multistore import devices, engine
from django_multistore.engine import SessionStore
from django_multistore.exceptions import StoreUnavailable
from django_multistore.middleware import SessionMiddleware
from django_multistore.models import StoredSession
from django_multistore.records import key_of
from django_multistore.session import codec
from django_multistore.session import keys as session_keys
from django_multistore.session.keys import Secret, new_session_key
from django_multistore.stores import stores
from django_multistore.testing import Calls
from tests.support import trouble as support_trouble
from tests.support.leaks import (
    all_of,
    all_that_is_logged,
    chain,
    change,
    everything_in,
    raised_by,
    report_of,
)
from tests.support.meeting import (
    alias_of,
    data_of,
    loaded,
    login_of,
    new_user,
    on,
    orm_store_on,
    request_with,
    saved,
    store_setting,
)

COOKIE = django_settings.SESSION_COOKIE_NAME
PACKAGE = str(Path(engine.__file__).parent)
SUSPICIOUS = "django.security.SuspiciousSession"
LONG = "sixteen letters " * 200  # Long enough to be deflated.

EVERY_DATABASE = on("sqlite", "postgres", "mariadb")

pytestmark = [pytest.mark.elsewhere, pytest.mark.urls(__name__)]


@pytest.fixture(autouse=True)
def store(kind: str, settings: Any) -> None:
    settings.SESSION_STORES = store_setting(kind)


@pytest.fixture
def user() -> User:
    return new_user()


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of all session keys that are drawn from now on."""
    keys = []

    def draw_and_note() -> str:
        keys.append(new_session_key())
        return keys[-1]

    monkeypatch.setattr(session_keys, "new_session_key", draw_and_note)
    return keys


def traces_of(session_key: str) -> list[bytes]:
    """Return the ways in which a session key could be written down."""
    bits = base64.b32decode(session_key.upper())
    plain = [session_key.encode(), bits]
    hexadecimal = [text.hex().encode() for text in plain]
    encoded = [base64.b64encode(b"\0" * shift + text) for text in plain for shift in range(3)]
    # Of Base64 the ends depend on what stands beside it.
    return [*plain, *hexadecimal, *(text[4:-4] for text in encoded)]


def assert_no_trace(session_keys: list[str], haystack: bytes) -> None:
    assert len(set(session_keys)) == len(session_keys) > 0
    lower = haystack.lower()
    for session_key in session_keys:
        for trace in traces_of(session_key):
            assert trace not in haystack
            assert trace.lower() not in lower


@pytest.mark.parametrize("kind", on("sqlite"))
@pytest.mark.parametrize("number", range(8 + 2))
def test_traces_are_found(number: int) -> None:
    session_key = new_session_key()
    trace = traces_of(session_key)[number]
    with pytest.raises(AssertionError):
        assert_no_trace([session_key], b"something " + trace + b" else")
    text = base64.b64encode(b"x" * (number % 3) + session_key.encode() + b" and more")
    with pytest.raises(AssertionError):
        assert_no_trace([session_key], text)


# What is stored.


def a_full_life(call: Callable[[Any], Any], user: User) -> list[str]:
    """Do all that can be done with sessions, and return the live session keys."""
    request = request_with(SessionStore())
    session = request.session
    session["before"] = LONG
    call(session).save()
    call(auth).login(request, user)
    call(session).save()
    session["cart"] = [1, LONG]
    call(session).save()
    other = loaded(session.session_key)
    other["theirs"] = 1
    call(other).save()
    session["ours"] = 1
    call(session).cycle_key()
    user.set_password("another")
    user.save()
    call(auth).update_session_auth_hash(request, user)
    session.set_expiry(timedelta(days=1))
    call(session).save()
    ended = request_with(SessionStore())
    call(auth).login(ended, user)
    call(ended.session).save()
    assert call(devices).log_out_other_devices(request) == 1
    leaving = request_with(SessionStore())
    call(auth).login(leaving, user)
    call(leaving.session).save()
    call(auth).logout(leaving)
    leaving.session["anonymous"] = True
    call(leaving.session).save()
    expired = SessionStore()
    call(expired).save()
    expired.set_expiry(-1)
    call(expired).save()
    call(SessionStore).clear_expired()
    return [session.session_key, leaving.session.session_key]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("kind", on("sqlite", "postgres", "mariadb", transaction=True))
def test_no_cookie_is_in_the_database(
    kind: str, is_async: bool, user: User, drawn: list[str]
) -> None:
    live = a_full_life(lambda target: Calls(target, is_async=is_async), user)
    stored = everything_in(alias_of(kind))
    if kind == "sqlite":
        name = Path(connections["default"].settings_dict["NAME"])
        files = [file.read_bytes() for file in name.parent.glob(f"{name.name}*")]
        assert len(files) >= 2, "there is no WAL"
        stored += b"\n".join(files)
    for session_key in live:
        assert key_of(session_key).encode() in stored
    assert LONG.encode() in stored
    assert len(drawn) >= 8
    assert set(live) < set(drawn)
    assert_no_trace(drawn, stored)


# What is logged.


@pytest.mark.parametrize("kind", EVERY_DATABASE)
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_no_cookie_is_in_the_log(
    kind: str,
    is_async: bool,
    user: User,
    drawn: list[str],
    caplog: Any,
    tmp_path: Path,
    settings: Any,
) -> None:
    with all_that_is_logged(caplog):
        (live, *_) = a_full_life(lambda target: Calls(target, is_async=is_async), user)
        dead = saved(a=1)
        late = loaded(dead)
        Calls(SessionStore(dead), is_async=is_async).delete()
        late["b"] = 1
        for cookie in (live, dead, f"{live}\0", f" {live}", live.upper()):
            client = Client(raise_request_exception=False)
            client.get("/", HTTP_COOKIE=f"{COOKIE}={cookie}")
        rows = StoredSession.objects.using(alias_of(kind)).filter(key=key_of(live))
        assert rows.update(payload=b"\1broken") == 1
        Client().get("/", HTTP_COOKIE=f"{COOKIE}={live}")
        with gone(tmp_path, settings):
            Client(raise_request_exception=False).get("/", HTTP_COOKIE=f"{COOKIE}={live}")
            user.delete()
    logged = "\n".join(map(all_of, caplog.records))
    names = {record.name for record in caplog.records}
    assert names >= {"django.db.backends", SUSPICIOUS, "django.request", "django_multistore"}
    assert key_of(live) in logged
    assert_no_trace(drawn, logged.encode())


# What is raised and shown.


@contextmanager
def gone(tmp_path: Path, settings: Any) -> Iterator[None]:
    """Let the store be a database that can't be opened."""
    configured, alias = settings.SESSION_STORES, "gone"
    connections.settings[alias] = connections.settings["default"] | {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": tmp_path / "no directory" / "db",
        "OPTIONS": {},
    }
    settings.SESSION_STORES = orm_store_on(alias)
    # Not one of those that the test case watches over.
    connections[alias].alias = "outside"
    try:
        yield
    finally:
        settings.SESSION_STORES = configured
        del connections[alias], connections.settings[alias]


FAILING: dict[str, Callable[[Any, str, User], object]] = {
    "load": lambda call, key, user: call(SessionStore(key)).load(),
    "exists": lambda call, key, user: call(SessionStore()).exists(key),
    "create": lambda call, key, user: call(SessionStore()).create(),
    "create with data": lambda call, key, user: call(change(SessionStore())).save(),
    "create under a key": lambda call, key, user: call(SessionStore(key)).save(must_create=True),
    "delete by key": lambda call, key, user: call(SessionStore()).delete(key),
}
FAILING_ONCE_LOADED: dict[str, Callable[[Any, SessionStore, User], object]] = {
    "save": lambda call, session, user: call(change(session)).save(),
    "cycle_key": lambda call, session, user: call(session).cycle_key(),
    "changed cycle_key": lambda call, session, user: call(change(session)).cycle_key(),
    "create": lambda call, session, user: call(session).create(),
    "delete": lambda call, session, user: call(session).delete(),
    "flush": lambda call, session, user: call(session).flush(),
    "logout": lambda call, session, user: call(auth).logout(request_with(session)),
    "other login": lambda call, session, user: call(auth).login(
        request_with(session), User(pk=user.pk + 1, username="bob", password="x")
    ),
    "hash": lambda call, session, user: call(auth).update_session_auth_hash(
        request_with(session), user
    ),
    "others": lambda call, session, user: call(devices).log_out_other_devices(
        request_with(session)
    ),
}


def assert_tells_nothing(error: Exception, session_keys: list[str]) -> None:
    told = [report_of(error, session_keys[0])]
    for link in chain(error):
        told += [str(link), repr(link), repr(link.args), repr(vars(link))]
    told += traceback.format_exception(error)
    assert_no_trace(session_keys, "\n".join(told).encode())


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("act", FAILING.values(), ids=list(FAILING))
@pytest.mark.parametrize("kind", on("sqlite"))
def test_an_outage_tells_no_key(
    act: Any, is_async: bool, user: User, drawn: list[str], tmp_path: Path, settings: Any
) -> None:
    session_key = saved(**login_of(user))
    with gone(tmp_path, settings):
        error = raised_by(
            lambda: act(lambda target: Calls(target, is_async=is_async), session_key, user)
        )
        assert isinstance(error, StoreUnavailable)
        assert_tells_nothing(error, drawn)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("act", FAILING_ONCE_LOADED.values(), ids=list(FAILING_ONCE_LOADED))
@pytest.mark.parametrize("kind", on("sqlite"))
def test_an_outage_after_loading_tells_no_key(
    act: Any, is_async: bool, user: User, drawn: list[str], tmp_path: Path, settings: Any
) -> None:
    session = loaded(saved(**login_of(user)))
    with gone(tmp_path, settings):
        error = raised_by(
            lambda: act(lambda target: Calls(target, is_async=is_async), session, user)
        )
        assert isinstance(error, StoreUnavailable)
        assert_tells_nothing(error, drawn)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("kind", on("sqlite"))
def test_a_form_and_the_key_derived_from_it_are_not_told(
    is_async: bool, user: User, tmp_path: Path, settings: Any
) -> None:
    session = loaded(saved(**login_of(user)))
    session.form = Secret(new_session_key())
    told = [session.form.session_key, session._choose_key(None).session_key, session.session_key]
    with gone(tmp_path, settings):
        error = raised_by(lambda: Calls(session, is_async=is_async).cycle_key())
        assert_tells_nothing(error, told)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("kind", on("sqlite"))
def test_a_look_for_an_uncertain_key_tells_no_key(
    is_async: bool, drawn: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with autocommit off, where nobody knows what has become of a rotation."""

    def fail(key: str) -> None:
        raise RuntimeError("Not an outage.")

    async def afail(key: str) -> None:
        fail(key)

    def rotate(request: HttpRequest) -> HttpResponse:
        request.session.cycle_key()
        monkeypatch.setattr(stores["default"], "read", fail)
        monkeypatch.setattr(stores["default"], "aread", afail)
        monkeypatch.setattr(SessionStore, "is_move_certain", False)
        return HttpResponse(status=500)

    async def arotate(request: HttpRequest) -> HttpResponse:
        return await sync_to_async(rotate)(request)

    request = request_with(loaded(saved(a=1)))
    request.COOKIES[COOKIE] = request.session.session_key
    respond = async_to_sync(SessionMiddleware(arotate)) if is_async else SessionMiddleware(rotate)
    error = raised_by(lambda: respond(request))
    assert isinstance(error, RuntimeError)
    assert_tells_nothing(error, drawn)


UNSERIALISABLE: dict[str, Callable[[Any, SessionStore, str], object]] = {
    "save": lambda call, old, key: call(spoilt(old)).save(),
    "cycle_key": lambda call, old, key: call(spoilt(old)).cycle_key(),
    "save after another's": lambda call, old, key: call(spoilt(overtaken(old))).save(),
    "cycle_key after another's": lambda call, old, key: call(spoilt(overtaken(old))).cycle_key(),
    "create": lambda call, old, key: call(spoilt(SessionStore())).save(),
    "create under a key": lambda call, old, key: call(spoilt(SessionStore(key))).save(
        must_create=True
    ),
}


def spoilt(session: SessionStore) -> SessionStore:
    session._session_cache = {**getattr(session, "_session_cache", {}), "bad": object()}
    return session


def overtaken(session: SessionStore) -> SessionStore:
    change(SessionStore(session.session_key), "theirs").save()
    return session


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("act", UNSERIALISABLE.values(), ids=list(UNSERIALISABLE))
@pytest.mark.parametrize("kind", on("sqlite"))
def test_data_that_cannot_be_serialised_tells_no_key(
    act: Any, is_async: bool, user: User, drawn: list[str]
) -> None:
    session, free = loaded(saved(**login_of(user))), new_session_key()
    error = raised_by(lambda: act(lambda target: Calls(target, is_async=is_async), session, free))
    assert isinstance(error, TypeError)
    assert_tells_nothing(error, drawn)


@pytest.mark.parametrize("kind", EVERY_DATABASE)
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_the_end_of_a_session_tells_no_key(
    kind: str, is_async: bool, user: User, drawn: list[str]
) -> None:
    session_key = saved(**login_of(user))
    saving, rotating, creating = (loaded(session_key) for _ in range(3))
    taken = SessionStore(saved(a=1))
    taken.clear()
    SessionStore(session_key).delete()
    for act, expected in (
        (lambda: Calls(change(saving), is_async=is_async).save(), UpdateError),
        (lambda: Calls(rotating, is_async=is_async).cycle_key(), SessionInterrupted),
        (lambda: Calls(creating, is_async=is_async).save(must_create=True), CreateError),
        (lambda: Calls(taken, is_async=is_async).save(must_create=True), CreateError),
    ):
        error = raised_by(act)
        assert type(error) is expected
        assert_tells_nothing(error, drawn)


@pytest.mark.parametrize("view", ["", "rotate", "save"])
@pytest.mark.parametrize("kind", on("sqlite"))
def test_djangos_error_page_tells_no_key(
    view: str, user: User, drawn: list[str], tmp_path: Path, settings: Any
) -> None:
    settings.DEBUG = True
    # With this package's there is a 503, and no such page.
    settings.MIDDLEWARE = [
        name.replace("django_multistore.middleware", "django.contrib.sessions.middleware")
        for name in settings.MIDDLEWARE
    ]
    client = Client(raise_request_exception=False)
    client.cookies[COOKIE] = saved(**login_of(user))
    with ExitStack() as outage:
        trouble.strike = lambda: outage.enter_context(gone(tmp_path, settings))
        response = client.get(f"/{view}")
    assert response.status_code == 500
    assert "StoreUnavailable" in response.content.decode()
    assert_no_trace(drawn, response.content)


@pytest.mark.parametrize("kind", EVERY_DATABASE)
def test_no_repr_tells_a_key(kind: str, user: User, drawn: list[str]) -> None:
    session = loaded(saved(**login_of(user)))
    session.cycle_key()
    session["more"] = 1
    record = stores["default"].read(session.key)
    stored = StoredSession.objects.using(alias_of(kind)).get(key=session.key)
    shown = [
        session,
        record,
        stored,
        stores["default"],
        stores,
        session._draft(session.key),
        session._draft("0" * 40, secret=Secret(new_session_key())),
        devices.sessions_for_user(user),
        request_with(session),
    ]
    text = "\n".join(f"{thing!r} {thing!s} {[thing]}" for thing in shown)
    assert str(record.id) in text
    assert_no_trace(drawn, text.encode())
    for secret in (record.key, repr(record.payload), repr(bytes(stored.payload))):
        assert secret not in text


# What comes from outside.


no_trouble = support_trouble.no_trouble
trouble = support_trouble.trouble


def index(request: HttpRequest) -> HttpResponse:
    visits = request.session.get("visits", 0)
    request.session["visits"] = visits + 1
    response = HttpResponse(f"{request.user.pk} {visits}")
    trouble.strike()
    return response


async def aindex(request: HttpRequest) -> HttpResponse:
    seen = await request.session.aget("visits", 0)
    await request.session.aset("visits", seen + 1)
    return HttpResponse(f"{(await request.auser()).pk} {seen}")


def rotate(request: HttpRequest) -> HttpResponse:
    response = index(request)
    request.session.cycle_key()
    return response


def save(request: HttpRequest) -> HttpResponse:
    response = index(request)
    request.session.save()
    return response


urlpatterns = [
    path("", index),
    path("async", aindex),
    path("rotate", rotate),
    path("save", save),
]


class RawCookieClient(AsyncClient):
    """Send no cookies of its own, which Django 5.2 joins to the raw ones with a comma."""

    def _base_scope(self, **request: Any) -> dict[str, Any]:
        scope = super()._base_scope(**request)
        scope["headers"].remove((b"cookie", b""))
        return scope


def get(cookie: str, *, is_async: bool) -> HttpResponse:
    """Make a request with this raw cookie header, through all of the middleware."""
    if is_async:
        return async_to_sync(RawCookieClient().get)("/async", headers={"cookie": cookie})
    return Client().get("/", HTTP_COOKIE=cookie)


def lines_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    security = [record for record in caplog.records if record.name.startswith("django.security")]
    assert {record.name for record in security} <= {SUSPICIOUS}
    return [record.getMessage() for record in security]


def assert_new_session(response: HttpResponse) -> str:
    assert response.status_code == 200
    assert response.content == b"None 0"
    session_key = response.cookies[COOKIE].value
    assert re.fullmatch(r"[a-z2-7]{32}", session_key)
    assert data_of(session_key) == {"visits": 1}
    return session_key


LIVE = "LIVE"
BAD_COOKIES = {
    "empty": "",
    "quoted and empty": '""',
    "short": "a" * 7,
    "8 KiB": "a" * 8192,
    "129 characters": "a" * 129,
    "NUL": "aaaaaaaa\0bbbbbbbb",
    "escaped NUL": '"aaaaaaaa\\000bbbbbbbb"',
    "live and NUL": f'"{LIVE}\\000"',
    "live and newline": f'"{LIVE}\\012"',
    "live and blank": f'"{LIVE} "',
    "live and comma": f"{LIVE},",
    "quotes": "aaaaaaaa'\"bbbbbbbb",
    "SQL": "aaaaaaaa' OR '1'='1",
    "newline": "aaaaaaaa\nbbbbbbbb",
    "escaped newline": '"aaaaaaaa\\012bbbbbbbb"',
    "upper case": "A" * 32,
    "percent": "%s%s%s%s%(key)s",
    "braces": "{key}{0}aaaaaaaa",
    "path": "../../../../etc/passwd",
    "non-ASCII": "ééééééééé",
    "wide letters": "ａａａａａａａａ",
    "arabic digits": "١٢٣٤٥٦٧٨",
    "not UTF-8": "aaaaaaaa\udcff\udcfe",
    "surrogate": "aaaaaaaa\ud800",
    "percent-encoded": quote("aaaaaaaa\0bbbb"),
}


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("cookie", BAD_COOKIES.values(), ids=list(BAD_COOKIES))
@pytest.mark.parametrize("kind", EVERY_DATABASE)
def test_a_malformed_cookie_is_a_new_session_and_one_line(
    kind: str, cookie: str, is_async: bool, user: User, caplog: Any
) -> None:
    live = saved(**login_of(user))
    raw = cookie.replace(LIVE, live).encode("utf-8", "surrogatepass").decode("latin-1")
    caplog.clear()
    assert assert_new_session(get(f"{COOKIE}={raw}", is_async=is_async)) != live
    assert len(lines_of(caplog)) == 1
    assert live not in caplog.text


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("kind", EVERY_DATABASE)
def test_a_cookie_that_no_session_has_is_not_adopted(
    kind: str, is_async: bool, caplog: Any
) -> None:
    for unknown in (new_session_key(), "a" * 8, "0" * 128):
        assert assert_new_session(get(f"{COOKIE}={unknown}", is_async=is_async)) != unknown
        assert data_of(unknown) is None
    assert lines_of(caplog) == []


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("kind", EVERY_DATABASE)
def test_a_good_cookie_is_a_session_and_no_line(
    kind: str, is_async: bool, user: User, caplog: Any
) -> None:
    session_key = saved(**login_of(user), visits=4)
    response = get(f"{COOKIE}={session_key}", is_async=is_async)
    assert response.content.decode() == f"{user.pk} 4"
    assert data_of(session_key)["visits"] == 5
    assert lines_of(caplog) == []


PAYLOADS: dict[str, Callable[[bytes, str], bytes]] = {
    "empty": lambda payload, key: b"",
    "one byte": lambda payload, key: payload[:1],
    "half a head": lambda payload, key: payload[:9],
    "a head": lambda payload, key: payload[:17],
    "truncated": lambda payload, key: payload[:-1],
    "lengthened": lambda payload, key: payload + b"}",
    "a bit flipped": lambda payload, key: payload[:-2] + bytes([payload[-2] ^ 1]) + payload[-1:],
    "another tag": lambda payload, key: bytes([3 - payload[0]]) + payload[1:],
    "unknown tag": lambda payload, key: b"\x7f" + payload[1:],
    "random": lambda payload, key: secrets.token_bytes(len(payload)),
    "random with a tag": lambda payload, key: payload[:1] + secrets.token_bytes(len(payload)),
    "a list": lambda payload, key: codec.seal(b"[1, 2]", key),
    "a number": lambda payload, key: codec.seal(b"7", key),
    "null": lambda payload, key: codec.seal(b"null", key),
    "text": lambda payload, key: codec.seal(b'"text"', key),
    "no JSON": lambda payload, key: codec.seal(b"{", key),
    "nothing sealed": lambda payload, key: codec.seal(b"", key),
    "deep": lambda payload, key: codec.seal(b"[" * 100_000, key),
    "of another key": lambda payload, key: codec.seal(b'{"visits": 4}', "0" * 40),
    "under another secret": lambda payload, key: with_another_secret(key),
}


def with_another_secret(key: str) -> bytes:
    with override_settings(SECRET_KEY="another"):
        return codec.seal(b'{"visits": 4}', key)


def overwrite_payload(kind: str, session_key: str, payload: bytes) -> None:
    rows = StoredSession.objects.using(alias_of(kind)).filter(key=key_of(session_key))
    assert rows.update(payload=payload) == 1


def payload_of(kind: str, session_key: str) -> bytes:
    rows = StoredSession.objects.using(alias_of(kind))
    return bytes(rows.get(key=key_of(session_key)).payload)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("filling", ["", LONG], ids=["plain", "deflated"])
@pytest.mark.parametrize("damage", PAYLOADS.values(), ids=list(PAYLOADS))
@pytest.mark.parametrize("kind", EVERY_DATABASE)
def test_a_damaged_payload_is_a_new_session_and_one_line(
    kind: str, damage: Any, filling: str, is_async: bool, user: User, caplog: Any
) -> None:
    session_key = saved(**login_of(user), filling=filling)
    damaged = damage(payload_of(kind, session_key), key_of(session_key))
    overwrite_payload(kind, session_key, damaged)
    caplog.clear()
    assert assert_new_session(get(f"{COOKIE}={session_key}", is_async=is_async)) != session_key
    assert len(lines_of(caplog)) == 1
    assert session_key not in caplog.text


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("kind", EVERY_DATABASE)
def test_a_payload_copied_under_another_key_is_refused(
    kind: str, is_async: bool, user: User, caplog: Any
) -> None:
    victims, thiefs = saved(**login_of(user)), saved(mine=1)
    overwrite_payload(kind, thiefs, payload_of(kind, victims))
    assert_new_session(get(f"{COOKIE}={thiefs}", is_async=is_async))
    assert len(lines_of(caplog)) == 1
    assert get(f"{COOKIE}={victims}", is_async=is_async).content.decode() == f"{user.pk} 0"


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("act", ["save", "cycle_key"])
@pytest.mark.parametrize("kind", on("sqlite", "postgres", "mariadb", transaction=True))
def test_a_payload_damaged_since_it_was_loaded_does_not_get_into_a_merge(
    kind: str, act: str, is_async: bool, user: User, caplog: Any
) -> None:
    session_key = saved(**login_of(user))
    session = loaded(session_key)
    change(loaded(session_key), "theirs").save()
    overwrite_payload(kind, session_key, b"\1damaged")
    with pytest.raises((UpdateError, SessionInterrupted)):
        getattr(Calls(change(session), is_async=is_async), act)()
    assert len(lines_of(caplog)) == 1
    assert payload_of(kind, session_key) == b"\1damaged"
