"""What an instance has written in a transaction that is rolled back: it is written again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client, TestCase
from django.test.utils import CaptureQueriesContext
from django.urls import path

from django_multistore.engine import SessionStore
from django_multistore.models import StoredSession
from tests.support.meeting import alias_of, data_of, loaded, login_of, new_user, on, saved
from tests.support.meeting import store_setting as setting_of

KINDS = ("sqlite", "postgres", "mariadb", "mysql")
EVERYWHERE = pytest.mark.parametrize("kind", on(*KINDS, transaction=True))
IN_A_TEST_CASE = pytest.mark.parametrize("kind", on(*KINDS))

pytestmark = [pytest.mark.elsewhere, pytest.mark.urls(__name__)]


class Undo(Exception):
    """Leaves a block that is to be rolled back."""


@pytest.fixture(autouse=True)
def store(kind: str, settings: Any) -> None:
    settings.SESSION_STORES = setting_of(kind)


@pytest.fixture
def undone(kind: str) -> Callable[..., None]:
    """Return what does something in a block, and rolls that back."""

    def undo(act: Callable[[], object]) -> None:
        with suppress(Undo), transaction.atomic(using=alias_of(kind)):
            act()
            raise Undo

    return undo


@EVERYWHERE
def test_a_save(kind: str, call: Any, undone: Any) -> None:
    session = loaded(saved(cart="full"))
    session["mine"] = 1
    undone(call(session).save)
    assert data_of(session.session_key) == {"cart": "full"}
    call(session).save()
    assert data_of(session.session_key) == {"cart": "full", "mine": 1}


@IN_A_TEST_CASE
def test_a_save_to_a_savepoint(kind: str, call: Any, undone: Any) -> None:
    session = loaded(saved(cart="full"))
    session["mine"] = 1
    undone(call(session).save)
    call(session).save()
    assert data_of(session.session_key) == {"cart": "full", "mine": 1}


@IN_A_TEST_CASE
def test_a_site_that_counts_its_hooks_in_a_test_counts_none_of_ours(kind: str, call: Any) -> None:
    with TestCase.captureOnCommitCallbacks(using=alias_of(kind)) as hooks:
        session = SessionStore()
        session["mine"] = 1
        call(session).save()
        call(session).cycle_key()
    assert hooks == []


@EVERYWHERE
def test_what_another_has_saved_since_is_kept(kind: str, call: Any, undone: Any) -> None:
    session = loaded(saved(cart="full"))
    session["mine"] = 1
    undone(call(session).save)
    other = loaded(session.session_key)
    other["theirs"] = 1
    other.save()
    call(session).save()
    assert data_of(session.session_key) == {"cart": "full", "mine": 1, "theirs": 1}


@EVERYWHERE
def test_a_merge(kind: str, call: Any, undone: Any) -> None:
    session = loaded(saved(cart="full"))
    other = loaded(session.session_key)
    other["theirs"] = 1
    other.save()
    session["mine"] = 1
    undone(call(session).save)
    call(session).save()
    assert data_of(session.session_key) == {"cart": "full", "mine": 1, "theirs": 1}


@EVERYWHERE
def test_the_last_of_two(kind: str, call: Any, undone: Any) -> None:
    session = loaded(saved(cart="full"))
    with transaction.atomic(using=alias_of(kind)):
        session["first"] = 1
        call(session).save()
        session["second"] = 1
        undone(call(session).save)
        call(session).save()
    assert data_of(session.session_key) == {"cart": "full", "first": 1, "second": 1}


@EVERYWHERE
def test_both_of_two(kind: str, call: Any, undone: Any) -> None:
    session = loaded(saved(cart="full"))

    def save_twice() -> None:
        for name in ("first", "second"):
            with transaction.atomic(using=alias_of(kind)):
                session[name] = 1
                call(session).save()

    undone(save_twice)
    call(session).save()
    assert data_of(session.session_key) == {"cart": "full", "first": 1, "second": 1}


@EVERYWHERE
def test_after_clear(kind: str, call: Any, undone: Any) -> None:
    session = loaded(saved(cart="full"))
    session.clear()
    session["mine"] = 1
    undone(call(session).save)
    call(session).save()
    assert data_of(session.session_key) == {"mine": 1}


@EVERYWHERE
def test_a_new_session(kind: str, call: Any, undone: Any) -> None:
    session = SessionStore()
    session["mine"] = 1
    undone(call(session).save)
    call(session).save()
    assert data_of(session.session_key) == {"mine": 1}
    assert StoredSession.objects.using(alias_of(kind)).count() == 1


@EVERYWHERE
def test_a_rotation(kind: str, call: Any, undone: Any) -> None:
    session = loaded(saved(cart="full"))
    before = session.session_key
    session["mine"] = 1
    undone(call(session).cycle_key)
    call(session).save()
    assert session.session_key == before
    assert not session.has_new_key
    assert data_of(before) == {"cart": "full", "mine": 1}


@EVERYWHERE
def test_a_logout_after_a_rotation_ends_what_there_is(kind: str, call: Any, undone: Any) -> None:
    session = loaded(saved(cart="full"))
    before = session.session_key
    undone(call(session).cycle_key)
    call(session).flush()
    assert data_of(before) is None
    assert session.was_flushed


@EVERYWHERE
def test_a_login_is_moved_to_a_new_key_once_more(kind: str, call: Any, undone: Any) -> None:
    user = new_user()
    session = loaded(saved(cart="full"))
    session.update(login_of(user))
    undone(call(session).cycle_key)
    assert session.needs_new_key
    call(session).cycle_key()
    assert data_of(session.session_key) == {"cart": "full", **login_of(user)}
    assert session.record.authenticated_at is not None


@EVERYWHERE
def test_what_is_committed_is_not_written_again(kind: str, call: Any) -> None:
    session = loaded(saved(cart="full"))
    session["mine"] = 1
    with transaction.atomic(using=alias_of(kind)):
        call(session).save()
        with CaptureQueriesContext(connections[alias_of(kind)]) as within:
            call(session).save()
    with CaptureQueriesContext(connections[alias_of(kind)]) as after:
        call(session).save()
    assert len(within) == len(after) == 0
    other = loaded(session.session_key)
    other["theirs"] = 1
    other.save()
    session["mine"] = 2
    call(session).save()
    assert data_of(session.session_key) == {"cart": "full", "mine": 2, "theirs": 1}


@EVERYWHERE
@pytest.mark.parametrize("commits", [False, True])
def test_with_autocommit_off(kind: str, commits: bool, call: Any) -> None:
    alias = alias_of(kind)
    session = loaded(saved(cart="full"))
    session["mine"] = 1
    transaction.set_autocommit(False, using=alias)
    try:
        call(session).save()
        (transaction.commit if commits else transaction.rollback)(using=alias)
    finally:
        transaction.set_autocommit(True, using=alias)
    session["more"] = 1
    call(session).save()
    assert data_of(session.session_key) == {"cart": "full", "mine": 1, "more": 1}


def save_and_undo(request: HttpRequest) -> HttpResponse:
    request.session["mine"] = request.session.get("mine", 0) + 1
    user = User.objects.first()
    with suppress(Undo), transaction.atomic(using=request.GET["alias"]):
        request.session.save()
        if "rotate" in request.GET:
            request.session.cycle_key()
        raise Undo
    return HttpResponse(f"{user} {request.session['mine']}")


urlpatterns = [path("", save_and_undo)]


@EVERYWHERE
@pytest.mark.parametrize("query", [{}, {"rotate": 1}])
@pytest.mark.parametrize("middleware", ["django_multistore", "django.contrib.sessions"])
def test_a_view(kind: str, query: dict[str, Any], middleware: str, settings: Any) -> None:
    settings.MIDDLEWARE = [f"{middleware}.middleware.SessionMiddleware"]
    client = Client()
    for visits in (1, 2, 3):
        assert client.get("/", {"alias": alias_of(kind), **query}).status_code == 200
        assert data_of(client.cookies["sessionid"].value) == {"mine": visits}
