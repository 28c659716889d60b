"""Sessions under other names in the cache: neither listed nor forgotten; and where rows are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import caches
from django.core.checks import CheckMessage
from django.db import connections
from django.utils import timezone

from django_multistore.exceptions import InvalidStore
from django_multistore.models import UserSession
from django_multistore.records import Outcome, SessionRecord
from django_multistore.stores.cache import CacheStore
from django_multistore.stores.indexed import users as cache_users
from django_multistore.testing import make_record
from tests.support.meeting import alias_of, on, store_setting

pytestmark = pytest.mark.django_db(transaction=True)

LOCMEM = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "names"}


def names_apart(key: str, prefix: str, version: int) -> str:
    return f"{key}/{prefix}/{version}"


# What becomes of the store and of its cache in the settings.
CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "the cache's version": ({}, {"VERSION": 2}),
    "the cache's prefix": ({}, {"KEY_PREFIX": "other"}),
    "the cache's function": ({}, {"KEY_FUNCTION": names_apart}),
    "the store's prefix": ({"KEY_PREFIX": "other:"}, {}),
}


def of_user(**changes: Any) -> SessionRecord:
    return make_record(**{"user_id": "7", "authenticated_at": timezone.now(), **changes})


@pytest.fixture(autouse=True)
def _gc_waits_for_no_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_users, "IN_FLIGHT", -timedelta(minutes=1))


@pytest.fixture
def configured(settings: Any) -> Callable[..., CacheStore]:
    def configure(options: dict[str, Any], entry: dict[str, Any]) -> CacheStore:
        settings.CACHES = {"sessions": LOCMEM | entry}
        return CacheStore("web", CACHE="sessions", **options)

    configure({}, {})
    caches["sessions"].clear()
    return configure


@pytest.mark.parametrize("change", CHANGES)
def test_names_are_changed_and_changed_back(
    change: str, configured: Callable[..., CacheStore]
) -> None:
    store = configured({}, {})
    record, ended = of_user(), of_user()
    for each in (record, ended):
        assert store.create(each)

    store = configured(*CHANGES[change])
    assert store.read(record.key) is None
    assert store.sessions_for_user("7") == []
    assert store.page_for_user("7", start=0, size=9).total == 0
    assert not store.database_index().exists()
    meanwhile = of_user()
    assert store.create(meanwhile)
    assert store.destroy_for_user("7") == 1
    assert store.gc() == 0

    store = configured({}, {})
    assert store.destroy(ended.key)
    assert store.sessions_for_user("7") == [replace(record, payload=b"")]
    assert store.destroy_for_user("7") == 1
    assert store.read(record.key) is None
    assert not UserSession.objects.exists()


@pytest.mark.parametrize("change", CHANGES)
def test_rows_of_other_names_go_when_they_have_expired(
    change: str, configured: Callable[..., CacheStore]
) -> None:
    store = configured({}, {})
    stays, goes = of_user(), of_user()
    for each in (stays, goes):
        assert store.create(each)
    UserSession.objects.filter(key=goes.key).update(expires_at=timezone.now())
    others = CacheStore("website", CACHE="sessions", KEY_PREFIX="another:")
    assert others.gc() == 0
    store = configured(*CHANGES[change])
    assert store.create(of_user())
    assert store.gc(dry_run=True) == 1
    assert store.gc() == 1
    assert not UserSession.objects.filter(key=goes.key).exists()
    assert UserSession.objects.filter(key=stays.key).exists()


def test_what_is_no_part_of_the_names_makes_no_difference(
    configured: Callable[..., CacheStore],
) -> None:
    """A server that moves to another address takes its sessions along, and they stay listed."""
    record = of_user()
    assert configured({}, {}).create(record)
    store = configured({"LOCK_SECONDS": 9}, {"TIMEOUT": 9, "OPTIONS": {"MAX_ENTRIES": 9_000}})
    assert store.sessions_for_user("7") == [replace(record, payload=b"")]


def test_an_alias_that_is_too_long_for_a_row_is_refused(
    configured: Callable[..., CacheStore],
) -> None:
    CacheStore("w" * 83, CACHE="sessions").create(of_user())
    with pytest.raises(InvalidStore, match="up to 83 characters"):
        CacheStore("w" * 84, CACHE="sessions")


class Router:
    """Routers that say "default" to whoever writes, and that nobody may ask where to read."""

    def db_for_read(self, model: type[Any], **hints: Any) -> str | None:
        if model is UserSession:
            raise AssertionError("The index was to be read where a router says.")
        return None

    def db_for_write(self, model: type[Any], **hints: Any) -> str | None:
        return "default" if model is UserSession else None


class NoRouter(Router):
    def db_for_write(self, model: type[Any], **hints: Any) -> str | None:
        if model is UserSession:
            raise AssertionError("A router was asked, though DATABASE says it.")
        return None


def check_each_operation(store: CacheStore) -> list[CheckMessage]:
    record = of_user()
    assert store.create(record)
    assert store.create(of_user())
    moved = replace(record, key=make_record().key)
    assert store.rotate(record.key, moved) is Outcome.DONE
    caches["sessions"].delete(f"s:{moved.key}")
    assert len(store.page_for_user("7", start=0, size=9).records) == 1
    assert len(store.sessions_for_user("7")) == 1
    assert store.database_index().count() == 2
    assert store.gc() == 1
    assert store.destroy_for_user("7") == 1
    return store.check(deploy=True)


def test_the_index_is_read_where_it_is_written(
    settings: Any, configured: Callable[..., CacheStore]
) -> None:
    settings.DATABASE_ROUTERS = [Router()]
    check_each_operation(configured({}, {}))


@pytest.mark.parametrize("kind", on("sqlite", "postgres", "mariadb", transaction=True))
def test_no_router_is_asked_where_the_option_says_it(
    kind: str, settings: Any, configured: Callable[..., CacheStore]
) -> None:
    store_setting(kind)  # Skips where the server is missing.
    database = alias_of(kind)
    settings.DATABASE_ROUTERS = [NoRouter()]
    store = configured({"DATABASE": database}, {})
    check_each_operation(store)
    with connections[database].cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM django_multistore_usersession")
        assert cursor.fetchone() == (0,)
