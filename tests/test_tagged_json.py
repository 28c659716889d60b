"""What TaggedJSONSerializer keeps, and what it and the engine say of what can't be kept."""

from __future__ import annotations

import json
import random
import string
import uuid
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.signing import JSONSerializer
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy, override

from django_multistore.engine import SessionStore
from django_multistore.serializers import TAG, TaggedJSONSerializer
from django_multistore.session.merge import is_same, merge_theirs
from django_multistore.session.serialization import serialize
from django_multistore.testing import Calls
from tests.support.stores import MEMORY

pytestmark = pytest.mark.elsewhere

TAGGED = TaggedJSONSerializer()
DJANGOS = JSONSerializer()
PATH = "django_multistore.serializers.TaggedJSONSerializer"
SEED = 16

PLAIN: list[Any] = [
    {},
    {"cart": [1, 2.5, None, True, "ü\ud800\0"], "deep": {"er": {"": []}}},
    {TAG: 1, "beside": 2},
    {"_auth_user_id": "7", "_session_expiry": 300},
    [],
    "text",
    10**400,
]
OTHERS: list[Any] = [
    datetime(2026, 11, 29, 6, 25, 1, 7),
    datetime(2026, 11, 29, 6, 25, tzinfo=UTC),
    datetime(1890, 1, 1, tzinfo=ZoneInfo("Europe/Amsterdam")),  # an offset with seconds
    datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=-3, microseconds=1))),
    datetime.min,
    datetime.max,
    date(2026, 2, 28),
    time(23, 59, 59, 999_999),
    time(1, tzinfo=timezone(timedelta(hours=5, minutes=45))),
    timedelta.min,
    timedelta.max,
    timedelta(microseconds=-1),
    Decimal("1.00"),
    Decimal("-0"),
    Decimal("1E+400"),
    Decimal("NaN"),
    Decimal("sNaN123"),
    Decimal("-Infinity"),
    uuid.UUID(int=7),
    b"",
    bytes(range(256)),
    complex(-0.0, float("inf")),
    (),
    (1, (2, [3, (4,)])),
    set(),
    {1, "1", (1,), b"1", frozenset({Decimal(1)}), None},
    frozenset({date(2026, 1, 1)}),
    {1: "a", "1": "b", 1.5: "c", None: "d", (1, "x"): "e", date(2026, 1, 1): "f"},
    {True: 1, False: 0},
    # What looks like a tag, or like one that was escaped.
    {TAG: 1},
    {TAG: ["date", "2026-01-01"]},
    {TAG: ["dict", [[TAG, {TAG: {TAG: []}}]]]},
    {(TAG,): {TAG: (TAG, {TAG})}},
    float("nan"),
    float("-inf"),
    -0.0,
]


def tell(value: Any) -> Any:
    """Return a value so that equal means: of the same types, with the same text."""
    if type(value) in (set, frozenset):
        return type(value), frozenset(tell(each) for each in value)
    if type(value) is dict:
        return dict, tuple((tell(key), tell(each)) for key, each in value.items())
    if type(value) in (list, tuple):
        return type(value), tuple(tell(each) for each in value)
    if isinstance(value, datetime | time):
        return type(value), value.isoformat()
    return type(value), repr(value)


def number(values: list[Any]) -> list[Any]:
    """Name tests alike in each process, as a set's repr does not."""
    return [pytest.param(value, id=f"{n}-{type(value).__name__}") for n, value in enumerate(values)]


def there_and_back(value: Any) -> Any:
    return TAGGED.loads(TAGGED.dumps(value))


class Price(Decimal):
    """It has another text, as types of money have."""

    def __str__(self) -> str:
        return f"EUR {super().__str__()}"


class ShortUUID(uuid.UUID):
    def __str__(self) -> str:
        return f"{self.int:x}"


