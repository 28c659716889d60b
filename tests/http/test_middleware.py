"""The middleware: which cookies it sends, what it saves, and when it leaves both alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings as django_settings
from django.contrib import auth
from django.contrib.auth.models import User
from django.contrib.sessions.exceptions import SessionInterrupted
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware
from django.db import connection
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.test import AsyncClient, AsyncRequestFactory, Client, RequestFactory, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import path
from django.utils import timezone

from django_multistore.engine import SessionStore
from django_multistore.middleware import SessionMiddleware
from django_multistore.models import StoredSession
from django_multistore.records import key_of
from tests.support.helpers import Clock

pytestmark = pytest.mark.django_db

View = Callable[[HttpRequest], HttpResponse]
Respond = Callable[..., HttpResponseBase]
COOKIE = django_settings.SESSION_COOKIE_NAME


@pytest.fixture(params=["sync", "async"])
def respond(request: pytest.FixtureRequest) -> Respond:
    """Return what sends a request through the middleware to a view."""

    def sync_respond(
        view: View, session_key: str | None = None, *, middleware: Any = SessionMiddleware
    ) -> HttpResponseBase:
        made = RequestFactory().get("/")
        if session_key is not None:
            made.COOKIES[COOKIE] = session_key
        response: HttpResponseBase = middleware(view)(made)
        return response

    def async_respond(
        view: View, session_key: str | None = None, *, middleware: Any = SessionMiddleware
    ) -> HttpResponseBase:
        async def aview(request: HttpRequest) -> HttpResponse:
            return await sync_to_async(view)(request)

        made = AsyncRequestFactory().get("/")
        if session_key is not None:
            made.COOKIES[COOKIE] = session_key
        return async_to_sync(middleware(aview))(made)  # type: ignore[no-any-return]

    return sync_respond if request.param == "sync" else async_respond


@pytest.fixture
def user() -> User:
    return User.objects.create_user("ada", password="secret")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(timezone, "now", clock)
    return clock


def saved(**data: Any) -> str:
    session = SessionStore()
    session.update({"name": "value"} | data)
    session.save()
    assert session.session_key is not None
    return session.session_key


def logged_in(user: User, respond: Respond) -> str:
    return cookie_of(respond(log_in(user)))


def log_in(user: User) -> View:
    def view(request: HttpRequest) -> HttpResponse:
        auth.login(request, user)
        return HttpResponse()

    return view


def read(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.session.get("name", "nothing"))


def write(request: HttpRequest) -> HttpResponse:
    request.session["name"] = "new"
    return HttpResponse()


def flush(request: HttpRequest) -> HttpResponse:
    request.session.flush()
    return HttpResponse()


def ignore(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def cookie_of(response: HttpResponseBase) -> str:
    value: str = response.cookies[COOKIE].value
    return value


def row(session_key: str) -> StoredSession:
    return StoredSession.objects.get(key=key_of(session_key))


# The cookie.


def test_a_new_session_gets_a_cookie_and_it_carries_the_session(respond: Respond) -> None:
    response = respond(write)
    assert response["Vary"] == "Cookie"
    assert respond(read, cookie_of(response)).content == b"new"


def test_who_leaves_the_session_alone_gets_no_cookie_and_no_vary(respond: Respond) -> None:
    for session_key in (None, saved()):
        response = respond(ignore, session_key)
        assert not response.cookies
        assert "Vary" not in response


def test_who_reads_the_session_gets_no_cookie_but_vary(respond: Respond) -> None:
    response = respond(read, saved())
    assert not response.cookies
    assert response["Vary"] == "Cookie"


def test_a_logout_deletes_the_cookie(respond: Respond) -> None:
    response = respond(flush, saved())
    assert (cookie_of(response), response.cookies[COOKIE]["max-age"]) == ("", 0)


@pytest.mark.parametrize("unknown", ["abcdefgh12345678", "not-a-key!", ""])
@pytest.mark.parametrize("every_request", [False, True])
@pytest.mark.parametrize("view", [read, ignore])
def test_a_cookie_that_no_store_knows_is_left_alone(
    respond: Respond, view: View, unknown: str, every_request: bool, settings: Any
) -> None:
    # It may be the key from before a login whose response is under way.
    settings.SESSION_SAVE_EVERY_REQUEST = every_request
    assert not respond(view, unknown).cookies
    assert not StoredSession.objects.exists()


def test_a_write_under_an_unknown_cookie_gets_a_new_key(respond: Respond) -> None:
    session_key = cookie_of(respond(write, "abcdefgh12345678"))
    assert session_key not in ("", "abcdefgh12345678")
    assert respond(read, session_key).content == b"new"


# A login, while a slow request with the old key is in flight.


def under_way(respond: Respond, user: User, before: View | None, after: View | None) -> View:
    """Return a view during which its visitor logs in with another request."""

    def view(request: HttpRequest) -> HttpResponse:
        if before is not None:
            before(request)
        assert cookie_of(respond(log_in(user), request.COOKIES[COOKIE]))
        if after is not None:
            after(request)
        return HttpResponse()

    return view


@pytest.mark.parametrize("every_request", [False, True])
@pytest.mark.parametrize(
    ("before", "after"), [(read, None), (None, read), (None, None), (read, flush), (read, read)]
)
def test_a_slow_request_does_not_take_the_cookie_of_a_new_login(
    respond: Respond, user: User, before: Any, after: Any, every_request: bool, settings: Any
) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = every_request
    visitor = saved()
    response = respond(under_way(respond, user, before, after), visitor)
    assert not response.cookies
    assert StoredSession.objects.sessions().get().user_id == str(user.pk)


def test_with_django_s_middleware_it_would(user: User, respond: Respond) -> None:
    """So the test above can fail."""
    view = under_way(respond, user, None, read)
    assert cookie_of(respond(view, saved(), middleware=DjangoSessionMiddleware)) == ""


@pytest.mark.parametrize("every_request", [False, True])
def test_a_slow_request_that_writes_is_told(
    respond: Respond, user: User, every_request: bool, settings: Any
) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = every_request
    with pytest.raises(SessionInterrupted):
        respond(under_way(respond, user, read, write), saved())


def test_a_slow_request_in_which_the_old_password_fails(respond: Respond, user: User) -> None:
    """get_user() flushes a session whose password has changed."""
    session_key = logged_in(user, respond)

    def change_password(request: HttpRequest) -> HttpResponse:
        user.set_password("other")
        user.save()
        auth.update_session_auth_hash(request, user)
        return HttpResponse()

    def slow(request: HttpRequest) -> HttpResponse:
        request.session.get("name")
        request.user = user
        new_key = cookie_of(respond(with_user(change_password), session_key))
        assert auth.get_user(request).is_anonymous
        return HttpResponse(new_key)

    response = respond(slow, session_key)
    assert not response.cookies
    assert respond(read, response.content.decode()).content == b"nothing"
    assert StoredSession.objects.sessions().get().user_id == str(user.pk)


def with_user(view: View) -> View:
    def wrapped(request: HttpRequest) -> HttpResponse:
        request.user = auth.get_user(request)
        return view(request)

    return wrapped


# New keys.


def test_the_same_user_s_login_rotates_the_key(respond: Respond, user: User, clock: Clock) -> None:
    """OWASP ASVS 5.0, 7.2.4."""
    session_key = logged_in(user, respond)
    first = row(session_key)
    clock.advance(hours=1)
    new_key = cookie_of(respond(log_in(user), session_key))
    assert new_key != session_key
    assert respond(read, session_key).content == b"nothing"
    again = StoredSession.objects.sessions().get()
    assert (again.id, again.key) == (first.id, key_of(new_key))
    assert again.authenticated_at - first.authenticated_at >= timedelta(hours=1)


def test_a_user_put_in_by_hand_gets_a_new_key(respond: Respond, user: User) -> None:
    """Who made a visitor use a session key must not have the user's session."""

    def by_hand(request: HttpRequest) -> HttpResponse:
        request.session[auth.SESSION_KEY] = str(user.pk)
        return HttpResponse()

    session_key = saved()
    new_key = cookie_of(respond(by_hand, session_key))
    assert new_key != session_key
    assert respond(read, session_key).content == b"nothing"
    assert respond(read, new_key).content == b"value"
    assert StoredSession.objects.sessions().get().user_id == str(user.pk)
    assert not respond(read, new_key).cookies


