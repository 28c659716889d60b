"""SESSION_MAX_PER_USER_POLICY "refuse": what no request can open takes no place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.contrib.auth import (
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
    get_user,
    login,
    update_session_auth_hash,
)
from django.contrib.auth.models import User
from django.db import connection
from django.test import TestCase, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_multistore import devices
from django_multistore.auth import unopenable
from django_multistore.engine import SessionStore
from django_multistore.exceptions import SessionLimitReached, StoreUnavailable
from django_multistore.records import Limit, SessionRecord, key_of
from django_multistore.session.keys import new_session_key
from django_multistore.signals import session_ended
from django_multistore.stores import stores
from django_multistore.testing import make_record
from tests import servers
from tests.support.sessions import at
from tests.support.stores import MEMORY, ON_A_CACHE
from tests.support.users import BACKEND, request_with

REFUSING = {"SESSION_MAX_PER_USER": 2, "SESSION_MAX_PER_USER_POLICY": "refuse"}
OLD_KEY, OTHER_KEY = "the key of before " * 3, "a key that nobody here knows " * 3


class Gibberish:
    def dumps(self, data: object) -> bytes:
        return b"\xff gibberish"


@override_settings(**REFUSING)
class OpenableTests(TestCase):
    is_async = False

    def setUp(self) -> None:
        self.user = User.objects.create_user("bob", password="secret")
        stores["default"].destroy_for_user(self.user.pk)
        self.ended: list[tuple[str, int | None]] = []
        session_ended.connect(self.note_end)
        self.addCleanup(session_ended.disconnect, self.note_end)

    def note_end(self, *, reason: str, id: int | None, **kwargs: Any) -> None:
        self.ended.append((reason, id))

    def log_in(self, user: User | None = None) -> SessionStore:
        request = request_with(SessionStore())
        user = User.objects.get(pk=self.user.pk) if user is None else user
        if self.is_async:
            async_to_sync(self.alog_in)(request.session, user)
        else:
            login(request, user, backend=BACKEND)
        return request.session

    async def alog_in(self, session: SessionStore, user: User) -> None:
        """Do as alogin() does, but for its signal, whose receivers are sync code."""
        await session.acycle_key()
        await session.aset(SESSION_KEY, str(user.pk))
        await session.aset(BACKEND_SESSION_KEY, BACKEND)
        await session.aset(HASH_SESSION_KEY, user.get_session_auth_hash())
        await session.asave()

    def change_password(self, password: str) -> None:
        user = User.objects.get(pk=self.user.pk)
        user.set_password(password)
        user.save()

    def listed(self) -> set[int]:
        return {record.id for record in devices.sessions_for_user(self.user)}

    def assert_refused(self) -> None:
        before = self.listed()
        with pytest.raises(SessionLimitReached):
            self.log_in()
        assert self.listed() == before

    def id_of(self, session: SessionStore) -> int:
        assert session.record is not None
        return session.record.id

    def test_what_opens_counts(self) -> None:
        self.log_in()
        self.log_in()
        self.assert_refused()
        assert [reason for reason, _ in self.ended if reason != "rotated"] == []

    def test_what_is_too_old_takes_no_place(self) -> None:
        """It lives on: only this host's clock and setting say so."""
        old = []
        for hours in (3, 2):
            with at(timezone.now() - timedelta(hours=hours)):
                old.append(self.log_in())
        self.assert_refused()
        with override_settings(SESSION_ABSOLUTE_AGE=3600):
            new = [self.log_in(), self.log_in()]
            assert self.listed() == {self.id_of(session) for session in (*old, *new)}
            assert [reason for reason, _ in self.ended if reason != "rotated"] == []
            self.assert_refused()

    def test_a_password_that_was_changed_frees_the_places(self) -> None:
        old = [self.id_of(self.log_in()) for _ in range(2)]
        self.change_password("new")
        new = [self.id_of(self.log_in()) for _ in range(2)]
        assert self.listed() == {*new}
        assert [end for end in self.ended if end[1] in old] == [("revoked", id) for id in old]
        self.assert_refused()

    def test_who_has_changed_it_goes_on_and_counts(self) -> None:
        here, there = self.log_in(), self.log_in()
        self.change_password("new")
        user = User.objects.get(pk=self.user.pk)
        update_session_auth_hash(request_with(here, user), user)
        here.save()
        new = self.log_in()
        assert self.listed() == {self.id_of(here), self.id_of(new)}
        assert self.id_of(there) not in self.listed()
        self.assert_refused()

    def test_a_key_that_became_a_fallback_opens(self) -> None:
        with override_settings(SECRET_KEY=OLD_KEY):
            old = [self.log_in() for _ in range(2)]
        with override_settings(SECRET_KEY_FALLBACKS=[OLD_KEY]):
            # Also what was saved under the new key, and still has the hash of before.
            session = SessionStore(old[0].session_key)
            session["page"] = 1
            session.save()
            self.assert_refused()
            assert get_user(request_with(session)) == self.user
            self.assert_refused()

    def test_a_password_that_was_changed_beside_a_fallback_key(self) -> None:
        with override_settings(SECRET_KEY=OLD_KEY):
            old = [self.id_of(self.log_in()) for _ in range(2)]
        with override_settings(SECRET_KEY_FALLBACKS=[OLD_KEY]):
            self.change_password("new")
            new = self.id_of(self.log_in())
            assert self.listed() == {old[1], new}

    def test_what_is_sealed_by_a_key_that_is_gone_takes_no_place_and_lives(self) -> None:
        """Another process may know that key: a new one comes to one after the other."""
        with override_settings(SECRET_KEY=OTHER_KEY):
            sealed = [self.log_in() for _ in range(2)]
        ids = {self.id_of(session) for session in sealed}
        new = {self.id_of(self.log_in()) for _ in range(2)}
        assert self.listed() == ids | new
        self.assert_refused()
        with override_settings(SECRET_KEY=OTHER_KEY):
            for session in sealed:
                assert get_user(request_with(SessionStore(session.session_key))) == self.user

    def test_data_that_no_serializer_reads_take_no_place(self) -> None:
        with override_settings(SESSION_SERIALIZER="tests.auth.test_unopenable.Gibberish"):
            old = {self.id_of(self.log_in()) for _ in range(2)}
        new = {self.id_of(self.log_in()) for _ in range(2)}
        assert self.listed() == old | new
        self.assert_refused()

    def test_a_login_of_before_the_change_ends_nobody(self) -> None:
        """Its user was read just before; by now others have the right hash, and not this one."""
        stale = User.objects.get(pk=self.user.pk)
        self.change_password("new")
        new = {self.id_of(self.log_in()) for _ in range(2)}
        with pytest.raises(SessionLimitReached):
            self.log_in(stale)
        assert self.listed() == new

    def test_a_hash_that_is_missing_tells_nothing(self) -> None:
        here, there = self.log_in(), self.log_in()
        for session, value in ((here, ""), (there, None)):
            if value is None:
                del session[HASH_SESSION_KEY]
            else:
                session[HASH_SESSION_KEY] = value
            session.save()
        self.assert_refused()
        # Nor does one of a login without.
        session = SessionStore()
        session[SESSION_KEY] = str(self.user.pk)
        with pytest.raises(SessionLimitReached):
            session.save()

    def test_a_user_who_is_not_found_tells_nothing(self) -> None:
        for _ in range(2):
            self.log_in()
        self.change_password("new")
        with patch(
            "django.contrib.auth.backends.ModelBackend.user_can_authenticate", lambda *args: False
        ):
            self.assert_refused()

    def test_an_outage_ends_nothing(self) -> None:
        for _ in range(2):
            self.log_in()
        self.change_password("new")
        before = self.listed()
        store = stores["default"]
        name = "aread" if self.is_async else "read"
        with (
            patch.object(type(store), name, side_effect=StoreUnavailable("out")),
            pytest.raises(StoreUnavailable),
        ):
            self.log_in()
        assert self.listed() == before

    def test_what_moves_meanwhile_counts(self) -> None:
        old = {self.id_of(session) for session in (self.log_in(), self.log_in())}
        self.change_password("new")
        store = stores["default"]
        original: Callable[..., Any] = type(store).sessions_for_user

        def listed(own: Any, user_id: str) -> list[SessionRecord]:
            found: list[SessionRecord] = original(own, user_id)
            for record in found:
                moved = replace(record, key=key_of(new_session_key()), payload=b"", version=None)
                store.rotate(record.key, moved)
            return found

        session = SessionStore()
        session[SESSION_KEY] = str(self.user.pk)
        blank = make_record(user_id=str(self.user.pk))
        limit = Limit(most=2, evicts=False)
        with patch.object(type(store), "sessions_for_user", listed):
            assert unopenable.make_room(session, store, blank, limit) is None
        assert self.listed() == old

    def test_no_more_is_read_than_it_takes(self) -> None:
        with override_settings(SESSION_MAX_PER_USER=None):
            for _ in range(2 + 2 * unopenable.A_LITTLE):
                self.log_in().save()
        read: list[str] = []
        store = stores["default"]
        original: Callable[..., Any] = type(store).aread if self.is_async else type(store).read

        def counted(own: Any, key: str) -> Any:
            read.append(key)
            return original(own, key)

        with patch.object(type(store), "aread" if self.is_async else "read", counted):
            self.assert_refused()
        assert len(read) == 2 + unopenable.A_LITTLE

    def test_where_there_is_room_nothing_is_looked_at(self) -> None:
        name = "amake_room" if self.is_async else "make_room"
        with patch.object(unopenable, name, side_effect=AssertionError):
            self.log_in()
            self.log_in()