def test_a_text_of_a_subclass_s_own_is_not_kept() -> None:
    assert tell(there_and_back([Price("1.50")])) == tell([Decimal("1.50")])
    assert tell(there_and_back([ShortUUID(int=5)])) == tell([uuid.UUID(int=5)])


@pytest.mark.parametrize("value", number([*PLAIN, *OTHERS]))
def test_it_comes_back_as_it_was(value: Any) -> None:
    assert tell(there_and_back(value)) == tell(value)
    assert tell(there_and_back({"a": [value]})) == tell({"a": [value]})


@pytest.mark.parametrize("value", number(PLAIN))
def test_plain_values_are_the_same_bytes_as_django_s(value: Any) -> None:
    assert TAGGED.dumps(value) == DJANGOS.dumps(value)


def make_leaf(chance: random.Random) -> Any:
    moment = datetime(1, 1, 1) + timedelta(seconds=chance.randrange(300_000_000_000))
    zone = timezone(timedelta(minutes=chance.randrange(-1439, 1440)))
    return chance.choice(
        [
            lambda: "".join(chance.choices(string.printable + "é€\u2028😀", k=5)),
            lambda: chance.choice([TAG, "dict", "tuple", ""]),
            lambda: chance.randrange(-(10**20), 10**20),
            chance.random,
            lambda: chance.choice([None, True, False]),
            lambda: moment,
            lambda: moment.replace(tzinfo=zone),
            moment.date,
            moment.time,
            lambda: timedelta(chance.randrange(-999, 999), chance.randrange(99999)),
            lambda: Decimal(chance.randrange(10**30)).scaleb(chance.randrange(-40, 40)),
            lambda: uuid.UUID(int=chance.getrandbits(128)),
            lambda: chance.randbytes(chance.randrange(9)),
            lambda: complex(chance.random(), -chance.random()),
        ]
    )()


def make_key(chance: random.Random, depth: int) -> Any:
    if depth and chance.random() < 0.2:
        kind: Any = chance.choice([tuple, frozenset])
        return kind(make_key(chance, depth - 1) for _ in range(chance.randrange(3)))
    return make_leaf(chance)


def make_value(chance: random.Random, depth: int) -> Any:
    if not depth or chance.random() < 0.3:
        return make_leaf(chance)
    kind = chance.choice([list, tuple, set, frozenset, dict, "named", "tag"])
    size = range(chance.randrange(4))
    if kind == "tag":
        return {TAG: make_value(chance, depth - 1)}
    if kind == "named":
        return {str(make_leaf(chance)): make_value(chance, depth - 1) for _ in size}
    if kind is dict:
        return {make_key(chance, depth - 1): make_value(chance, depth - 1) for _ in size}
    make: Callable[[random.Random, int], Any] = make_value if kind in (list, tuple) else make_key
    return kind(make(chance, depth - 1) for _ in size)


def test_any_value_comes_back_as_it_was() -> None:
    chance = random.Random(SEED)
    kinds = set()
    for _ in range(2_000):
        value = {"value": make_value(chance, 5)}
        written = TAGGED.dumps(value)
        kinds.add(type(value["value"]))
        assert tell(TAGGED.loads(written)) == tell(value)
        assert TAGGED.dumps(TAGGED.loads(written)) == written
        assert is_same(written, TAGGED.dumps(value), TAGGED)
    assert len(kinds) >= 16


def test_the_same_set_is_the_same_bytes() -> None:
    there, back = set([0, 8, 16]), set([16, 8, 0])  # noqa: C405 - in the order of insertion
    assert list(there) != list(back)
    assert TAGGED.dumps(there) == TAGGED.dumps(back)


def test_what_has_another_type_becomes_one_that_it_is_like() -> None:
    class Moment(datetime):
        pass

    assert tell(there_and_back(OrderedDict(a=mark_safe("<b>")))) == tell({"a": "<b>"})
    assert tell(there_and_back(Moment(2026, 1, 1))) == tell(datetime(2026, 1, 1))
    with override("de"):
        assert there_and_back({"label": gettext_lazy("Sessions")}) == {"label": "Sitzungen"}


