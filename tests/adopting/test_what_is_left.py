"""What `sessions adopt` leaves, where the old engine's sessions can't be read or looked through."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.test import override_settings

from django_multistore.adopting.envelopes import is_following
from django_multistore.engine import SessionStore
from django_multistore.records import SessionRecord
from django_multistore.stores.memory import MemoryStore
from tests.support.old_engines.sites import DJANGOS, make_old, read_old

pytestmark = pytest.mark.django_db

MEMORY = {"default": {"BACKEND": "django_multistore.stores.memory.MemoryStore"}}


def adopting(engine: str, phase: str) -> Any:
    return override_settings(SESSION_ADOPT={"ENGINE": DJANGOS + engine, "PHASE": phase})


def adopt(*options: str) -> str:
    out = io.StringIO()
    call_command("sessions", "adopt", *options, stdout=out, stderr=out)
    return out.getvalue()


def fail(*options: str) -> CommandError:
    with pytest.raises(CommandError) as raised:
        adopt(*options)
    return raised.value


@override_settings(SESSION_STORES=MEMORY)
def test_nobody_is_waited_for_whose_session_cannot_be_read() -> None:
    with override_settings(SECRET_KEY="before"):
        make_old(f"{DJANGOS}db")
    make_old(f"{DJANGOS}db")
    with adopting("db", "adopt"):
        assert fail("--status").returncode == 1
        adopt()
        assert Session.objects.count() == 1
        assert "can go" in adopt("--status")


@override_settings(SESSION_STORES=MEMORY)
def test_what_follows_a_cache_is_taken_over_without_its_visitor() -> None:
    engine = f"{DJANGOS}cache"
    known, unknown = make_old(engine), make_old(engine)
    with adopting("cache", "follow"):
        assert SessionStore(known)["cart"] == [1]
        assert "can't be looked through" in str(fail())
    with adopting("cache", "adopt"):
        assert fail("--status").returncode == 1
        assert "1 session " in adopt("--dry-run")
        assert "1 session " in adopt()
        assert read_old(engine, known) == {}
        assert read_old(engine, unknown)["cart"] == [1]
        assert SessionStore(known)["cart"] == [1]
        record = SessionStore.get_store().store.read(SessionStore(known).key)  # type: ignore[attr-defined]
        assert not is_following(record)
        assert fail("--status").returncode == 2
        assert "can't be looked through" in str(fail("--check"))


@override_settings(SESSION_STORES=MEMORY)
def test_who_has_logged_out_everywhere_has_no_cookie_left() -> None:
    engine = f"{DJANGOS}signed_cookies"
    seen, unseen, other = (
        make_old(engine, {"_auth_user_id": user, "number": number})
        for number, user in enumerate(["7", "7", "8"])
    )
    with adopting("signed_cookies", "adopt"):
        assert SessionStore(seen)["number"] == 0
        assert SessionStore.get_store().destroy_for_user("7") == 1
        assert "number" not in SessionStore(seen)
        assert "number" not in SessionStore(unseen)
        assert SessionStore(other)["number"] == 2


@override_settings(SESSION_STORES=MEMORY)
def test_who_logs_out_everywhere_while_a_cookie_is_taken_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cookie = make_old(f"{DJANGOS}signed_cookies", {"_auth_user_id": "7"})
    create = MemoryStore.create

    def be_overtaken(store: MemoryStore, record: SessionRecord) -> bool:
        if record.user_id == "7":
            SessionStore.get_store().destroy_for_user("7")
        return create(store, record)

    with adopting("signed_cookies", "adopt"):
        monkeypatch.setattr(MemoryStore, "create", be_overtaken)
        assert "_auth_user_id" not in SessionStore(cookie)
        assert SessionStore.get_store().sessions_for_user("7") == []


@pytest.mark.parametrize("phase", ["follow", "adopt"])
@pytest.mark.parametrize("engine", ["db", "cache"])
@pytest.mark.parametrize("options", [(), ("--store", "default")], ids=["", "alias"])
def test_the_command_ends_the_old_engine_s_sessions_as_well(
    engine: str, phase: str, options: tuple[str, ...]
) -> None:
    user = get_user_model().objects.create(username="bob")
    seen, unseen = (
        make_old(DJANGOS + engine, {"_auth_user_id": str(user.pk), "cart": [1]}) for _ in "12"
    )
    with adopting(engine, phase):
        assert SessionStore(seen)["cart"] == [1]
        call_command("sessions", "end", "--user", "bob", "--yes", *options, verbosity=0)
        assert [dict(SessionStore(key).items()) for key in (seen, unseen)] == [{}, {}]
    assert read_old(DJANGOS + engine, seen) == {}


@override_settings(SESSION_STORES=MEMORY)
def test_cookies_leave_nothing_to_run() -> None:
    with adopting("signed_cookies", "adopt"):
        assert "can't be looked through" in str(fail())
        assert fail("--status").returncode == 2
