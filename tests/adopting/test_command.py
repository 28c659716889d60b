"""`manage.py sessions adopt`."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session as SessionRow
from django.core.management.base import CommandError

from django_multistore import devices
from django_multistore.adopting import bulk
from django_multistore.records import key_of
from django_multistore.stores import stores
from tests.adopting.site import (
    CACHE,
    DB,
    FILE,
    OWN,
    PHASES,
    adopting,
    get,
    old_data,
    old_session,
    old_site,
)
from tests.support.commands import sessions
from tests.support.meeting import MEMORY, on, store_setting

pytestmark = [pytest.mark.elsewhere, pytest.mark.urls("tests.adopting.site")]

each_kind = pytest.mark.parametrize("kind", on(MEMORY, "sqlite"))
in_memory = pytest.mark.parametrize("kind", on(MEMORY))
each_phase = pytest.mark.parametrize("phase", PHASES)
each_engine = pytest.mark.parametrize("engine", [DB, FILE], ids=["db", "file"])


@pytest.fixture(autouse=True)
def site(kind: str, settings: Any, old_place: Path) -> None:
    settings.SESSION_STORES = store_setting(kind)


def status() -> tuple[int, str]:
    """Return the exit status of --status, and what it says in the end."""
    try:
        sessions("adopt", "--status")
    except CommandError as error:
        return error.returncode, str(error)
    return 0, ""


@each_kind
@each_engine
@each_phase
def test_all_are_found_by_their_user_then(
    engine: str, phase: str, user: User, monkeypatch: Any
) -> None:
    monkeypatch.setattr(bulk, "AT_A_TIME", 2)
    cookies = [old_session(engine, user, number=number) for number in range(5)]
    old_session(engine, None, cart=1)
    with adopting(engine, phase):
        count, out, _ = sessions("adopt", "--dry-run")
        assert (count, "would be" in out) == (6, True)
        assert devices.sessions_for_user(user) == []
        count, out, _ = sessions("adopt")
        assert (count, "6 sessions" in out) == (6, True)
        assert len(devices.sessions_for_user(user)) == 5
        assert sessions("adopt")[0] == 0
        assert sessions("adopt", "--dry-run")[0] == 0
        for number, cookie in enumerate(cookies):
            answer = get("show", cookie)
            assert (answer.user, answer.data) == (user.pk, {"number": number})
            assert bool(old_data(engine, cookie)) is (phase == "follow")


@each_kind
@each_engine
def test_it_goes_on_where_it_was(engine: str, user: User, monkeypatch: Any) -> None:
    monkeypatch.setattr(bulk, "AT_A_TIME", 2)
    for number in range(5):
        old_session(engine, user, number=number)
    with adopting(engine, "adopt"):
        assert sessions("adopt", max_seconds=0.0)[0] in (0, 2)
        before = len(devices.sessions_for_user(user))
        assert sessions("adopt")[0] == 5 - before
        assert len(devices.sessions_for_user(user)) == 5


@each_kind
def test_what_an_old_process_has_ended_is_ended_here(user: User) -> None:
    cookie, other = old_session(DB, user), old_session(DB, user)
    with adopting(DB, "follow"):
        sessions("adopt")
    with old_site(DB):
        get("logout", cookie)
    with adopting(DB, "follow"):
        assert len(devices.sessions_for_user(user)) == 2
        sessions("adopt")
        (left,) = devices.sessions_for_user(user)
        record = stores["default"].read(key_of(other))
        assert record is not None
        assert left.id == record.id


@each_kind
def test_the_status_says_when_the_old_engine_can_go(user: User) -> None:
    cookie, ended = old_session(DB, user), old_session(DB, user)
    with adopting(DB, "follow"):
        number, words = status()
        assert (number, "it has the truth" in words) == (1, True)
        sessions("adopt")
        assert status()[0] == 1
    with old_site(DB):
        get("logout", ended)
    with adopting(DB, "adopt"):
        number, words = status()
        assert (number, "Run 'manage.py sessions adopt'" in words) == (1, True)
        # What follows a session that has ended would be alive again without the setting.
        assert sessions("adopt")[0] == 1
        assert status() == (0, "")
        assert get("show", cookie).user == user.pk


@each_kind
def test_a_copy_that_a_dead_process_has_left_is_removed(user: User) -> None:
    cookie = old_session(DB, user)
    with adopting(DB, "adopt"):
        row = SessionRow.objects.get(session_key=cookie)
        assert get("show", cookie).user == user.pk
        row.save(force_insert=True)
        assert status()[0] == 1
        sessions("adopt")
        assert status() == (0, "")
        assert old_data(DB, cookie) == {}
        assert get("show", cookie).user == user.pk


@in_memory
@each_phase
def test_a_cache_cannot_be_looked_through(phase: str, user: User) -> None:
    old_session(CACHE, user)
    with adopting(CACHE, phase):
        # What was seen in "follow" is known here, and can be taken over.
        for option in ([], ["--check"], ["--dry-run"]) if phase == "follow" else (["--check"],):
            with pytest.raises(CommandError, match="can't be looked through"):
                sessions("adopt", *option)
        assert status()[0] == (1 if phase == "follow" else 2)


@in_memory
def test_without_the_setting_there_is_nothing_to_adopt() -> None:
    with pytest.raises(CommandError, match="no SESSION_ADOPT in the settings"):
        sessions("adopt")


@in_memory
def test_a_check_tells_keys_and_types(user: User) -> None:
    cookies = [old_session(OWN, user, pair=(1, "secret"), price=Decimal(3)) for _ in range(2)]
    with adopting(OWN, "adopt"):
        count, out, _ = sessions("adopt", "--check")
        assert "2 sessions were read." in out
        assert "2 times: under 'pair' a tuple, which becomes another type" in out
        assert "2 times: under 'price' a decimal.Decimal, which can't be kept" in out
        assert "secret" not in out
        assert not any(cookie in out for cookie in cookies)
        assert count == 4
        assert all(old_data(OWN, cookie) for cookie in cookies)
