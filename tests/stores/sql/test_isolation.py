"""Isolation levels above READ COMMITTED: what works alone, and inside a site's snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext

from django_multistore import devices
from django_multistore.engine import SessionStore
from django_multistore.exceptions import NotSupported, SessionLimitReached, StoreUnavailable
from django_multistore.models import StoredSession, UserSession
from django_multistore.records import key_of
from django_multistore.stores import stores
from django_multistore.stores.sql.transactions import read_level
from tests.support.helpers import rounds
from tests.support.meeting import (
    Actor,
    actors,
    alias_of,
    data_of,
    loaded,
    login_of,
    new_user,
    on,
    saved,
    store_setting,
    with_index_on,
)

pytestmark = pytest.mark.elsewhere

SERVERS = pytest.mark.parametrize("kind", on("postgres", "mariadb", "mysql", transaction=True))
MYSQL = pytest.mark.parametrize("kind", on("mariadb", "mysql", transaction=True))
POSTGRES = pytest.mark.parametrize("kind", on("postgres", transaction=True))
LEVELS = pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
CACHES = pytest.mark.parametrize(
    "kind",
    on(
        *with_index_on("postgres", ["redis"]),
        *with_index_on("mariadb", ["redis"]),
        transaction=True,
    ),
)
SNAPSHOTS = pytest.mark.parametrize("level", ["repeatable read", "serializable"])


@pytest.fixture(autouse=True)
def site(kind: str, level: str, settings: Any) -> Iterator[None]:
    """Have every connection that is made at this level."""
    settings.SESSION_STORES = store_setting(kind)
    alias = alias_of(kind)
    options = connections[alias].settings_dict["OPTIONS"]
    with patch.dict(options, _options(alias, level)):
        connections[alias].close()
        yield
        connections[alias].close()
    connections[alias].close()


def _options(alias: str, level: str) -> dict[str, Any]:
    if connections[alias].vendor == "mysql":
        return {"isolation_level": level}
    # The server's default, for Django's option has another test.
    return {"options": f"-c default_transaction_isolation={level.replace(' ', chr(92) + ' ')}"}


@pytest.fixture
def user() -> User:
    return new_user()


def sessions_of(user: User) -> int:
    return len(stores["default"].sessions_for_user(user.pk))


# Alone, every operation is right at every level.


def saves(session_key: str, name: str, times: int) -> None:
    for number in range(times):
        session = loaded(session_key)
        session[name] = number
        session.save()


def ends(user: User, times: int) -> None:
    for _ in range(times):
        stores["default"].destroy_for_user(user.pk)


def tries_to_save(user: User, times: int) -> None:
    for number in range(times):
        session = SessionStore()
        session.update(login_of(user))
        session.save()
        session["number"] = number
        try:
            session.save()
            session.cycle_key()
        except UpdateError:
            continue
        session.flush()


@SERVERS
@LEVELS
def test_saves_that_conflict_are_merged(kind: str, level: str) -> None:
    session_key, times = saved(first=1), rounds() // 3
    with actors(alias_of(kind), 3) as at_once:
        running: list[Future[None]] = [
            actor.starts(saves, session_key, name, times)
            for actor, name in zip(at_once, "abc", strict=True)
        ]
        for future in running:
            future.result(120)
    assert data_of(session_key) == {"first": 1} | dict.fromkeys("abc", times - 1)


@SERVERS
@LEVELS
def test_ends_that_cross_saves_are_no_outage(kind: str, level: str, user: User) -> None:
    times = rounds() // 6
    with actors(alias_of(kind), 3) as (one, other, ender):
        running = [
            one.starts(ignoring_interrupts, tries_to_save, user, times),
            other.starts(ignoring_interrupts, tries_to_save, user, times),
            ender.starts(ends, user, times * 2),
            ender.starts(stores["default"].gc),
        ]
        for future in running:
            future.result(120)
    stores["default"].destroy_for_user(user.pk)
    assert sessions_of(user) == 0


def ignoring_interrupts(act: Callable[..., None], *arguments: Any) -> None:
    try:
        act(*arguments)
    except SessionInterrupted:
        ignoring_interrupts(act, arguments[0], 0)


def logs_in(user: User) -> bool:
    session = SessionStore()
    session.update(login_of(user))
    try:
        session.save()
    except SessionLimitReached:
        return False
    return True


@SERVERS
@LEVELS
@pytest.mark.parametrize("policy", ["refuse", "evict-oldest"])
def test_a_limit_is_kept_by_logins_at_once(
    kind: str, level: str, policy: str, user: User, settings: Any
) -> None:
    settings.SESSION_MAX_PER_USER = 2
    settings.SESSION_MAX_PER_USER_POLICY = policy
    with actors(alias_of(kind), 4) as at_once:
        for _ in range(max(2, rounds() // 60)):
            running = [actor.starts(logs_in, user) for actor in at_once]
            admitted = sum(future.result(60) for future in running)
            assert admitted == (2 if policy == "refuse" else 4)
            assert sessions_of(user) == 2
            stores["default"].destroy_for_user(user.pk)


@SERVERS
@LEVELS
def test_a_login_that_evicts_looks_and_ends_once(
    kind: str, level: str, user: User, settings: Any
) -> None:
    settings.SESSION_MAX_PER_USER = 1
    logs_in(user)
    with CaptureQueriesContext(connections[alias_of(kind)]) as captured:
        logs_in(user)
    words = [query["sql"].split()[0] for query in captured if "LOCK" not in query["sql"].upper()]
    assert [word for word in words if word in ("INSERT", "DELETE")] == ["INSERT", "DELETE"]
    assert "SHOW" not in words
    assert not [query for query in captured if "FOR UPDATE" in query["sql"]]


@SERVERS
@LEVELS
def test_a_merge_costs_no_more_where_the_level_is_the_usual_one(kind: str, level: str) -> None:
    session_key = saved(a=1)
    session = loaded(session_key)
    other = loaded(session_key)
    other["b"] = 1
    other.save()
    session["c"] = 1
    with CaptureQueriesContext(connections[alias_of(kind)]) as captured:
        session.save()
    words = [query["sql"].split()[0] for query in captured if query["sql"][0] != "B"]
    named = connections[alias_of(kind)].vendor == "mysql" and level != "read committed"
    written = [word for word in words if word not in ("COMMIT", "SET")]
    assert written == ["UPDATE", "SELECT", "SELECT", "UPDATE"]
    assert words.count("SET") == int(named)


@SERVERS
@LEVELS
def test_check_deploy_names_the_level_and_the_setting(kind: str, level: str) -> None:
    alias = alias_of(kind)
    found = [each for each in stores["default"].check(deploy=True) if each.id.endswith("W020")]
    assert len(found) == int(level != "read committed")
    for message in found:
        assert f"'default' is on the database {alias!r}" in message.msg
        assert repr(level) in message.msg
        assert f"DATABASES[{alias!r}]['OPTIONS'] to {{'isolation_level': " in message.hint
    assert not [each for each in stores["default"].check() if each.id.endswith("W020")]


@POSTGRES
@pytest.mark.parametrize("level", ["read committed"])
def test_djangos_own_option_comes_before_the_servers_default(kind: str, level: str) -> None:
    from django.db.backends.postgresql.psycopg_any import IsolationLevel  # noqa: PLC0415

    alias = alias_of(kind)
    chosen = {"isolation_level": IsolationLevel.SERIALIZABLE}
    with patch.dict(connections[alias].settings_dict["OPTIONS"], chosen):
        connections[alias].close()
        assert read_level(alias) == "serializable"
        connections[alias].close()


# Inside a site's snapshot.


def takes_snapshot(alias: str) -> None:
    list(StoredSession.objects.using(alias).values_list("id"))


@SERVERS
@SNAPSHOTS
@pytest.mark.parametrize("way", ["all", "others", "one"])
def test_what_came_after_the_snapshot_is_ended_with_the_commit(
    kind: str, level: str, way: str, call: Any, user: User
) -> None:
    alias = alias_of(kind)
    first = saved(**login_of(user))
    store = call(stores["default"])
    with Actor(alias) as elsewhere:
        try:
            with transaction.atomic(using=alias):
                takes_snapshot(alias)
                later = elsewhere.reaches_a_lock(saved, **login_of(user))
                if level == "serializable" and connections[alias].vendor == "mysql":
                    # There a read locks what it reads, and what would come between.
                    assert not later.done()
                    return
                later = later.result(10)
                if way == "all":
                    call(devices).log_out_everywhere(user)
                elif way == "others":
                    store.destroy_for_user(user.pk, except_key=key_of(first))
                else:
                    (row,) = elsewhere.does(rows_of, alias, later)
                    store.destroy_session(user.pk, row)
        except StoreUnavailable:
            # Since MariaDB 11.6 what has changed since the snapshot is an error.
            assert connections[alias].mysql_is_mariadb
            return
    assert data_of(later) is None
    assert (data_of(first) is None) is (way == "all")


@CACHES
@pytest.mark.parametrize("level", ["repeatable read"])
@pytest.mark.parametrize("way", ["all", "one"])
def test_so_it_is_with_an_index_alone(
    kind: str, level: str, way: str, call: Any, user: User
) -> None:
    alias = alias_of(kind)
    store = call(stores["default"])
    with Actor(alias) as elsewhere, transaction.atomic(using=alias):
        list(UserSession.objects.using(alias).values_list("id"))
        later = elsewhere.does(saved, **login_of(user))
        if way == "all":
            store.destroy_for_user(user.pk)
        else:
            (listed,) = elsewhere.does(stores["default"].sessions_for_user, user.pk)
            store.destroy_session(user.pk, listed.id)
    assert data_of(later) is None
    assert sessions_of(user) == 0


def rows_of(alias: str, session_key: str) -> list[int]:
    rows = StoredSession.objects.using(alias).filter(key=key_of(session_key))
    return list(rows.values_list("id", flat=True))


def ends_it(session_key: str) -> None:
    SessionStore(session_key).delete()


def moves_it(session_key: str) -> None:
    loaded(session_key).cycle_key()


@SERVERS
@pytest.mark.parametrize("level", ["repeatable read"])
@pytest.mark.parametrize("is_rotated", [False, True], ids=["save", "rotation"])
@pytest.mark.parametrize("change", [ends_it, moves_it])
def test_what_another_has_ended_or_moved_since_the_snapshot_stays_so(
    kind: str, level: str, change: Any, is_rotated: bool, call: Any, user: User
) -> None:
    alias = alias_of(kind)
    session_key = saved(**login_of(user))
    session = loaded(session_key)
    session["more"] = 1
    refused: type[Exception] = SessionInterrupted if is_rotated else UpdateError
    if connections[alias].vendor == "postgresql":
        refused = StoreUnavailable

    def cross() -> None:
        with Actor(alias) as elsewhere, transaction.atomic(using=alias):
            takes_snapshot(alias)
            elsewhere.does(change, session_key)
            if is_rotated:
                call(session).cycle_key()
            else:
                call(session).save()

    with pytest.raises(refused):
        cross()
    assert data_of(session_key) is None
    assert sessions_of(user) == int(change is moves_it)


@MYSQL
@pytest.mark.parametrize("level", ["serializable"])
def test_what_a_serializable_transaction_has_loaded_waits_for_its_end(
    kind: str, level: str
) -> None:
    alias = alias_of(kind)
    session_key = saved(a=1)
    with Actor(alias) as elsewhere:
        with transaction.atomic(using=alias):
            loaded(session_key)
            save = elsewhere.reaches_a_lock(saves, session_key, "theirs", 1)
            assert not save.done()
        save.result(60)
    assert data_of(session_key) == {"a": 1, "theirs": 0}


@MYSQL
@pytest.mark.parametrize("level", ["serializable"])
def test_of_two_serializable_transactions_that_change_a_session_one_is_an_outage(
    kind: str, level: str
) -> None:
    """Each holds what it has loaded, and waits for the other."""
    session_key = saved()
    with actors(alias_of(kind), 2) as (one, other):
        for actor in (one, other):
            actor.begins()
        ours, theirs = one.does(loaded, session_key), other.does(loaded, session_key)
        ours["ours"], theirs["theirs"] = 1, 1
        waiting = one.reaches_a_lock(ours.save)
        assert not waiting.done()
        errors = [other.starts(theirs.save).exception(60)]
        if errors == [None]:  # The other one was undone.
            other.ends(commit=True)
        errors.append(waiting.exception(60))
        if errors[-1] is None:
            one.ends(commit=True)
        (undone,) = filter(None, errors)
        assert isinstance(undone, StoreUnavailable)
        assert undone.loses_transaction
        with pytest.raises(StoreUnavailable):
            (one if errors[0] is None else other).ends(commit=True)
    assert data_of(session_key) in ({"ours": 1}, {"theirs": 1})


@POSTGRES
@SNAPSHOTS
def test_nothing_is_ended_with_a_rollback(kind: str, level: str, user: User) -> None:
    alias = alias_of(kind)
    with Actor(alias) as elsewhere:
        try:
            with transaction.atomic(using=alias):
                takes_snapshot(alias)
                later = elsewhere.does(saved, **login_of(user))
                devices.log_out_everywhere(user)
                raise LookupError
        except LookupError:
            pass
    assert data_of(later) is not None


@POSTGRES
@SNAPSHOTS
def test_with_autocommit_off_it_is_refused(kind: str, level: str, user: User) -> None:
    alias = alias_of(kind)
    session_key = saved(**login_of(user))
    transaction.set_autocommit(False, using=alias)
    try:
        with pytest.raises(NotSupported, match=f"'default'.*{alias!r}.*{level!r}"):
            devices.log_out_everywhere(user)
    finally:
        transaction.rollback(using=alias)
        transaction.set_autocommit(True, using=alias)
    assert data_of(session_key) is not None


@POSTGRES
@SNAPSHOTS
def test_a_limit_that_evicts_is_kept_with_the_commit(
    kind: str, level: str, user: User, settings: Any
) -> None:
    settings.SESSION_MAX_PER_USER = 2
    alias = alias_of(kind)
    with Actor(alias) as elsewhere, transaction.atomic(using=alias):
        takes_snapshot(alias)
        assert [elsewhere.does(logs_in, user) for _ in range(2)] == [True, True]
        assert logs_in(user)
    assert sessions_of(user) == 2


@SNAPSHOTS
@SERVERS
def test_a_limit_that_refuses_does_not_guess(
    kind: str, level: str, user: User, settings: Any
) -> None:
    settings.SESSION_MAX_PER_USER = 2
    settings.SESSION_MAX_PER_USER_POLICY = "refuse"
    alias = alias_of(kind)
    saved(**login_of(user))
    with Actor(alias) as elsewhere:
        if connections[alias].vendor == "postgresql":
            with pytest.raises(NotSupported, match="ATOMIC_REQUESTS"), transaction.atomic(alias):
                logs_in(user)
            return
        with transaction.atomic(using=alias):
            if level == "repeatable read":
                takes_snapshot(alias)
            elsewhere.does(logs_in, user)
            try:
                assert not logs_in(user)
            except StoreUnavailable:
                assert connections[alias].mysql_is_mariadb
                transaction.set_rollback(True, using=alias)
    assert sessions_of(user) == 2


@SERVERS
@SNAPSHOTS
@pytest.mark.parametrize("most", [None, 5])
def test_a_session_that_was_saved_after_the_snapshot(
    kind: str, level: str, most: int | None, user: User, settings: Any
) -> None:
    """Merged, or an error in bounded time; never a loop, and never lost."""
    settings.SESSION_MAX_PER_USER = most
    alias = alias_of(kind)
    session_key = saved(mine=0)
    session = loaded(session_key)
    is_done = True
    with Actor(alias) as elsewhere:
        try:
            with transaction.atomic(using=alias):
                if connections[alias].vendor == "postgresql" or level == "repeatable read":
                    takes_snapshot(alias)
                elsewhere.does(saves, session_key, "theirs", 1)
                session.update(login_of(user))
                session.save()
        except StoreUnavailable:
            is_done = False
    assert (
        is_done
        or connections[alias].vendor == "postgresql"
        or (connections[alias].mysql_is_mariadb)
    )
    data = data_of(session_key)
    assert data["theirs"] == 0
    assert (data.items() >= login_of(user).items()) is is_done
    connections[alias].close_if_unusable_or_obsolete()
    assert not connections[alias].in_atomic_block