class AsyncOpenableTests(OpenableTests):
    is_async = True


@ON_A_CACHE
class OpenableOnACacheTests(OpenableTests):
    pass


@ON_A_CACHE
class AsyncOpenableOnACacheTests(AsyncOpenableTests):
    pass


@override_settings(SESSION_STORES=MEMORY)
class OpenableInMemoryTests(OpenableTests):
    pass


class OpenableOnRedisTests(OpenableTests):
    @classmethod
    def setUpClass(cls) -> None:
        options = {
            "URL": f"redis://{servers.require('redis')}/5",
            "KEY_PREFIX": f"{django_settings.OWN_PREFIX}:openable:",
        }
        backend = "django_multistore.stores.redis.RedisStore"
        on_redis = {"default": {"BACKEND": backend, "OPTIONS": options}}
        cls.enterClassContext(override_settings(SESSION_STORES=on_redis))
        super().setUpClass()


class AsyncOpenableOnRedisTests(OpenableOnRedisTests):
    is_async = True


@pytest.mark.django_db
def test_a_password_that_was_changed_costs_one_query_more() -> None:
    user = User.objects.create_user("bob", password="secret")
    with override_settings(**REFUSING):
        for _ in range(2):
            login(request_with(SessionStore()), user, backend=BACKEND)
        user.set_password("new")
        user.save()
        with CaptureQueriesContext(connection) as captured:
            login(request_with(SessionStore()), user, backend=BACKEND)
    statements = [query["sql"] for query in captured.captured_queries]
    asked = [sql for sql in statements if "SELECT" in sql and "FROM" in sql]
    # Counted; listed; read, the user, whose hash it might be; counted again.
    of_users = ["auth_user" in sql for sql in asked]
    assert of_users == [False, False, False, True, False]
