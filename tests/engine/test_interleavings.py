"""
Sessions of one visitor that meet each other, in every order that is written down here.

Two requests are two SessionStores with the same cookie. What has to wait for another's
transaction is done by threads. Races between processes are in tests/races.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

import pytest
from django.contrib import auth
from django.contrib.auth import BACKEND_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import CreateError, UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.db import connections

from django_multistore import devices
from django_multistore.engine import SessionStore
from django_multistore.models import StoredSession
from django_multistore.records import key_of
from django_multistore.stores import stores
from django_multistore.stores.sql.table import Table
from tests.support.helpers import Clock
from tests.support.meeting import (
    MEMORY,
    actors,
    alias_of,
    data_of,
    expire,
    live_users,
    loaded,
    login_of,
    new_user,
    on,
    request_with,
    saved,
    store_setting,
    stored_sessions,
)

pytestmark = pytest.mark.elsewhere

EVERYWHERE = pytest.mark.parametrize("kind", on(MEMORY, "sqlite", "postgres", "mariadb"))
DATABASES = pytest.mark.parametrize("kind", on("sqlite", "postgres", "mariadb", transaction=True))
SERVERS = pytest.mark.parametrize("kind", on("postgres", "mariadb", transaction=True))

Call = Callable[[Any], Any]


@pytest.fixture(autouse=True)
def store(kind: str, settings: Any) -> None:
    settings.SESSION_STORES = store_setting(kind)


@pytest.fixture
def user() -> User:
    return new_user()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr("django.utils.timezone.now", clock)
    monkeypatch.setattr(Table, "now", lambda table: clock())
    return clock


# What was destroyed stays dead, whatever a request that had loaded it does next.


def delete(call: Call, session_key: str, user: User) -> None:
    call(SessionStore(session_key)).delete()


def log_out(call: Call, session_key: str, user: User) -> None:
    call(auth).logout(request_with(SessionStore(session_key)))


def end_it_by_its_id(call: Call, session_key: str, user: User) -> None:
    record = stores["default"].read(key_of(session_key))
    assert call(devices).end_session(user, record.id)


def log_out_everywhere(call: Call, session_key: str, user: User) -> None:
    assert call(devices).log_out_everywhere(user) == 1


def log_out_from_another_device(call: Call, session_key: str, user: User) -> None:
    other = SessionStore(saved(**login_of(user)))
    assert call(devices).log_out_other_devices(request_with(other)) == 1
    call(other).flush()


ENDS = pytest.mark.parametrize(
    "end",
    [delete, log_out, end_it_by_its_id, log_out_everywhere, log_out_from_another_device],
)


def save(call: Call, session: SessionStore, user: User) -> None:
    session["more"] = 1
    call(session).save()


def cycle_key(call: Call, session: SessionStore, user: User) -> None:
    call(session).cycle_key()


def change_and_cycle_key(call: Call, session: SessionStore, user: User) -> None:
    session["more"] = 1
    call(session).cycle_key()


def log_in_again(call: Call, session: SessionStore, user: User) -> None:
    call(auth).login(request_with(session), user)
    call(session).save()


def update_the_hash(call: Call, session: SessionStore, user: User) -> None:
    call(auth).update_session_auth_hash(request_with(session), user)


def log_out_the_others(call: Call, session: SessionStore, user: User) -> None:
    call(devices).log_out_other_devices(request_with(session))


def create(call: Call, session: SessionStore, user: User) -> None:
    call(session).create()
    call(session).save()


def load_and_save(call: Call, session: SessionStore, user: User) -> None:
    session["more"] = 1
    call(session).load()
    call(session).save()


def save_as_new(call: Call, session: SessionStore, user: User) -> None:
    call(session).save(must_create=True)


def delete_and_cycle_key(call: Call, session: SessionStore, user: User) -> None:
    call(session).delete()
    call(session).cycle_key()


def delete_and_save(call: Call, session: SessionStore, user: User) -> None:
    call(session).delete()
    call(session).save()


def delete_and_save_as_new(call: Call, session: SessionStore, user: User) -> None:
    call(session).delete()
    call(session).save(must_create=True)


def expire_and_save_as_new(call: Call, session: SessionStore, user: User) -> None:
    session.set_expiry(-1)
    call(session).save()
    session.set_expiry(None)
    call(session).save(must_create=True)


def delete_and_create(call: Call, session: SessionStore, user: User) -> None:
    call(session).delete()
    call(session).create()


@ENDS
@EVERYWHERE
def test_a_save_of_a_destroyed_session_is_refused(call: Call, end: Any, user: User) -> None:
    session_key = saved(**login_of(user))
    session = loaded(session_key)
    end(call, session_key, user)
    with pytest.raises(UpdateError):
        save(call, session, user)
    assert live_users() == []
    assert data_of(session_key) is None


@pytest.mark.parametrize(
    ("act", "raised"),
    [
        (save, UpdateError),
        (cycle_key, SessionInterrupted),
        (change_and_cycle_key, SessionInterrupted),
        (log_in_again, SessionInterrupted),
        (update_the_hash, SessionInterrupted),
        (log_out_the_others, SessionInterrupted),
        (create, None),
        (load_and_save, None),
        (save_as_new, CreateError),
        (delete_and_save, UpdateError),
        (delete_and_cycle_key, SessionInterrupted),
        (delete_and_save_as_new, CreateError),
        (delete_and_create, None),
        (expire_and_save_as_new, CreateError),
    ],
)
@pytest.mark.parametrize("end", [delete, log_out_from_another_device])
@EVERYWHERE
def test_no_login_escapes_from_a_destroyed_session(
    call: Call, end: Any, act: Any, raised: type[Exception] | None, user: User
) -> None:
    session_key = saved(**login_of(user))
    session = loaded(session_key)
    end(call, session_key, user)
    if raised is None:
        act(call, session, user)
        assert session.session_key != session_key
        assert data_of(session.session_key) == {}
    else:
        with pytest.raises(raised):
            act(call, session, user)
    assert live_users() == []
    assert stores["default"].sessions_for_user(user.pk) == []
    assert data_of(session_key) is None


@EVERYWHERE
def test_a_session_destroyed_before_it_is_loaded_is_a_new_one(call: Call, user: User) -> None:
    session_key = saved(**login_of(user))
    session = SessionStore(session_key)
    delete(call, session_key, user)
    call(session).setdefault("more", 1)
    call(session).save()
    assert session.session_key != session_key
    assert data_of(session.session_key) == {"more": 1}
    assert data_of(session_key) is None


@EVERYWHERE
def test_a_rotation_leaves_nothing_to_who_holds_the_old_key(call: Call, user: User) -> None:
    session_key = saved(**login_of(user))
    late, session = loaded(session_key), loaded(session_key)
    call(session).cycle_key()
    with pytest.raises(SessionInterrupted):
        call(late).cycle_key()
    assert data_of(session.session_key) == login_of(user)
    assert live_users() == [str(user.pk)]


@EVERYWHERE
def test_a_double_clicked_login_logs_in_twice(call: Call, user: User) -> None:
    session_key = saved(cart=[1])
    first, second = loaded(session_key), loaded(session_key)
    for session in (first, second):
        call(auth).login(request_with(session), user)
        call(session).save()
    assert first.session_key != second.session_key
    assert data_of(first.session_key) == {"cart": [1], **login_of(user)}
    assert data_of(second.session_key) == login_of(user)
    assert data_of(session_key) is None
    assert len(stores["default"].sessions_for_user(user.pk)) == 2


@EVERYWHERE
def test_an_anonymous_session_rotated_elsewhere_starts_empty(call: Call) -> None:
    session_key = saved(cart=[1])
    late, session = loaded(session_key), loaded(session_key)
    call(session).cycle_key()
    call(late).cycle_key()
    assert dict(late.items()) == {}
    assert data_of(late.session_key) == {}
    assert data_of(session.session_key) == {"cart": [1]}


@EVERYWHERE
def test_a_save_of_a_session_that_was_rotated_goes_where_it_is(call: Call, user: User) -> None:
    session_key = saved(**login_of(user))
    late, session = loaded(session_key), loaded(session_key)
    call(session).cycle_key()
    late["seen"] = 1
    call(late).save()
    late["seen"] = 2
    call(late).save()
    assert data_of(session.session_key) == {**login_of(user), "seen": 2}
    assert late.session_key == session_key
    with pytest.raises(SessionInterrupted):
        call(late).cycle_key()
    assert data_of(session_key) is None


@EVERYWHERE
def test_a_save_that_changes_the_login_of_a_session_that_was_rotated_is_refused(
    call: Call, user: User
) -> None:
    session_key = saved(**login_of(user))
    late, session = loaded(session_key), loaded(session_key)
    call(session).cycle_key()
    late.update(login_of(new_user("bob")))
    with pytest.raises(UpdateError):
        call(late).save()
    assert data_of(session.session_key) == login_of(user)


# Expiry.


@pytest.mark.parametrize("act", [save, load_and_save, cycle_key, log_in_again])
@EVERYWHERE
def test_a_session_that_expired_since_it_was_loaded_is_not_revived(
    call: Call, act: Any, user: User, clock: Clock
) -> None:
    session_key = saved(**login_of(user), _session_expiry=3600)
    session = loaded(session_key)
    clock.advance(hours=2)
    if act is load_and_save:
        act(call, session, user)
    else:
        with pytest.raises((UpdateError, SessionInterrupted)):
            act(call, session, user)
    assert live_users() == []
    assert data_of(session_key) is None


@EVERYWHERE
def test_a_session_that_expired_in_the_store_alone_is_not_revived(
    call: Call, settings: Any
) -> None:
    session_key = saved(a=1)
    changed, renewed = loaded(session_key), loaded(session_key)
    expire(session_key)
    changed["a"] = 2
    with pytest.raises(UpdateError):
        call(changed).save()
    settings.SESSION_SAVE_EVERY_REQUEST, settings.SESSION_TOUCH_INTERVAL = True, 0
    call(renewed).save()
    assert data_of(session_key) is None
    assert stores["default"].gc() == 1


@EVERYWHERE
def test_two_saves_with_a_past_expiry_are_no_error(call: Call, user: User) -> None:
    session_key = saved(**login_of(user))
    session = loaded(session_key)
    session.set_expiry(-1)
    call(session).save()
    call(session).save()
    session["more"] = 1
    call(session).save()
    assert live_users() == []
    assert data_of(session_key) is None


@EVERYWHERE
def test_a_past_expiry_ends_the_session_for_the_others(call: Call, user: User) -> None:
    session_key = saved(**login_of(user))
    late, session = loaded(session_key), loaded(session_key)
    session.set_expiry(-1)
    call(session).save()
    with pytest.raises(UpdateError):
        save(call, late, user)
    assert live_users() == []


# Both changed it.


@EVERYWHERE
def test_changes_of_different_keys_are_both_kept(call: Call) -> None:
    session_key = saved(a=1)
    ours, theirs = loaded(session_key), loaded(session_key)
    theirs["theirs"] = 1
    call(theirs).save()
    ours["ours"] = 1
    call(ours).save()
    assert data_of(session_key) == {"a": 1, "theirs": 1, "ours": 1}


@EVERYWHERE
def test_the_later_write_of_one_key_wins(call: Call) -> None:
    session_key = saved(a=1)
    ours, theirs = loaded(session_key), loaded(session_key)
    theirs["a"] = "theirs"
    call(theirs).save()
    ours["a"] = "ours"
    call(ours).save()
    assert data_of(session_key) == {"a": "ours"}


@EVERYWHERE
def test_what_was_merged_in_is_seen_here_and_saved_no_second_time(call: Call) -> None:
    session_key = saved(a=1)
    ours, theirs = loaded(session_key), loaded(session_key)
    for value in (1, 2):
        theirs["theirs"] = value
        call(theirs).save()
        ours["ours"] = value
        call(ours).save()
        assert ours["theirs"] == value
    theirs["theirs"] = 3
    call(theirs).save()
    ours["ours"] = 3
    call(ours).save()
    assert data_of(session_key) == {"a": 1, "theirs": 3, "ours": 3}


@EVERYWHERE
def test_many_requests_with_copies_of_all_ages_lose_nothing(call: Call) -> None:
    session_key = saved()
    requests = [loaded(session_key) for _ in range(6)]
    for number, session in enumerate([*requests, *reversed(requests), *requests]):
        session[str(number)] = number
        call(session).save()
    assert data_of(session_key) == {str(number): number for number in range(18)}


@pytest.mark.parametrize("kind", on("sqlite"))
def test_a_merge_that_is_overtaken_merges_again(kind: str, call: Call) -> None:
    session_key = saved(a=1)
    ours = loaded(session_key)
    names, is_overtaking = ["other 0", "other 1", "other 2"], False

    def overtake(execute: Any, sql: str, *rest: Any) -> Any:
        nonlocal is_overtaking
        if sql.startswith("UPDATE") and names and not is_overtaking:
            is_overtaking = True
            other = loaded(session_key)
            other[names.pop()] = 1
            other.save()
            is_overtaking = False
        return execute(sql, *rest)

    ours["ours"] = 1
    with connections[alias_of(kind)].execute_wrapper(overtake):
        call(ours).save()
    assert names == []
    assert data_of(session_key) == {"a": 1, "ours": 1, "other 0": 1, "other 1": 1, "other 2": 1}


@EVERYWHERE
def test_a_popped_key_stays_gone(call: Call) -> None:
    session_key = saved(impersonated=7)
    older, popping = loaded(session_key), loaded(session_key)
    popping.pop("impersonated")
    call(popping).save()
    older["seen"] = "news"
    call(older).save()
    assert data_of(session_key) == {"seen": "news"}
    assert "impersonated" not in older


@EVERYWHERE
def test_a_key_popped_from_an_older_copy_goes(call: Call) -> None:
    session_key = saved(impersonated=7)
    popping, other = loaded(session_key), loaded(session_key)
    other["seen"] = "news"
    call(other).save()
    popping.pop("impersonated")
    call(popping).save()
    assert data_of(session_key) == {"seen": "news"}


@EVERYWHERE
@pytest.mark.parametrize("is_flagged", [True, False])
def test_a_change_inside_of_a_value_merges_like_others(call: Call, is_flagged: bool) -> None:
    session_key = saved(cart={"items": [1]}, wishes=[])
    ours, theirs = loaded(session_key), loaded(session_key)
    theirs["wishes"].append("bread")
    theirs.modified = is_flagged
    call(theirs).save()
    ours["cart"]["items"].append(2)
    ours.modified = is_flagged
    call(ours).save()
    assert data_of(session_key) == {"cart": {"items": [1, 2]}, "wishes": ["bread"]}


@EVERYWHERE
@pytest.mark.parametrize("save_every_request", [True, False])
def test_a_renewal_keeps_what_the_other_wrote(
    call: Call, save_every_request: bool, settings: Any, clock: Clock
) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = save_every_request
    session_key = saved(a=1, cart=[1])
    renewed, writing = loaded(session_key), loaded(session_key)
    writing["a"] = 2
    writing.pop("cart")
    call(writing).save()
    clock.advance(days=3)
    renewed["a"] = 1
    assert renewed.modified
    call(renewed).save()
    assert data_of(session_key) == {"a": 2}
    call(renewed).save()
    assert data_of(session_key) == {"a": 2}


@EVERYWHERE
def test_a_write_keeps_the_others_renewal_from_being_lost_data(
    call: Call, settings: Any, clock: Clock
) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = True
    session_key = saved(a=1)
    renewed, writing = loaded(session_key), loaded(session_key)
    clock.advance(days=3)
    call(renewed).save()
    writing["b"] = 1
    call(writing).save()
    assert data_of(session_key) == {"a": 1, "b": 1}


@EVERYWHERE
@pytest.mark.parametrize("was_loaded", [True, False])
def test_clear_removes_what_others_save_before_it_does(call: Call, was_loaded: bool) -> None:
    session_key = saved(a=1)
    clearing = loaded(session_key) if was_loaded else SessionStore(session_key)
    clearing.clear()
    other = loaded(session_key)
    other["later"] = 1
    call(other).save()
    clearing["fresh"] = 1
    call(clearing).save()
    assert data_of(session_key) == {"fresh": 1}


@EVERYWHERE
def test_clear_and_rotate_remove_what_others_save_before(call: Call, user: User) -> None:
    session_key = saved(**login_of(user))
    clearing, other = loaded(session_key), loaded(session_key)
    clearing.clear()
    other["later"] = 1
    call(other).save()
    call(clearing).cycle_key()
    assert data_of(clearing.session_key) == {}
    assert data_of(session_key) is None
    assert live_users() == []


@EVERYWHERE
def test_a_rotation_carries_the_others_changes_along(call: Call, user: User) -> None:
    session_key = saved(**login_of(user), impersonated=7)
    rotating, other = loaded(session_key), loaded(session_key)
    other.pop("impersonated")
    other["theirs"] = 1
    call(other).save()
    rotating["ours"] = 1
    call(rotating).cycle_key()
    assert data_of(rotating.session_key) == {**login_of(user), "ours": 1, "theirs": 1}
    assert data_of(session_key) is None


@EVERYWHERE
def test_a_logout_by_pop_is_no_login_after_a_merge(call: Call, user: User) -> None:
    session_key = saved(**login_of(user))
    older, leaving = loaded(session_key), loaded(session_key)
    for name in login_of(user):
        leaving.pop(name)
    call(leaving).save()
    older["seen"] = 1
    call(older).save()
    assert data_of(session_key) == {"seen": 1}
    assert live_users() == []
    assert stores["default"].sessions_for_user(user.pk) == []


@EVERYWHERE
def test_the_keys_of_a_login_merge_as_one(call: Call, user: User) -> None:
    bob = new_user("bob")
    session_key = saved(**login_of(user))
    ours, theirs = loaded(session_key), loaded(session_key)
    theirs.update(login_of(bob))
    call(theirs).save()
    ours[BACKEND_SESSION_KEY] = "another.Backend"
    call(ours).save()
    assert data_of(session_key) == {**login_of(user), BACKEND_SESSION_KEY: "another.Backend"}
    assert [record.user_id for record in stored_sessions()] == [str(user.pk)]


@EVERYWHERE
def test_another_login_is_taken_over_whole(call: Call, user: User) -> None:
    bob = new_user("bob")
    session_key = saved(**login_of(user))
    ours, theirs = loaded(session_key), loaded(session_key)
    theirs.update(login_of(bob))
    call(theirs).save()
    ours["seen"] = 1
    call(ours).save()
    assert data_of(session_key) == {**login_of(bob), "seen": 1}
    assert ours[SESSION_KEY] == str(bob.pk)
    assert len(stores["default"].sessions_for_user(bob.pk)) == 1
    assert stores["default"].sessions_for_user(user.pk) == []


@EVERYWHERE
def test_tuples_and_int_keys_are_no_changes(call: Call) -> None:
    ours = SessionStore()
    ours.update({"pair": (1, 2), 5: "five", "nested": {1: ("x",)}})
    call(ours).save()
    theirs = loaded(ours.session_key)
    theirs.update({"pair": [3, 4], "nested": {}})
    theirs.pop("5")
    call(theirs).save()
    ours["ours"] = 1
    call(ours).save()
    assert data_of(ours.session_key) == {"pair": [3, 4], "nested": {}, "ours": 1}
    assert 5 not in ours


@EVERYWHERE
def test_tuples_and_int_keys_alone_are_no_reason_to_write(call: Call) -> None:
    session = SessionStore()
    session.update({"pair": (1, 2), 5: "five"})
    versions = []
    for _ in range(3):
        session["pair"] = (1, 2)
        call(session).save()
        versions.append(stored_sessions()[0].version)
    assert versions[2] == versions[1]


@EVERYWHERE
def test_the_same_change_on_both_sides_is_one(call: Call) -> None:
    session_key = saved(a=1, b=1)
    ours, theirs = loaded(session_key), loaded(session_key)
    for session in (theirs, ours):
        session["a"] = 2
        session.pop("b")
        call(session).save()
    assert data_of(session_key) == {"a": 2}


@EVERYWHERE
def test_two_expiries_do_not_bring_a_session_back(call: Call) -> None:
    session_key = saved(a=1)
    ending, renewing = loaded(session_key), loaded(session_key)
    ending.set_expiry(-1)
    call(ending).save()
    renewing.set_expiry(3600)
    with pytest.raises(UpdateError):
        call(renewing).save()
    assert data_of(session_key) is None


# gc.


@EVERYWHERE
def test_gc_leaves_what_was_renewed_before_it_came_there(call: Call, clock: Clock) -> None:
    dying = [saved(_session_expiry=3600, n=n) for n in range(3)]
    living = [saved(_session_expiry=3600, n=n) for n in range(3)]
    requests = [loaded(session_key) for session_key in living]
    for session in requests:
        session.set_expiry(3 * 3600)
        call(session).save()
    clock.advance(hours=2)
    assert call(SessionStore).clear_expired() == len(dying)
    assert [data_of(session_key) is not None for session_key in living] == [True] * 3


@DATABASES
def test_gc_waits_for_a_renewal_that_is_being_committed(kind: str, clock: Clock) -> None:
    alias = alias_of(kind)
    session_key, dead = saved(_session_expiry=3600), saved(_session_expiry=3600)
    is_at_delete = Event()

    def note_deletes(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("DELETE"):
            is_at_delete.set()
        return execute(sql, *rest)

    def collect() -> int:
        with connections[alias].execute_wrapper(note_deletes):
            return SessionStore.clear_expired()

    def renew() -> None:
        session = SessionStore(session_key)
        session.set_expiry(3 * 3600)
        session.save()

    with actors(alias, 2) as (collector, renewer):
        renewer.begins()
        renewer.does(renew)
        clock.advance(hours=2)
        if connections[alias].vendor == "sqlite":
            collected = collector.starts(collect)
            assert is_at_delete.wait(60)
        else:
            collected = collector.reaches_a_lock(collect)
            assert not collected.done()
        renewer.ends(commit=True)
        assert collected.result(60) == 1
    assert data_of(session_key) == {"_session_expiry": 3 * 3600}
    assert data_of(dead) is None


# A login, a rotation and the end of all of a user's sessions, in transactions that cross.


def log_in(session: SessionStore, user: User) -> None:
    auth.login(request_with(session), user)
    session.save()


@pytest.mark.parametrize("destroy_is_kept", [True, False], ids=["destroyed", "destroy undone"])
@pytest.mark.parametrize("login_is_kept", [True, False], ids=["logged in", "login undone"])
@pytest.mark.parametrize("login_first", [True, False], ids=["login first", "destroy first"])
@pytest.mark.parametrize("anonymous", [True, False], ids=["from a session", "from nothing"])
@SERVERS
def test_a_login_that_crosses_a_destroy_is_listed_or_dead(
    kind: str,
    user: User,
    anonymous: bool,
    login_first: bool,
    login_is_kept: bool,
    destroy_is_kept: bool,
) -> None:
    alias = alias_of(kind)
    there_before = saved(**login_of(user))
    session = loaded(saved(cart=[1])) if anonymous else SessionStore()
    destroy = stores["default"].destroy_for_user
    with actors(alias, 2) as (one, other):
        one.begins()
        other.begins()
        steps = [(log_in, session, user), (destroy, user.pk)]
        kept = [login_is_kept, destroy_is_kept]
        if not login_first:
            steps.reverse()
            kept.reverse()
        one.does(*steps[0])
        crossing = other.reaches_a_lock(*steps[1])
        one.ends(commit=kept[0])
        crossing.result(60)
        other.ends(commit=kept[1])

    listed = {record.key for record in stores["default"].sessions_for_user(user.pk)}
    live = {
        session_key
        for session_key in (there_before, session.session_key)
        if (data_of(session_key) or {}).get(SESSION_KEY) is not None
    }
    assert {key_of(session_key) for session_key in live} == listed
    assert len(live_users()) == len(live)
    assert (there_before in live) is not destroy_is_kept
    if not login_is_kept:
        assert session.session_key not in live
    elif not destroy_is_kept:
        assert session.session_key in live
    assert stores["default"].destroy_for_user(user.pk) == len(live)
    assert live_users() == []


@pytest.mark.parametrize("position", [0, 1, 2, 3, 4])
@SERVERS
def test_a_rotation_during_a_destroy_for_user_does_not_escape(
    kind: str, user: User, position: int
) -> None:
    session_keys = [saved(**login_of(user)) for _ in range(5)]
    for number, session_key in enumerate(session_keys):
        # The DELETE comes to them in this order, in PostgreSQL's heap and MariaDB's index.
        rows = StoredSession.objects.using(alias_of(kind)).filter(key=key_of(session_key))
        assert rows.update(id=number) == 1
    requests = [loaded(session_key) for session_key in session_keys]
    del requests[position]
    with actors(alias_of(kind), 6) as (destroyer, *rotators, holder):
        holder.locks(session_keys[position])
        destroyed = destroyer.reaches_a_lock(stores["default"].destroy_for_user, user.pk)
        assert not destroyed.done()
        rotations = [
            rotator.reaches_a_lock(session.cycle_key)
            for rotator, session in zip(rotators, requests, strict=True)
        ]
        assert [rotation.done() for rotation in rotations[position:]] == [True] * (4 - position)
        holder.ends(commit=True)
        assert destroyed.result(60) == 5
        for rotation in rotations:
            assert isinstance(rotation.exception(60), SessionInterrupted | None)
    assert live_users() == []
    assert stored_sessions() == []


@pytest.mark.parametrize("is_named", [True, False], ids=["end_session", "log_out_everywhere"])
@SERVERS
def test_the_end_of_a_session_waits_for_its_rotation_and_wins(
    kind: str, user: User, is_named: bool
) -> None:
    session = loaded(saved(**login_of(user)))
    (record,) = devices.sessions_for_user(user)
    end = (devices.end_session, user, record.id) if is_named else (devices.log_out_everywhere, user)
    with actors(alias_of(kind), 2) as (ender, rotator):
        rotator.begins()
        rotator.does(session.cycle_key)
        ended = ender.reaches_a_lock(*end)
        assert not ended.done()
        rotator.ends(commit=True)
        assert ended.result(60)
    assert data_of(session.session_key) is None
    assert live_users() == []


@SERVERS
def test_a_rotation_that_waits_for_the_end_of_its_session_is_interrupted(
    kind: str, user: User
) -> None:
    session = loaded(saved(**login_of(user)))
    (record,) = devices.sessions_for_user(user)
    with actors(alias_of(kind), 2) as (rotator, ender):
        ender.begins()
        assert ender.does(devices.end_session, user, record.id)
        rotation = rotator.reaches_a_lock(session.cycle_key)
        assert not rotation.done()
        ender.ends(commit=True)
        with pytest.raises(SessionInterrupted):
            rotation.result(60)
    assert live_users() == []


@pytest.mark.parametrize("is_kept", [True, False])
@SERVERS
def test_a_save_that_waits_for_the_end_of_its_session(kind: str, user: User, is_kept: bool) -> None:
    session = loaded(saved(**login_of(user)))
    session["more"] = 1
    with actors(alias_of(kind), 2) as (saver, ender):
        ender.begins()
        assert ender.does(devices.log_out_everywhere, user) == 1
        save = saver.reaches_a_lock(session.save)
        assert not save.done()
        ender.ends(commit=is_kept)
        assert isinstance(save.exception(60), UpdateError) is is_kept
    assert live_users() == ([] if is_kept else [str(user.pk)])


@SERVERS
def test_two_merges_of_one_session_wait_for_each_other(kind: str) -> None:
    session_key = saved(a=1)
    ours, theirs, third = (loaded(session_key) for _ in range(3))
    third["third"] = 1
    third.save()
    ours["ours"], theirs["theirs"] = 1, 1
    with actors(alias_of(kind), 2) as (waiting, holder):
        holder.begins()
        holder.does(theirs.save)
        merge = waiting.reaches_a_lock(ours.save)
        assert not merge.done()
        holder.ends(commit=True)
        merge.result(60)
    assert data_of(session_key) == {"a": 1, "ours": 1, "theirs": 1, "third": 1}
