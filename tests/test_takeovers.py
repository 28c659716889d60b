"""Takeovers: whose session it is, that it takes no place, and who is told."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any
from weakref import ReferenceType

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.contrib.auth import SESSION_KEY, alogin, login, logout
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.auth.signals import user_logged_in
from django.core.management import call_command
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, SimpleTestCase, TestCase, override_settings
from django.urls import include, path, reverse
from django.utils import translation

from django_multistore import devices, takeovers
from django_multistore.engine import SessionStore
from django_multistore.receivers import connect_receivers, follow_login
from django_multistore.records import ACTOR_SESSION_KEY, SessionRecord
from django_multistore.session.merge import merge_theirs
from django_multistore.stores import stores
from django_multistore.takeovers import amark_as_takeover, mark_as_takeover, takes_over
from tests import servers
from tests.support.stores import MEMORY, ON_A_CACHE
from tests.support.users import BACKEND, request_with

ONE = {"SESSION_MAX_PER_USER": 1}
REFUSING = {"SESSION_MAX_PER_USER_POLICY": "refuse"}


def act_as(request: HttpRequest, name: str) -> HttpResponse:
    mark_as_takeover(request, by=request.user)
    login(request, User.objects.get(username=name), backend=BACKEND)
    return HttpResponse()


async def aact_as(request: HttpRequest, name: str) -> HttpResponse:
    await amark_as_takeover(request, by=await request.auser())
    await alogin(request, await User.objects.aget(username=name), backend=BACKEND)
    return HttpResponse()


def log_in(request: HttpRequest, name: str) -> HttpResponse:
    login(request, User.objects.get(username=name), backend=BACKEND)
    return HttpResponse()


async def alog_in(request: HttpRequest, name: str) -> HttpResponse:
    await alogin(request, await User.objects.aget(username=name), backend=BACKEND)
    return HttpResponse()


def mark_by(request: HttpRequest, name: str) -> HttpResponse:
    mark_as_takeover(request, by=User.objects.get(username=name))
    return HttpResponse()


async def amark_by(request: HttpRequest, name: str) -> HttpResponse:
    await amark_as_takeover(request, by=await User.objects.aget(username=name))
    return HttpResponse()


def put(request: HttpRequest, name: str) -> HttpResponse:
    request.session[name] = request.session.get(name, 0) + 1
    return HttpResponse()


async def aput(request: HttpRequest, name: str) -> HttpResponse:
    await request.session.aset(name, await request.session.aget(name, 0) + 1)
    return HttpResponse()


def rotate(request: HttpRequest, name: str) -> HttpResponse:
    request.session.cycle_key()
    return HttpResponse()


async def arotate(request: HttpRequest, name: str) -> HttpResponse:
    await request.session.acycle_key()
    return HttpResponse()


def log_out(request: HttpRequest, name: str) -> HttpResponse:
    logout(request)
    return HttpResponse()


VIEWS = (act_as, aact_as, log_in, alog_in, mark_by, amark_by, put, aput, rotate, arotate, log_out)
urlpatterns = [
    path("devices/", include("django_multistore.urls")),
    *(path(f"{view.__name__}/<name>/", view) for view in VIEWS),
    path("taken/log_in/<name>/", takes_over(log_in)),
    path("taken/alog_in/<name>/", takes_over(alog_in)),
]


class Browser:
    """A browser, in which views are called by sync or by async code."""

    def __init__(self, *, is_async: bool) -> None:
        self._client = AsyncClient() if is_async else Client()
        self._prefix = "a" if is_async else ""

    def __call__(self, view: str, name: str = "-", *, prefixed: bool = True) -> int:
        folder, _, view = view.rpartition("/")
        prefix = self._prefix if prefixed else ""
        url = f"/{folder + '/' if folder else ''}{prefix}{view}/{name}/"
        get: Any = async_to_sync(self._client.get) if self._prefix else self._client.get
        status: int = get(url).status_code
        return status

    @property
    def record(self) -> SessionRecord | None:
        cookie = self._client.cookies.get("sessionid")
        if cookie is None or not cookie.value:
            return None
        session = SessionStore(cookie.value)
        session.load()
        return session.record

    @property
    def whose(self) -> tuple[str | None, str | None]:
        """The names of the session's user, and of who acts."""
        if self.record is None:
            return None, None
        names = {str(user.pk): user.get_username() for user in User.objects.all()}
        return names.get(self.record.user_id or ""), names.get(self.record.actor_id or "")


