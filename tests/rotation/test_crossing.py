"""Requests of one browser that cross a rotation: what one of them does, the others find."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings as django_settings
from django.contrib import auth
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.test import AsyncRequestFactory, RequestFactory

from django_multistore import devices
from django_multistore.engine import SessionStore
from django_multistore.exceptions import StoreUnavailable
from django_multistore.middleware import SessionMiddleware
from django_multistore.rotation import trails
from django_multistore.session import clock
from django_multistore.session.keys import HASH_UPGRADE, Secret, new_session_key
from django_multistore.stores import stores
from tests.support.meeting import (
    MEMORY,
    REDIS_CLUSTER,
    REDIS_SERVER,
    data_of,
    loaded,
    login_of,
    on,
    request_with,
    saved,
    store_setting,
)

COOKIE = django_settings.SESSION_COOKIE_NAME
KINDS = [MEMORY, "sqlite", "postgres", "mariadb", REDIS_SERVER, REDIS_CLUSTER]
KINDS += ["redis+sqlite", "memcached+sqlite"]
EVERYWHERE = pytest.mark.parametrize("kind", on(*KINDS))

Call = Callable[[Any], Any]
View = Callable[[HttpRequest], HttpResponse]
Respond = Callable[..., HttpResponseBase]


@pytest.fixture(autouse=True)
def store(kind: str, settings: Any) -> None:
    settings.SESSION_STORES = store_setting(kind)


def new_user(name: str) -> User:
    # Other tests' users have had the numbers that come next, and perhaps left sessions.
    pk = secrets.randbits(31)
    return User.objects.create_user(name, pk=pk, password="correct")


@pytest.fixture
def user() -> User:
    return new_user("ann")


@pytest.fixture(params=["sync", "async"])
def respond(request: pytest.FixtureRequest) -> Respond:
    """Return what sends a request through the middleware to a view, as Django's handlers do."""

    def sync_respond(view: View, session_key: str | None = None, **sent: Any) -> HttpResponseBase:
        made = prepared(RequestFactory(), session_key, sent)
        handler = convert_exception_to_response(
            SessionMiddleware(convert_exception_to_response(view))
        )
        response: HttpResponseBase = handler(made)
        return response

    def async_respond(view: View, session_key: str | None = None, **sent: Any) -> HttpResponseBase:
        async def aview(request: HttpRequest) -> HttpResponse:
            return await sync_to_async(view)(request)

        made = prepared(AsyncRequestFactory(), session_key, sent)
        handler = convert_exception_to_response(
            SessionMiddleware(convert_exception_to_response(aview))
        )
        return async_to_sync(handler)(made)  # type: ignore[no-any-return]

    return sync_respond if request.param == "sync" else async_respond


def prepared(factory: Any, session_key: str | None, sent: Any) -> Any:
    made = factory.post("/", sent) if sent else factory.get("/")
    made._dont_enforce_csrf_checks = True
    if session_key is not None:
        made.COOKIES[COOKIE] = session_key
    return made


def cookie_of(response: HttpResponseBase) -> str:
    value: str = response.cookies[COOKIE].value
    return value


def is_deleted(response: HttpResponseBase) -> bool:
    return COOKIE in response.cookies and response.cookies[COOKIE].value == ""


def listed(user: User) -> list[int]:
    return [record.id for record in devices.sessions_for_user(user)]


def with_user(view: View) -> View:
    def wrapped(request: HttpRequest) -> HttpResponse:
        request.user = auth.get_user(request)
        return view(request)

    return wrapped


# A logout.


@pytest.mark.parametrize("act", ["log_in_again", "log_out_the_others"])
@EVERYWHERE
def test_a_logout_ends_a_session_that_was_moved_meanwhile(call: Call, user: User, act: str) -> None:
    session_key = saved(**login_of(user))
    leaving, other = loaded(session_key), loaded(session_key)
    if act == "log_in_again":
        call(auth).login(request_with(other), user)
    else:
        call(devices).log_out_other_devices(request_with(other))
    call(other).save()
    call(auth).logout(request_with(leaving))
    assert leaving.was_flushed
    assert data_of(other.session_key) is None
    assert listed(user) == []


@EVERYWHERE
def test_an_expiry_in_the_past_ends_a_session_that_was_moved_meanwhile(
    call: Call, user: User
) -> None:
    session_key = saved(**login_of(user))
    late, session = loaded(session_key), loaded(session_key)
    call(devices).log_out_other_devices(request_with(session))
    late.set_expiry(-1)
    call(late).save()
    assert data_of(session.session_key) is None
    assert listed(user) == []


@EVERYWHERE
def test_a_logout_that_comes_after_the_rotation_ends_the_session(call: Call, user: User) -> None:
    session_key = saved(**login_of(user))
    other = loaded(session_key)
    call(devices).log_out_other_devices(request_with(other))
    leaving = SessionStore(session_key)
    call(auth).logout(request_with(leaving))
    assert leaving.was_flushed
    assert data_of(other.session_key) is None
    assert listed(user) == []


