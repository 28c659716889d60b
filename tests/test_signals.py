"""session_created and session_ended: once for each session, and why, and nothing that opens one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest
from asgiref.sync import async_to_sync
from django.contrib import auth
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import CreateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.dispatch import Signal
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, TestCase, override_settings
from django.urls import path
from django.utils import timezone

from django_multistore import devices
from django_multistore.engine import SessionStore
from django_multistore.exceptions import SessionLimitReached
from django_multistore.records import new_id
from django_multistore.session.keys import new_session_key
from django_multistore.signals import Reason, session_created, session_ended
from django_multistore.stores import stores
from tests.models import Customer, ProxyUser
from tests.support.sessions import HOUR, at, both_ways, record_of, saved
from tests.support.users import BACKEND, logged_in, request_with

CREATED, ENDED = "created", "ended"
SIGNALS = {CREATED: session_created, ENDED: session_ended}


@contextmanager
def listening(receiver: Any, *signals: Signal) -> Iterator[None]:
    for signal in signals:
        signal.connect(receiver, weak=False)
    try:
        yield
    finally:
        for signal in signals:
            signal.disconnect(receiver)


@contextmanager
def heard() -> Iterator[list[dict[str, Any]]]:
    """Collect the arguments of all signals; what was sent is under "signal"."""
    found: list[dict[str, Any]] = []
    names = {id(signal): name for name, signal in SIGNALS.items()}

    def note(signal: Signal, sender: type, **arguments: Any) -> None:
        assert sender is SessionStore
        found.append({"signal": names[id(signal)]} | arguments)

    with listening(note, *SIGNALS.values()):
        yield found


def created(session: SessionStore, user_id: str | None = None) -> dict[str, Any]:
    return {"signal": CREATED, "id": record_of(session).id, "user_id": user_id}


def ended(
    reason: Reason, user_id: object = None, id: int | None = None, count: int = 1
) -> dict[str, Any]:
    user_id = None if user_id is None else str(user_id)
    return {"signal": ENDED, "reason": reason, "user_id": user_id, "id": id, "count": count}


class CreatedTests(TestCase):
    @both_ways
    def test_a_session_that_was_stored_is_told_of_once(self, calls: Any) -> None:
        for how in ("save", "create", "cycle_key"):
            for user_id in (None, "7"):
                session = SessionStore()
                session["a"] = 1
                if user_id is not None:
                    session["_auth_user_id"] = user_id
                with self.subTest(how, user_id=user_id), heard() as found:
                    getattr(calls(session), how)()
                    assert found == [created(session, user_id)]

    @both_ways
    def test_so_is_one_under_a_key_that_was_given(self, calls: Any) -> None:
        session = SessionStore(new_session_key())
        session._session_cache = {"a": 1}
        with heard() as found:
            calls(session).save(must_create=True)
            assert found == [created(session)]

    @both_ways
    def test_only_the_first_save_creates(self, calls: Any) -> None:
        session = saved({"a": 1})
        with heard() as found:
            session["a"] = 2
            calls(session).save()
            calls(session).save()
            calls(session).load()
        assert record_of(session).version == 2
        assert found == []

    @both_ways
    def test_not_where_the_key_was_taken(self, calls: Any) -> None:
        taken = saved({"a": 1}).session_key
        session = SessionStore(taken)
        session.clear()
        with heard() as found, pytest.raises(CreateError):
            calls(session).save(must_create=True)
        assert found == []

    @both_ways
    def test_once_where_another_key_had_to_be_drawn(self, calls: Any) -> None:
        keys = [saved().session_key, new_session_key()]
        session = SessionStore()
        with (
            heard() as found,
            patch("django_multistore.session.keys.new_session_key", side_effect=keys),
        ):
            calls(session).create()
        assert session.session_key == keys[1]
        assert found == [created(session)]

    @both_ways
    def test_not_where_its_expiry_is_in_the_past(self, calls: Any) -> None:
        for limit in (None, 1):
            for arguments in ({}, {"must_create": True}):
                session = SessionStore(new_session_key() if arguments else None)
                session._session_cache = {"_auth_user_id": "7"}
                session.set_expiry(-1)
                with override_settings(SESSION_MAX_PER_USER=limit), heard() as found:
                    calls(session).save(**arguments)
                assert not session.exists(session.session_key)
                assert found == []

    @both_ways
    def test_a_visitor_who_logs_in_without_a_cookie_is_told_of_as_a_visitor(
        self, calls: Any
    ) -> None:
        for limit in (None, 1):
            user = User.objects.create_user(f"bob {new_id()}")
            session = SessionStore()
            with override_settings(SESSION_MAX_PER_USER=limit), heard() as found:
                calls(auth).login(request_with(session), user, backend=BACKEND)
                calls(session).save()
            assert record_of(session).user_id == str(user.pk)
            assert found == [created(session, None)]

    @both_ways
    @override_settings(SESSION_MAX_PER_USER=1, SESSION_MAX_PER_USER_POLICY="refuse")
    def test_under_a_limit_so_is_a_user_who_was_set_by_hand_and_admitted(self, calls: Any) -> None:
        user_id = str(new_id())
        first, second = SessionStore(), SessionStore()
        with heard() as found:
            for session in (first, second):
                session["_auth_user_id"] = user_id
            calls(first).save()
            with pytest.raises(SessionLimitReached):
                calls(second).save()
        assert found == [created(first, user_id)]


class EndedTests(TestCase):
    def setUp(self) -> None:
        self.user = User.objects.create_user("bob")
        self.stranger = User.objects.create_user("eve")

    def loaded(self, user: User | None = None) -> SessionStore:
        session = saved({"a": 1}) if user is None else logged_in(user)
        session["a"] = 1
        return session

    def id_of(self, session: SessionStore) -> int:
        return record_of(session).id

    @both_ways
    def test_a_logout(self, calls: Any) -> None:
        for how in ("flush", "delete", "logout"):
            session = self.loaded(self.user)
            expected = ended(Reason.LOGOUT, self.user.pk, self.id_of(session))
            key = session.key
            with self.subTest(how), heard() as found:
                if how == "logout":
                    calls(auth).logout(request_with(session, self.user))
                else:
                    getattr(calls(session), how)()
                assert stores["default"].read(key) is None
                assert found == [expected]
                getattr(calls(session), "delete" if how == "delete" else "flush")()
                assert found == [expected]

    @both_ways
    def test_a_visitors_session_that_ends_has_no_user(self, calls: Any) -> None:
        session = self.loaded()
        expected = ended(Reason.LOGOUT, None, self.id_of(session))
        with heard() as found:
            calls(session).flush()
        assert found == [expected]

    @both_ways
    def test_of_a_session_that_was_not_loaded_only_the_end_is_known(self, calls: Any) -> None:
        for how in ("flush", "delete"):
            session = logged_in(self.user)
            with self.subTest(how), heard() as found:
                getattr(calls(session), how)()
                assert found == [ended(Reason.LOGOUT)]

    @both_ways
    def test_own_session_key_or_none_is_the_same_to_delete(self, calls: Any) -> None:
        session = self.loaded(self.user)
        expected = ended(Reason.LOGOUT, self.user.pk, self.id_of(session))
        with heard() as found:
            calls(session).delete(session.session_key)
        assert found == [expected]

    @both_ways
    def test_another_session_that_is_deleted_is_revoked(self, calls: Any) -> None:
        session, other = self.loaded(self.user), logged_in(self.stranger)
        with heard() as found:
            for _ in range(2):
                calls(session).delete(other.session_key)
        assert found == [ended(Reason.REVOKED)]

    @both_ways
    def test_one_of_the_users_devices_is_revoked(self, calls: Any) -> None:
        id = self.id_of(logged_in(self.user))
        with heard() as found:
            for user in (self.stranger, self.user, self.user):
                calls(devices).end_session(user, id)
        assert found == [ended(Reason.REVOKED, self.user.pk, id)]

    @both_ways
    def test_the_users_other_devices_are_revoked_and_this_one_is_rotated(self, calls: Any) -> None:
        here, *_ = logged_in(self.user), logged_in(self.user), logged_in(self.user)
        logged_in(self.stranger)
        request = request_with(here, self.user)
        rotated = ended(Reason.ROTATED, self.user.pk, self.id_of(here))
        with heard() as found:
            calls(devices).log_out_other_devices(request)
            assert found == [rotated, ended(Reason.REVOKED, self.user.pk, count=2)]
            calls(devices).log_out_other_devices(request)
            assert found[2:] == []  # This request has just given it a key.
        stores["default"].destroy_for_user(self.user.pk)

    @both_ways
    def test_all_devices_are_revoked(self, calls: Any) -> None:
        for user in (self.user, self.user, self.stranger):
            logged_in(user)
        with heard() as found:
            for _ in range(2):
                calls(devices).log_out_everywhere(self.user)
        assert found == [ended(Reason.REVOKED, self.user.pk, count=2)]

    def test_a_user_who_is_deactivated_or_deleted_is_revoked(self) -> None:
        # A proxy's signals are its own; a child's row is deleted with its parent's.
        users = [
            User.objects.create(username="ann"),
            ProxyUser.objects.create(username="pat"),
            Customer.objects.create(username="carl"),
        ]
        for user in users:
            expected = ended(Reason.REVOKED, user.pk, count=2)
            for change in (self.deactivate, lambda user: user.delete()):
                user.is_active = True
                logged_in(user)
                logged_in(user)
                with self.subTest(type(user).__name__), heard() as found:
                    change(user)
                    assert found == [expected]

    def deactivate(self, user: User) -> None:
        user.is_active = False
        user.save()

    def test_a_user_without_sessions_is_no_news(self) -> None:
        with heard() as found:
            self.deactivate(self.user)
            self.user.delete()
        assert found == []

    @both_ways
    def test_the_oldest_login_beyond_the_limit_is_evicted(self, calls: Any) -> None:
        first, second = (self.id_of(logged_in(self.user)) for _ in range(2))
        third = SessionStore()
        with override_settings(SESSION_MAX_PER_USER=2), heard() as found:
            calls(auth).login(request_with(third), self.user, backend=BACKEND)
            calls(third).save()
        evicted = partial(ended, Reason.EVICTED, self.user.pk)
        assert found == [created(third), evicted(first)]
        both = [evicted(second), evicted(self.id_of(third))]
        fourth = SessionStore()
        fourth["_auth_user_id"] = str(self.user.pk)
        with override_settings(SESSION_MAX_PER_USER=1), heard() as found:
            calls(fourth).save()
        assert found == [*both, created(fourth, str(self.user.pk))]
        stores["default"].destroy_for_user(self.user.pk)

    @both_ways
    def test_an_expiry_in_the_past_is_an_end(self, calls: Any) -> None:
        for how in ("save", "cycle_key"):
            session = self.loaded(self.user)
            expected = ended(Reason.EXPIRED, self.user.pk, self.id_of(session))
            session.set_expiry(-1)
            with self.subTest(how), heard() as found:
                getattr(calls(session), how)()
                assert found == [expected]
                calls(session).save()
                assert found == [expected]

    @both_ways
    def test_what_only_this_clock_finds_too_old_has_not_ended(self, calls: Any) -> None:
        session = logged_in(self.user)
        record = record_of(session)
        with (
            override_settings(SESSION_ABSOLUTE_AGE=3600),
            at(timezone.now() + HOUR + timedelta(seconds=1)),
            heard() as found,
        ):
            assert calls(SessionStore(session.session_key)).load() == {}
        assert found == []
        assert stores["default"].read(record.key) == record

    @both_ways
    def test_a_new_key_is_the_end_of_the_old_one(self, calls: Any) -> None:
        session = self.loaded(self.user)
        rotated = ended(Reason.ROTATED, self.user.pk, self.id_of(session))
        with heard() as found:
            calls(session).cycle_key()
            assert found == [rotated]
            calls(auth).login(request_with(SessionStore(session.session_key)), self.user)
            assert found == [rotated] * 2

    @both_ways
    def test_a_visitor_who_logs_in_is_rotated_as_a_visitor(self, calls: Any) -> None:
        session = self.loaded()
        rotated = ended(Reason.ROTATED, None, self.id_of(session))
        with heard() as found:
            calls(auth).login(request_with(session), self.user, backend=BACKEND)
            calls(session).save()
        assert found == [rotated]

    @both_ways
    def test_somebody_elses_login_in_a_session_ends_it(self, calls: Any) -> None:
        session = self.loaded(self.user)
        expected = ended(Reason.LOGOUT, self.user.pk, self.id_of(session))
        with heard() as found:
            calls(auth).login(request_with(session), self.stranger, backend=BACKEND)
            calls(session).save()
        assert found == [expected, created(session, str(self.stranger.pk))]
        assert found[0]["id"] != found[1]["id"]

    @both_ways
    def test_where_nothing_ended_nothing_is_told(self, calls: Any) -> None:
        with heard() as found:
            calls(SessionStore()).flush()
            calls(SessionStore()).delete()
            for how in ("flush", "delete", "load"):
                getattr(calls(SessionStore(new_session_key())), how)()
            calls(SessionStore()).delete(new_session_key())
            calls(SessionStore()).delete("not a key")
        assert found == []

    @both_ways
    def test_who_comes_too_late_has_ended_nothing(self, calls: Any) -> None:
        for how in ("flush", "delete"):
            session = self.loaded(self.user)
            stores["default"].destroy(session.key)
            with self.subTest(how), heard() as found:
                getattr(calls(session), how)()
                assert found == []

    @both_ways
    def test_a_session_that_was_ended_is_not_rotated(self, calls: Any) -> None:
        visitors, users = self.loaded(), self.loaded(self.user)
        for session in (visitors, users):
            stores["default"].destroy(session.key)
        with heard() as found:
            calls(visitors).cycle_key()
            assert found == [created(visitors)]
            with pytest.raises(SessionInterrupted):
                calls(users).cycle_key()
        assert len(found) == 1

    @both_ways
    def test_one_that_had_expired_by_itself_does_not_end_again(self, calls: Any) -> None:
        session = self.loaded(self.user)
        session.set_expiry(60)
        session.save()
        with at(timezone.now() + timedelta(minutes=2)), heard() as found:
            session = SessionStore(session.session_key)
            assert calls(session).load() == {}
            calls(session).save()
        assert [sent["signal"] for sent in found] == [CREATED]

    def test_cleared_before_it_was_loaded_it_is_told_by_its_own_name_or_none(self) -> None:
        for how in ("save", "cycle_key"):
            session = logged_in(self.user)
            id = self.id_of(session)
            session.clear()
            session["a"] = 1
            with heard() as found:
                getattr(session, how)()
                session.flush()
            assert found
            assert {sent["id"] for sent in found} <= {id, None}


class ReceiverTests(TestCase):
    @both_ways
    def test_sync_and_async_receivers_hear_it_in_sync_and_async_code(self, calls: Any) -> None:
        reasons: list[tuple[str, Any]] = []

        def in_sync(**arguments: Any) -> None:
            reasons.append(("sync", arguments.get("reason")))

        async def in_async(**arguments: Any) -> None:
            reasons.append(("async", arguments.get("reason")))

        with ExitStack() as stack:
            for receiver in (in_sync, in_async):
                stack.enter_context(listening(receiver, *SIGNALS.values()))
            session = SessionStore()
            for how in ("save", "cycle_key", "flush"):
                getattr(calls(session), how)()
        expected = [None, Reason.ROTATED, Reason.LOGOUT]
        for kind in ("sync", "async"):
            assert [reason for each, reason in reasons if each == kind] == expected

    @both_ways
    def test_one_that_raises_stops_nothing_and_is_logged(self, calls: Any) -> None:
        user = User.objects.create_user(f"bob {new_id()}")

        def fail(**arguments: Any) -> None:
            raise ZeroDivisionError

        async def afail(**arguments: Any) -> None:
            raise ZeroDivisionError

        for receiver in (fail, afail):
            with (
                self.subTest(receiver.__name__),
                listening(receiver, *SIGNALS.values()),
                heard() as found,
                self.assertLogs("django.dispatch", "ERROR") as logged,
            ):
                session = SessionStore()
                request = request_with(session)
                calls(auth).login(request, user, backend=BACKEND)
                calls(session).save()
                session_key, key = session.session_key, session.key
                calls(auth).logout(request)
                assert not session.exists(session_key)
                assert session.session_key is None
                assert [sent["signal"] for sent in found] == [CREATED, ENDED]
                assert len(logged.output) == 2
                for line in logged.output:
                    assert session_key not in line
                    assert key not in line

    @both_ways
    def test_no_argument_has_a_session_key_or_its_digest(self, calls: Any) -> None:
        user = User.objects.create_user(f"bob {new_id()}")
        secrets: set[str] = set()

        def used(session: SessionStore, *steps: str) -> SessionStore:
            for step in steps:
                getattr(calls(session), step)()
                if session.session_key is not None:
                    secrets.update({session.session_key, session.key})
            return SessionStore(session.session_key)

        def logged_in(session: SessionStore) -> SessionStore:
            calls(auth).login(request_with(session), user, backend=BACKEND)
            return used(session, "save")

        with heard() as found, override_settings(SESSION_MAX_PER_USER=1):
            logged_in(used(SessionStore(), "save"))
            used(logged_in(SessionStore()), "load", "cycle_key")
            calls(devices).log_out_everywhere(user)
            used(logged_in(SessionStore()), "load", "flush")
            other = used(SessionStore(), "save")
            calls(SessionStore()).delete(other.session_key)
            expiring = used(SessionStore(), "save")
            expiring.set_expiry(-1)
            used(expiring, "save")
        reasons = {sent["reason"] for sent in found if sent["signal"] == ENDED}
        assert reasons == set(Reason)
        assert len(secrets) >= 10
        for sent in found:
            names = {CREATED: {"id", "user_id"}, ENDED: {"reason", "user_id", "id", "count"}}
            assert sent.keys() - {"signal"} == names[sent["signal"]]
            assert not [secret for secret in secrets if secret in repr(sent)]


def cart(request: HttpRequest) -> HttpResponse:
    request.session["cart"] = 1
    return HttpResponse()


async def acart(request: HttpRequest) -> HttpResponse:
    await request.session.aset("cart", 1)
    return HttpResponse()


def log_in(request: HttpRequest) -> HttpResponse:
    auth.login(request, User.objects.get(username="bob"), backend=BACKEND)
    return HttpResponse()


async def alog_in(request: HttpRequest) -> HttpResponse:
    await auth.alogin(request, await User.objects.aget(username="bob"), backend=BACKEND)
    return HttpResponse()


def log_out(request: HttpRequest) -> HttpResponse:
    auth.logout(request)
    return HttpResponse()


async def alog_out(request: HttpRequest) -> HttpResponse:
    await auth.alogout(request)
    return HttpResponse()


def expire(request: HttpRequest) -> HttpResponse:
    request.session.set_expiry(-1)
    return HttpResponse()


async def aexpire(request: HttpRequest) -> HttpResponse:
    await request.session.aset_expiry(-1)
    return HttpResponse()


urlpatterns = [
    path(f"{view.__name__}/", view)
    for view in (cart, acart, log_in, alog_in, log_out, alog_out, expire, aexpire)
]


@override_settings(ROOT_URLCONF="tests.test_signals")
class RequestTests(TestCase):
    """A visit, told from its first page to its last."""

    def setUp(self) -> None:
        self.user_id = str(User.objects.create_user("bob").pk)

    def visit(self, *pages: str) -> None:
        client = Client()
        for page in pages:
            assert client.get(f"/{page}/").status_code == 200

    def test_a_visit_with_a_login_and_a_logout(self) -> None:
        with heard() as found:
            self.visit("cart", "cart", "log_in", "cart", "log_out", "log_out")
        id = found[0]["id"]
        assert found == [
            {"signal": CREATED, "id": id, "user_id": None},
            ended(Reason.ROTATED, None, id),
            ended(Reason.LOGOUT, self.user_id, id),
        ]

    def test_a_visit_that_a_view_ends_by_its_expiry(self) -> None:
        with heard() as found:
            self.visit("log_in", "expire")
        id = found[0]["id"]
        assert found == [
            {"signal": CREATED, "id": id, "user_id": None},
            ended(Reason.EXPIRED, self.user_id, id),
        ]


class AsyncRequestTests(RequestTests):
    def visit(self, *pages: str) -> None:
        client = AsyncClient()
        for page in pages:
            assert async_to_sync(client.get)(f"/a{page}/").status_code == 200
