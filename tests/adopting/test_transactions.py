"""What a rollback does while sessions are adopted: nothing is lost, and nothing is there twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections

from django_multistore import devices
from tests.adopting.site import CACHE, DB, PHASES, adopting, get, old_data, old_session
from tests.support.meeting import MEMORY, alias_of, on, store_setting

pytestmark = [pytest.mark.elsewhere, pytest.mark.urls("tests.adopting.site")]

each_phase = pytest.mark.parametrize("phase", PHASES)
each_engine = pytest.mark.parametrize("engine", [DB, CACHE], ids=["db", "cache"])
known_or_not = pytest.mark.parametrize("is_known", [False, True], ids=["unknown", "known"])
# Old and new in one database, in two, and the new ones in none.
PLACES = on("sqlite", "postgres", MEMORY, transaction=True)


@pytest.fixture(autouse=True)
def site(kind: str, settings: Any, old_place: Path) -> Iterator[None]:
    settings.SESSION_STORES = store_setting(kind)
    used = [connections[alias] for alias in {"default", alias_of(kind)}]
    for connection in used:
        connection.settings_dict["ATOMIC_REQUESTS"] = True
    yield
    for connection in used:
        connection.settings_dict["ATOMIC_REQUESTS"] = False


@each_phase
@each_engine
@known_or_not
@pytest.mark.parametrize("path", ["fail", "fail-rotating"])
@pytest.mark.parametrize("kind", PLACES)
def test_a_view_that_fails_loses_no_session(
    path: str, is_known: bool, engine: str, phase: str, kind: str, user: User
) -> None:
    if (kind, engine, path) == (MEMORY, DB, "fail-rotating"):
        # The rotation stays here, and is undone there: nobody can have both.
        pytest.skip("the transaction is the old engine's alone")
    cookie = old_session(engine, user, cart=7)
    with adopting(engine, phase):
        if is_known:
            assert get("show", cookie).user == user.pk
        failed = get(path, cookie)
        assert failed.status == 500
        answer = get("show", failed.cookie)
        assert (answer.user, answer.data["cart"]) == (user.pk, 7)
        if failed.cookie != cookie:
            assert get("show", cookie).user is None
        assert get("write/new", answer.cookie).user == user.pk
        assert len(devices.sessions_for_user(user)) == 1
        again = get("show", answer.cookie)
        assert (again.user, again.data["cart"], again.data["new"]) == (user.pk, 7, 1)
    if phase == "follow":
        assert old_data(engine, str(answer.cookie))["new"] == 1


@each_phase
@each_engine
@known_or_not
@pytest.mark.parametrize("kind", PLACES)
def test_requests_in_transactions_do_what_they_do_without(
    is_known: bool, engine: str, phase: str, user: User
) -> None:
    cookie = old_session(engine, user, cart=7)
    with adopting(engine, phase):
        if is_known:
            assert get("show", cookie).user == user.pk
        assert get("write/new", cookie).user == user.pk
        moved = get("rotate", cookie).cookie
        answer = get("show", moved)
        assert (answer.user, answer.data) == (user.pk, {"cart": 7, "new": 1})
        assert get("show", cookie).user is None
        assert len(devices.sessions_for_user(user)) == 1
        assert get("logout", moved).cookie is None
        assert get("show", moved).user is None
        assert devices.sessions_for_user(user) == []