@EVERYWHERE
def test_a_logout_a_minute_after_the_rotation_is_a_stranger_s(call: Call, user: User) -> None:
    session_key = saved(**login_of(user))
    other = loaded(session_key)
    call(devices).log_out_other_devices(request_with(other))
    old = Secret(session_key)
    assert stores["default"].destroy(trails._key(old))  # As if it had expired.
    leaving = SessionStore(session_key)
    call(auth).logout(request_with(leaving))
    assert not leaving.was_flushed
    assert data_of(other.session_key) == login_of(user)


@EVERYWHERE
def test_a_flush_without_a_load_ends_a_session_that_was_moved(call: Call, user: User) -> None:
    session_key = saved(**login_of(user))
    other = loaded(session_key)
    call(other).cycle_key()
    call(SessionStore(session_key)).flush()
    assert data_of(other.session_key) is None
    assert listed(user) == []


@pytest.mark.parametrize("is_late", [False, True])
@EVERYWHERE
def test_a_login_as_somebody_else_ends_the_first_user_s_session(
    call: Call, user: User, is_late: bool
) -> None:
    session_key, bob = saved(**login_of(user)), new_user("bob")
    session = SessionStore(session_key) if is_late else loaded(session_key)
    other = loaded(session_key)
    call(devices).log_out_other_devices(request_with(other))
    call(auth).login(request_with(session), bob)
    call(session).save()
    assert data_of(other.session_key) is None
    assert listed(user) == []
    assert len(listed(bob)) == 1


@EVERYWHERE
def test_a_login_as_somebody_else_beside_a_change_of_the_password(call: Call, user: User) -> None:
    session_key, bob = saved(**login_of(user)), new_user("bob")
    session, other = loaded(session_key), loaded(session_key)
    change_password(call, other, user)
    call(auth).login(request_with(session), bob)
    call(session).save()
    assert listed(user) == []
    assert len(listed(bob)) == 1


@EVERYWHERE
def test_a_request_whose_hash_is_wrong_ends_no_session_that_has_the_new_one(
    call: Call, user: User
) -> None:
    """get_user() flushes what it finds invalid, which is no logout."""
    session_key = saved(**login_of(user))
    slow, other = loaded(session_key), loaded(session_key)
    change_password(call, other, user)
    assert call(auth).get_user(request_with(slow)).is_anonymous
    assert not slow.was_flushed
    assert data_of(other.session_key) == login_of(user)
    # Unless that request is a logout.
    call(auth).logout(request_with(slow))
    assert data_of(other.session_key) is None


def change_password(call: Call, session: SessionStore, user: User) -> None:
    request: Any = request_with(session)
    assert request.user == user
    request._acached_user = user
    user.set_password("another")
    user.save()
    call(auth).update_session_auth_hash(request, user)
    call(session).save()


@pytest.mark.parametrize("act", ["logout", "flush"])
@EVERYWHERE
def test_a_cookie_that_no_store_knows_stays(respond: Respond, act: str, user: User) -> None:
    def leave(request: HttpRequest) -> HttpResponse:
        if act == "logout":
            auth.logout(request)
        else:
            request.session.flush()
        return HttpResponse()

    assert COOKIE not in respond(leave, new_session_key()).cookies
    assert is_deleted(respond(leave, saved(**login_of(user))))


@EVERYWHERE
def test_a_trail_opens_nothing(user: User) -> None:
    session_key = saved(**login_of(user))
    session = loaded(session_key)
    session.cycle_key()
    trail = stores["default"].read(trails._key(Secret(session_key)))
    assert trail is not None
    assert session.session_key not in str(trail.payload)
    assert data_of(session_key) is None
    assert data_of(f"trail of {session_key}") is None
    assert len(listed(user)) == 1


# A rotation whose answer fails.


@pytest.mark.parametrize("failure", ["exception", "outage", "answer 500", "unserializable"])
@EVERYWHERE
def test_an_answer_after_a_rotation_has_the_new_cookie(
    respond: Respond, user: User, failure: str
) -> None:
    def fail(request: HttpRequest) -> HttpResponse:
        devices.log_out_other_devices(request)
        request.session["later"] = object() if failure == "unserializable" else 1
        if failure == "exception":
            raise RuntimeError
        if failure == "outage":
            raise StoreUnavailable("A test has stopped it.")
        return HttpResponse(status=200 if failure == "unserializable" else 500)

    response = respond(fail, saved(**login_of(user)))
    assert response.status_code in (500, 503)
    assert data_of(cookie_of(response)) == login_of(user)
    assert "Cookie" in response["Vary"]


