"""Serializers that don't make the same bytes of the same value."""

from __future__ import annotations

import pickle
import secrets
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.core.signing import JSONSerializer
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_multistore.engine import SessionStore
from django_multistore.session.merge import is_same, merge_theirs
from django_multistore.testing import Calls


class Pickled:
    def dumps(self, obj: Any) -> bytes:
        return pickle.dumps(obj)

    def loads(self, data: bytes) -> Any:
        return pickle.loads(data)  # noqa: S301 - the test's own


class Salted(Pickled):
    """Other bytes each time, as what encrypts makes them."""

    def dumps(self, obj: Any) -> bytes:
        return secrets.token_bytes(8) + super().dumps(obj)

    def loads(self, data: bytes) -> Any:
        return super().loads(data[8:])


class SaltedJson(JSONSerializer):
    def dumps(self, obj: Any) -> bytes:
        return secrets.token_bytes(8) + super().dumps(obj)

    def loads(self, data: bytes) -> Any:
        return super().loads(data[8:])


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


# 0 and 8 have one place in a small set, so that the order of their coming is that of the set.
SAME: dict[str, tuple[Any, Any]] = {
    "a set in another order": ({0, 8}, {8, 0}),
    "a frozen one": (frozenset([0, 8]), frozenset([8, 0])),
    "within a list": ([{"a": {0, 8}}], [{"a": {8, 0}}]),
    "sets of sets": ({frozenset([0, 8]), 1}, {frozenset([8, 0]), 1}),
    "one object twice": ([(1, 2)] * 2, [(1, 2), (1, 2)]),
}
DIFFERENT: dict[str, tuple[Any, Any]] = {
    "1 and True": (1, True),
    "1 and 1.0": (1, 1.0),
    "0.0 and -0.0": (0.0, -0.0),
    "of a set": ({0, 8, 1}, {8, 0, True}),
    "of a set's tuples": ({(1,), 0, 8}, {(True,), 8, 0}),
    "a key of a dict": ({1: "a"}, {True: "a"}),
    "a key of a dict's tuples": ({(1,): "a"}, {(1.0,): "a"}),
    "a list and a tuple": ([1], (1,)),
    "a set and a frozenset": ({1}, frozenset([1])),
    "the order of a list": ([1, 2], [2, 1]),
    "the order of a dict": ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    "the order of an ordered dict": (OrderedDict(a=1, b=2), OrderedDict(b=2, a=1)),
    "nested": ([{"a": [{"b": {0, 8}}]}], [{"a": [{"b": {8, 0, 1}}]}]),
    "a Decimal's places": (Decimal("1.0"), Decimal("1.00")),
    "text and bytes": ("a", b"a"),
    "a date and a datetime": (date(2030, 1, 1), datetime(2030, 1, 1)),
    "with and without a time zone": (datetime(2030, 1, 1), datetime(2030, 1, 1, tzinfo=UTC)),
    "None and missing": ({"a": None}, {}),
    "a UUID and its text": (UUID(int=0), str(UUID(int=0))),
    "of what has one key": (User(pk=1, username="a"), User(pk=1, username="b")),
}


@pytest.mark.parametrize("serializer", [Pickled(), Salted()], ids=["pickle", "salted"])
@pytest.mark.parametrize(("before", "after"), SAME.values(), ids=SAME)
def test_what_is_the_same(serializer: Any, before: Any, after: Any) -> None:
    bodies = [serializer.dumps({"value": value}) for value in (before, after)]
    assert is_same(*bodies, serializer)


@pytest.mark.parametrize("serializer", [Pickled(), Salted()], ids=["pickle", "salted"])
@pytest.mark.parametrize(("before", "after"), DIFFERENT.values(), ids=DIFFERENT)
def test_what_is_not(serializer: Any, before: Any, after: Any) -> None:
    for pair in ((before, after), (after, before)):
        bodies = [serializer.dumps({"value": value}) for value in pair]
        assert not is_same(*bodies, serializer)


def test_what_cannot_be_compared_has_changed() -> None:
    ring: list[Any] = []
    ring.append(ring)
    for value in (ring, nested(50_000)):
        with patch.object(pickle, "loads", side_effect=lambda data, value=value: value):
            assert not is_same(b"a", b"b", Pickled())
    assert not is_same(b"no", b"pickle", Pickled())


def test_the_usual_session_is_not_loaded_for_it() -> None:
    with patch.object(JSONSerializer, "loads", side_effect=AssertionError):
        assert is_same(b"{}", b"{}", JSONSerializer())
        assert not is_same(b"{}", b'{"a":1}', JSONSerializer())


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("serializer", [Pickled, Salted, SaltedJson])
@pytest.mark.django_db
def test_an_untouched_session_is_not_written(
    settings: Any, serializer: Any, is_async: bool
) -> None:
    settings.SESSION_SERIALIZER = f"{__name__}.{serializer.__name__}"
    is_json = serializer is SaltedJson
    session = SessionStore()
    session["value"] = {"0": 8} if is_json else {0, 8}
    session["cart"] = {"items": [1]}
    session.save()

    def writes(change: Callable[[Any], object]) -> int:
        again = SessionStore(session.session_key)
        calls = Calls(again, is_async=is_async)
        calls.get("cart")
        change(again)
        with CaptureQueriesContext(connection) as captured:
            calls.save()
        return sum(query["sql"].startswith("UPDATE") for query in captured.captured_queries)

    def assign_the_same(again: Any) -> None:
        again["value"] = {"0": 8} if is_json else {8, 0}

    def put_in(again: Any) -> None:
        again["cart"]["items"].append(2)

    assert writes(lambda again: None) == 0
    assert writes(assign_the_same) == 0
    assert writes(put_in) == 1
    assert SessionStore(session.session_key)["cart"] == {"items": [1, 2]}


@pytest.mark.parametrize("serializer", [Pickled(), Salted()], ids=["pickle", "salted"])
def test_a_merge_takes_no_other_order_for_a_change(serializer: Any) -> None:
    base = {"roles": {0, 8}, "a": 1, "b": 1}
    theirs = {"roles": {0, 8, 3}, "a": 2, "b": 1}
    ours = {"roles": {8, 0}, "a": 1, "b": 2}
    merge_theirs(ours, base=base, theirs=theirs, serializer=serializer)
    assert ours == {"roles": {0, 8, 3}, "a": 2, "b": 2}