def test_a_time_in_a_zone_keeps_its_offset() -> None:
    for fold, hours in ((0, -4), (1, -5)):
        at_the_change = datetime(2026, 11, 1, 1, 30, fold=fold, tzinfo=ZoneInfo("America/New_York"))
        back = there_and_back(at_the_change)
        assert back.utcoffset() == timedelta(hours=hours)
        assert back.astimezone(UTC) == at_the_change.astimezone(UTC)


@pytest.mark.parametrize(
    "tagged",
    [
        None,
        "date",
        [],
        ["date"],
        ["date", "2026-01-01", "more"],
        ["unheard-of", 1],
        [[], 1],
        [None, None],
        ["date", 7],
        ["date", "yesterday"],
        ["datetime", None],
        ["time", "25:00"],
        ["timedelta", "abc"],
        ["timedelta", [10**10, 0, 0]],
        ["timedelta", [1, 2, 3, 4, 5, 6, 7, 8]],
        ["decimal", "one"],
        ["decimal", 1.5],
        ["uuid", 7],
        ["uuid", "7"],
        ["bytes", "é"],
        ["bytes", "A"],
        ["bytes", 7],
        ["complex", [None]],
        ["complex", "1j"],
        ["tuple", "abc"],
        ["set", [[]]],
        ["set", {"a": 1}],
        ["frozenset", 1],
        ["dict", {"a": 1}],
        ["dict", [[[], 1]]],
        ["dict", [["a"]]],
        ["dict", ["abc"]],
    ],
    ids=repr,
)
def test_a_tag_that_does_not_fit_is_an_error(tagged: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whichever
        TAGGED.loads(json.dumps({"a": {TAG: tagged}}).encode())


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 200_000, b'{"a":' * 200_000])
def test_what_is_no_json_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whichever
        TAGGED.loads(data)


def test_what_is_nested_in_itself_is_an_error() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(ValueError, match="nested"):
        TAGGED.dumps({"a": circle})


def test_a_merge_goes_by_the_keys_of_the_top_level() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=ZoneInfo("Asia/Tehran"))
    base = there_and_back({"seen": noon, "tags": {1, 2}, 7: (1,)})
    ours: dict[Any, Any] = {"seen": noon, "tags": {2, 1}, 7: (1,), "mine": Decimal(1)}
    theirs = there_and_back({"seen": noon + timedelta(1), "tags": {1, 2, 3}, 7: (1, 2)})
    merge_theirs(ours, base=base, theirs=theirs, serializer=TAGGED)
    assert ours == {**theirs, "mine": Decimal(1)}


class Cart:
    def __repr__(self) -> str:
        raise AssertionError("The value is in a message.")


HIDDEN = "what nobody may read"
UNFIT: dict[str, tuple[Any, str, str, bool]] = {
    # The data, where it is, its type, and whether the other serializer would keep it.
    "a date": ({"a": 1, "cart": date(2026, 1, 1)}, "session['cart']", "datetime.date", True),
    "within": ({"cart": [{"x": (HIDDEN, {HIDDEN})}]}, "session['cart']", " set.", True),
    "an instance": ({"cart": {"x": [HIDDEN, Cart()]}}, "session['cart']", ".Cart.", False),
    "both": ({"cart": [Decimal(1), Cart()]}, "session['cart']", "Decimal", False),
    "a key": ({"cart": {(HIDDEN, 1): 1}}, "session['cart']", " tuple.", True),
    "a key of the top": ({(HIDDEN,): 1}, "A key of the session", " tuple.", True),
    "a long key": ({"x" * 500: {1}}, f"session[{'x' * 100!r}]", " set.", True),
}


