"""SESSION_MAX_PER_USER: kept while logins come in at once, and what a login makes of it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.contrib.auth import SESSION_KEY, alogin, get_user, login, logout
from django.contrib.auth import views as auth_views
from django.contrib.auth.models import User
from django.db import connection, connections
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, TestCase, TransactionTestCase, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import path
from django.utils import timezone

from django_multistore import devices
from django_multistore.engine import SessionStore
from django_multistore.exceptions import NotSupported, SessionLimitReached
from django_multistore.records import Limit, Outcome, SessionRecord, key_of, new_id
from django_multistore.session.keys import new_session_key
from django_multistore.stores import stores
from django_multistore.stores.base import BaseStore
from django_multistore.stores.memory import MemoryStore
from django_multistore.stores.orm import OrmStore
from django_multistore.stores.redis import RedisStore
from django_multistore.testing import make_record
from django_multistore.views import SessionLimitMixin
from tests import servers
from tests.support.helpers import rounds
from tests.support.sessions import at
from tests.support.stores import MEMORY, ON_A_CACHE
from tests.support.users import BACKEND, logged_in, request_with
from tests.support.views import log_in, page

AT_ONCE = 6
DATABASES = {"default", *(set(connections) & {"postgres", "mariadb"})}


def redis_store() -> BaseStore:
    return RedisStore(
        "mine",
        URL=f"redis://{servers.require('redis')}/5",
        KEY_PREFIX=f"{django_settings.OWN_PREFIX}:limits:",
    )


def orm_store(database: str) -> BaseStore:
    if database not in connections:
        servers.require(database)
    return OrmStore("mine", DATABASE=database)


STORES: dict[str, Callable[[], BaseStore]] = {
    "memory": lambda: MemoryStore("mine"),
    "default": lambda: orm_store("default"),
    "postgres": lambda: orm_store("postgres"),
    "mariadb": lambda: orm_store("mariadb"),
    "redis": redis_store,
}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, transactional_db: None) -> BaseStore:
    return STORES[request.param]()


def at_once(action: Callable[[int], Any]) -> list[Any]:
    """Run the action in some threads that begin together, and return what each returned."""
    barrier, returned = threading.Barrier(AT_ONCE), []

    def run(number: int) -> None:
        try:
            barrier.wait(10)
            returned.append(action(number))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(returned) == AT_ONCE
    return returned


@pytest.mark.stress
@pytest.mark.parametrize("way", ["create", "update", "rotate"])
@pytest.mark.django_db(transaction=True, databases=DATABASES)
def test_exactly_so_many_are_admitted_at_once(store: BaseStore, way: str) -> None:
    limit = Limit(most=2, evicts=False)
    for _ in range(rounds() // 30):
        user_id = str(new_id())

        def log_in(number: int, user_id: str = user_id) -> Outcome:
            return store.admit(*login_of(store, user_id, way), limit).outcome

        outcomes = Counter(at_once(log_in))
        assert outcomes == {Outcome.DONE: 2, Outcome.FULL: AT_ONCE - 2}
        assert len(store.sessions_for_user(user_id)) == 2


@pytest.mark.stress
@pytest.mark.parametrize("way", ["create", "update", "rotate"])
@pytest.mark.django_db(transaction=True, databases=DATABASES)
def test_exactly_so_many_stay_of_those_at_once(store: BaseStore, way: str) -> None:
    limit = Limit(most=2, evicts=True)
    for _ in range(rounds() // 30):
        user_id, evicted = str(new_id()), []

        def log_in(number: int, user_id: str = user_id, evicted: list[int] = evicted) -> Outcome:
            admission = store.admit(*login_of(store, user_id, way), limit)
            evicted += [record.id for record in admission.evicted]
            return admission.outcome

        assert set(at_once(log_in)) == {Outcome.DONE}
        assert len(store.sessions_for_user(user_id)) == 2
        # Each is told of once, however many have seen that it is too many.
        assert len(evicted) == len(set(evicted)) == AT_ONCE - 2


@pytest.mark.stress
@pytest.mark.parametrize("evicts", [True, False])
@pytest.mark.parametrize("way", ["create", "update", "rotate"])
@pytest.mark.django_db(transaction=True, databases=DATABASES)
def test_takeovers_among_logins_at_once_take_no_place(
    store: BaseStore, way: str, evicts: bool
) -> None:
    limit = Limit(most=2, evicts=evicts)
    for _ in range(rounds() // 60):
        user_id = str(new_id())

        def log_in(number: int, user_id: str = user_id) -> Outcome:
            actor_id = str(number) if number % 2 else None
            return store.admit(*login_of(store, user_id, way, actor_id), limit).outcome

        outcomes = Counter(at_once(log_in))
        refused = 0 if evicts else AT_ONCE // 2 - 2
        assert outcomes[Outcome.FULL] == refused
        assert outcomes[Outcome.DONE] == AT_ONCE - refused
        actors = Counter(record.actor_id for record in store.sessions_for_user(user_id))
        assert actors == {None: 2, "1": 1, "3": 1, "5": 1}


def login_of(
    store: BaseStore, user_id: str, way: str, actor_id: str | None = None
) -> tuple[str | None, SessionRecord]:
    """Return what to admit; of a visitor's session that is in the store, if it is one's."""
    now = timezone.now()
    fresh = make_record(user_id=user_id, authenticated_at=now, actor_id=actor_id)
    if way == "create":
        return None, fresh
    store.create(replace(fresh, user_id=None, authenticated_at=None, actor_id=None))
    new_key = fresh.key if way == "update" else key_of(new_session_key())
    return fresh.key, replace(fresh, key=new_key)


FORM = "django_multistore/log_out_other_devices.html"
REFUSING = {"SESSION_MAX_PER_USER_POLICY": "refuse"}
TOO_MANY = "You are logged in on as many devices as you may be."


class LoginView(SessionLimitMixin, auth_views.LoginView):
    template_name = FORM
    next_page = "/page/"


class PlainLoginView(auth_views.LoginView):
    template_name = FORM
    next_page = "/page/"


async def apage(request: HttpRequest) -> HttpResponse:
    user, cart = await request.auser(), await request.session.aget("cart")
    return HttpResponse(f"{user} {cart}")


def cart(request: HttpRequest) -> HttpResponse:
    request.session["cart"] = "full"
    return HttpResponse()


async def acart(request: HttpRequest) -> HttpResponse:
    await request.session.aset("cart", "full")
    return HttpResponse()


async def alog_in(request: HttpRequest) -> HttpResponse:
    user = await User.objects.aget(username=request.GET.get("user", "bob"))
    try:
        await alogin(request, user, backend=BACKEND)
    except SessionLimitReached:
        names = sorted(await request.session.akeys())
        return HttpResponse(f"refused: {await request.auser()}, {names}")
    return HttpResponse()


def by_hand(request: HttpRequest) -> HttpResponse:
    request.session[SESSION_KEY] = str(User.objects.get(username="bob").pk)
    return HttpResponse()


async def aby_hand(request: HttpRequest) -> HttpResponse:
    user = await User.objects.aget(username="bob")
    await request.session.aset(SESSION_KEY, str(user.pk))
    return HttpResponse()


def log_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse()


def rotate(request: HttpRequest) -> HttpResponse:
    request.session.cycle_key()
    return HttpResponse()


async def arotate(request: HttpRequest) -> HttpResponse:
    await request.session.acycle_key()
    return HttpResponse()


urlpatterns = [
    path("login/", LoginView.as_view()),
    path("plain/", PlainLoginView.as_view()),
    path("log_out/", log_out),
    *(
        path(f"{view.__name__}/", view)
        for view in (page, apage, cart, acart, log_in, alog_in, by_hand, aby_hand, rotate, arotate)
    ),
]


class Visitor:
    """A browser, and what its user does with it."""

    def __init__(self, *, is_async: bool) -> None:
        self._client = AsyncClient() if is_async else Client()
        self._prefix = "a" if is_async else ""

    def get(self, view: str) -> Any:
        """Ask for a view, which has a variant for async code."""
        return self._ask("get", f"/{self._prefix}{view}")

    def log_in(self, url: str = "/login/") -> Any:
        return self._ask("post", url, {"username": "bob", "password": "secret"})

    def log_out(self) -> None:
        self._ask("get", "/log_out/")

    @property
    def sees(self) -> str:
        return self.get("page/").content.decode()

    def _ask(self, method: str, *arguments: Any) -> Any:
        ask = getattr(self._client, method)
        return async_to_sync(ask)(*arguments) if self._prefix else ask(*arguments)


USER, NOBODY, NOBODY_WITH_CART = "bob None", "AnonymousUser None", "AnonymousUser full"


@override_settings(ROOT_URLCONF="tests.auth.test_limits", SESSION_MAX_PER_USER=2)
class LoginTests(TestCase):
    is_async = False

    def setUp(self) -> None:
        self.user = User.objects.create_user("bob", password="secret")
        self.other = User.objects.create_user("eve")
        # What a test leaves in another store than the database, no rollback removes.
        for user in (self.user, self.other):
            stores["default"].destroy_for_user(user.pk)

    def visitors(self, count: int) -> list[Visitor]:
        return [Visitor(is_async=self.is_async) for _ in range(count)]

    def users(self, count: int) -> list[Visitor]:
        users = self.visitors(count)
        for user in users:
            self.assertEqual(user.log_in().status_code, 302)
        return users

    def assert_live(self, count: int) -> None:
        self.assertEqual(len(devices.sessions_for_user(self.user)), count)

    def assert_403(self, action: Callable[[], Any]) -> None:
        with self.assertLogs("django.request", "WARNING"):
            self.assertEqual(action().status_code, 403)

    def test_one_login_more_ends_the_oldest(self) -> None:
        first, second, third = self.users(3)
        self.assertEqual([each.sees for each in (first, second, third)], [NOBODY, USER, USER])
        self.assert_live(2)
        self.assertEqual(first.log_in().status_code, 302)
        self.assertEqual([each.sees for each in (first, second, third)], [USER, NOBODY, USER])

    def test_each_way_of_logging_in_counts(self) -> None:
        for way in ("log_in/", "by_hand/"):
            first, second = self.users(2)
            (third,) = self.visitors(1)
            with self.subTest(way):
                third.get("cart/")
                self.assertEqual(third.get(way).status_code, 200)
                self.assert_live(2)
                self.assertEqual((first.sees, second.sees), (NOBODY, USER))
            stores["default"].destroy_for_user(self.user.pk)

    def test_the_login_again_of_a_session_that_counts_ends_none(self) -> None:
        users = self.users(2)
        for user in users:
            self.assertEqual(user.log_in().status_code, 302)
            self.assertEqual(user.get("log_in/").status_code, 200)
        self.assertEqual([user.sees for user in users], [USER, USER])

    def test_a_login_again_makes_a_session_the_youngest(self) -> None:
        first, second = self.users(2)
        first.log_in()
        (third,) = self.users(1)
        self.assertEqual([each.sees for each in (first, second, third)], [USER, NOBODY, USER])

    def test_each_user_has_a_count_of_their_own(self) -> None:
        users = self.users(2)
        for visitor in self.visitors(2):
            visitor.get("log_in/?user=eve")
        self.assertEqual([user.sees for user in users], [USER, USER])
        self.assertEqual(len(devices.sessions_for_user(self.other)), 2)

    @override_settings(**REFUSING)
    def test_where_it_is_refused_the_form_says_so(self) -> None:
        users = self.users(2)
        (third,) = self.visitors(1)
        third.get("cart/")
        for _ in range(2):
            response = third.log_in()
            self.assertContains(response, TOO_MANY)
            self.assertEqual(str(response.context["user"]), "AnonymousUser")
            self.assertEqual(third.sees, NOBODY_WITH_CART)
        self.assertEqual([user.sees for user in users], [USER, USER])
        self.assert_live(2)

    @override_settings(**REFUSING)
    def test_a_visitor_without_a_session_is_refused_too(self) -> None:
        self.users(2)
        (third,) = self.visitors(1)
        self.assertContains(third.log_in(), TOO_MANY)
        self.assertEqual(third.sees, NOBODY)
        self.assert_live(2)

    @override_settings(**REFUSING)
    def test_after_a_logout_elsewhere_there_is_room(self) -> None:
        first, second = self.users(2)
        (third,) = self.visitors(1)
        third.get("cart/")
        third.log_in()
        first.log_out()
        self.assertEqual(third.log_in().status_code, 302)
        self.assertEqual([first.sees, second.sees, third.sees], [NOBODY, USER, "bob full"])
        self.assert_live(2)

    @override_settings(**REFUSING)
    def test_without_the_mixin_it_is_a_403(self) -> None:
        self.users(2)
        for has_session in (False, True):
            (third,) = self.visitors(1)
            if has_session:
                third.get("cart/")
            self.assert_403(lambda third=third: third.log_in("/plain/"))
            self.assertEqual(third.sees, NOBODY_WITH_CART if has_session else NOBODY)
        self.assert_live(2)

    @override_settings(**REFUSING)
    def test_a_view_that_catches_it_has_a_visitor(self) -> None:
        self.users(2)
        (third,) = self.visitors(1)
        third.get("cart/")
        answer = third.get("log_in/").content.decode()
        self.assertEqual(answer, "refused: AnonymousUser, ['cart']")
        self.assertEqual(third.sees, NOBODY_WITH_CART)

    @override_settings(**REFUSING)
    def test_a_user_who_was_set_by_hand_is_refused_by_a_403(self) -> None:
        self.users(2)
        for has_session in (False, True):
            (third,) = self.visitors(1)
            if has_session:
                third.get("cart/")
            self.assert_403(lambda third=third: third.get("by_hand/"))
            self.assertEqual(third.sees, NOBODY_WITH_CART if has_session else NOBODY)
        self.assert_live(2)

    @override_settings(**REFUSING)
    def test_a_session_that_counts_is_not_refused(self) -> None:
        users = self.users(2)
        for user in users:
            self.assertEqual(user.log_in().status_code, 302)
            self.assertEqual(user.get("log_in/").content, b"")
            self.assertEqual(user.get("cart/").status_code, 200)
            self.assertEqual(user.get("rotate/").status_code, 200)
            self.assertEqual(user.sees, "bob full")
        self.assert_live(2)

    def test_a_rotation_ends_none(self) -> None:
        users = self.users(2)
        for user in users:
            self.assertEqual(user.get("rotate/").status_code, 200)
        self.assertEqual([user.sees for user in users], [USER, USER])

    @override_settings(**REFUSING)
    def test_a_session_of_another_user_is_ended_and_refused(self) -> None:
        """Django's login() ends it before it asks."""
        self.users(2)
        (visitor,) = self.visitors(1)
        visitor.get("log_in/?user=eve")
        self.assertContains(visitor.log_in(), TOO_MANY)
        self.assertEqual(visitor.sees, NOBODY)
        self.assertEqual(devices.sessions_for_user(self.other), [])

    def test_a_session_that_has_expired_does_not_count(self) -> None:
        for policy in ("refuse", "evict-oldest"):
            with override_settings(SESSION_MAX_PER_USER_POLICY=policy, SESSION_COOKIE_AGE=3600):
                with at(timezone.now() - timedelta(hours=2)):
                    logged_in(self.user)
                first, second = self.users(2)
                self.assertEqual((first.sees, second.sees), (USER, USER))
            stores["default"].destroy_for_user(self.user.pk)

    def test_without_the_setting_there_is_no_limit(self) -> None:
        with override_settings(SESSION_MAX_PER_USER=None, **REFUSING):
            users = self.users(4)
            self.assertEqual([user.sees for user in users], [USER] * 4)

    @override_settings(**REFUSING)
    def test_a_session_that_is_cleared_first_counts_once(self) -> None:
        _, session = logged_in(self.user), logged_in(self.user)
        session.clear()
        session[SESSION_KEY] = str(self.user.pk)
        session.save()


