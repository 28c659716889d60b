"""Django's signed_cookies engine: the cookie's value is all that there is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import signing

from django_multistore.adopting.old_engines import OldEngine, find_old_engine
from django_multistore.exceptions import NotSupported
from tests.support.old_engines.sites import DJANGOS, NO_KEYS, make_old

ENGINE = f"{DJANGOS}signed_cookies"
HOUR = timedelta(hours=1)


@pytest.fixture(params=[True, False], ids=["USE_TZ", "no USE_TZ"], autouse=True)
def use_tz(request: pytest.FixtureRequest, settings: Any) -> bool:
    settings.USE_TZ, settings.TIME_ZONE = request.param, "Europe/Berlin"
    return bool(request.param)


@pytest.fixture
def old() -> OldEngine:
    return find_old_engine(ENGINE)


def sign(
    data: dict[str, Any], ago: timedelta, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, datetime]:
    then = (datetime.now(UTC) - ago).replace(microsecond=0)
    with monkeypatch.context() as patch:
        patch.setattr("time.time", then.timestamp)
        return make_old(ENGINE, data), then


def test_a_cookie_is_read(old: OldEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    cookie, then = sign({"_auth_user_id": "7", "a": ["é"]}, HOUR, monkeypatch)
    session = old.load(cookie)
    assert session is not None
    assert session.data == {"_auth_user_id": "7", "a": ["é"]}
    assert session.created_at == then
    assert session.expires_at == then + timedelta(weeks=2)
    assert session.is_expiry_known


@pytest.mark.parametrize(
    ("expiry", "lives"), [(7200, 2 * HOUR), (0, timedelta(weeks=2)), (9**9, timedelta(weeks=2))]
)
def test_it_ends_as_in_the_browser_and_as_the_engine_ends_it(
    old: OldEngine, monkeypatch: pytest.MonkeyPatch, expiry: int, lives: timedelta
) -> None:
    cookie, then = sign({"a": 1, "_session_expiry": expiry}, HOUR, monkeypatch)
    session = old.load(cookie)
    assert session is not None
    assert session.expires_at == then + lives


def test_what_has_expired_is_gone(old: OldEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert old.load(sign({"a": 1}, timedelta(weeks=3), monkeypatch)[0]) is None
    assert old.load(sign({"a": 1, "_session_expiry": 60}, HOUR, monkeypatch)[0]) is None


def test_what_was_not_signed_here_is_nobody_s(
    old: OldEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookie, _ = sign({"a": 1}, HOUR, monkeypatch)
    head, time, seal = cookie.rsplit(":", 2)
    later = signing.b62_encode(signing.b62_decode(time) + 60)
    for forged in (f"{head}:{later}:{seal}", f"x{cookie}", cookie[:-1], signing.dumps({"a": 1})):
        assert old.load(forged) is None


@pytest.mark.parametrize("number", range(len(NO_KEYS)))
def test_what_can_t_be_a_key_is_nobody_s(old: OldEngine, number: int) -> None:
    assert old.load(NO_KEYS[number]) is None
    assert old.load(f"{NO_KEYS[number]}:1:x") is None
    assert old.load(f"x:{'z' * 40}:{NO_KEYS[number]}") is None


def test_nothing_can_be_written_or_searched(old: OldEngine) -> None:
    for act in (
        lambda: old.save("key", {}, None),
        lambda: old.create("key", {}, None),
        lambda: old.delete("key"),
    ):
        with pytest.raises(NotSupported, match="under a new session key"):
            act()
    for search in (lambda: old.scan("", 1), old.count, lambda: old.keys_of_user("7")):
        with pytest.raises(NotSupported, match="when their visitors come"):
            search()
    assert old.missing() is None
