"""Django's file engine, whose files are read without being touched."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.sessions.backends import file as djangos
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from django_multistore.adopting.old_engines import OldEngine, files, find_old_engine
from tests.support.old_engines.sites import DJANGOS, KEY, NO_KEYS, make_old, open_old, read_old

ENGINE = f"{DJANGOS}file"
HOUR = timedelta(hours=1)


@pytest.fixture(params=[True, False], ids=["USE_TZ", "no USE_TZ"], autouse=True)
def folder(request: pytest.FixtureRequest, tmp_path: Path, settings: Any, monkeypatch: Any) -> Path:
    settings.USE_TZ, settings.TIME_ZONE = request.param, "Europe/Berlin"
    settings.SESSION_FILE_PATH = str(tmp_path)
    # The class keeps the folder that it was told first.
    monkeypatch.setattr(djangos.SessionStore, "_storage_path", str(tmp_path), raising=False)
    return tmp_path


@pytest.fixture
def old() -> OldEngine:
    return find_old_engine(ENGINE)


def path_of(folder: Path, key: str) -> Path:
    return folder / f"sessionid{key}"


def set_written(path: Path, ago: timedelta) -> datetime:
    then = (datetime.now(UTC) - ago).replace(microsecond=0)
    os.utime(path, (then.timestamp(), then.timestamp()))
    return then


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_what_the_old_engine_writes_is_read(old: OldEngine, folder: Path) -> None:
    key = make_old(ENGINE, {"a": [1, "é"]})
    then = set_written(path_of(folder, key), HOUR)
    session = old.load(key)
    assert session is not None
    assert session.data == read_old(ENGINE, key) == {"a": [1, "é"]}
    assert session.expires_at == then + timedelta(weeks=2)
    assert session.created_at == then
    assert session.last_seen_at is None
    assert session.is_expiry_known


def test_a_number_of_seconds_is_counted_from_the_last_write(old: OldEngine, folder: Path) -> None:
    key = make_old(ENGINE, {"a": 1}, 7200)
    then = set_written(path_of(folder, key), HOUR)
    session = old.load(key)
    assert session is not None
    assert session.expires_at == then + 2 * HOUR
    set_written(path_of(folder, key), 3 * HOUR)
    assert read_old(ENGINE, key) != {}  # It never ends there.
    assert old.load(key) is None


def test_a_time_is_what_it_is(old: OldEngine) -> None:
    at = timezone.now() + 5 * HOUR
    key = make_old(ENGINE, {"a": 1}, at)
    session = old.load(key)
    assert session is not None
    assert session.expires_at.timestamp() == pytest.approx(at.timestamp(), abs=0.001)


def test_what_is_written_here_the_old_engine_reads(old: OldEngine, folder: Path) -> None:
    at = (datetime.now(UTC) + HOUR).isoformat()
    for data in ({"a": [1, "é"]}, {"a": 1, "_session_expiry": 60}, {"_session_expiry": at}):
        assert old.create(KEY, data, None)
        served = read_old(ENGINE, KEY)
        assert {**served, "_session_expiry": 0} == {**data, "_session_expiry": 0}
        assert old.delete(KEY)
    assert list(folder.iterdir()) == []


def test_a_save_is_over_what_is_there(old: OldEngine, folder: Path) -> None:
    key = make_old(ENGINE)
    set_written(path_of(folder, key), HOUR)
    assert old.save(key, {"b": 1}, None)
    assert read_old(ENGINE, key) == {"b": 1}
    session = old.load(key)
    assert session is not None
    left = session.expires_at - datetime.now(UTC)
    assert timedelta(weeks=2) - timedelta(seconds=9) < left <= timedelta(weeks=2)
    assert len(list(folder.iterdir())) == 1


def test_a_save_of_what_is_gone_makes_nothing(old: OldEngine, folder: Path) -> None:
    assert not old.save(KEY, {"b": 1}, None)
    assert list(folder.iterdir()) == []


def test_a_key_that_is_taken_stays_as_it_is(old: OldEngine) -> None:
    key = make_old(ENGINE, {"a": 1})
    assert not old.create(key, {"b": 1}, None)
    assert read_old(ENGINE, key) == {"a": 1}


def test_a_delete_says_whether_it_was_there(old: OldEngine) -> None:
    key, other = make_old(ENGINE), make_old(ENGINE)
    assert (old.delete(key), old.delete(key)) == (True, False)
    assert read_old(ENGINE, key) == {}
    old.delete_many([other])
    assert old.load(other) is None


def test_a_load_changes_nothing(old: OldEngine, folder: Path) -> None:
    """The engine's own removes what has expired, and makes a file in its place."""
    late, broken, live = make_old(ENGINE), make_old(ENGINE), make_old(ENGINE)
    set_written(path_of(folder, late), timedelta(weeks=3))
    path_of(folder, broken).write_bytes(b"\xff:of:another")
    before = snapshot(folder)
    assert [old.load(key) is None for key in (late, broken, KEY, live)] == [True, True, True, False]
    assert dict(old.scan("", 9)).keys() == {broken, live}
    assert old.count() == 2
    assert snapshot(folder) == before