@override_settings(ROOT_URLCONF="tests.test_takeovers")
class TakeoverTests(TestCase):
    is_async = False

    def setUp(self) -> None:
        names = ("bob", "ann", "eve", "mod")
        self.users = {name: User.objects.create_user(name) for name in names}
        for user in self.users.values():
            stores["default"].destroy_for_user(user.pk)

    def browser(self, name: str | None = None) -> Browser:
        browser = Browser(is_async=self.is_async)
        if name is not None:
            self.assertEqual(browser("log_in", name), 200)
        return browser

    def takeover(self, of: str = "bob", by: str = "eve") -> Browser:
        browser = self.browser(by)
        self.assertEqual(browser("act_as", of), 200)
        self.assertEqual(browser.whose, (of, by))
        return browser

    def test_it_neither_ends_nor_is_refused(self) -> None:
        for policy in ({}, REFUSING):
            with self.subTest(policy), override_settings(**ONE, **policy):
                own = self.browser("bob")
                takeovers = [self.takeover(by=name) for name in ("eve", "mod")]
                self.assertEqual(own.whose, ("bob", None))
                for takeover in takeovers:
                    takeover("log_out", prefixed=False)
                own("log_out", prefixed=False)

    @override_settings(**ONE)
    def test_logins_of_the_user_don_t_count_it(self) -> None:
        takeover = self.takeover()
        first, second = self.browser("bob"), self.browser("bob")
        self.assertEqual(first.whose, (None, None))
        self.assertEqual(second.whose, ("bob", None))
        self.assertEqual(takeover.whose, ("bob", "eve"))

    @override_settings(**ONE, **REFUSING)
    def test_logins_of_the_user_are_not_refused_for_it(self) -> None:
        self.takeover()
        own = self.browser("bob")
        with self.assertLogs("django.request", "WARNING"):
            self.assertEqual(self.browser()("log_in", "bob"), 403)
        self.assertEqual(own.whose, ("bob", None))

    def test_it_stays_one(self) -> None:
        takeover = self.takeover()
        for view in ("put", "put", "rotate", "put"):
            self.assertEqual(takeover(view), 200)
            self.assertEqual(takeover.whose, ("bob", "eve"))
        assert takeover.record is not None
        session = SessionStore()
        (listed,) = session.get_store().sessions_for_user(self.users["bob"].pk)
        self.assertEqual(listed.actor_id, str(self.users["eve"].pk))

    def test_it_ends_with_the_login_of_who_acts(self) -> None:
        for way in ("log_in", "act_as", "taken/log_in"):
            takeover = self.takeover()
            takeover(way, "eve")
            self.assertEqual(takeover.whose, ("eve", None), way)
            takeover("put")
            self.assertEqual(takeover.whose, ("eve", None), way)

    def test_it_ends_with_any_login_that_is_not_marked(self) -> None:
        for name in ("ann", "bob"):
            takeover = self.takeover()
            takeover("log_in", name)
            self.assertEqual(takeover.whose, (name, None))

    @override_settings(**ONE, **REFUSING)
    def test_what_becomes_the_users_own_counts(self) -> None:
        own, takeover = self.browser("bob"), self.takeover()
        with self.assertLogs("django.request", "WARNING"):
            self.assertEqual(takeover("log_in", "bob"), 403)
        self.assertEqual(own.whose, ("bob", None))
        self.assertIsNone(takeover.whose[0])
        self.assertEqual(len(devices.sessions_for_user(self.users["bob"])), 1)

    def test_a_logout_ends_it(self) -> None:
        takeover = self.takeover()
        takeover("log_out", prefixed=False)
        self.assertEqual(takeover.whose, (None, None))
        takeover("log_in", "bob")
        self.assertEqual(takeover.whose, ("bob", None))

    def test_one_from_within_another_is_by_the_same(self) -> None:
        takeover = self.takeover()
        takeover("act_as", "ann")
        self.assertEqual(takeover.whose, ("ann", "eve"))
        # And back, of one after the other.
        takeover("act_as", "bob")
        self.assertEqual(takeover.whose, ("bob", "eve"))
        takeover("act_as", "eve")
        self.assertEqual(takeover.whose, ("eve", None))

    @override_settings(**ONE)
    def test_a_view_of_others_is_wrapped(self) -> None:
        own, browser = self.browser("bob"), self.browser("eve")
        browser("taken/log_in", "bob")
        self.assertEqual((own.whose, browser.whose), (("bob", None), ("bob", "eve")))
        visitor = self.browser()
        visitor("taken/log_in", "ann")
        self.assertEqual(visitor.whose, ("ann", None))

    def test_a_login_that_was_before_is_marked_at_once(self) -> None:
        browser = self.browser("bob")
        browser("mark_by", "eve")
        self.assertEqual(browser.whose, ("bob", "eve"))
        # Nobody acts as oneself.
        for name, expected in (("bob", "eve"), ("mod", "mod")):
            browser("mark_by", name)
            self.assertEqual(browser.whose, ("bob", expected))

    def test_the_mark_is_for_one_login(self) -> None:
        browser = self.browser("eve")
        browser("mark_by", "eve")
        browser("log_in", "bob")
        self.assertEqual(browser.whose, ("bob", None))

    def test_a_mark_in_the_data_of_another_is_worth_nothing(self) -> None:
        takeover = self.takeover()
        session = SessionStore(takeover._client.cookies["sessionid"].value)
        session[SESSION_KEY] = str(self.users["ann"].pk)
        session.save()
        self.assertEqual(takeover.whose, ("ann", None))

    def test_a_user_who_was_deleted_is_said_to_be_support(self) -> None:
        takeover = self.takeover()
        self.users["eve"].delete()
        (device,) = async_page(takeover)["devices"]
        self.assertEqual((device["is_takeover"], device["actor"]), (True, None))


