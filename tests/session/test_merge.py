from __future__ import annotations

from typing import Any

import pytest
from django.core.signing import JSONSerializer

from django_multistore.session.merge import merge_theirs


def merged(base: dict[Any, Any], theirs: dict[Any, Any], ours: dict[Any, Any]) -> dict[Any, Any]:
    serializer = JSONSerializer()
    decoded = [serializer.loads(serializer.dumps(data)) for data in (base, theirs)]
    merge_theirs(ours, base=decoded[0], theirs=decoded[1], serializer=serializer)
    return ours


CASES = {
    "nothing changed": ({"a": 1}, {"a": 1}, {"a": 1}, {"a": 1}),
    "each added a key": ({}, {"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
    "they changed a key": ({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 1, "b": 3}, {"a": 2, "b": 3}),
    "both changed it: ours is later": ({"a": 1}, {"a": 2}, {"a": 3}, {"a": 3}),
    "they removed it": ({"a": 1, "b": 1}, {"b": 1}, {"a": 1, "b": 2}, {"b": 2}),
    "we removed it": ({"a": 1}, {"a": 1, "b": 2}, {}, {"b": 2}),
    "they removed it, we changed it": ({"a": 1}, {}, {"a": 2}, {"a": 2}),
    "we removed it, they changed it": ({"a": 1}, {"a": 2}, {}, {}),
    "True is not 1": ({"a": 1}, {"a": True}, {"a": 1}, {"a": True}),
    "None is not missing": ({}, {"a": None}, {}, {"a": None}),
    "a nested change is a change": (
        {"cart": [1]},
        {"cart": [1], "x": 1},
        {"cart": [1, 2]},
        {"cart": [1, 2], "x": 1},
    ),
    "a tuple is not a changed list": ({"t": [1]}, {"t": [2]}, {"t": (1,)}, {"t": [2]}),
    "an int key within is no change": ({"d": {"1": 2}}, {"d": {}}, {"d": {1: 2}}, {"d": {}}),
    "an int key is no change": ({"1": "a"}, {"1": "b"}, {1: "a"}, {"1": "b"}),
    "an int key that they removed": ({"1": "a"}, {}, {1: "a", "b": 1}, {"b": 1}),
    "an int key that we changed": ({"1": "a"}, {"1": "b"}, {1: "c"}, {1: "c"}),
}


@pytest.mark.parametrize(("base", "theirs", "ours", "expected"), CASES.values(), ids=CASES)
def test_merge(
    base: dict[Any, Any], theirs: dict[Any, Any], ours: dict[Any, Any], expected: dict[Any, Any]
) -> None:
    assert merged(base, theirs, ours) == expected


def login(user_id: str, password_hash: str) -> dict[str, str]:
    return {
        "_auth_user_id": user_id,
        "_auth_user_backend": "backend",
        "_auth_user_hash": password_hash,
    }


def test_the_keys_of_a_login_go_together() -> None:
    first = login("1", "old")
    assert merged(first, login("2", "theirs"), login("1", "ours")) == login("1", "ours")
    assert merged(first, login("2", "theirs"), first | {"x": 1}) == login("2", "theirs") | {"x": 1}
    assert merged({}, {"_auth_user_hash": "h"}, login("1", "ours")) == login("1", "ours")
    assert merged(first, {}, first | {"x": 1}) == {"x": 1}
