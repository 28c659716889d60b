"""
What is kept means what Django's JSONSerializer makes of it, to the letter, by every way.

Each way is beside it: both encodings, with msgspec and without. What Django's refuses is refused
with the same kind of error; what it keeps comes back as the same value, from text that is the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.signing import JSONSerializer
from django.test import override_settings
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from django_multistore.session import pieces
from django_multistore.session.codec import Body
from django_multistore.session.lazy import LazyData
from django_multistore.session.merge import find_changed_keys, is_same_body
from django_multistore.session.serialization import read, write
from tests.support.helpers import rounds
from tests.support.json_values import TEXTS, VALUES, Size, Word, documents

DJANGOS = JSONSerializer()
ENCODINGS = ("ascii", "utf-8")
AT_ONCE = 10  # values in one example, since to make an example takes longer than to try it
EXAMPLES = 500
# To shrink what failed, Hypothesis (6.170) can't have values of subclasses of str.
EXHAUSTIVE = {
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
    "phases": (Phase.generate,),
}

pytestmark = pytest.mark.skipif(not pieces.IS_FAST, reason="msgspec is missing")


@contextmanager
def without_msgspec() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "IS_FAST", False)
        yield


def outcome(function: Callable[..., Any], *args: Any) -> Any:
    """Return what a function returns, or what kind of error it raises."""
    try:
        return function(*args)
    except TypeError:
        return TypeError
    except (ValueError, RecursionError):
        return ValueError


def spell(data: Any) -> str:
    """Return a text that is the same for the same values of the same types in the same order."""
    return repr(data)


def compare(*each: dict[Any, Any]) -> None:
    for encoding in ENCODINGS:
        with override_settings(SESSION_JSON_ENCODING=encoding):
            for data in each:
                compare_one(data, is_utf8=encoding == "utf-8")


def compare_one(data: dict[Any, Any], *, is_utf8: bool) -> None:
    expected, written = outcome(DJANGOS.dumps, data), outcome(write, data, DJANGOS)
    with without_msgspec():
        assert outcome(write, data, DJANGOS) == written
    if isinstance(expected, type):
        assert written is expected
    else:
        compare_body(written, expected, is_utf8=is_utf8)


def compare_body(body: Body, expected: bytes, *, is_utf8: bool) -> None:
    assert body.is_utf8 is is_utf8
    assert is_utf8 or body.content == expected
    meant = spell(DJANGOS.loads(expected))
    with without_msgspec():
        assert spell(read(body, DJANGOS)) == meant
    data = read(body, DJANGOS)
    again = write(data, DJANGOS)
    assert spell(data) == meant
    # Touched it is spelled as it was, so that it doesn't look changed.
    if is_settled(expected):
        assert write(data, DJANGOS) == again == body
        assert not find_changed_keys(read(body, DJANGOS), data, DJANGOS)


def is_settled(content: bytes) -> bool:
    """Say whether JSON stays as it is when it is read and written: no key in it is there twice."""
    return DJANGOS.dumps(DJANGOS.loads(content)) == content


def in_small(function: Any) -> Any:
    return settings(max_examples=EXAMPLES, derandomize=True, **EXHAUSTIVE)(function)


@in_small
@given(st.lists(VALUES, min_size=AT_ONCE, max_size=AT_ONCE), TEXTS)
def test_values(values: list[Any], key: str) -> None:
    compare(*({key: value, "other": None} for value in values))


@in_small
@given(VALUES)
def test_keys_of_the_top_level(value: Any) -> None:
    if isinstance(value, dict):
        compare({**value})


@in_small
@given(documents())
def test_documents_that_others_have_written(content: bytes) -> None:
    compare_reading(content)


@pytest.mark.stress
def test_a_million_objects() -> None:
    """MULTISTORE_ROUNDS=20000 makes it a million."""
    # One long run would take ever longer, as Hypothesis remembers what it has tried.
    thorough = settings(max_examples=EXAMPLES, **EXHAUSTIVE)
    for _ in range(max(1, rounds() * 50 // (AT_ONCE * EXAMPLES))):
        thorough(
            given(st.lists(VALUES, min_size=AT_ONCE, max_size=AT_ONCE), TEXTS)(_compare_each)
        )()
        thorough(given(documents())(compare_reading))()


def _compare_each(values: list[Any], key: str) -> None:
    compare(*({key: value, "other": None} for value in values))


def compare_reading(content: bytes) -> None:
    expected = outcome(DJANGOS.loads, content)
    found = outcome(read, Body(content), DJANGOS)
    if isinstance(found, LazyData):
        # The digits of a number are counted when it is read.
        found = outcome(found.copy)
    assert spell(found) == spell(expected)
    if not isinstance(expected, type):
        compare(expected if isinstance(expected, dict) else {"": expected})


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_body_is_the_same_in_the_other_encoding(encoding: str) -> None:
    data = {"é": ["\x7f", "ü", 1e16, "\ud800"], "b": {"\u20ac": None}, "c": "plain", "d": "\\u"}
    with override_settings(SESSION_JSON_ENCODING=encoding):
        before = write(data, DJANGOS)
    other = next(each for each in ENCODINGS if each != encoding)
    with override_settings(SESSION_JSON_ENCODING=other):
        after = write(read(before, DJANGOS), DJANGOS)
        assert after == write(data, DJANGOS)
        assert after.is_utf8 is not before.is_utf8
        assert is_same_body(before, after, DJANGOS)
        assert not is_same_body(before, write(data | {"c": "x"}, DJANGOS), DJANGOS)
        assert find_changed_keys(read(before, DJANGOS), data | {"b": 1}, DJANGOS) == {"b"}
        with without_msgspec():
            assert write(read(before, DJANGOS), DJANGOS) == after
            assert is_same_body(before, after, DJANGOS)


def test_keys_that_are_one_once_they_were_read() -> None:
    twice = {1: "a", "1": "b"}
    for beside in ("x", "é", "\ud800", "\ud83d\ude00", Size.SMALL, [Word.YES, "ü"], 1e16):
        compare(
            {"a": twice, "b": beside}, {"a": [twice, beside], "é": twice}, twice | {"c": beside}
        )


def test_what_is_nested_in_itself_is_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)
    compare({"a": circle})
    data = read(Body(b'{"a":[]}'), DJANGOS)
    data["b"] = data
    assert outcome(write, data, DJANGOS) is ValueError


def test_numbers_with_more_digits_than_python_reads() -> None:
    compare({"a": 10**5000})
    compare_reading(b'{"a":' + b"9" * 5000 + b"}")


def test_what_is_nested_deeply_is_kept() -> None:
    for depth in (10, pieces.DEEPEST, 2 * pieces.DEEPEST, 400):
        nested: Any = "é"
        for _ in range(depth):
            nested = [nested]
        compare({"a": nested})
        compare_reading(json.dumps({"a": nested}).encode())


def test_what_is_in_many_places_is_looked_through_once() -> None:
    """In whole it would be 2**40 lists, which nobody can write."""
    many: list[Any] = ["é"]
    for _ in range(40):
        many = [many, many]
    assert not pieces.is_plain([many])
