"""Other packages' engines that sites come from: django-qsessions and two more."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import alogin
from django.contrib.auth.models import User
from django.core.cache import caches
from django.db import IntegrityError, connection
from django.http import HttpRequest
from django.test import Client, TransactionTestCase, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_multistore.adopting.old_engines import OldEngine, find_old_engine
from django_multistore.records import Device
from tests import servers
from tests.beside.browsers import name_of

KEY = "k" * 32
HOUR = timedelta(hours=1)
AGENT = "Mozilla/5.0 " + "x" * 400
SEEN = Device(ip_address="192.0.2.7", user_agent=AGENT)


class TableCase(TransactionTestCase):
    """An old site. What is deferred to the end of a transaction is tested, too."""

    engine = middleware = app = ""
    cut = 0  # How much of a user agent its column holds.

    @property
    def rows(self) -> Any:
        return import_module(f"{self.app}.models").Session

    def setUp(self) -> None:
        caches["default"].clear()
        self.user = User.objects.create_user("bob")
        self.old = find_old_engine(self.engine)
        self.data = {
            "_auth_user_id": str(self.user.pk),
            "_auth_user_backend": "django.contrib.auth.backends.ModelBackend",
            "_auth_user_hash": self.user.get_session_auth_hash(),
            "cart": [1],
        }

    def open(self, key: str | None = None, agent: str = AGENT, ip: str = "192.0.2.7") -> Any:
        return import_module(self.engine).SessionStore(key, user_agent=agent, ip=ip)

    def make(self, data: dict[str, Any] | None = None, expiry: Any = None) -> str:
        session = self.open()
        session.create()
        for key, value in (self.data if data is None else data).items():
            session[key] = value
        if expiry is not None:
            session.set_expiry(expiry)
        session.save()
        return str(session.session_key)

    def old_site(self) -> Any:
        return override_settings(
            SESSION_ENGINE=self.engine,
            MIDDLEWARE=[
                self.middleware,
                "django.contrib.auth.middleware.AuthenticationMiddleware",
                "django.contrib.messages.middleware.MessageMiddleware",
            ],
        )

    def log_in(self) -> Client:
        client = Client(headers={"user-agent": AGENT}, REMOTE_ADDR="192.0.2.7")
        client.force_login(self.user)
        return client


class UsersTableTests:
    """What holds for both packages with a table."""

    def test_a_visitor_s_session_is_read(self: Any) -> None:
        before = datetime.now(UTC).replace(microsecond=0)
        with self.old_site():
            client = self.log_in()
            assert name_of(client) == "bob"
        key = client.cookies["sessionid"].value
        row = self.rows.objects.get(session_key=key)
        session = self.old.load(key)
        assert session is not None
        assert session.data["_auth_user_id"] == str(self.user.pk)
        assert not [name for name in session.data if "qsessions" in name]
        assert session.expires_at == row.expire_date
        assert before <= session.created_at <= session.last_seen_at <= datetime.now(UTC)
        assert session.device == Device(ip_address="192.0.2.7", user_agent=AGENT[: self.cut])

    def test_the_expiry_is_the_very_one(self: Any) -> None:
        for expiry in (None, 0, 300, timezone.now() + HOUR, HOUR):
            key = self.make(expiry=expiry)
            session = self.old.load(key)
            assert session.expires_at == self.rows.objects.get(session_key=key).expire_date

    def test_an_old_process_serves_what_was_written_here_and_has_nothing_to_save(
        self: Any,
    ) -> None:
        assert self.old.create(KEY, self.data, SEEN)
        for cart in ([1], [2]):
            self.data["cart"] = cart
            assert self.old.save(KEY, self.data, SEEN)
            client = Client(headers={"user-agent": AGENT}, REMOTE_ADDR="192.0.2.7")
            client.cookies["sessionid"] = KEY
            with self.old_site(), CaptureQueriesContext(connection) as queries:
                assert name_of(client) == "bob"
            assert {query["sql"].split()[0] for query in queries} == {"SELECT"}
        assert dict(self.open(KEY).items()).items() >= self.data.items()
        row = self.rows.objects.get()
        assert (row.user_id, row.ip, row.user_agent) == (
            self.user.pk,
            SEEN.ip_address,
            AGENT[: self.cut],
        )
        assert self.old.load(KEY).data == self.data

    def test_a_save_that_knows_no_device_keeps_it(self: Any) -> None:
        key = self.make()
        assert self.old.save(key, {"a": 1}, None)
        session = self.old.load(key)
        assert session.data == {"a": 1}
        assert session.device == Device(ip_address="192.0.2.7", user_agent=AGENT[: self.cut])
        session = self.open(key)
        session.get("a")
        assert not session.modified

    def test_a_save_of_what_is_gone_makes_nothing(self: Any) -> None:
        assert not self.old.save(KEY, self.data, SEEN)
        assert not self.old.save(KEY, self.data, None)
        assert self.rows.objects.count() == 0

    def test_a_key_that_is_taken_stays_as_it_is(self: Any) -> None:
        key = self.make()
        assert not self.old.create(key, {"b": 1}, SEEN)
        assert self.old.load(key).data == self.data

    def test_a_user_who_is_gone_is_not_a_key_that_is_taken(self: Any) -> None:
        with pytest.raises(IntegrityError, match="Its user may be gone") as raised:
            self.old.create(KEY, {"_auth_user_id": "12345"}, SEEN)
        assert KEY not in str(raised.value)
        assert self.rows.objects.count() == 0

    def test_a_load_is_one_query_and_changes_nothing(self: Any) -> None:
        key, late = self.make(), self.make()
        self.rows.objects.filter(session_key=late).update(expire_date=timezone.now() - HOUR)
        before = list(self.rows.objects.values())
        for looked_for, is_there in ((key, True), (late, False), (KEY, False)):
            with self.assertNumQueries(1):
                assert (self.old.load(looked_for) is not None) is is_there
        assert list(self.rows.objects.values()) == before

    def test_a_delete_says_whether_it_was_there(self: Any) -> None:
        key, *others = [self.make() for _ in range(3)]
        assert (self.old.delete(key), self.old.delete(key)) == (True, False)
        self.old.delete_many(others)
        assert [dict(self.open(each).items()) for each in (key, *others)] == [{}] * 3

    def test_scan_and_count(self: Any) -> None:
        keys = sorted(self.make() for _ in range(4))
        self.rows.objects.filter(session_key=keys[0]).update(session_data="broken")
        self.rows.objects.filter(session_key=keys[1]).update(expire_date=timezone.now() - HOUR)
        seen = self.old.scan("", 2) + self.old.scan(keys[2], 2)
        assert [(key, session is None) for key, session in seen] == [
            (keys[0], True),
            (keys[2], False),
            (keys[3], False),
        ]
        assert self.old.count() == 3

    def test_a_user_s_sessions_are_found_whatever_the_column_says(self: Any) -> None:
        """Async code leaves it empty."""
        keys = sorted(self.make() for _ in range(3))
        other = User.objects.create_user("ann")
        self.make({"_auth_user_id": str(other.pk)})
        self.make({"a": 1})
        self.rows.objects.filter(session_key=keys[0]).update(user=None)
        self.rows.objects.filter(session_key=keys[1]).update(session_data="broken")
        assert list(self.old.keys_of_user(str(self.user.pk))) == keys
        assert list(self.old.keys_of_user("no number")) == []

    def test_a_login_in_async_code_is_found(self: Any) -> None:
        session = self.open()
        session.create()
        request = HttpRequest()
        request.session = session

        async def log_in() -> None:
            await alogin(request, self.user, "django.contrib.auth.backends.ModelBackend")
            await session.asave()

        async_to_sync(log_in)()
        assert self.rows.objects.get().user_id is None
        assert list(self.old.keys_of_user(str(self.user.pk))) == [session.session_key]
        assert self.old.load(session.session_key).data["_auth_user_id"] == str(self.user.pk)
        assert self.old.save(session.session_key, self.data, SEEN)
        assert self.rows.objects.get().user_id == self.user.pk

    def test_nothing_is_missing(self: Any) -> None:
        assert self.old.missing() is None

    def test_without_time_zones(self: Any) -> None:
        with override_settings(USE_TZ=False, TIME_ZONE="Europe/Berlin"):
            at = (datetime.now(UTC) + HOUR).isoformat()
            assert self.old.create(KEY, {"a": 1, "_session_expiry": at}, SEEN)
            session = self.old.load(KEY)
            assert session.expires_at.isoformat() == at
            assert abs(session.created_at - datetime.now(UTC)) < timedelta(seconds=9)
            assert abs(session.last_seen_at - datetime.now(UTC)) < timedelta(seconds=9)
            assert self.open(KEY)["a"] == 1


class QsessionsTests(UsersTableTests, TableCase):
    engine, app, cut = "qsessions.backends.db", "qsessions", 300
    middleware = "qsessions.middleware.SessionMiddleware"

    def test_the_session_is_as_old_as_it_is(self) -> None:
        key = self.make()
        then = datetime.now(UTC) - 5 * HOUR
        self.rows.objects.update(created_at=then)
        self.open(key).save()
        assert self.old.load(key).created_at == then  # type: ignore[union-attr]
        assert self.old.save(key, {"a": 1}, None)
        assert self.old.load(key).created_at == then  # type: ignore[union-attr]
        self.rows.objects.update(created_at=None)
        session = self.old.load(key)
        assert session is not None
        assert session.last_seen_at is not None
        assert timedelta(0) <= session.last_seen_at - session.created_at < timedelta(seconds=9)

    def test_where_the_columns_are_empty_the_data_say_it(self) -> None:
        key = self.make()
        self.rows.objects.update(user_agent=None, ip=None)
        session = self.old.load(key)
        assert session is not None
        assert session.device == Device(ip_address="192.0.2.7", user_agent=AGENT[:300])


class CachedQsessionsTests(UsersTableTests, TableCase):
    engine, app, cut = "qsessions.backends.cached_db", "qsessions", 300
    middleware = "qsessions.middleware.SessionMiddleware"

    def test_a_copy_whose_row_is_gone_has_ended(self) -> None:
        keys = [self.make() for _ in range(3)]
        self.rows.objects.all()._raw_delete("default")
        assert caches["default"].get(f"qsessions.q_cached_db{keys[0]}") is not None
        assert self.open(keys[0])["cart"] == [1]  # The old engine goes on serving it.
        assert self.old.load(keys[0]) is None
        assert not self.old.save(keys[0], {"a": 1}, None)
        assert not self.old.delete(keys[0])
        self.old.delete_many(keys[1:])
        assert [dict(self.open(key).items()) for key in keys] == [{}, {}, {}]

    def test_row_and_copy_are_removed_by_a_process_of_ours(self) -> None:
        """The package's own delete() looks for the copy by SESSION_ENGINE."""
        key = self.make()
        assert self.old.delete(key)
        assert caches["default"].get(f"qsessions.q_cached_db{key}") is None