def test_a_login_rotates_once(respond: Respond, user: User) -> None:
    with CaptureQueriesContext(connection) as captured:
        respond(log_in(user), saved())
    writes = [q["sql"] for q in captured if "UPDATE" in q["sql"] and "storedsession" in q["sql"]]
    assert len(writes) == 2  # The rotation, and the user.


# Last seen, and timeouts.


def test_last_seen_moves_once_in_an_interval_and_nothing_else(
    respond: Respond, clock: Clock
) -> None:
    session_key = saved()
    before = row(session_key)
    for minutes in (0, 4):
        clock.advance(minutes=minutes)
        with CaptureQueriesContext(connection) as captured:
            respond(read, session_key)
        assert len(captured) == 1
    clock.advance(minutes=2)
    with CaptureQueriesContext(connection) as captured:
        assert not respond(read, session_key).cookies
    assert len(captured) == 2
    after = row(session_key)
    assert after.last_seen_at - before.last_seen_at >= timedelta(minutes=6)
    assert (after.expires_at, after.payload, after.version) == (
        before.expires_at,
        before.payload,
        before.version,
    )
    with CaptureQueriesContext(connection) as captured:
        respond(read, session_key)
        respond(ignore, session_key)
    assert len(captured) == 1


def test_a_short_session_is_touched_at_a_tenth_of_its_age(
    respond: Respond, clock: Clock, settings: Any
) -> None:
    settings.SESSION_COOKIE_AGE = 600
    session_key = saved()
    before = row(session_key)
    clock.advance(seconds=59)
    respond(read, session_key)
    assert row(session_key).last_seen_at == before.last_seen_at
    clock.advance(seconds=2)
    respond(read, session_key)
    assert row(session_key).last_seen_at > before.last_seen_at