@pytest.mark.parametrize("case", UNFIT)
def test_the_error_names_the_key_the_type_and_the_remedy(case: str) -> None:
    data, where, kind, is_kept_by_tagged = UNFIT[case]
    with pytest.raises(TypeError) as caught:
        serialize(data, DJANGOS)
    message = str(caught.value)
    assert message.startswith(f"{where} can't be saved")
    assert kind in message
    assert "django.core.signing.JSONSerializer" in message
    assert (PATH in message) is is_kept_by_tagged
    assert HIDDEN not in message
    if is_kept_by_tagged:
        assert TAGGED.loads(serialize(data, TAGGED)) == data


def test_the_error_of_the_tagged_one_names_another_remedy() -> None:
    with pytest.raises(TypeError, match=r"session\['cart'\].*type .*\.Cart\. .*a primary key"):
        serialize({"cart": (Cart(),)}, TAGGED)
    with pytest.raises(TypeError, match=r"session\['t'\].*type datetime\.time\."):
        serialize({"t": time(1, tzinfo=ZoneInfo("Europe/Berlin"))}, TAGGED)


@pytest.mark.parametrize("serializer", [DJANGOS, TAGGED], ids=["Django's", "tagged"])
def test_a_circle_is_named_too(serializer: Any) -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(ValueError, match=r"session\['cart'\].*type list\."):
        serialize({"cart": circle}, serializer)


@override_settings(SESSION_STORES=MEMORY, SESSION_SERIALIZER=PATH)
def test_a_session_keeps_them_and_what_is_unchanged_is_not_written(call: Any) -> None:
    session = SessionStore()
    session["cart"] = {date(2026, 1, 1): {Decimal("1.10")}}
    calls: Calls = call(session)
    calls.save()
    again = SessionStore(session.session_key)
    call(again).load()
    assert again["cart"] == {date(2026, 1, 1): {Decimal("1.10")}}
    again["cart"] = {date(2026, 1, 1): {Decimal("1.10")}}
    version = again.record.version  # type: ignore[union-attr]
    call(again).save()
    assert again.record.version == version  # type: ignore[union-attr]


@override_settings(SESSION_STORES=MEMORY)
def test_a_site_may_switch_it_on_and_off(call: Any) -> None:
    session = SessionStore()
    session["n"] = [1, "a"]
    call(session).save()
    for serializer in (PATH, "django.contrib.sessions.serializers.JSONSerializer"):
        with override_settings(SESSION_SERIALIZER=serializer):
            again = SessionStore(session.session_key)
            assert call(again).load() == session._session_cache
            again["n"] = [*again["n"], serializer]
            call(again).save()
            session = SessionStore(session.session_key)
            call(session).load()
            assert session["n"] == again["n"]


@override_settings(SESSION_STORES=MEMORY)
def test_a_tag_that_is_not_known_is_a_session_that_cannot_be_read(call: Any) -> None:
    session = SessionStore()
    session["cart"] = {TAG: ["of a later version", 1]}
    call(session).save()  # by Django's serializer, as it stands
    with override_settings(SESSION_SERIALIZER=PATH):
        again = SessionStore(session.session_key)
        assert call(again).load() == {}
        assert again.session_key is None


def put_a_date(request: HttpRequest) -> HttpResponse:
    request.session["cart"] = {"since": date(2026, 1, 1)}
    return HttpResponse("done")


urlpatterns = [path("", put_a_date)]


def test_under_the_middleware_it_is_a_500_that_says_which(caplog: pytest.LogCaptureFixture) -> None:
    browser = Client(raise_request_exception=False)
    with override_settings(SESSION_STORES=MEMORY, ROOT_URLCONF=__name__):
        response = browser.get("/")
    assert response.status_code == 500
    (failure,) = caplog.records
    assert "session['cart']" in str(failure.exc_info[1])  # type: ignore[index]
    with override_settings(SESSION_STORES=MEMORY, ROOT_URLCONF=__name__, SESSION_SERIALIZER=PATH):
        assert browser.get("/").content == b"done"
