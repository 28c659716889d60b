"""freezegun and time-machine: which stores see the moved clock."""

from __future__ import annotations

import os
import unittest
from datetime import timedelta

import time_machine
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client, TestCase, override_settings
from django.utils import timezone
from freezegun import freeze_time

from django_multistore import devices
from django_multistore.engine import SessionStore
from django_multistore.models import StoredSession
from tests import servers
from tests.beside import pages
from tests.beside.browsers import name_of

CLOCKS = (freeze_time, time_machine.travel)
STORE = "django_multistore.stores."
PREFIX = f"beside-{os.getpid()}"


class ClockTests(TestCase):
    def setUp(self) -> None:
        self.user = User.objects.create_user("bob")
        self.later = timezone.now() + timedelta(seconds=settings.SESSION_COOKIE_AGE + 60)

    def log_in(self) -> Client:
        client = Client()
        client.force_login(self.user)
        return client

    def assert_ages(self) -> None:
        for clock in CLOCKS:
            with self.subTest(clock.__name__):
                client = self.log_in()
                assert name_of(client) == "bob"
                cookie = client.cookies["sessionid"].value
                with clock(self.later):
                    client.cookies["sessionid"] = cookie
                    assert name_of(client) == ""
                    assert devices.sessions_for_user(self.user) == []
                devices.log_out_everywhere(self.user)

    def test_in_a_table(self) -> None:
        self.assert_ages()

    @override_settings(SESSION_STORES={"default": {"BACKEND": f"{STORE}memory.MemoryStore"}})
    def test_in_memory(self) -> None:
        self.assert_ages()

    def test_last_seen_follows(self) -> None:
        for clock in CLOCKS:
            client = self.log_in()
            soon = timezone.now() + timedelta(hours=1)
            with clock(soon):
                client.get("/whoami/")
            latest = StoredSession.objects.latest("last_seen_at").last_seen_at
            assert abs(latest - soon) < timedelta(seconds=5)

    def test_the_test_of_the_page(self) -> None:
        self.user.delete()  # The page's has the same name.
        module = pages.make_module("clocks", "mysite/test_expiry.py")
        result = unittest.TestResult()
        module.ExpiryTests("test_a_session_ends")(result)
        assert result.testsRun == 1
        assert result.errors == result.failures == []


class ServerClockTests(TestCase):
    def look_later(self) -> set[str]:
        """Say whose session it is for a moved clock, once it should have ended."""
        user = User.objects.create_user("bob")
        seen = set()
        for clock in CLOCKS:
            client = Client()
            client.force_login(user)
            cookie = client.cookies["sessionid"].value
            with clock(timezone.now() + timedelta(seconds=settings.SESSION_COOKIE_AGE + 60)):
                seen.add(name_of(client))
            client.cookies["sessionid"] = cookie
            session = SessionStore(cookie)
            session.set_expiry(-1)
            session.save()
            assert name_of(client) == ""
        return seen

    def test_redis_keeps_its_own_time(self) -> None:
        options = {"URL": f"redis://{servers.require('redis')}/0", "KEY_PREFIX": f"{PREFIX}:"}
        store = {"BACKEND": f"{STORE}redis.RedisStore", "OPTIONS": options}
        with override_settings(SESSION_STORES={"default": store}):
            assert self.look_later() == {"bob"}

    def test_a_record_in_memcached_says_itself_when_it_ends(self) -> None:
        cache = {
            "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
            "LOCATION": servers.require("memcached"),
            "KEY_PREFIX": PREFIX,
        }
        store = {"BACKEND": f"{STORE}cache.CacheStore", "OPTIONS": {"CACHE": "sessions"}}
        caches = {**settings.CACHES, "sessions": cache}
        with override_settings(CACHES=caches, SESSION_STORES={"default": store}):
            assert self.look_later() == {""}
