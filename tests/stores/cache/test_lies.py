"""A cache that does not report an outage spins nobody, fills no index and ends no list."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from django.core.cache import caches
from django.utils import timezone

from django_multistore.engine import SessionStore
from django_multistore.exceptions import InvalidStore, StoreUnavailable
from django_multistore.models import UserSession
from django_multistore.records import SessionRecord, key_of
from django_multistore.session.keys import new_session_key
from django_multistore.stores.cache import CacheStore
from django_multistore.stores.cache.cells import REFUSALS_OF_A_LOCK
from django_multistore.stores.indexed import users as cache_users
from django_multistore.testing import Calls, make_record
from tests.support.caches import LIES, LyingCache, lying
from tests.support.meeting import cache_store_on

pytestmark = [pytest.mark.elsewhere, pytest.mark.django_db(transaction=True)]

AT_ONCE = 3  # seconds, which this machine may take for itself
EACH_LIE = pytest.mark.parametrize("lie", LIES)
# The others say that nothing is there, and a save says at once that the session is gone.
SAYS_GONE = "as memcached's clients"


@pytest.fixture(autouse=True)
def _sessions_in_a_cache_that_lies(settings: Any) -> None:
    settings.CACHES = {"liar": {"BACKEND": "tests.support.caches.LyingCache", "LOCATION": "liar"}}
    settings.SESSION_STORES = cache_store_on("default", CACHE="liar")
    caches["liar"].clear()


@pytest.fixture
def store() -> CacheStore:
    return CacheStore("web", CACHE="liar")


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def calls(request: pytest.FixtureRequest, store: CacheStore) -> Any:
    return Calls(store, is_async=request.param)


def of_user(**changes: Any) -> SessionRecord:
    return make_record(**{"user_id": "7", "authenticated_at": timezone.now(), **changes})


def moved(record: SessionRecord, **changes: Any) -> SessionRecord:
    return replace(record, key=key_of(new_session_key()), **changes)


def is_refused(act: Callable[[], object]) -> None:
    began = time.monotonic()
    with pytest.raises(StoreUnavailable) as refused:
        act()
    assert time.monotonic() - began < AT_ONCE
    assert "'web'" in str(refused.value)
    assert "'liar'" in str(refused.value) or "NoAnswer" in str(refused.value)


@EACH_LIE
def test_nothing_can_be_created(lie: str, calls: Any) -> None:
    for record in (of_user(), make_record()):
        with lying(lie):
            is_refused(lambda record=record: calls.create(record))
        # What raises may have been stored all the same, as after a timeout.
        assert UserSession.objects.count() == (lie == "as those that answer nothing")
    assert calls.sessions_for_user("7") == []


def test_the_message_names_the_remedy(store: CacheStore) -> None:
    with lying(SAYS_GONE), pytest.raises(StoreUnavailable, match="check --deploy"):
        store.create(of_user())


def test_the_row_of_a_session_that_was_there_stays(calls: Any) -> None:
    record = of_user()
    assert calls.create(record)
    with lying(SAYS_GONE):
        is_refused(lambda: calls.create(of_user(key=record.key)))
    assert calls.sessions_for_user("7") == [replace(record, payload=b"")]


@EACH_LIE
def test_the_engine_does_not_spin(lie: str) -> None:
    session = SessionStore()
    session["_auth_user_id"] = "7"
    began = time.monotonic()
    with lying(lie), pytest.raises(StoreUnavailable):
        session.create()
    assert time.monotonic() - began < AT_ONCE


@EACH_LIE
def test_no_save_waits_for_a_lock_that_nobody_has(lie: str, calls: Any) -> None:
    record = of_user()
    assert calls.create(record)
    for act in (
        lambda: calls.update(record),
        lambda: calls.touch(record),
        lambda: calls.rotate(record.key, moved(record)),
        lambda: calls.modify(record.key, lambda stored: stored),
    ):
        with lying(lie):
            is_refused(act)
    assert calls.sessions_for_user("7") == [replace(record, payload=b"")]
    assert UserSession.objects.count() == 1


@EACH_LIE
def test_nothing_is_said_to_have_ended(lie: str, calls: Any) -> None:
    record = of_user()
    assert calls.create(record)
    for act in (
        lambda: calls.destroy(record.key),
        lambda: calls.destroy_for_user("7"),
        lambda: calls.destroy_session("7", record.id),
    ):
        with lying(lie):
            is_refused(act)
        assert calls.sessions_for_user("7") == [replace(record, payload=b"")]
    assert calls.destroy_for_user("7") == 1
    assert calls.read(record.key) is None


@EACH_LIE
def test_gc_removes_nothing(lie: str, calls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_users, "IN_FLIGHT", -cache_users.IN_FLIGHT)
    record = of_user()
    assert calls.create(record)
    with lying(lie):
        is_refused(calls.gc)
    assert calls.sessions_for_user("7") == [replace(record, payload=b"")]


OPERATIONS: dict[str, Callable[[Any, SessionRecord], object]] = {
    "create": lambda calls, record: calls.create(of_user()),
    "update": lambda calls, record: calls.update(replace(record, payload=b"x")),
    "touch": lambda calls, record: calls.touch(record),
    "rotate": lambda calls, record: calls.rotate(record.key, moved(record)),
    "become another": lambda calls, record: calls.rotate(
        record.key, moved(record, user_id="8", version=None)
    ),
    "destroy": lambda calls, record: calls.destroy(record.key),
    "destroy for user": lambda calls, record: calls.destroy_for_user("7"),
}


# Where a write that is lost is said to be done, nobody knows of an outage that begins between an
# ending's look and its write. W003 is for that.
BEGIN_UNSEEN = [
    (lie, name)
    for lie in LIES
    for name in OPERATIONS
    if LIES[lie][2]({"name": b""}) or LIES[lie][2]({}) is False or not name.startswith("destroy")
]


@pytest.mark.parametrize("is_exact", [True, False], ids=["exact", "unlocked"])
@pytest.mark.parametrize(("lie", "name"), BEGIN_UNSEEN)
def test_an_outage_that_begins_at_any_command(lie: str, name: str, is_exact: bool) -> None:
    store = CacheStore("web", CACHE="liar", EXACT=is_exact)
    for begins_at in range(20):
        caches["liar"].clear()
        UserSession.objects.all().delete()
        record = of_user()
        assert store.create(record)
        began = time.monotonic()
        with lying(lie, after=begins_at) as outage:
            with suppress(StoreUnavailable):
                OPERATIONS[name](store, record)
            is_over = outage.commands <= begins_at
        assert time.monotonic() - began < AT_ONCE
        names = [name.rpartition(":")[2] for name in caches["liar"]._cache]
        live = [found for key in {*names} if (found := store.read(key)) is not None]
        ids = [found.id for found in live]
        assert len(ids) == len(set(ids)), "two live keys of one session"
        for found in live:
            listed = store.sessions_for_user(found.user_id)
            assert found.id in [each.id for each in listed], "a live session that isn't listed"
        if is_over:
            return
    raise AssertionError("There was no end of commands.")


def test_a_large_session_is_not_too_large_in_an_outage(store: CacheStore) -> None:
    record = of_user(payload=b"x" * 1_100_000)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(store._client), "limits_items", True)
        for lie in LIES:
            with lying(lie):
                is_refused(lambda: store.create(record))
    assert store.create(record)


def test_a_lock_that_others_have_is_waited_for(store: CacheStore) -> None:
    """What is answered False because another lock was there, and ended just then, is no lie."""
    record = of_user()
    store.create(record)
    add, refusals = LyingCache.add, 0

    def refusing(self: Any, *args: Any) -> Any:
        nonlocal refusals
        refusals += 1
        return False if refusals < REFUSALS_OF_A_LOCK else add(self, *args)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(LyingCache, "add", refusing)
        assert store.touch(record)


@pytest.mark.parametrize("name", ["get_many", "add", "set_many", "delete"])
def test_what_has_no_such_method_is_refused_at_the_start(name: str, settings: Any) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(LyingCache, name, None)
        with pytest.raises(InvalidStore, match=rf"'web'.*'liar'.*{name}\(\)"):
            CacheStore("web", CACHE="liar")


def test_what_is_for_async_code_alone_is_refused_at_the_start() -> None:
    async def add(self: Any, *args: Any) -> bool:
        return True

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(LyingCache, "add", add)
        with pytest.raises(InvalidStore, match=r"'web'.*'liar'.*async code alone.*BACKEND"):
            CacheStore("web", CACHE="liar")


def test_a_backend_that_cannot_be_imported_is_refused(settings: Any) -> None:
    settings.CACHES = {"liar": {"BACKEND": "tests.support.caches.NoSuchCache"}}
    with pytest.raises(InvalidStore, match=r"'web'.*'liar'.*NoSuchCache"):
        CacheStore("web", CACHE="liar")