class AsyncLoginTests(LoginTests):
    is_async = True

    @override_settings(**REFUSING)
    async def test_alogin_raises(self) -> None:
        for number in range(3):
            session = SessionStore()
            await session.aset("cart", "full")
            request = request_with(session)
            if number < 2:
                await alogin(request, self.user, backend=BACKEND)
                continue
            with pytest.raises(SessionLimitReached, match="SESSION_MAX_PER_USER"):
                await alogin(request, self.user, backend=BACKEND)
            assert (await request.auser()).is_anonymous
            assert request.user.is_anonymous
            assert get_user(request).is_anonymous
            await session.asave()
            stored = SessionStore(session.session_key)
            assert await stored.aload() == {"cart": "full"}


IN_MEMORY = override_settings(SESSION_STORES=MEMORY)


@ON_A_CACHE
class LoginOnACacheTests(LoginTests):
    pass


@ON_A_CACHE
class AsyncLoginOnACacheTests(AsyncLoginTests):
    pass


@IN_MEMORY
class LoginInMemoryTests(LoginTests):
    pass


@IN_MEMORY
class AsyncLoginInMemoryTests(AsyncLoginTests):
    pass


@override_settings(ROOT_URLCONF="tests.auth.test_limits", SESSION_MAX_PER_USER=1)
class AtomicRequestsTests(TransactionTestCase):
    """Each view in a transaction, which is rolled back where the view raises."""

    def setUp(self) -> None:
        User.objects.create_user("bob", password="secret")
        self.enterContext(patch.dict(connection.settings_dict, ATOMIC_REQUESTS=True))
        self.here, self.there = Visitor(is_async=False), Visitor(is_async=False)
        self.here.log_in()
        self.there.get("cart/")

    def test_the_oldest_is_ended(self) -> None:
        self.assertEqual(self.there.log_in().status_code, 302)
        self.assertEqual((self.here.sees, self.there.sees), (NOBODY, "bob full"))

    @override_settings(**REFUSING)
    def test_the_form_says_that_it_is_refused(self) -> None:
        self.assertContains(self.there.log_in(), TOO_MANY)
        self.assertEqual((self.here.sees, self.there.sees), (USER, NOBODY_WITH_CART))
        self.here.log_out()
        self.assertEqual(self.there.log_in().status_code, 302)
        self.assertEqual(self.there.sees, "bob full")

    @override_settings(**REFUSING)
    def test_a_refusal_that_rolls_back_leaves_the_visitors_session(self) -> None:
        with self.assertLogs("django.request", "WARNING"):
            self.assertIn(self.there.log_in("/plain/").status_code, (400, 403))
        self.assertEqual((self.here.sees, self.there.sees), (USER, NOBODY_WITH_CART))

    @override_settings(**REFUSING)
    def test_a_refusal_that_rolls_back_is_a_403(self) -> None:
        with self.assertLogs("django.request", "WARNING"):
            self.assertEqual(self.there.log_in("/plain/").status_code, 403)

    @override_settings(**REFUSING)
    def test_a_user_who_was_set_by_hand_is_a_403(self) -> None:
        with self.assertLogs("django.request", "WARNING"):
            self.assertEqual(self.there.get("by_hand/").status_code, 403)
        self.assertEqual((self.here.sees, self.there.sees), (USER, NOBODY_WITH_CART))