def test_an_empty_file_is_an_empty_session(old: OldEngine, folder: Path) -> None:
    """Which another process is about to fill."""
    path_of(folder, KEY).touch()
    session = old.load(KEY)
    assert session is not None
    assert session.data == read_old(ENGINE, KEY) == {}


@pytest.mark.parametrize("number", range(len(NO_KEYS)))
def test_what_can_t_be_a_key_is_nobody_s(old: OldEngine, folder: Path, number: int) -> None:
    key = NO_KEYS[number]
    assert old.load(key) is None
    assert not old.save(key, {}, None)
    assert not old.create(key, {}, None)
    assert not old.delete(key)
    assert list(folder.iterdir()) == []


def test_no_key_leads_out_of_the_folder(old: OldEngine, folder: Path) -> None:
    outside = folder.parent / f"{folder.name}-outside"
    outside.write_text("")
    for key in (f"/../../{outside.name}", f"x/../../{outside.name}"):
        assert old.load(key) is None
        assert not old.delete(key)
    assert outside.exists()
    outside.unlink()


def test_an_outage_is_no_end(old: OldEngine, folder: Path) -> None:
    path_of(folder, KEY).mkdir()
    for act in (
        lambda: old.load(KEY),
        lambda: old.save(KEY, {}, None),
        lambda: old.delete(KEY),
        lambda: old.scan("", 9),
    ):
        with pytest.raises(OSError, match=r"directory|permitted"):
            act()
    assert [path.name for path in folder.iterdir()] == [f"sessionid{KEY}"]  # and no half of one


@pytest.mark.parametrize("window", [3, 50_000])
def test_scan_goes_through_what_lives_by_key(
    old: OldEngine, folder: Path, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "WINDOW", window)
    keys = sorted(make_old(ENGINE, {"number": number}) for number in range(10))
    for late in (keys[2], keys[9]):
        set_written(path_of(folder, late), timedelta(weeks=3))
    (folder / f"sessionid{KEY}_out_abcdefg").write_text("half of one")
    (folder / "sessionid").touch()
    (folder / f"sessionid2{KEY}").touch()  # another site's
    (folder / f"other{KEY}").touch()
    (folder / keys[0]).touch()
    seen, after = [], ""
    while page := old.scan(after, 2):
        seen += page
        after = page[-1][0]
    assert [key for key, _ in seen] == [key for key in keys if key not in (keys[2], keys[9])]
    assert all(session and session.data == read_old(ENGINE, key) for key, session in seen)
    assert old.count() == 8


def test_two_scans_at_once_don_t_disturb_one_another(
    old: OldEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "WINDOW", 4)
    keys = sorted(make_old(ENGINE) for _ in range(12))
    seen: list[list[str]] = [[], []]
    for _ in range(6):
        for mine in seen:
            mine += [key for key, _ in old.scan(mine[-1] if mine else "", 2)]
    assert seen == [keys, keys]


def test_a_scan_from_the_start_finds_what_is_new(old: OldEngine) -> None:
    later, earlier = "b" * 32, "a" * 32
    assert old.create(later, {}, None)
    assert [key for key, _ in old.scan("", 9)] == [later]
    assert old.create(earlier, {}, None)
    assert [key for key, _ in old.scan("", 9)] == [earlier, later]


def test_a_user_s_sessions_are_found(old: OldEngine) -> None:
    keys = {make_old(ENGINE) for _ in range(3)}
    make_old(ENGINE, {"_auth_user_id": "77"})
    make_old(ENGINE, {"a": "7"})
    assert set(old.keys_of_user("7")) == keys


def test_the_cookie_s_name_is_in_the_file_s(old: OldEngine, folder: Path, settings: Any) -> None:
    settings.SESSION_COOKIE_NAME = "other"
    key = make_old(ENGINE)
    assert (folder / f"other{key}").exists()
    assert old.load(key) is not None
    settings.SESSION_COOKIE_NAME = "sessionid"
    assert old.load(key) is None
    assert old.scan("", 9) == []


def test_what_is_missing_is_told(
    old: OldEngine, folder: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert old.missing() is None
    monkeypatch.setattr(djangos.SessionStore, "_storage_path", str(folder / "gone"))
    assert "Leave SESSION_FILE_PATH as it was" in str(old.missing())
    monkeypatch.delattr(djangos.SessionStore, "_storage_path")
    settings.SESSION_FILE_PATH = str(folder / "gone")
    with pytest.raises(ImproperlyConfigured):
        open_old(ENGINE)
    assert "SESSION_FILE_PATH setting to an existing directory" in str(old.missing())