def test_a_session_slides_only_if_each_request_saves(
    respond: Respond, clock: Clock, settings: Any
) -> None:
    settings.SESSION_COOKIE_AGE = 600
    fixed, sliding = saved(), saved()
    for _ in range(3):
        clock.advance(seconds=250)
        settings.SESSION_SAVE_EVERY_REQUEST = True
        response = respond(read, sliding)
        assert response.content == b"value"
        assert (cookie_of(response), response.cookies[COOKIE]["max-age"]) == (sliding, 600)
        settings.SESSION_SAVE_EVERY_REQUEST = False
        last = respond(read, fixed).content
    assert last == b"nothing"
    clock.advance(seconds=601)
    assert respond(read, sliding).content == b"nothing"


def test_the_cookie_is_sent_again_as_often_as_the_session_s_expiry_moves(
    respond: Respond, clock: Clock, settings: Any
) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = True
    session_key = saved()
    sent = []
    for _ in range(6):
        clock.advance(seconds=100)
        sent.append(bool(respond(read, session_key).cookies))
    assert sent == [False, False, True, False, False, True]
    # Who leaves the session to the middleware can't have missed a login under another key.
    assert cookie_of(respond(ignore, session_key)) == session_key


def test_an_absolute_age_ends_a_login_however_busy(
    respond: Respond, user: User, clock: Clock, settings: Any
) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = True
    settings.SESSION_ABSOLUTE_AGE = 3600

    def rotate(request: HttpRequest) -> HttpResponse:
        request.session.cycle_key()
        return HttpResponse()

    session_key = logged_in(user, respond)
    for view in (read, rotate, log_in(user)):
        clock.advance(minutes=50) if view is not rotate else clock.advance(minutes=5)
        session_key = cookie_of(respond(view, session_key))
    clock.advance(minutes=50)  # Since the second login.
    assert auth.SESSION_KEY in SessionStore(session_key)
    clock.advance(minutes=11)
    assert auth.SESSION_KEY not in SessionStore(session_key)


# What is saved.