@EVERYWHERE
def test_a_save_that_fails_after_a_rotation(
    respond: Respond, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rotate(request: HttpRequest) -> HttpResponse:
        devices.log_out_other_devices(request)
        request.session["later"] = 1
        store = stores["default"]
        for name in ("update", "aupdate"):
            monkeypatch.setattr(store, name, unavailable)
        return HttpResponse()

    def unavailable(record: Any) -> Any:
        raise StoreUnavailable("A test has stopped it.")

    response = respond(rotate, saved(**login_of(user)))
    assert response.status_code == 503
    assert data_of(cookie_of(response)) == login_of(user)


@EVERYWHERE
def test_a_receiver_that_fails_after_a_login(respond: Respond, user: User) -> None:
    def fail(**kwargs: Any) -> None:
        raise RuntimeError

    def log_in(request: HttpRequest) -> HttpResponse:
        auth.login(request, user)
        return HttpResponse()

    user_logged_in.connect(fail)
    try:
        response = respond(log_in, saved(cart=[1]))
    finally:
        user_logged_in.disconnect(fail)
    assert response.status_code == 500
    assert data_of(cookie_of(response)) == {"cart": [1]}


@EVERYWHERE
def test_a_login_that_fails_evicts_nobody(respond: Respond, user: User, settings: Any) -> None:
    settings.SESSION_MAX_PER_USER = 1
    there = saved(**login_of(user))

    def log_in(request: HttpRequest) -> HttpResponse:
        auth.login(request, user)
        return HttpResponse(status=status)

    status = 500
    assert respond(log_in).status_code == 500
    assert data_of(there) == login_of(user)
    status = 200
    new_key = cookie_of(respond(log_in))
    assert data_of(there) is None
    assert data_of(new_key) == login_of(user)


# A SECRET_KEY that has moved to SECRET_KEY_FALLBACKS.


@pytest.fixture
def old_hash(user: User, settings: Any) -> str:
    session_key = saved(**login_of(user))
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "the key that comes after it"
    return session_key


@pytest.mark.parametrize("late", range(4))
@EVERYWHERE
def test_all_requests_of_a_page_follow_the_renewed_hash(
    call: Call, user: User, old_hash: str, late: int
) -> None:
    sessions = [
        SessionStore(old_hash) if number < late else loaded(old_hash) for number in range(3)
    ]
    for number, session in enumerate(reversed(sessions)):
        session_user = call(auth).get_user(request_with(session))
        assert session_user == user
        assert session.session_key != old_hash
        session[f"page {number}"] = number
        call(session).save()
    assert len({session.session_key for session in sessions}) == 1
    assert data_of(sessions[0].session_key) == {
        **login_of(user),
        **{f"page {number}": number for number in range(3)},
    }
    assert len(listed(user)) == 1


@EVERYWHERE
def test_a_renewed_hash_is_followed_for_a_minute_and_not_without_fallbacks(
    call: Call, user: User, old_hash: str, settings: Any
) -> None:
    call(auth).get_user(request_with(loaded(old_hash)))
    with_fallbacks = settings.SECRET_KEY_FALLBACKS
    settings.SECRET_KEY_FALLBACKS = []
    assert data_of(old_hash) is None
    settings.SECRET_KEY_FALLBACKS = with_fallbacks
    assert data_of(old_hash) == login_of(user)
    stores["default"].destroy(trails._key(Secret(old_hash)))  # As if it had expired.
    assert data_of(old_hash) is None


@EVERYWHERE
def test_no_other_rotation_is_followed_by_who_has_the_old_cookie(
    call: Call, user: User, settings: Any
) -> None:
    settings.SECRET_KEY_FALLBACKS = ["another"]
    session_key = saved(**login_of(user))
    thief, session = loaded(session_key), loaded(session_key)
    call(devices).log_out_other_devices(request_with(session))
    with pytest.raises(SessionInterrupted):
        call(thief).cycle_key()
    assert data_of(session_key) is None
    assert data_of(Secret(session_key).derive(HASH_UPGRADE).session_key) is None


@EVERYWHERE
def test_who_has_followed_is_shut_out_by_log_out_other_devices(
    call: Call, user: User, old_hash: str
) -> None:
    request = request_with(loaded(old_hash))
    call(auth).get_user(request)
    call(request.session).save()
    assert call(devices).log_out_other_devices(request) == 0
    assert data_of(old_hash) is None
    assert data_of(Secret(old_hash).derive(HASH_UPGRADE).session_key) is None
    assert data_of(request.session.session_key) == login_of(user)


@pytest.mark.parametrize("on_other_user", [None, "session"])
@EVERYWHERE
def test_log_out_other_devices_is_not_followed_where_nobody_has_looked_at_the_user(
    call: Call, user: User, old_hash: str, settings: Any, on_other_user: str | None
) -> None:
    """Then it is the rotation itself that finds the hash of the former SECRET_KEY."""
    request = request_with(loaded(old_hash))
    if on_other_user is not None:
        settings.SESSION_ON_OTHER_USER = on_other_user
        request.user = new_user("impersonated")

        async def auser() -> Any:
            return request.user

        request.auser = auser
        call(devices).log_out_other_devices(request)
    else:
        call(devices).end_others(request.session)
    call(request.session).save()
    assert data_of(old_hash) is None
    assert data_of(request.session.session_key) == login_of(user)
    assert len(listed(user)) == 1


# A request that goes on for long, or a socket.


@pytest.mark.parametrize("act", ["write", "look", "touch"])
@EVERYWHERE
def test_who_was_overtaken_may_write_for_a_minute_and_no_longer(
    call: Call, user: User, act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thief with an open socket must not keep the session by writing into it."""
    session_key = saved(**login_of(user))
    thief, session = loaded(session_key), loaded(session_key)
    call(devices).log_out_other_devices(request_with(session))
    thief["written"] = 1
    call(thief).save()
    assert data_of(session.session_key) == {**login_of(user), "written": 1}
    if act != "touch":
        session["private"] = "secret"
        call(session).save()
    stores["default"].destroy(trails._key(Secret(session_key)))  # As if it had expired.
    last_seen_at, later = listed_at(user), clock.now() + timedelta(days=2)
    monkeypatch.setattr(clock, "now", lambda: later)
    if act == "look":
        assert call(thief).load() == {}
    elif act == "touch":
        call(thief).touch()
    else:
        thief["written"] = 2
        with pytest.raises(UpdateError):
            call(thief).save()
        assert "private" not in thief
    assert listed_at(user) == last_seen_at
    monkeypatch.undo()
    assert data_of(session.session_key)["written"] == 1


def listed_at(user: User) -> Any:
    (record,) = devices.sessions_for_user(user)
    return record.last_seen_at


# A request that ends its own user's sessions.


@pytest.mark.parametrize("act", ["delete", "everywhere", "end_session"])
@EVERYWHERE
def test_a_request_that_ends_its_own_session_starts_anew(
    respond: Respond, user: User, act: str
) -> None:
    session_key = saved(**login_of(user), private="secret")
    (record,) = devices.sessions_for_user(user)

    def end(request: HttpRequest) -> HttpResponse:
        assert request.user == user
        if act == "delete":
            request.user.delete()
        elif act == "everywhere":
            devices.log_out_everywhere(user)
        else:
            devices.end_session(user, record.id)
        request.session["_messages"] = "Goodbye."
        return HttpResponse()

    response = respond(with_user(end), session_key)
    assert response.status_code == 200
    assert data_of(cookie_of(response)) == {"_messages": "Goodbye."}
    assert data_of(session_key) is None


@EVERYWHERE
def test_a_request_that_ends_its_own_session_and_rotates(respond: Respond, user: User) -> None:
    def end(request: HttpRequest) -> HttpResponse:
        devices.log_out_everywhere(user)
        request.session.cycle_key()
        return HttpResponse()

    response = respond(with_user(end), saved(**login_of(user), private="secret"))
    assert response.status_code == 200
    assert data_of(cookie_of(response)) == {}
    assert listed(user) == []


@EVERYWHERE
def test_a_session_that_another_request_ends_is_an_error_still(
    respond: Respond, user: User
) -> None:
    def write(request: HttpRequest) -> HttpResponse:
        request.session["more"] = 1
        elsewhere(user)
        return HttpResponse()

    def elsewhere(user: User) -> None:
        stores["default"].destroy_for_user(user.pk)

    response = respond(with_user(write), saved(**login_of(user)))
    assert response.status_code == 400
    assert COOKIE not in response.cookies


# A user who is put in by hand.


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize(
    "way", ["clear", "save", "clear and save", "save twice", "save, no more is to be saved"]
)
@EVERYWHERE
def test_a_user_put_in_by_hand_gets_a_new_key(
    respond: Respond, user: User, way: str, status: int
) -> None:
    """Who made a visitor use a session key must not have the user's session."""
    planted = saved(cart=[1])

    def by_hand(request: HttpRequest) -> HttpResponse:
        session = request.session
        if way.startswith("clear"):
            session.clear()
        session[auth.SESSION_KEY] = str(user.pk)
        if "save" in way:
            session.save()
        if way == "save twice":
            session["more"] = 1
            session.save()
        if "no more" in way:
            session.modified = False
        return HttpResponse(status=status)

    response = respond(by_hand, planted)
    if status == 200 or "save" in way:
        assert data_of(planted) is None
        assert (data_of(cookie_of(response)) or {})[auth.SESSION_KEY] == str(user.pk)
    else:
        assert data_of(planted) == {"cart": [1]}
        assert COOKIE not in response.cookies
