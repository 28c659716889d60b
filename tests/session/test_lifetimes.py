"""What set_expiry() takes, and what is made of an expiry that is in a session already."""

from __future__ import annotations

import math
import zoneinfo
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from http.cookies import SimpleCookie
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.http import HttpRequest, HttpResponse
from django.test import override_settings

from django_multistore.engine import SessionStore
from django_multistore.middleware import SessionMiddleware
from django_multistore.session import clock
from django_multistore.stores import stores

pytestmark = pytest.mark.django_db

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
HOUR = timedelta(hours=1)
Call = Callable[[Any], Any]


@pytest.fixture(params=[True, False], ids=["USE_TZ", "no USE_TZ"], autouse=True)
def use_tz(request: pytest.FixtureRequest, settings: Any) -> bool:
    settings.TIME_ZONE = "Europe/Berlin"
    settings.USE_TZ = request.param
    return bool(request.param)


def respond(put: Callable[[Any], object], key: str | None = None) -> HttpResponse:
    """Return the response to a request whose view does this to the session."""

    def view(request: HttpRequest) -> HttpResponse:
        put(request.session)
        return HttpResponse()

    request = HttpRequest()
    if key is not None:
        request.COOKIES[django_settings.SESSION_COOKIE_NAME] = key
    return SessionMiddleware(view)(request)


def cookie_of(response: HttpResponse) -> Any:
    cookies: SimpleCookie = response.cookies
    return cookies.get(django_settings.SESSION_COOKIE_NAME)


def soon() -> datetime:
    return clock.now().replace(microsecond=0) + HOUR


MEANT: dict[str, Callable[[], Any]] = {
    "seconds": lambda: 3600,
    "as a float": lambda: 3600.5,
    "a timedelta": lambda: HOUR,
    "in UTC": soon,
    "in another time zone": lambda: soon().astimezone(timezone(timedelta(hours=-11))),
    "on the clock": lambda: soon().astimezone(BERLIN).replace(tzinfo=None),
}


@pytest.mark.parametrize("value", MEANT.values(), ids=MEANT)
def test_what_means_something_is_meant(call: Call, value: Callable[[], Any]) -> None:
    session = SessionStore()
    call(session).set_expiry(value())
    call(session).save()
    left = stores["default"].read(session.key).expires_at - clock.now()
    assert abs(left - HOUR) < timedelta(seconds=3)
    again = SessionStore(session.session_key)
    assert abs(call(again).get_expiry_age() - 3600) <= 2
    expires_at = call(again).get_expiry_date()
    assert (expires_at.tzinfo is not None) == django_settings.USE_TZ
    assert abs(clock.to_utc(expires_at) - clock.now() - HOUR) < timedelta(seconds=3)
    assert call(again).get_expire_at_browser_close() is False


REFUSED: dict[str, tuple[type[Exception], Any]] = {
    "True": (TypeError, True),
    "False": (TypeError, False),
    "text": (TypeError, "3600"),
    "a time as text": (TypeError, "2030-01-01T00:00:00+00:00"),
    "a date": (TypeError, date(2030, 1, 1)),
    "a list": (TypeError, [3600]),
    "a Decimal": (TypeError, Decimal(3600)),
    "an object": (TypeError, object()),
    "not a number": (ValueError, math.nan),
    "infinity": (ValueError, math.inf),
    "minus infinity": (ValueError, -math.inf),
    "beyond the years": (ValueError, 10**12),
    "before the years": (ValueError, -(10**12)),
    "beyond a float": (ValueError, 10**400),
    "beyond a timedelta": (ValueError, 1e300),
    "the longest timedelta": (ValueError, timedelta.max),
    "the shortest timedelta": (ValueError, timedelta.min),
}


@pytest.mark.parametrize(("error", "value"), REFUSED.values(), ids=REFUSED)
def test_what_means_nothing_is_refused(call: Call, error: type[Exception], value: Any) -> None:
    session = SessionStore()
    call(session).set_expiry(60)
    with pytest.raises(error, match=r"set_expiry\(\) takes seconds, a timedelta, a datetime"):
        call(session).set_expiry(value)
    assert session["_session_expiry"] == 60


ENDS = {
    "negative": -5,
    "a negative float": -0.5,
    "the first year": datetime(1, 1, 1),
    "the first year in UTC": datetime(1, 1, 1, tzinfo=UTC),
    "the first year in the east": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
    "before the epoch": datetime(1969, 12, 31, tzinfo=UTC),
    "the past": datetime(2001, 1, 1),
}


