"""What a request costs while sessions are adopted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_multistore.engine import SessionStore
from tests.adopting.site import DB, adopting, old_session
from tests.support.meeting import on, store_setting

pytestmark = [pytest.mark.elsewhere, pytest.mark.parametrize("kind", on("sqlite"))]

both_ways = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


@pytest.fixture(autouse=True)
def site(kind: str, settings: Any, old_place: Path) -> None:
    settings.SESSION_STORES = store_setting(kind)


@contextmanager
def statements() -> Iterator[list[str]]:
    """Yield what is sent from here on; what opens a savepoint or ends it isn't counted."""
    sent: list[str] = []
    with CaptureQueriesContext(connection) as captured:
        yield sent
    sent += [query["sql"] for query in captured.captured_queries if "SAVEPOINT" not in query["sql"]]


def load(cookie: str, *, is_async: bool) -> SessionStore:
    session = SessionStore(cookie)
    data = async_to_sync(session.aload)() if is_async else session.load()
    assert data
    return session


def count_load(cookie: str, *, is_async: bool) -> list[str]:
    with statements() as sent:
        load(cookie, is_async=is_async)
    return sent


@both_ways
def test_a_session_that_was_taken_over_costs_nothing_more(is_async: bool, user: User) -> None:
    cookie = old_session(DB, user)
    with adopting(DB, "adopt"):
        count_load(cookie, is_async=is_async)
        with_setting = count_load(cookie, is_async=is_async)
    assert len(with_setting) == 1
    assert with_setting == count_load(cookie, is_async=is_async)


@both_ways
def test_one_that_follows_costs_a_look_at_the_old_engine(is_async: bool, user: User) -> None:
    cookie = old_session(DB, user)
    with adopting(DB, "follow"):
        count_load(cookie, is_async=is_async)
        sent = count_load(cookie, is_async=is_async)
    assert ["django_session" in each for each in sent] == [False, True]


@both_ways
def test_to_save_it(is_async: bool, user: User) -> None:
    cookie = old_session(DB, user)
    costs = {}
    for phase in ("follow", "adopt"):
        with adopting(DB, phase):
            load(cookie, is_async=is_async)
            session = load(cookie, is_async=is_async)
            session[phase] = 1
            with statements() as sent:
                async_to_sync(session.asave)() if is_async else session.save()
            costs[phase] = [each.split()[0] for each in sent]
    session = load(cookie, is_async=is_async)
    session["more"] = 1
    with statements() as sent:
        session.save()
    assert costs["adopt"] == [each.split()[0] for each in sent] == ["UPDATE"]
    # The record is read, and ahead; then the old engine's row; then the record is in step.
    assert costs["follow"] == ["SELECT", "UPDATE", "UPDATE", "UPDATE"]