class UserSessionsTests(UsersTableTests, TableCase):
    engine, app, cut = "user_sessions.backends.db", "user_sessions", 200
    middleware = "user_sessions.middleware.SessionMiddleware"


@pytest.fixture
def redis_sessions() -> OldEngine:
    address = servers.require("redis")
    host, port = address.split(":")
    own = import_module("redis_sessions.settings")
    own.SESSION_REDIS_HOST, own.SESSION_REDIS_PORT = host, int(port)
    own.SESSION_REDIS_PREFIX, own.SESSION_REDIS_DB = "old_site", 3
    own.SESSION_REDIS_SOCKET_TIMEOUT = 2
    return find_old_engine("redis_sessions.session")


def open_on_redis(key: str | None = None) -> Any:
    return import_module("redis_sessions.session").SessionStore(key)


def make_on_redis(data: dict[str, Any], expiry: Any = None) -> str:
    session = open_on_redis()
    session.update(data)
    if expiry is not None:
        session.set_expiry(expiry)
    session.create()
    session.save()
    return str(session.session_key)


class TestRedisSessions:
    def test_what_the_old_engine_writes_is_read(self, redis_sessions: OldEngine) -> None:
        key = make_on_redis({"_auth_user_id": "7", "a": ["é"]}, 3600)
        session = redis_sessions.load(key)
        assert session is not None
        assert session.data["a"] == ["é"]
        assert session.is_expiry_known
        assert abs(session.expires_at - datetime.now(UTC) - HOUR) < timedelta(seconds=2)
        assert timedelta(0) <= datetime.now(UTC) - session.created_at < timedelta(seconds=9)
        store = open_on_redis(key)
        store.server.expire(store.get_real_stored_key(key), 7200)
        session = redis_sessions.load(key)
        assert session is not None
        assert abs(session.expires_at - datetime.now(UTC) - 2 * HOUR) < timedelta(seconds=2)
        store.server.persist(store.get_real_stored_key(key))
        session = redis_sessions.load(key)
        assert session is not None
        assert not session.is_expiry_known

    def test_what_is_written_here_the_old_engine_reads(self, redis_sessions: OldEngine) -> None:
        redis_sessions.delete(KEY)
        assert not redis_sessions.save(KEY, {"a": 1}, None)
        assert dict(open_on_redis(KEY).items()) == {}
        assert redis_sessions.create(KEY, {"a": ["é"], "_session_expiry": 3600}, None)
        assert open_on_redis(KEY)["a"] == ["é"]
        store = open_on_redis(KEY)
        assert 3590 < store.server.ttl(store.get_real_stored_key(KEY)) <= 3600
        assert not redis_sessions.create(KEY, {"b": 1}, None)
        assert redis_sessions.save(KEY, {"b": 1}, None)
        assert dict(open_on_redis(KEY).items()) == {"b": 1}
        assert (redis_sessions.delete(KEY), redis_sessions.delete(KEY)) == (True, False)

    def test_of_what_is_gone_nothing_is_logged(
        self, redis_sessions: OldEngine, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        assert redis_sessions.load("g" * 32) is None
        assert caplog.records == []
        key = make_on_redis({"a": 1})
        store = open_on_redis(key)
        store.server.set(store.get_real_stored_key(key), b"\xff:broken")
        assert redis_sessions.load(key) is None

    def test_an_outage_is_no_end(self, redis_sessions: OldEngine) -> None:
        own = import_module("redis_sessions.settings")
        own.SESSION_REDIS_URL = "redis://127.0.0.1:1/0"  # Of a connection that isn't kept yet.
        try:
            for act in (
                lambda: redis_sessions.load(KEY),
                lambda: redis_sessions.save(KEY, {}, None),
                lambda: redis_sessions.create(KEY, {}, None),
                lambda: redis_sessions.delete(KEY),
            ):
                with pytest.raises(Exception, match="refused"):
                    act()
        finally:
            own.SESSION_REDIS_URL = None