@override_settings(
    SESSION_MAX_PER_USER=2,
    SESSION_STORES={"default": {"BACKEND": "tests.support.smallest_store.SmallestStore"}},
)
class UnsupportedTests(TestCase):
    def test_a_store_that_finds_no_users_says_so(self) -> None:
        user = User.objects.create_user("bob")
        for policy in ("evict-oldest", "refuse"):
            with (
                self.subTest(policy),
                override_settings(SESSION_MAX_PER_USER_POLICY=policy),
                pytest.raises(NotSupported, match=r"'default' \(SmallestStore\).*OrmStore can"),
            ):
                self.log_in(user)

    def log_in(self, user: User) -> None:
        request = request_with(SessionStore())
        login(request, user, backend=BACKEND)
        request.session.save()

    def test_visitors_and_whoever_is_logged_in_do_not_mind(self) -> None:
        session = SessionStore()
        session["cart"] = "full"
        session.save()
        with override_settings(SESSION_MAX_PER_USER=None):
            session[SESSION_KEY] = "7"
            session.save()
        session = SessionStore(session.session_key)
        session["cart"] = "fuller"
        session.cycle_key()
        assert SessionStore(session.session_key)["cart"] == "fuller"


@pytest.mark.skipif(django_settings.DEFAULT_DB != "sqlite", reason="SQLite's way to take turns")
class StatementCountTests(TransactionTestCase):
    """Outside of a transaction, where a BEGIN or a SAVEPOINT would show."""

    def setUp(self) -> None:
        self.user = User.objects.create_user("bob")

    def log_in(self, *, with_session: bool = False, is_async: bool = False) -> list[str]:
        """Log in and return the first words of the statements, but for the user's last_login."""
        session = SessionStore()
        if with_session:
            session["cart"] = "full"
            session.save()
            session = SessionStore(session.session_key)
        with CaptureQueriesContext(connection) as captured:
            if is_async:
                async_to_sync(alogin)(request_with(session), self.user, backend=BACKEND)
                async_to_sync(session.asave)()
            else:
                login(request_with(session), self.user, backend=BACKEND)
                session.save()
        statements = [query["sql"] for query in captured.captured_queries]
        return [sql.split()[0] for sql in statements if "auth_user" not in sql]

    def test_without_the_setting_none_is_added(self) -> None:
        for is_async in (False, True):
            assert self.log_in(is_async=is_async) == ["INSERT", "UPDATE"]
            with_session = self.log_in(with_session=True, is_async=is_async)
            assert with_session == ["SELECT", "UPDATE", "UPDATE"]

    def test_without_the_setting_a_login_waits_for_the_save(self) -> None:
        session = SessionStore()
        with CaptureQueriesContext(connection) as captured:
            login(request_with(session), self.user, backend=BACKEND)
            session["cart"] = "full"
            session.save()
        statements = [query["sql"].split()[0] for query in captured.captured_queries]
        # The second is the user's last_login.
        assert statements == ["INSERT", "UPDATE", "UPDATE"]

    def test_to_end_the_oldest(self) -> None:
        # The DELETE of nothing makes this the one writer; then the session is written, the
        # user's are listed, and each beyond the limit is ended.
        turn = ["BEGIN", "DELETE", "UPDATE", "SELECT", "COMMIT"]
        evicting = ["BEGIN", "DELETE", "UPDATE", "SELECT", "DELETE", "COMMIT"]
        with override_settings(SESSION_MAX_PER_USER=2):
            assert self.log_in() == ["INSERT", *turn]
            assert self.log_in(with_session=True) == ["SELECT", "UPDATE", *turn]
            assert self.log_in(is_async=True) == ["INSERT", *evicting]
            assert self.log_in(with_session=True) == ["SELECT", "UPDATE", *evicting]

    def test_to_refuse(self) -> None:
        with override_settings(SESSION_MAX_PER_USER=2, **REFUSING):
            for is_async in (False, True):
                turn = ["BEGIN", "DELETE", "SELECT", "UPDATE", "COMMIT"]
                assert self.log_in(is_async=is_async) == ["INSERT", *turn]
            with CaptureQueriesContext(connection) as captured, pytest.raises(SessionLimitReached):
                login(request_with(SessionStore()), self.user, backend=BACKEND)
        asked = [query["sql"] for query in captured.captured_queries]
        # When Django notes the time of a login is its own matter.
        words = [sql.split()[0] for sql in asked if not sql.startswith('UPDATE "auth_user"')]
        turn = ["BEGIN", "DELETE", "SELECT", "COMMIT"]
        # Only then the user's sessions are listed and looked at, whether any can't be opened.
        assert words == ["INSERT", *turn, "SELECT", "SELECT", "SELECT"]

    def test_a_session_that_counts_already_costs_what_it_did(self) -> None:
        costs = []
        for limit in (None, 2):
            with override_settings(SESSION_MAX_PER_USER=limit):
                session = logged_in(self.user)
                with CaptureQueriesContext(connection) as captured:
                    session["cart"] = limit
                    session.save()
                    session.cycle_key()
                    login(request_with(session, self.user), self.user, backend=BACKEND)
                    session.save()
                    session.flush()
                costs.append([query["sql"].split()[0] for query in captured.captured_queries])
        assert costs[0] == costs[1]
