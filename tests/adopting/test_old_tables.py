"""Old engines with a table: what they write is read here, and what is written here they read."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.conf import settings as django_settings
from django.core.cache import caches
from django.db import DatabaseError, connections, transaction
from django.test.utils import CaptureQueriesContext, override_settings
from django.utils import timezone

from django_multistore.adopting.old_engines import OldEngine, find_old_engine
from tests import servers
from tests.support.old_engines.sites import (
    KEY,
    NO_KEYS,
    TABLES,
    SessionsTo,
    in_utc,
    make_old,
    open_old,
    read_old,
)

DATABASES = [alias for alias in ("default", "postgres") if alias in django_settings.DATABASES]
pytestmark = pytest.mark.django_db(databases=DATABASES)

HOUR = timedelta(hours=1)


@pytest.fixture(params=["default", "postgres"])
def alias(request: pytest.FixtureRequest, settings: Any, monkeypatch: Any) -> str:
    if request.param == "postgres":
        servers.require("postgres")
    monkeypatch.setattr(SessionsTo, "alias", request.param)
    settings.DATABASE_ROUTERS = ["tests.support.old_engines.sites.SessionsTo"]
    return str(request.param)


@pytest.fixture(params=[True, False], ids=["USE_TZ", "no USE_TZ"])
def use_tz(request: pytest.FixtureRequest) -> Iterator[bool]:
    with override_settings(USE_TZ=request.param, TIME_ZONE="Europe/Berlin"):
        yield request.param


@pytest.fixture(params=TABLES.values(), ids=TABLES)
def old(request: pytest.FixtureRequest, alias: str) -> OldEngine:
    caches["default"].clear()
    return find_old_engine(request.param)


def rows_of(old: OldEngine) -> Any:
    return open_old(old.name).get_model_class().objects.all()


def expiry_in_table(old: OldEngine, key: str) -> datetime:
    return in_utc(rows_of(old).get(session_key=key).expire_date)


EXPIRIES = {
    "none": lambda: None,
    "seconds": lambda: 300,
    "with the browser": lambda: 0,
    "time": lambda: timezone.now() + 2 * HOUR,
    "timedelta": lambda: 3 * HOUR,
}


@pytest.mark.parametrize("expiry", EXPIRIES)
def test_what_the_old_engine_writes_is_read(old: OldEngine, use_tz: bool, expiry: str) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    key = make_old(old.name, {"_auth_user_id": "7", "cart": [1, {"a": None}]}, EXPIRIES[expiry]())
    session = old.load(key)
    assert session is not None
    assert session.data == read_old(old.name, key)
    assert session.data["cart"] == [1, {"a": None}]
    assert session.expires_at == expiry_in_table(old, key)
    assert session.expires_at.tzinfo is UTC
    assert session.is_expiry_known
    assert before <= session.created_at <= datetime.now(UTC)
    assert session.last_seen_at is None
    assert (session.device.ip_address, session.device.user_agent) == (None, "")


def test_it_is_the_last_write_that_is_known(
    old: OldEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = make_old(old.name)
    then = datetime.now(UTC) - 5 * HOUR
    with monkeypatch.context() as patched:
        patched.setattr("time.time", then.timestamp)
        sealed = open_old(old.name, key).encode({"a": 1})
    rows_of(old).filter(session_key=key).update(session_data=sealed)
    session = old.load(key)
    assert session is not None
    # A site's own text has no signature, and so no time.
    known = datetime.now(UTC) if old.name == TABLES["own text"] else then
    assert abs(session.created_at - known) < timedelta(seconds=9)


@pytest.mark.parametrize("expiry", EXPIRIES)
def test_what_is_written_here_the_old_engine_reads(
    old: OldEngine, use_tz: bool, expiry: str
) -> None:
    data = {"_auth_user_id": "7", "a": {"b": [1, None, "é"]}}
    value = EXPIRIES[expiry]()
    if isinstance(value, timedelta):
        value = datetime.now(UTC) + value
    elif isinstance(value, datetime):
        value = in_utc(value)
    if value is not None:  # Times are in UTC, as this package's engine keeps them.
        data["_session_expiry"] = value.isoformat() if isinstance(value, datetime) else value
    assert old.create(KEY, data, None)
    served = read_old(old.name, KEY)
    assert {**served, "_session_expiry": 0} == {**data, "_session_expiry": 0}
    session = open_old(old.name, KEY)
    here = old.load(KEY)
    assert here is not None
    assert abs(in_utc(session.get_expiry_date()) - here.expires_at) < timedelta(seconds=2)
    if expiry in ("time", "timedelta"):
        assert in_utc(session.get_expiry_date()) == here.expires_at == expiry_in_table(old, KEY)
    session["more"] = 1
    session.save()  # An old process goes on with it.
    again = old.load(KEY)
    assert again is not None
    assert again.data["more"] == 1


def test_a_save_is_over_what_is_there(old: OldEngine, use_tz: bool) -> None:
    key = make_old(old.name, expiry=60)
    assert old.save(key, {"b": 2}, None)
    assert read_old(old.name, key) == {"b": 2}
    age = open_old(old.name).get_session_cookie_age()
    expected = datetime.now(UTC) + timedelta(seconds=age)
    assert abs(expiry_in_table(old, key) - expected) < timedelta(seconds=5)
    assert rows_of(old).count() == 1


def test_a_save_of_what_is_gone_makes_nothing(old: OldEngine) -> None:
    key = make_old(old.name)
    open_old(old.name, key).delete()
    assert not old.save(key, {"b": 2}, None)
    assert rows_of(old).count() == 0
    assert read_old(old.name, key) == {}


def test_a_key_that_is_taken_stays_as_it_is(old: OldEngine) -> None:
    key = make_old(old.name, {"a": 1})
    assert not old.create(key, {"b": 2}, None)
    assert read_old(old.name, key) == {"a": 1}


def test_the_data_that_are_saved_are_not_changed(old: OldEngine) -> None:
    data = {"a": 1}
    old.create(KEY, data, None)
    old.save(KEY, data, None)
    assert data == {"a": 1}


def test_a_delete_says_whether_it_was_there(old: OldEngine) -> None:
    key, other = make_old(old.name), make_old(old.name)
    assert old.delete(key)
    assert not old.delete(key)
    assert read_old(old.name, key) == {}
    assert old.load(other) is not None


def test_many_are_deleted(old: OldEngine) -> None:
    keys = [make_old(old.name) for _ in range(3)]
    old.delete_many(keys[:2])
    assert [read_old(old.name, key) != {} for key in keys] == [False, False, True]
    old.delete_many([])
    assert rows_of(old).count() == 1


def test_a_site_s_own_delete_is_called(alias: str) -> None:
    own = importlib.import_module(TABLES["own text"])
    old = find_old_engine(TABLES["own text"])
    keys = [make_old(old.name) for _ in range(3)]
    own.deleted.clear()
    old.delete(keys[0])
    old.delete_many(keys[1:])
    assert own.deleted == keys


def test_a_site_s_own_columns_are_filled(alias: str) -> None:
    old = find_old_engine(TABLES["cached own"])
    old.create(KEY, {"_auth_user_id": "7"}, None)
    assert rows_of(old).get().account_id == 7
    old.save(KEY, {"_auth_user_id": "8"}, None)
    assert rows_of(old).get().account_id == 8


def test_a_load_is_one_query_and_changes_nothing(old: OldEngine, alias: str) -> None:
    key = make_old(old.name)
    late = make_old(old.name)
    rows_of(old).filter(session_key=late).update(expire_date=timezone.now() - HOUR)
    before = list(rows_of(old).order_by("pk").values())
    for looked_for, is_there in ((key, True), (late, False), (KEY, False)):
        with CaptureQueriesContext(connections[alias]) as queries:
            assert (old.load(looked_for) is not None) is is_there
        assert len(queries) == 1
    assert list(rows_of(old).order_by("pk").values()) == before


@pytest.mark.parametrize("number", range(len(NO_KEYS)))
def test_what_can_t_be_a_key_is_nobody_s(old: OldEngine, number: int) -> None:
    key = NO_KEYS[number]
    assert old.load(key) is None
    assert not old.save(key, {}, None)
    assert not old.create(key, {}, None)
    assert not old.delete(key)
    assert rows_of(old).count() == 0


def test_what_can_t_be_read_is_told_from_what_is_empty(
    old: OldEngine, caplog: pytest.LogCaptureFixture
) -> None:
    empty, other = make_old(old.name, {}), make_old(old.name)
    rows_of(old).filter(session_key=other).update(session_data="of:another:engine")
    found = dict(old.scan("", 10))
    assert found[other] is None
    if old.name != TABLES["own text"]:
        assert found[empty] is not None
        assert found[empty].data == {}
        assert caplog.records == []
    assert old.load(other) is None
    assert old.count() == 2


def test_another_class_s_sessions_can_t_be_read(alias: str) -> None:
    """Its name is in the salt."""
    old = find_old_engine(TABLES["db"])
    key = make_old(old.name)
    sealed = open_old(TABLES["own"]).encode({"a": 1})
    rows_of(old).filter(session_key=key).update(session_data=sealed)
    assert old.load(key) is None


def test_an_outage_is_no_end(old: OldEngine, alias: str) -> None:
    key = make_old(old.name)
    model = rows_of(old).model
    for act in (
        lambda: old.load(key),
        lambda: old.save(key, {"a": 1}, None),
        lambda: old.create(KEY, {"a": 1}, None),
        lambda: old.delete(key),
        lambda: old.scan("", 1),
        old.count,
        lambda: list(old.keys_of_user("7")),
    ):
        with transaction.atomic(using=alias), patch.object(model._meta, "db_table", "elsewhere"):
            with pytest.raises(DatabaseError) as raised:
                act()
            transaction.set_rollback(True, using=alias)
        assert KEY not in str(raised.value)
        assert key not in str(raised.value)
    assert old.load(key) is not None


def test_scan_goes_through_what_lives_by_key(old: OldEngine) -> None:
    keys = sorted(make_old(old.name, {"number": number + 1}) for number in range(7))
    rows_of(old).filter(session_key=keys[3]).update(expire_date=timezone.now() - HOUR)
    live = keys[:3] + keys[4:]
    seen, after = [], ""
    while page := old.scan(after, 2):
        assert len(page) <= 2
        seen += page
        after = page[-1][0]
    assert [key for key, _ in seen] == live
    assert [session and session.data for _, session in seen] == [
        read_old(old.name, key) for key in live
    ]
    assert old.count() == 6


def test_a_user_s_sessions_are_found_in_batches(
    old: OldEngine, alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django_multistore.adopting.old_engines.tables.BATCH", 2)
    keys = sorted(make_old(old.name) for _ in range(5))
    for data in ({"_auth_user_id": "77"}, {"a": "7"}, {}):
        make_old(old.name, data)
    rows_of(old).filter(session_key=keys[0]).update(expire_date=timezone.now() - HOUR)
    assert list(old.keys_of_user("7")) == keys[1:]
    assert list(old.keys_of_user("nobody's")) == []


@pytest.mark.parametrize("engine", ["cached_db", "cached own"])
class TestCopies:
    def test_a_copy_whose_row_is_gone_has_ended(self, engine: str, alias: str) -> None:
        old = find_old_engine(TABLES[engine])
        key = make_old(old.name)
        rows_of(old).all().delete()
        assert read_old(old.name, key) != {}  # The old engine goes on serving it.
        assert old.load(key) is None
        assert not old.save(key, {"a": 1}, None)
        assert not old.delete(key)
        assert read_old(old.name, key) == {}

    def test_both_are_written(self, engine: str, alias: str) -> None:
        old = find_old_engine(TABLES[engine])
        key = make_old(old.name)
        old.save(key, {"b": 1}, None)
        session = open_old(old.name, key)
        assert caches["default"].get(session.cache_key) == {"b": 1}
        session = old.load(key)
        assert session is not None
        assert session.data == {"b": 1}

    def test_many_copies_are_deleted(self, engine: str, alias: str) -> None:
        old = find_old_engine(TABLES[engine])
        keys = [make_old(old.name) for _ in range(2)]
        rows_of(old).filter(session_key=keys[0]).delete()
        old.delete_many(keys)
        assert [read_old(old.name, key) for key in keys] == [{}, {}]


class TestWhatIsMissing:
    def test_nothing(self, old: OldEngine) -> None:
        assert old.missing() is None

    def test_the_table(self, old: OldEngine, alias: str) -> None:
        model = rows_of(old).model
        with patch.object(model._meta, "db_table", "elsewhere"):
            message = str(old.missing())
        assert f"manage.py migrate {model._meta.app_label} --database {alias}" in message

    @override_settings(SESSION_CACHE_ALIAS="gone")
    def test_the_cache(self) -> None:
        assert "'gone'" in str(find_old_engine(TABLES["cached_db"]).missing())


def test_session_data_and_keys_are_in_no_repr(alias: str) -> None:
    old = find_old_engine(TABLES["db"])
    key = make_old(old.name, {"a": "hidden"})
    assert "hidden" not in repr(old.load(key))
    assert repr(old) == "<TableEngine of django.contrib.sessions.backends.db>"
