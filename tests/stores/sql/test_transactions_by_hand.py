"""What a site does by hand in its transactions: savepoints, flags, hooks of its commits."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import DataError, connections, transaction

from django_multistore.engine import SessionStore
from django_multistore.exceptions import StoreUnavailable, TransactionLost
from django_multistore.models import StoredSession
from tests.support.faults import FAULTS, OF_A_STATEMENT, Strike
from tests.support.meeting import (
    alias_of,
    data_of,
    loaded,
    login_of,
    new_user,
    on,
    orm_store_on,
    saved,
    store_setting,
)
from tests.support.unreachable import a_closed_port

KINDS = ("sqlite", "postgres", "mariadb", "mysql")
EVERYWHERE = pytest.mark.parametrize("kind", on(*KINDS, transaction=True))
ON_POSTGRES = pytest.mark.parametrize("kind", on("postgres", transaction=True))
ON_MYSQL = pytest.mark.parametrize("kind", on("mariadb", transaction=True))


@pytest.fixture(autouse=True)
def store(kind: str, settings: Any) -> None:
    settings.SESSION_STORES = store_setting(kind)


def write(alias: str, name: str) -> None:
    Group.objects.using(alias).create(name=name)


def written(alias: str) -> set[str]:
    return set(Group.objects.using(alias).values_list("name", flat=True))


def faults_of(alias: str) -> Iterator[Any]:
    vendor = connections[alias].vendor
    for name, fault in FAULTS[vendor].items():
        if (vendor, name) not in OF_A_STATEMENT:
            yield fault


@EVERYWHERE
def test_a_rollback_that_is_asked_for_in_an_inner_block_is_not_the_outer_ones(kind: str) -> None:
    alias = alias_of(kind)
    for number, fault in enumerate(faults_of(alias)):
        session_key, name = saved(cart="full"), f"before {number}"
        is_done = False
        with suppress(StoreUnavailable):
            with transaction.atomic(using=alias):
                write(alias, name)
                with transaction.atomic(using=alias), Strike(alias, fault, 1):
                    try:
                        loaded(session_key)
                    except StoreUnavailable:
                        transaction.set_rollback(True, using=alias)
            is_done = True
        connections[alias].close_if_unusable_or_obsolete()
        assert is_done is (name in written(alias))


@ON_POSTGRES
def test_a_savepoint_of_the_sites_own_heals(kind: str) -> None:
    alias = alias_of(kind)
    session_key = saved(cart="full")
    for name in ("deadlock", "lock timeout"):
        fault = FAULTS["postgresql"][name]
        with transaction.atomic(using=alias):
            write(alias, name)
            savepoint = connections[alias].savepoint()
            with Strike(alias, fault, 1), pytest.raises(StoreUnavailable):
                loaded(session_key)
            connections[alias].savepoint_rollback(savepoint)
            assert data_of(session_key) == {"cart": "full"}
    assert written(alias) == {"deadlock", "lock timeout"}


@ON_POSTGRES
def test_an_error_that_leaves_the_block_stays_what_it_is(kind: str) -> None:
    alias = alias_of(kind)
    session_key = saved(cart="full")

    def strike(execute: Any, context: Any) -> None:
        execute("SELECT 'x'::bytea || pg_catalog.decode('x', 'hex')", None, False, context)

    with (
        Strike(alias, strike, 1),
        pytest.raises(DataError),
        transaction.atomic(using=alias),
    ):
        loaded(session_key)
    with (
        Strike(alias, strike, 1),
        pytest.raises(TransactionLost),
        transaction.atomic(using=alias),
        suppress(DataError),
    ):
        loaded(session_key)


@ON_MYSQL
def test_an_outage_of_another_database_loses_nothing(
    kind: str, settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    alias = alias_of(kind)
    gone = connections[alias].copy()
    gone.settings_dict |= {"PORT": str(a_closed_port())}
    monkeypatch.setitem(connections.settings, "gone", gone.settings_dict)
    connections["gone"] = gone
    user = User.objects.db_manager(alias).create_user("ann")
    settings.SESSION_STORES = orm_store_on("gone")
    try:
        with caplog.at_level(logging.CRITICAL), transaction.atomic(using=alias):
            user.delete()
    finally:
        del connections["gone"]
    assert not User.objects.using(alias).exists()


@EVERYWHERE
@pytest.mark.parametrize("has_block", [False, True])
def test_a_hook_of_the_sites_finds_a_write_committed(kind: str, has_block: bool, call: Any) -> None:
    alias = alias_of(kind)
    session = SessionStore()

    def save_more() -> None:
        if has_block:
            with transaction.atomic(using=alias):
                write(alias, "by the hook")
        session["more"] = 1
        call(session).save()

    with transaction.atomic(using=alias):
        transaction.on_commit(save_more, using=alias)
        session["mine"] = 1
        call(session).save()
        session_key = session.session_key
    assert session.session_key == session_key
    assert data_of(session_key) == {"mine": 1, "more": 1}
    assert StoredSession.objects.using(alias).count() == 1


@EVERYWHERE
def test_a_hook_of_the_sites_after_a_login(kind: str, call: Any) -> None:
    alias = alias_of(kind)
    session = loaded(saved(cart="full"))

    def save_more() -> None:
        session["more"] = 1
        call(session).save()

    user = new_user()
    with transaction.atomic(using=alias):
        transaction.on_commit(save_more, using=alias)
        session.update(login_of(user))
        call(session).cycle_key()
    assert data_of(session.session_key) == {"cart": "full", "more": 1, **login_of(user)}


@EVERYWHERE
def test_a_hook_that_fails_undoes_no_commit(kind: str, call: Any) -> None:
    alias = alias_of(kind)
    session = SessionStore()

    def fail() -> None:
        raise LookupError

    session["mine"] = 1
    with suppress(LookupError), transaction.atomic(using=alias):
        transaction.on_commit(fail, using=alias)
        call(session).save()
    session["more"] = 1
    call(session).save()
    assert data_of(session.session_key) == {"mine": 1, "more": 1}
    assert StoredSession.objects.using(alias).count() == 1