@pytest.mark.parametrize("expiry", ENDS.values(), ids=ENDS)
def test_what_has_passed_ends_the_session(expiry: Any) -> None:
    session = SessionStore()
    session["a"] = 1
    session.save()
    key = session.session_key
    response = respond(lambda session: session.set_expiry(expiry), key)
    assert response.status_code == 200
    assert SessionStore(key).load() == {}


LAST = {
    "the last year": datetime.max,
    "the last year in UTC": datetime.max.replace(tzinfo=UTC),
    "the last year in the west": datetime.max.replace(tzinfo=timezone(timedelta(hours=-12))),
    "nearly all seconds": int((clock.LAST - clock.now()).total_seconds()) - 86_400,
}


@pytest.mark.parametrize("expiry", LAST.values(), ids=LAST)
def test_the_end_of_all_years_is_an_expiry(expiry: Any) -> None:
    response = respond(lambda session: session.set_expiry(expiry))
    key = cookie_of(response).value
    for days in (0, 400):  # And it stays one when it is renewed.
        with override_settings(SESSION_SAVE_EVERY_REQUEST=True):
            moment = clock.now() + timedelta(days=days)
            session = SessionStore(key)
            session.load()
            assert session.get_expiry_age(modification=moment) > 10**11
    response = respond(lambda session: session.update({"a": 1}), key)
    assert response.status_code == 200
    assert SessionStore(key)["a"] == 1


LEFT_THERE: dict[str, Any] = {
    "text": "tomorrow",
    "an empty text": "",
    "a number as text": "3600",
    "True": True,
    "False": False,
    "a list": [1, 2],
    "a dict": {"seconds": 3600},
    "not a number": math.nan,
    "infinity": math.inf,
}


@pytest.mark.parametrize("kept", LEFT_THERE.values(), ids=LEFT_THERE)
@pytest.mark.parametrize("at_close", [False, True])
def test_what_is_left_there_and_means_nothing_counts_as_unset(
    call: Call, kept: Any, at_close: bool, settings: Any
) -> None:
    settings.SESSION_EXPIRE_AT_BROWSER_CLOSE = at_close
    response = respond(lambda session: session.update({"_session_expiry": kept}))
    key = cookie_of(response).value
    assert bool(cookie_of(response)["max-age"]) is not at_close
    session = SessionStore(key)
    call(session).load()
    assert call(session).get_expiry_age() == pytest.approx(settings.SESSION_COOKIE_AGE, abs=1)
    left = stores["default"].read(session.key).expires_at - clock.now()
    assert left > timedelta(seconds=settings.SESSION_COOKIE_AGE - 10)
    assert respond(lambda session: session.update({"a": 1}), key).status_code == 200


NUMBERS = {"more than the years": 10**15, "more than a float": 10**400, "less": -(10**400)}


@pytest.mark.parametrize("kept", NUMBERS.values(), ids=NUMBERS)
def test_a_number_beyond_the_years_is_their_end(kept: int) -> None:
    session = SessionStore()
    session["_session_expiry"] = kept
    end = clock.LAST if kept > 0 else clock.FIRST
    assert abs(clock.to_utc(session.get_expiry_date()) - end) <= timedelta(hours=14)
    assert respond(lambda session: session.update({"_session_expiry": kept})).status_code == 200


@pytest.mark.parametrize("moment", [datetime(2027, 10, 31, 2, 30), datetime(2027, 3, 28, 2, 30)])
def test_an_hour_that_there_is_twice_or_never_is_an_expiry(moment: datetime) -> None:
    session = SessionStore()
    session.set_expiry(moment)
    expected = moment.replace(tzinfo=BERLIN).astimezone(UTC)
    assert session["_session_expiry"] == expected.isoformat()
    session.save()
    assert stores["default"].read(session.key).expires_at == expected


def test_none_is_what_the_settings_say(call: Call) -> None:
    session = SessionStore()
    call(session).set_expiry(5)
    call(session).set_expiry(None)
    assert "_session_expiry" not in session
    call(session).set_expiry(0)
    assert call(session).get_expire_at_browser_close() is True
    assert call(session).get_expiry_age() == django_settings.SESSION_COOKIE_AGE