class AsyncTakeoverTests(TakeoverTests):
    is_async = True


@ON_A_CACHE
class TakeoverOnACacheTests(TakeoverTests):
    pass


@ON_A_CACHE
class AsyncTakeoverOnACacheTests(AsyncTakeoverTests):
    pass


@override_settings(SESSION_STORES=MEMORY)
class TakeoverInMemoryTests(TakeoverTests):
    pass


class TakeoverOnRedisTests(TakeoverTests):
    @classmethod
    def setUpClass(cls) -> None:
        options = {
            "URL": f"redis://{servers.require('redis')}/5",
            "KEY_PREFIX": f"{django_settings.OWN_PREFIX}:takeovers:",
        }
        backend = "django_multistore.stores.redis.RedisStore"
        on_redis = {"default": {"BACKEND": backend, "OPTIONS": options}}
        cls.enterClassContext(override_settings(SESSION_STORES=on_redis))
        super().setUpClass()


class AsyncTakeoverOnRedisTests(TakeoverOnRedisTests):
    is_async = True


def async_page(browser: Browser) -> dict[str, Any]:
    """Return the devices as JSON."""
    client = Client()
    client.cookies = browser._client.cookies
    found: dict[str, Any] = client.get("/devices/", headers={"Accept": "application/json"}).json()
    return found


class OrderTests(SimpleTestCase):
    def test_we_are_told_of_a_login_before_who_came_first(self) -> None:
        """One that saves the session must not do so before it is known whose login it is."""

        def save(request: HttpRequest, **kwargs: Any) -> None:
            request.session.save()

        receivers = user_logged_in.receivers
        before = list(receivers)
        self.addCleanup(user_logged_in.sender_receivers_cache.clear)
        self.addCleanup(receivers.__setitem__, slice(None), before)
        user_logged_in.connect(save, weak=False)
        receivers.insert(0, receivers.pop())
        connect_receivers()
        order = [connected[1] for connected in receivers]
        told = [each() if isinstance(each, ReferenceType) else each for each in order]
        assert told[:2] == [takeovers.follow_login, follow_login]
        assert told.count(follow_login) == 1
        assert save in told


