"""USE_TZ = False in a place that changes its clocks, and databases that have a TIME_ZONE."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib import import_module
from io import StringIO
from typing import Any
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth import login
from django.core.management import call_command
from django.db import connections
from django.db.migrations.loader import MigrationLoader
from django.http import HttpRequest
from django.template import Context, Template
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_multistore.decorators import has_recent_login
from django_multistore.descriptions import describe
from django_multistore.engine import SessionStore
from django_multistore.models import StoredSession, UserSession
from django_multistore.pages.views import build_device
from django_multistore.records import SessionRecord
from django_multistore.session import clock
from django_multistore.stores import stores
from django_multistore.testing import make_record
from tests.support.meeting import (
    BACKEND,
    MEMORY,
    REDIS_SERVER,
    alias_of,
    data_of,
    new_user,
    on,
    store_setting,
    with_index_on,
)

DATABASES = ("sqlite", "postgres", "mariadb")
EVERYWHERE = pytest.mark.parametrize(
    "kind", on(MEMORY, *DATABASES, *with_index_on("postgres", ["memcached"]))
)
IN_TABLES = pytest.mark.parametrize("kind", on(*DATABASES))
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
BERLIN = "Europe/Berlin"
# When it goes forward there, and back.
SPRING, AUTUMN = datetime(2027, 3, 28, 1, tzinfo=UTC), datetime(2027, 10, 31, 1, tzinfo=UTC)
CHANGES = {
    "spring in Berlin": (BERLIN, SPRING),
    "autumn in Berlin": (BERLIN, AUTUMN),
    "spring in New York": ("America/New_York", datetime(2027, 3, 14, 7, tzinfo=UTC)),
    "autumn in New York": ("America/New_York", datetime(2027, 11, 7, 6, tzinfo=UTC)),
    "by half an hour": ("Australia/Lord_Howe", datetime(2027, 4, 3, 15, tzinfo=UTC)),
}
AT_A_CHANGE = pytest.mark.parametrize(("place", "change"), CHANGES.values(), ids=CHANGES)

Call = Callable[[Any], Any]


@pytest.fixture(autouse=True)
def without_time_zones(kind: str, settings: Any) -> None:
    settings.SESSION_STORES = store_setting(kind)
    settings.USE_TZ = False
    settings.TIME_ZONE = BERLIN


@contextmanager
def at(moment: datetime) -> Iterator[None]:
    """Let the system's clock show this moment."""

    class Stopped(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            local = moment.astimezone(tz or timezone.get_default_timezone())
            return local if tz else local.replace(tzinfo=None)

    with (
        patch("django.utils.timezone.datetime", Stopped),
        patch("django_multistore.session.clock.datetime", Stopped),
    ):
        yield


def began(at_moment: datetime, **data: Any) -> SessionStore:
    with at(at_moment):
        session = SessionStore()
        session.update(data)
        session.save()
        return session


@EVERYWHERE
@AT_A_CHANGE
@pytest.mark.parametrize("before", [0, 10, 25, 50])
def test_a_session_lives_as_long_as_ever(
    call: Call, settings: Any, place: str, change: datetime, before: int
) -> None:
    settings.TIME_ZONE, settings.SESSION_COOKIE_AGE = place, 1800
    start = change - before * MINUTE
    key = began(start, a=1).session_key
    for minutes, lives in ((1, True), (29, True), (31, False), (61, False), (85, False)):
        with at(start + minutes * MINUTE):
            assert bool(call(SessionStore(key)).load()) is lives, minutes
    # And one that is used goes on, for as long as it is.
    key = began(start, a=1).session_key
    for minutes in (20, 40, 60, 80, 100):
        with at(start + minutes * MINUTE):
            session = SessionStore(key)
            call(session).get("a")
            session["a"] = minutes
            call(session).save()
    with at(start + 129 * MINUTE):
        assert data_of(key) == {"a": 100}
    with at(start + 131 * MINUTE):
        assert data_of(key) is None


@EVERYWHERE
@AT_A_CHANGE
def test_a_login_is_as_old_as_it_is(settings: Any, place: str, change: datetime) -> None:
    settings.TIME_ZONE, settings.SESSION_ABSOLUTE_AGE = place, 3600
    user = new_user()
    start = change - 30 * MINUTE
    request = HttpRequest()
    request.session = SessionStore()
    with at(start):
        login(request, user, backend=BACKEND)
        request.session.save()
    key = request.session.session_key
    for minutes, is_recent in ((5, True), (20, False), (59, False)):
        with at(start + minutes * MINUTE):
            request = HttpRequest()
            request.user, request.session = user, SessionStore(key)
            assert has_recent_login(request, 600) is is_recent
            assert request.session.authenticated_at == start
    with at(start + 61 * MINUTE):
        assert data_of(key) is None


@EVERYWHERE
@AT_A_CHANGE
def test_what_is_stored_comes_back_as_it_was(
    call: Call, settings: Any, place: str, change: datetime
) -> None:
    settings.TIME_ZONE = place
    store = stores["default"]
    for minutes in (-90, -30, 0, 30, 59, 90):
        moment = change + minutes * MINUTE + timedelta(microseconds=1)
        with at(moment):
            record = make_record(user_id="7", authenticated_at=moment)
            assert call(store).create(record)
            assert call(store).read(record.key) == record
            listed = {each.id: each for each in call(store).sessions_for_user("7")}
            assert listed[record.id].expires_at == record.expires_at
            later = moment + MINUTE
            assert call(store).touch(make_touched(record, later))
            assert call(store).read(record.key).expires_at == later + HOUR
            assert call(store).destroy(record.key)


def make_touched(record: SessionRecord, moment: datetime) -> SessionRecord:
    return make_record(
        id=record.id, key=record.key, user_id="7", last_seen_at=moment, expires_at=moment + HOUR
    )


def raw(alias: str, column: str, record: SessionRecord) -> str:
    table = connections[alias].ops.quote_name(StoredSession._meta.db_table)
    value = f"{column} AT TIME ZONE 'UTC'" if connections[alias].vendor == "postgresql" else column
    with connections[alias].cursor() as cursor:
        cursor.execute(f"SELECT {value} FROM {table} WHERE id = %s", [record.id])  # noqa: S608
        (found,) = cursor.fetchone()
    return str(found)[:19]


@IN_TABLES
@pytest.mark.parametrize("use_tz", [True, False])
@pytest.mark.parametrize("place", ["UTC", BERLIN, "Asia/Kathmandu"])
@pytest.mark.parametrize("of_database", [None, "America/St_Johns"])
def test_the_column_is_in_utc_whatever_the_settings_say(
    kind: str, settings: Any, use_tz: bool, place: str, of_database: str | None
) -> None:
    alias, store = alias_of(kind), stores["default"]
    settings.USE_TZ, settings.TIME_ZONE = use_tz, place
    connection: Any = connections[alias]
    of_connection = {**connection.settings_dict, "TIME_ZONE": of_database}
    with patch.object(connection, "settings_dict", of_connection):
        for name in ("timezone", "timezone_name"):
            connection.__dict__.pop(name, None)
        connection.ensure_timezone()
        try:
            record = make_record(user_id="7", authenticated_at=clock.now())
            store.create(record)
            assert raw(alias, "expires_at", record) == f"{record.expires_at:%Y-%m-%d %H:%M:%S}"
            assert store.read(record.key) == record
            # By the ORM as well.
            rows = StoredSession.objects.using(alias)
            row = rows.get(last_seen_at=record.last_seen_at, expires_at__gt=clock.now())
            assert row.record().authenticated_at == record.authenticated_at
            assert rows.live(clock.now()).filter(id=record.id).exists()
            assert not rows.expired(clock.now()).filter(id=record.id).exists()
            row.last_seen_at = record.last_seen_at - HOUR
            row.save()
            assert raw(alias, "last_seen_at", record) == f"{row.last_seen_at:%Y-%m-%d %H:%M:%S}"
            assert rows.filter(id=record.id).update(last_seen_at=record.last_seen_at) == 1
            assert rows.get(id=record.id).last_seen_at == record.last_seen_at
        finally:
            for name in ("timezone", "timezone_name"):
                connection.__dict__.pop(name, None)
    connection.ensure_timezone()


@pytest.mark.parametrize("kind", on("sqlite", "postgres"))
def test_what_is_shown_is_the_time_there(settings: Any) -> None:
    moment = AUTUMN + 10 * MINUTE  # 02:10 for the second time
    record = make_record(authenticated_at=moment, last_seen_at=moment, expires_at=moment + HOUR)
    page = Template("{{ d.last_seen_at|date:'H:i' }} {{ d.last_seen_at|date:'c' }}")
    for use_tz in (False, True):
        settings.USE_TZ = use_tz
        shown = page.render(Context({"d": describe(record)}))
        assert shown == "02:10 2027-10-31T02:10:00+01:00"
        answer = json.loads(json.dumps(build_device(describe(record)), default=str))
        assert datetime.fromisoformat(answer["last_seen_at"]) == moment


@IN_TABLES
def test_filters_of_searches_go_by_moments() -> None:
    idle = began(AUTUMN - 70 * MINUTE, a=1)
    busy = began(AUTUMN - 20 * MINUTE, a=1)
    with at(AUTUMN + 10 * MINUTE):
        out = StringIO()
        assert call_command("sessions", "list", "--idle-for", "60m", "--json", stdout=out) == 1
        (found,) = json.loads(out.getvalue())
        assert found["id"] == str(idle.record.id)
        assert found["last_seen_at"] == "2027-10-30T23:50:00Z"
        assert call_command("sessions", "end", "--idle-for", "60m", "--yes", stdout=out) == 1
        assert data_of(busy.session_key) == {"a": 1}
        assert data_of(idle.session_key) is None


@pytest.mark.parametrize("kind", on(REDIS_SERVER))
def test_redis_has_them_too(call: Call) -> None:
    record = make_record(user_id="7", authenticated_at=clock.now())
    store = stores["default"]
    call(store).create(record)
    assert call(store).read(record.key) == record
    with at(clock.now() + 10 * MINUTE):
        session = SessionStore()
        session["a"] = 1
        call(session).save()
        assert call(SessionStore(session.session_key)).load() == {"a": 1}


@pytest.mark.parametrize("kind", on(*DATABASES, transaction=True))
@pytest.mark.parametrize(("use_tz", "of_database"), [(False, None), (True, BERLIN), (True, None)])
def test_the_migration_makes_utc_of_what_is_there(
    kind: str, settings: Any, use_tz: bool, of_database: str | None
) -> None:
    alias = alias_of(kind)
    settings.USE_TZ = use_tz
    connection: Any = connections[alias]
    graph = MigrationLoader(connection).graph
    name = next(name for _, name in graph.nodes if name.endswith("times_in_utc"))
    ((_, before),) = graph.nodes["django_multistore", name].dependencies
    (leaf,) = graph.leaf_nodes("django_multistore")

    def migrate(to: str) -> None:
        call_command("migrate", "django_multistore", to, database=alias, verbosity=0)

    of_connection = {**connection.settings_dict, "TIME_ZONE": of_database}
    with patch.object(connection, "settings_dict", of_connection):
        for cached in ("timezone", "timezone_name"):
            connection.__dict__.pop(cached, None)
        connection.ensure_timezone()
        moments = [SPRING - HOUR, SPRING + HOUR, AUTUMN + 5 * HOUR, AUTUMN - MINUTE]
        records = [
            make_record(last_seen_at=moment, expires_at=clock.LAST if n == 0 else moment + 9 * HOUR)
            for n, moment in enumerate(moments)
        ]
        for record in records:
            stores["default"].create(record)
        try:
            migrate(before)
            is_utc = connection.features.supports_timezones or (use_tz and not of_database)
            local = UTC if is_utc else ZoneInfo(BERLIN)
            for record in records:
                there = record.last_seen_at.astimezone(local)
                assert raw(alias, "seen_at", record) == f"{there:%Y-%m-%d %H:%M:%S}"
        finally:
            migrate(leaf[1])
        for record in records:
            found = StoredSession.objects.using(alias).get(id=record.id)
            assert found.last_seen_at == record.last_seen_at
            assert abs(found.expires_at - record.expires_at) <= timedelta(days=1)
        for cached in ("timezone", "timezone_name"):
            connection.__dict__.pop(cached, None)
    connection.ensure_timezone()


class OnlyTheIndex:
    """A router that leaves a database without the ORM store's table."""

    def allow_migrate(
        self, db: str, app_label: str, model_name: str | None = None, **hints: object
    ) -> bool | None:
        return None if model_name is None else model_name != "storedsession"


@pytest.mark.parametrize("kind", on(DATABASES[0], transaction=True))
def test_the_migration_leaves_out_what_routers_have_put_elsewhere(kind: str, settings: Any) -> None:
    settings.DATABASE_ROUTERS = [OnlyTheIndex()]
    migration = import_module("django_multistore.migrations.0004_times_in_utc")
    connection: Any = connections[alias_of(kind)]
    loader = MigrationLoader(connection)
    then = loader.project_state(("django_multistore", "0004_times_in_utc")).apps
    with (
        patch.object(migration, "COLUMNS", ("created_at",)),  # By which name it is found today.
        CaptureQueriesContext(connection) as asked,
        connection.schema_editor() as editor,
    ):
        migration.convert(editor, then, ZoneInfo(BERLIN), UTC)
    statements = " ".join(query["sql"] for query in asked)
    assert UserSession._meta.db_table in statements
    assert StoredSession._meta.db_table not in statements
