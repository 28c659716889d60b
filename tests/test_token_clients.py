"""Sessions that come past the middleware are seen in use, and from where."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.contrib.sessions.backends.signed_cookies import SessionStore as CookieSession
from django.http import HttpRequest
from django.test import Client, RequestFactory, TestCase, override_settings
from django.utils import timezone

from django_multistore.engine import SessionStore
from django_multistore.exceptions import InvalidStore, StoreUnavailable
from django_multistore.records import Device, SessionRecord
from django_multistore.stores import stores
from django_multistore.token_clients import atouch_from, touch_from
from tests import servers
from tests.support.helpers import Clock
from tests.support.paths import CHECKOUT
from tests.support.stores import ON_A_CACHE, ON_REDIS

PHONE = Device(ip_address="198.51.100.7", user_agent="Phone/1.0")


def request_from(device: Device = PHONE) -> HttpRequest:
    return RequestFactory().get(
        "/", REMOTE_ADDR=device.ip_address, headers={"User-Agent": device.user_agent}
    )


class LoginTests(TestCase):
    """Of sessions without the middleware."""

    def setUp(self) -> None:
        self.user = User.objects.create_user("bob")

    def device(self, session: SessionStore) -> Device:
        record = stores["default"].read(session.key or "")
        assert record is not None
        return record.device

    def logged_in(self, request: HttpRequest, session: SessionStore) -> SessionStore:
        request.session = session
        login(request, self.user)
        session.save()
        return session

    def test_a_login_says_where_it_is_from(self) -> None:
        assert self.device(self.logged_in(request_from(), SessionStore())) == PHONE

    def test_with_a_limit_too(self) -> None:
        with override_settings(SESSION_MAX_PER_USER=1):
            session = self.logged_in(request_from(), SessionStore())
            assert self.device(session) == PHONE
            again = SessionStore(session.session_key)
            elsewhere = Device(ip_address="192.0.2.1", user_agent="Tablet/2")
            assert self.device(self.logged_in(request_from(elsewhere), again)) == elsewhere

    def test_what_was_said_before_stays(self) -> None:
        session = SessionStore()
        session.device = Device(user_agent="sync/1.2")
        assert self.device(self.logged_in(request_from(), session)).user_agent == "sync/1.2"

    def test_a_request_from_nowhere_says_nothing(self) -> None:
        session = self.logged_in(request_from(), SessionStore())
        again = SessionStore(session.session_key)
        assert self.device(self.logged_in(HttpRequest(), again)) == PHONE

    def test_a_resolver_is_not_asked_about_it(self) -> None:
        """The test client's, which has no address."""

        def resolver(request: HttpRequest) -> str:
            return request.META["HTTP_X_REAL_IP"]

        with override_settings(SESSION_IP_RESOLVER=resolver):
            Client().force_login(self.user)


class TouchTests(TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.enterContext(pytest.MonkeyPatch.context()).setattr(timezone, "now", self.clock)
        session = SessionStore()
        session["cart"] = 1
        session.save()
        self.session_key = session.session_key

    def touch(self, session: Any, device: Device = PHONE) -> None:
        touch_from(request_from(device), session)

    def session(self) -> SessionStore:
        return SessionStore(self.session_key)

    def record(self) -> SessionRecord:
        record = stores["default"].read(self.session().key or "")
        assert record is not None
        return record

    def test_last_seen_and_the_device_move_once_in_a_while(self) -> None:
        before = self.record()
        self.touch(self.session())
        assert self.record() == before
        self.clock.advance(seconds=301)
        self.touch(self.session())
        first = self.record()
        assert first.device == PHONE
        assert first.last_seen_at - before.last_seen_at >= timedelta(seconds=301)
        assert (first.expires_at, first.version) == (before.expires_at, before.version)
        self.clock.advance(seconds=100)
        self.touch(self.session(), Device(ip_address="192.0.2.1"))
        assert self.record() == first

    def test_one_instance_that_is_kept(self) -> None:
        session = self.session()
        for _ in range(3):
            self.clock.advance(seconds=301)
            before = self.record()
            self.touch(session)
            assert self.record().last_seen_at > before.last_seen_at

    def test_the_expiry_moves_where_it_would_with_the_middleware(self) -> None:
        before = self.record()
        self.clock.advance(seconds=301)
        with override_settings(SESSION_SAVE_EVERY_REQUEST=True):
            self.touch(self.session())
        assert self.record().expires_at - before.expires_at >= timedelta(seconds=301)

    def test_what_is_changed_beside_it_is_saved(self) -> None:
        session = self.session()
        self.clock.advance(seconds=301)
        session["cart"] = 2
        self.touch(session)
        session.save()
        assert self.session()["cart"] == 2
        assert self.record().device == PHONE

    def test_a_session_that_has_ended_stays_ended(self) -> None:
        session = self.session()
        session.open()
        self.session().delete()
        self.clock.advance(seconds=301)
        for each in (session, self.session(), SessionStore("x" * 32), SessionStore()):
            self.touch(each)
        assert stores["default"].read(self.session().key or "") is None

    def test_a_failing_touch_fails_nothing_and_a_failing_load_does(self) -> None:
        self.clock.advance(seconds=301)
        store = stores["default"]
        with pytest.MonkeyPatch.context() as patch:

            def fail(*args: object) -> None:
                raise StoreUnavailable("out")

            async def afail(*args: object) -> None:
                fail()

            patch.setattr(store, "touch", fail)
            patch.setattr(store, "atouch", afail)
            with self.assertLogs("django_multistore", "WARNING"):
                self.touch(self.session())
            patch.setattr(store, "read", fail)
            patch.setattr(store, "aread", afail)
            with pytest.raises(StoreUnavailable):
                self.touch(self.session())

    def test_another_engine_is_a_clear_error(self) -> None:
        with pytest.raises(InvalidStore, match="SESSION_ENGINE is"):
            self.touch(CookieSession())


class AsyncTouchTests(TouchTests):
    def touch(self, session: Any, device: Device = PHONE) -> None:
        async_to_sync(atouch_from)(request_from(device), session)


@ON_A_CACHE
class LoginOnACacheTests(LoginTests):
    pass


@ON_A_CACHE
class TouchOnACacheTests(TouchTests):
    pass


@ON_REDIS
class LoginOnRedisTests(LoginTests):
    def setUp(self) -> None:
        servers.require("redis")
        super().setUp()


@ON_REDIS
class TouchOnRedisTests(TouchTests):
    def setUp(self) -> None:
        servers.require("redis")
        super().setUp()


@ON_REDIS
class AsyncTouchOnRedisTests(AsyncTouchTests):
    def setUp(self) -> None:
        servers.require("redis")
        super().setUp()


def test_the_way_of_the_docs_with_allauth() -> None:
    """In a process of its own, for allauth brings tables, and models on Django's users."""
    pytest.importorskip("allauth.headless")
    # Not the checkout's package, where another one is installed: see pyproject.toml.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "pythonpath="]
    ended = subprocess.run(
        [*command, "--ds=tests.allauth_site.settings", "tests/allauth_site/suite.py"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