@override_settings(ROOT_URLCONF="tests.test_takeovers")
class ShownTests(TestCase):
    def setUp(self) -> None:
        self.bob = User.objects.create_user("bob")
        self.eve = User.objects.create_user("eve <b>")
        self.own = self.log_in_both()

    def log_in_both(self) -> Client:
        own, staff = Client(), Client()
        own.get("/log_in/bob/")
        staff.force_login(self.eve)
        staff.get("/act_as/bob/")
        return own

    def test_the_user_sees_who_acts(self) -> None:
        page = self.own.get("/devices/")
        self.assertContains(page, "<bdi>Support (eve &lt;b&gt;)</bdi>", count=1, html=True)
        with translation.override("de"):
            page = self.own.get("/devices/", headers={"Accept-Language": "de"})
        self.assertContains(page, "Support (eve &lt;b&gt;)")
        this, other = self.own.get("/devices/", headers={"Accept": "application/json"}).json()[
            "devices"
        ]
        assert (this["is_takeover"], this["actor"]) == (False, None)
        assert (other["is_takeover"], other["actor"]) == (True, "eve <b>")

    def test_who_acts_costs_one_query_and_only_then(self) -> None:
        with self.assertNumQueries(5):
            self.own.get("/devices/")
        devices.end_session(self.bob, devices.sessions_for_user(self.bob)[0].id)
        devices.end_session(self.bob, devices.sessions_for_user(self.bob)[-1].id)
        self.own.get("/log_in/bob/")
        with self.assertNumQueries(4):
            self.own.get("/devices/")

    def test_the_command_says_it(self) -> None:
        out = StringIO()
        call_command("sessions", "list", "--user=bob", "--json", stdout=out)
        shown = {entry["actor"]: entry for entry in json.loads(out.getvalue())}
        assert shown.keys() == {None, "eve <b>"}
        assert shown["eve <b>"]["actor_id"] == str(self.eve.pk)
        assert shown["eve <b>"]["username"] == "bob"
        out = StringIO()
        call_command("sessions", "list", "--user=bob", stdout=out)
        assert out.getvalue().count("bob (by eve <b>)") == 1
        self.eve.delete()
        out = StringIO()
        call_command("sessions", "list", stdout=out)
        assert "bob (by " in out.getvalue()

    def test_what_somebody_acts_in_can_be_ended_by_hand(self) -> None:
        for site in (override_settings(), ON_A_CACHE):
            with site:
                self.log_in_both()
                store = SessionStore.get_store()
                index = store.database_index()
                assert store.has_database_index
                for row in index.filter(actor_id=str(self.eve.pk)):
                    assert store.destroy_session(row.user_id, row.id)
                listed = devices.sessions_for_user(self.bob)
                assert {each.actor_id for each in listed} == {None}


@override_settings(ROOT_URLCONF="tests.session_admin.test_session_admin")
class AdminTests(TestCase):
    def test_the_admin_says_it(self) -> None:
        bob, eve = User.objects.create_user("bob"), User.objects.create_superuser("eve")
        request = request_with(SessionStore(), eve)
        mark_as_takeover(request, by=eve)
        login(request, bob, backend=BACKEND)
        request.session.save()
        client = Client()
        client.force_login(eve)
        page = client.get(reverse("admin:auth_user_sessions", args=[bob.pk]))
        self.assertContains(page, "Support (eve)", count=1)


def test_who_acts_merges_with_the_login() -> None:
    class Json:
        def dumps(self, data: Any) -> bytes:
            return json.dumps(data).encode()

        def loads(self, data: bytes) -> Any:
            return json.loads(data)

    base: dict[str, Any] = {"cart": 1}
    theirs = base | {
        SESSION_KEY: "7",
        ACTOR_SESSION_KEY: {"actor_id": "8", "user_id": "7"},
    }
    ours = base | {SESSION_KEY: "7"}
    merge_theirs(ours, base=base, theirs=theirs, serializer=Json())
    assert ACTOR_SESSION_KEY not in ours
    ours = {"cart": 2}
    merge_theirs(ours, base=base, theirs=theirs, serializer=Json())
    assert ours == theirs | {"cart": 2}


def test_a_mark_that_is_none_is_nothing() -> None:
    for mark in ("8", ["8", "7"], {}, {"actor_id": 8, "user_id": "7"}, {"user_id": "7"}, None):
        assert SessionStore().get_actor_id({SESSION_KEY: "7", ACTOR_SESSION_KEY: mark}) is None
    mark = {"actor_id": "8", "user_id": "7"}
    assert SessionStore().get_actor_id({SESSION_KEY: "7", ACTOR_SESSION_KEY: mark}) == "8"
    assert SessionStore().get_actor_id({ACTOR_SESSION_KEY: mark | {"user_id": None}}) is None


def test_it_is_by_the_user_of_the_session() -> None:
    """Others may have put another user into the request, as django-impersonate does."""
    request = request_with(SessionStore(), User(pk=42, username="bob"))
    request.session[SESSION_KEY] = "8"
    takes_over(lambda request: None)(request)
    assert request.session.next_actor_id == "8"
    assert ACTOR_SESSION_KEY not in request.session


def test_nobody_acts_who_is_nobody() -> None:
    with pytest.raises(TypeError, match="by"):
        mark_as_takeover(request_with(SessionStore()), by=AnonymousUser())