def test_an_error_saves_nothing_and_touches_nothing(respond: Respond, clock: Clock) -> None:
    def fail(request: HttpRequest) -> HttpResponse:
        request.session["name"] = "lost"
        return HttpResponse(status=500)

    session_key = saved()
    clock.advance(hours=1)
    before = row(session_key).last_seen_at
    assert not respond(fail, session_key).cookies
    assert (respond(ignore, session_key).status_code, row(session_key).last_seen_at) == (
        200,
        before,
    )
    assert SessionStore(session_key)["name"] == "value"


def test_what_a_streaming_response_s_view_has_set_is_saved(respond: Respond) -> None:
    def stream(request: HttpRequest) -> Any:
        request.session["name"] = "new"
        return StreamingHttpResponse(iter([b"a", b"b"]))

    response = respond(stream)
    assert respond(read, cookie_of(response)).content == b"new"


def test_without_a_session_on_the_request(respond: Respond) -> None:
    def remove(request: HttpRequest) -> HttpResponse:
        del request.session
        return HttpResponse()

    assert respond(remove, saved()).status_code == 200


def test_another_engine_s_session_on_the_request(respond: Respond) -> None:
    from django.contrib.sessions.backends.signed_cookies import (  # noqa: PLC0415
        SessionStore as SignedCookies,
    )

    def replace(request: HttpRequest) -> HttpResponse:
        request.session = SignedCookies()
        request.session["name"] = "signed"
        return HttpResponse()

    assert SignedCookies(cookie_of(respond(replace)))["name"] == "signed"


def test_another_engine_throughout(respond: Respond, settings: Any) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    assert respond(read, cookie_of(respond(write))).content == b"new"


# The whole of Django around it.


async def aread(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(await request.session.aget("n", 0)))


async def acount(request: HttpRequest) -> HttpResponse:
    await request.session.aset("n", await request.session.aget("n", 0) + 1)
    return HttpResponse(str(await request.session.aget("n")))


def count(request: HttpRequest) -> HttpResponse:
    request.session["n"] = request.session.get("n", 0) + 1
    return HttpResponse(str(request.session["n"]))


async def astream(request: HttpRequest) -> StreamingHttpResponse:
    await request.session.aset("n", 41)

    async def parts() -> AsyncIterator[bytes]:
        yield str(await request.session.aget("n")).encode()

    return StreamingHttpResponse(parts())


def stream(request: HttpRequest) -> StreamingHttpResponse:
    request.session["n"] = 41

    def parts() -> Iterator[bytes]:
        yield str(request.session["n"]).encode()

    return StreamingHttpResponse(parts())


class SyncOnly:
    sync_capable, async_capable = True, False

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = self.get_response(request)
        return response


urlpatterns = [
    path("aread/", aread),
    path("acount/", acount),
    path("count/", count),
    path("astream/", astream),
    path("stream/", stream),
]

OURS, SYNC_ONLY = "django_multistore.middleware.SessionMiddleware", f"{__name__}.SyncOnly"
DJANGOS = "django.contrib.sessions.middleware.SessionMiddleware"
STACKS = [[OURS], [SYNC_ONLY, OURS], [OURS, SYNC_ONLY], [DJANGOS], [DJANGOS, SYNC_ONLY]]


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("every_request", [False, True])
def test_each_kind_of_view_in_each_stack(stack: list[str], every_request: bool) -> None:
    with override_settings(MIDDLEWARE=stack, SESSION_SAVE_EVERY_REQUEST=every_request):
        client, aclient = Client(), AsyncClient()
        aget = async_to_sync(aclient.get)
        for get in (client.get, aget):
            assert [get(f"/{name}/").content for name in ("count", "acount", "count", "aread")] == [
                b"1",
                b"2",
                b"3",
                b"3",
            ]
        assert client.get("/stream/").getvalue() == b"41"
        assert client.get("/count/").content == b"42"
        assert async_to_sync(streamed)(aclient) == b"41"
        assert aget("/acount/").content == b"42"


async def streamed(client: AsyncClient) -> bytes:
    response = await client.get("/astream/")
    return b"".join([part async for part in response.streaming_content])


def test_it_is_what_the_admin_looks_for() -> None:
    assert issubclass(SessionMiddleware, DjangoSessionMiddleware)
