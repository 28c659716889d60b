"""SESSION_ADOPT that can't be read, and old engines that aren't as they were."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends import file as djangos
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client, override_settings

from django_multistore.models import StoredSession
from django_multistore.serializers import BytesSerde, BytesSerializer
from tests.support.checks import messages
from tests.support.old_engines.sites import DJANGOS, make_old

pytestmark = pytest.mark.django_db

OURS = {"E029", "E030", "E031", "E032", "W041", "W042", "W043", "W044", "W045"}
BYTES = "django_multistore.serializers.BytesSerializer"


def adopt(engine: str, phase: str = "follow") -> dict[str, str]:
    return {"ENGINE": DJANGOS + engine, "PHASE": phase}


def find(engine: str, phase: str = "follow", **changed: Any) -> dict[str, Any]:
    found = messages(deploy=True, SESSION_ADOPT=adopt(engine, phase), **changed)
    return {id: message for id, message in found.items() if id in OURS}


def test_a_site_that_comes_from_nowhere_hears_nothing() -> None:
    assert OURS.isdisjoint(messages(deploy=True))


@pytest.mark.parametrize("engine", ["db", "cached_db"])
def test_what_is_right_is_right(engine: str) -> None:
    make_old(DJANGOS + engine)
    assert find(engine) == {}


def test_signed_cookies_leave_nothing_to_ask() -> None:
    assert find("signed_cookies", "adopt") == {}


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("db", "must be a dictionary"),
        ({"PHASE": "follow"}, "has no 'ENGINE'"),
        ({"ENGINE": "no.such.engine", "PHASE": "follow"}, "can't be imported"),
        (adopt("db", "later"), "'follow' or 'adopt'"),
        (adopt("signed_cookies"), "Set it to 'adopt'"),
    ],
    ids=["type", "no engine", "no such engine", "phase", "cookies"],
)
def test_what_cannot_be_read_is_said_once(setting: Any, said: str) -> None:
    found = messages(deploy=True, SESSION_ADOPT=setting)
    assert said in found["E029"].msg
    assert "sessions explain E029" in found["E029"].hint
    assert found.keys() & OURS == {"E029"}


def test_another_engine_does_not_look_at_it() -> None:
    found = messages(SESSION_ADOPT=adopt("db"), SESSION_ENGINE=f"{DJANGOS}db")
    assert f"{DJANGOS}db" in found["E031"].msg
    assert "take SESSION_ADOPT away" in found["E031"].hint


def test_the_app_is_not_installed_any_more() -> None:
    # Its model has been imported by now, which only a fresh process would refuse.
    engine = {"ENGINE": "tests.support.old_engines.uninstalled", "PHASE": "follow"}
    found = messages(SESSION_ADOPT=engine)
    assert "is not installed" in found["E030"].msg


def test_the_table_is_not_there() -> None:
    if connection.vendor == "mysql":
        pytest.skip("a rollback takes no RENAME back there")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE django_session RENAME TO elsewhere")
    assert "manage.py migrate sessions" in find("db")["E030"].msg
    # Plain check asks no database.
    assert "E030" not in messages(SESSION_ADOPT=adopt("db"))


@pytest.mark.parametrize("engine", ["cache", "cached_db"])
def test_the_cache_is_not_there(engine: str) -> None:
    found = messages(SESSION_ADOPT=adopt(engine), SESSION_CACHE_ALIAS="gone")
    assert "'gone', which CACHES doesn't have" in found["E030"].msg


@pytest.mark.parametrize(
    "options",
    [
        {"serializer": BYTES},
        {"SERIALIZER": BYTES},
        {"serializer": BytesSerializer},
        {"serde": BytesSerde()},
    ],
    ids=["Django", "django-redis", "class", "pymemcache"],
)
def test_a_cache_that_takes_bytes_alone(options: dict[str, Any], settings: Any) -> None:
    cache = settings.CACHES["default"] | {"OPTIONS": options}
    changed: dict[str, Any] = {"CACHES": settings.CACHES | {"default": cache}}
    changed["SESSION_CACHE_ALIAS"] = "default"
    found = messages(SESSION_ADOPT=adopt("cache"), **changed)
    assert "takes bytes alone" in found["E032"].msg
    assert "E032" in messages(SESSION_ADOPT=adopt("cached_db"), **changed)
    # Then its copies are only removed.
    assert "E032" not in messages(SESSION_ADOPT=adopt("cached_db", "adopt"), **changed)
    pickles = settings.CACHES | {"default": cache | {"OPTIONS": {"serializer": "a.Pickler"}}}
    assert "E032" not in messages(SESSION_ADOPT=adopt("cache"), **changed | {"CACHES": pickles})


@pytest.mark.parametrize(
    ("backend", "hides", "tells"),
    [
        (
            "django.core.cache.backends.memcached.PyMemcacheCache",
            {},
            {"retry_attempts": 0, "dead_timeout": 0},
        ),
        (
            "django_redis.cache.RedisCache",
            {"IGNORE_EXCEPTIONS": True},
            {"IGNORE_EXCEPTIONS": False},
        ),
    ],
    ids=["pymemcache", "django-redis"],
)
def test_a_cache_that_hides_its_outages(
    backend: str, hides: dict[str, Any], tells: dict[str, Any], settings: Any
) -> None:
    def find_with(options: dict[str, Any], engine: str = "cache") -> dict[str, Any]:
        # Nobody is there: what it is set to is what matters.
        entry = {"BACKEND": backend, "LOCATION": "redis://127.0.0.1:1/0", "OPTIONS": options}
        if "Memcache" in backend:
            entry["LOCATION"] = "127.0.0.1:1"
        return find(engine, CACHES=settings.CACHES | {"old": entry}, SESSION_CACHE_ALIAS="old")

    found = find_with(hides)
    assert "'old', which reports an outage as a miss" in found["W045"].msg
    assert "CACHES['old']['OPTIONS']" in found["W045"].hint
    assert "W045" not in find_with(tells)
    assert "W045" not in find_with(hides, "cached_db")


def test_sessions_of_another_secret_key() -> None:
    with override_settings(SECRET_KEY="before"):
        for _ in range(3):
            make_old(f"{DJANGOS}db")
    for _ in range(2):
        make_old(f"{DJANGOS}db")
    found = find("db")
    assert "3 of 5 sessions" in found["W042"].msg
    assert "SECRET_KEY_FALLBACKS" in found["W042"].hint
    assert find("db", SECRET_KEY_FALLBACKS=["before"]) == {}
    Session.objects.order_by("pk").first().delete()  # type: ignore[union-attr]
    make_old(f"{DJANGOS}db")
    make_old(f"{DJANGOS}db")
    assert find("db") == {}


def test_an_engine_that_fails_tells_no_session_key(monkeypatch: pytest.MonkeyPatch) -> None:
    key = make_old(f"{DJANGOS}db")

    def fail(store: object, text: str) -> None:
        raise OSError(key)

    monkeypatch.setattr("django_multistore.adopting.old_engines.tables.open_text", fail)
    found = find("db")
    assert "builtins.OSError" in found["W044"].msg
    assert key not in f"{found['W044']}"


@pytest.fixture
def folder(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings.SESSION_FILE_PATH = str(tmp_path)
    # The class keeps the folder that it was told first.
    monkeypatch.setattr(djangos.SessionStore, "_storage_path", str(tmp_path), raising=False)
    return tmp_path


def test_files_of_another_cookie(folder: Path) -> None:
    make_old(f"{DJANGOS}file")
    (folder / f"else{'k' * 32}").write_text("not a session")
    assert find("file") == {}
    found = find("file", SESSION_COOKIE_NAME="sid")
    assert "those of the cookie 'sessionid'" in found["W043"].msg
    assert "SESSION_COOKIE_NAME = 'sessionid'" in found["W043"].hint
    # Another site's can't be read here.
    assert find("file", SESSION_COOKIE_NAME="sid", SECRET_KEY="another") == {}
    with override_settings(SESSION_COOKIE_NAME="sid"):
        make_old(f"{DJANGOS}file")
    assert find("file", SESSION_COOKIE_NAME="sid") == {}


def test_a_folder_that_is_not_there(folder: Path) -> None:
    folder.rmdir()
    found = messages(SESSION_ADOPT=adopt("file"))
    assert "can't read and write" in " ".join(found["E030"].msg.split())


def log_in() -> None:
    user, _ = get_user_model().objects.get_or_create(username="bob")
    with override_settings(SESSION_ADOPT=adopt("db")):
        Client().force_login(user)


def test_a_phase_that_lasts(settings: Any) -> None:
    settings.SESSION_COOKIE_AGE = 60 * 60 * 24 * 365
    log_in()
    assert find("db") == {}
    rows = StoredSession.objects.exclude(user_id=None)
    rows.update(authenticated_at=datetime.now(UTC) - timedelta(days=29))
    assert find("db") == {}
    rows.update(authenticated_at=datetime.now(UTC) - timedelta(days=31))
    found = find("db")
    assert "for 30 days or longer" in found["W041"].msg
    assert "Set it to 'adopt'" in found["W041"].hint
    assert find("db", "adopt") == {}


def test_a_phase_that_lasts_where_sessions_are_short() -> None:
    log_in()
    rows = StoredSession.objects.exclude(user_id=None)
    rows.update(authenticated_at=datetime.now(UTC) - timedelta(days=12))
    assert find("db") == {}
    rows.update(authenticated_at=datetime.now(UTC) - timedelta(days=13))
    assert "for 12 days or longer" in find("db")["W041"].msg


def test_sessions_that_came_over_say_nothing_of_the_phase(client: Client) -> None:
    key = make_old(f"{DJANGOS}db", {"_auth_user_id": "7"})
    client.cookies["sessionid"] = key
    with override_settings(SESSION_ADOPT=adopt("db")):
        client.get("/counter/")
    StoredSession.objects.update(created_at=datetime.now(UTC) - timedelta(days=400))
    assert find("db") == {}


def test_rows_that_live_are_not_to_be_deleted() -> None:
    make_old(f"{DJANGOS}db")
    assert "objects.all().delete()" in messages(deploy=True)["W055"].hint
    found = messages(deploy=True, SESSION_ADOPT=adopt("db"))["W055"]
    assert "delete" not in found.hint
    assert __name__ in found.msg
