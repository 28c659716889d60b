"""Whatever happens to a session in a cache, the index of users is right afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import auth
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.core.cache import caches
from django.db import transaction
from django.utils import timezone

from django_multistore import devices
from django_multistore.engine import SessionStore
from django_multistore.models import UserSession
from django_multistore.stores import stores
from django_multistore.stores.cache.cells import DEAD
from django_multistore.stores.indexed import users as cache_users
from django_multistore.testing import Calls
from tests.support.meeting import login_of, new_user, request_with, saved

pytestmark = [pytest.mark.elsewhere, pytest.mark.django_db(transaction=True)]

Act = Callable[[Calls, SessionStore, User], None]


def log_in(calls: Calls, session: SessionStore, user: User) -> None:
    calls.login(request_with(session), user)


def log_in_as_another(calls: Calls, session: SessionStore, user: User) -> None:
    calls.login(request_with(session), new_user("eve"))


def become_another_in_place(calls: Calls, session: SessionStore, user: User) -> None:
    session.update(login_of(new_user("eve")))


def cycle_key(calls: Calls, session: SessionStore, user: User) -> None:
    session.cycle_key()


def change_the_password(calls: Calls, session: SessionStore, user: User) -> None:
    user.set_password("new")
    user.save()
    request = request_with(session)
    # Django 5.2 looks at it in async code, where it can't be loaded.
    assert request.user.is_authenticated or not request.user.pk
    calls.update_session_auth_hash(request, user)


def flush(calls: Calls, session: SessionStore, user: User) -> None:
    session.flush()


def log_out(calls: Calls, session: SessionStore, user: User) -> None:
    calls.logout(request_with(session))


def forget_the_user(calls: Calls, session: SessionStore, user: User) -> None:
    del session[SESSION_KEY]


def expire(calls: Calls, session: SessionStore, user: User) -> None:
    session.set_expiry(timezone.now() - timedelta(hours=1))


def log_out_other_devices(calls: Calls, session: SessionStore, user: User) -> None:
    devices.log_out_other_devices(request_with(session))


ACTS = [
    log_in,
    log_in_as_another,
    become_another_in_place,
    cycle_key,
    change_the_password,
    flush,
    log_out,
    forget_the_user,
    expire,
    log_out_other_devices,
]


@pytest.fixture(autouse=True)
def _sessions_in_a_cache(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.SESSION_STORES = {
        "default": {
            "BACKEND": "django_multistore.stores.cache.CacheStore",
            "OPTIONS": {"CACHE": "locmem"},
        }
    }
    monkeypatch.setattr(cache_users, "IN_FLIGHT", -timedelta(minutes=1))
    caches["locmem"].clear()
    yield
    caches["locmem"].clear()


def keys_in_the_cache() -> set[str]:
    names = (name.rpartition(":") for name in list(caches["locmem"]._cache))
    keys = {key for kind, _, key in names if kind.endswith("s")}
    return {key for key in keys if caches["locmem"].get(f"s:{key}") != DEAD}


def live_sessions() -> list[Any]:
    found = (stores["default"].read(key) for key in keys_in_the_cache())
    return [record for record in found if record is not None]


def assert_index_is_right() -> None:
    live = [record for record in live_sessions() if record.user_id is not None]
    for record in live:
        listed = stores["default"].sessions_for_user(record.user_id)
        assert record.id in [each.id for each in listed]
    stores["default"].gc()
    assert {record.key for record in live} <= {row.key for row in UserSession.objects.all()}
    # Of a session that has no user any more, or another one, a row stays until it ends.
    assert {row.key for row in UserSession.objects.all()} <= keys_in_the_cache()
    for row in UserSession.objects.all():
        listed = stores["default"].sessions_for_user(row.user_id)
        assert {each.user_id for each in listed} <= {row.user_id}


def respond(session: SessionStore) -> None:
    """Do what the middleware does after the view, outside of its transaction."""
    if session.is_empty() or not session.modified:
        return
    with suppress(UpdateError, SessionInterrupted):
        session.save()


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("ending", ["autocommit", "commit", "rollback"])
@pytest.mark.parametrize("is_user", [True, False], ids=["user", "visitor"])
@pytest.mark.parametrize("act", ACTS)
def test_each_change(act: Act, is_user: bool, ending: str, is_async: bool) -> None:
    if act is forget_the_user and not is_user:
        pytest.skip("there is none")
    user = new_user()
    session_key = saved(**login_of(user)) if is_user else saved(cart=[1])
    session = SessionStore(session_key)
    calls = Calls(auth, is_async=is_async)
    if ending == "autocommit":
        act(calls, session, user)
    else:
        with transaction.atomic():
            act(calls, session, user)
            session.save()
            transaction.set_rollback(ending == "rollback")
    respond(session)
    assert_index_is_right()
    if ending != "rollback" and session.session_key:
        expected = session.get_user_id(session._session_cache)
        record = stores["default"].read(session.key)
        assert (record.user_id if record else None) == (expected if record else None)
        assert record is not None or act is expire
    for each in User.objects.all():
        devices.log_out_everywhere(each)
    assert not [record for record in live_sessions() if record.user_id is not None]
    for key in keys_in_the_cache():
        stores["default"].destroy(key)
    stores["default"].gc()
    assert not UserSession.objects.exists()
