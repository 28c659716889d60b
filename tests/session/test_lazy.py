"""
The data that are decoded as they are touched, beside a plain dict: nobody can tell them apart.

Nothing that reads them may find a piece of JSON in them, and so every way into a dict is here.
"""

from __future__ import annotations

import ast
import copy
import json
import marshal
import pickle
import pprint
import random
import threading
from collections import ChainMap, Counter, OrderedDict, UserDict, defaultdict
from collections.abc import Callable
from string import Template
from types import MappingProxyType
from typing import Any

import pytest
from django.contrib.sessions.backends.base import SessionBase
from django.core.signing import JSONSerializer

from django_multistore.session import lazy, pieces
from django_multistore.session.codec import Body
from django_multistore.session.lazy import LazyData, snapshot
from django_multistore.session.merge import merge_theirs
from django_multistore.session.serialization import read, write
from tests.support.helpers import rounds

pytestmark = pytest.mark.skipif(not pieces.IS_FAST, reason="msgspec is missing")

DJANGOS = JSONSerializer()
PLAIN: dict[str, Any] = {
    "a": "é",
    "b": [1, {"c": None}],
    "n": None,
    "empty": {},
    "number": 1.5,
    "yes": True,
    "_auth_user_id": "7",
}
BODY = Body(DJANGOS.dumps(PLAIN))


def make_lazy() -> LazyData:
    data = read(BODY, DJANGOS)
    assert isinstance(data, LazyData)
    assert count_pieces(data) == len(PLAIN)
    return data


def count_pieces(data: dict[Any, Any]) -> int:
    return sum(type(value) is pieces.Piece for value in dict.values(data))


def update_with(other: Any) -> Any:
    def update(data: Any) -> Any:
        return data.update(other), data

    return update


def add_in_place(data: Any) -> Any:
    data |= {"a": 1, "z": 2}
    return data


def match(data: Any) -> Any:
    match data:
        case {"a": text, "b": [1, {"c": None}], **others}:
            return text, others


def keep(**values: Any) -> Any:
    return values


def iterate_and_touch(data: Any) -> Any:
    return [(key, data[key], data.get(key), data.setdefault(key)) for key in data]


# Each way to what is in a dict. What it returns must be what a plain dict's returns.
WAYS: dict[str, Callable[[Any], Any]] = {
    "[]": lambda data: [data["a"], data["b"], data["n"]],
    "[] of what isn't there": lambda data: data["missing"],
    "get": lambda data: [
        data.get("b"),
        data.get("missing"),
        data.get("missing", 1),
        data.get("n", 2),
    ],
    "pop": lambda data: [data.pop("b"), data.pop("missing", 3), data.pop("n", 4), dict(data)],
    "pop of what isn't there": lambda data: data.pop("missing"),
    "popitem": lambda data: [data.popitem() for _ in PLAIN],
    "setdefault": lambda data: [data.setdefault("b", 1), data.setdefault("new", 2), dict(data)],
    "items": lambda data: list(data.items()),
    "items as a set": lambda data: ("a", "é") in data.items(),
    "items, live": lambda data: [data.items(), data.update(x=1)][0],
    "items backwards": lambda data: list(reversed(data.items())),
    "values": lambda data: list(data.values()),
    "values, live": lambda data: [data.values(), data.update(x=1)][0],
    "keys": lambda data: (list(data.keys()), data.keys() & {"a"}, data.keys().mapping["b"]),
    "mapping of items": lambda data: data.items().mapping["b"],
    "copy": lambda data: data.copy(),
    "iter": iterate_and_touch,
    "reversed": lambda data: list(reversed(data)),
    "len, bool": lambda data: (len(data), bool(data)),
    "in": lambda data: ("a" in data, "missing" in data, 1 in data),
    "==": lambda data: (data == PLAIN, data == PLAIN, data == {}, data == 1, data == make_lazy()),
    "!=": lambda data: (data != PLAIN, data != PLAIN, data != {}, data != 1, data != make_lazy()),
    "== by its method": lambda data: (data.__eq__(1), data.__ne__(1), data.__eq__(PLAIN)),
    "<": lambda data: data < PLAIN,
    "hash": hash,
    "|": lambda data: (data | {"a": 1}, {"a": 1} | data, data | data),
    "| with another kind": lambda data: (data | OrderedDict(a=1), OrderedDict(a=1) | data),
    "| with no dict": lambda data: data | [("a", 1)],
    "no dict |": lambda data: 1 | data,
    "|=": add_in_place,
    "|= of it": {}.__ior__,
    "update of it": update_with({"a": 2, "q": 1}),
    "update by it": lambda data: [out := {}, out.update(data)],
    "clear": lambda data: (data.clear(), dict(data)),
    "del": lambda data: (data.__delitem__("b"), dict(data)),
    "[] =": lambda data: (data.__setitem__("b", 1), dict(data)),
    "fromkeys": lambda data: (
        type(data).fromkeys("ab", 1),
        data.fromkeys("a"),
        dict.fromkeys(data),
    ),
    "dict()": dict,
    "dict() with more": lambda data: dict(data, a=1),
    "{**}": lambda data: {**data},
    "f(**)": lambda data: keep(**data),
    "f(**) of several": lambda data: keep(**data, other=1),
    "[*]": lambda data: [*data],
    "list, tuple, sorted": lambda data: (list(data), tuple(data), sorted(data), max(data)),
    "set": lambda data: (sorted(set(data)), sorted(frozenset(data))),
    "match": match,
    "json.dumps": json.dumps,
    "json.dumps, sorted": lambda data: json.dumps(data, sort_keys=True, indent=1),
    "json.dumps, within": lambda data: json.dumps([data]),
    "repr": repr,
    "str, format": lambda data: (str(data), f"{data}", f"{data!r}", "%s" % (data,)),  # noqa: UP031
    "%": lambda data: "%(a)s %(b)s" % data,  # noqa: UP031
    "format_map": "{a} {b}".format_map,
    "Template": lambda data: Template("$a $b").substitute(data),
    "pprint": lambda data: sorted(ast.literal_eval(pprint.pformat(data)).items(), key=str),
    "copy.copy": copy.copy,
    "copy.deepcopy": copy.deepcopy,
    "copy.deepcopy, within": lambda data: copy.deepcopy([data, data]),
    "pickle": lambda data: [pickle.loads(pickle.dumps(data, each)) for each in range(6)],  # noqa: S301
    "pickle in Python": lambda data: pickle.loads(pickle._dumps(data)),  # type: ignore[attr-defined] # noqa: S301
    "reduce": lambda data: pickle.loads(pickle.dumps([data, data])),  # noqa: S301
    "OrderedDict": OrderedDict,
    "== OrderedDict": lambda data: data == OrderedDict(PLAIN),
    "defaultdict": lambda data: defaultdict(list, data),
    "ChainMap": lambda data: dict(ChainMap({}, data)),
    "Counter": lambda data: Counter({"a": 1}) == Counter(data),
    "UserDict": lambda data: UserDict(data).data,
    "MappingProxyType": lambda data: (dict(MappingProxyType(data)), MappingProxyType(data) | {}),
    "namespace of a class": lambda data: type("Made", (), data).b,
    "eval": lambda data: eval("a, b", {}, data),  # noqa: S307
    "isinstance": lambda data: isinstance(data, dict),
    "getstate": lambda data: data.__getstate__() if hasattr(data, "__getstate__") else None,
}
# Each name that a dict has, and why it is safe. A new one of a new Python's belongs here.
OF_DICT = {
    "decodes": """
        __getitem__ get pop popitem setdefault items values copy __iter__ __eq__ __ne__ __or__
        __ror__ __repr__ __reduce__ __reduce_ex__ __getstate__ fromkeys
    """,
    "reads no value": """
        __contains__ __delitem__ __len__ __reversed__ __setitem__ __sizeof__ clear keys
        __class__ __class_getitem__ __delattr__ __dir__ __doc__ __getattribute__ __hash__ __init__
        __init_subclass__ __new__ __setattr__ __subclasshook__
    """,
    "goes through others of these": "__format__ __str__ __ior__ update __lt__ __le__ __gt__ __ge__",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_way_in(way: str) -> None:
    def go(data: Any) -> Any:
        try:
            return WAYS[way](data)
        except (KeyError, TypeError) as error:
            return type(error), str(error).replace("LazyData", "dict")

    mine = go(make_lazy())
    plain = go(copy.deepcopy(PLAIN))
    assert repr(mine) == repr(plain)
    assert type(mine) is type(plain) or way in {"|=", "update of it"}


def test_every_name_of_dict_is_known() -> None:
    assert set(dir(dict)) == set(" ".join(OF_DICT.values()).split())
    assert set(OF_DICT["decodes"].split()) <= set(vars(LazyData))


def test_marshal_refuses_it() -> None:
    with pytest.raises(ValueError, match="unmarshallable"):
        marshal.dumps(make_lazy())


# Each name that Django's sessions have. What reaches their data does so by a dict's names.
OF_SESSION = {
    "reaches its data": """
        __bool__ __contains__ __delitem__ __getitem__ __setitem__ _get_session _session aget
        _aget_session akeys aitems avalues ahas_key apop aset asetdefault aupdate clear get has_key
        is_empty items keys pop setdefault update values decode encode
        aset_test_cookie atest_cookie_worked adelete_test_cookie set_test_cookie
        test_cookie_worked delete_test_cookie set_expiry aset_expiry get_expiry_age
        aget_expiry_age get_expiry_date aget_expiry_date get_expire_at_browser_close
        aget_expire_at_browser_close
    """,
    "is the engine's": """
        load aload save asave create acreate delete adelete exists aexists flush aflush cycle_key
        acycle_key clear_expired aclear_expired
    """,
    "is about its key": """
        session_key _session_key key_salt _get_session_key _set_session_key _validate_session_key
        _get_new_session_key _aget_new_session_key _get_or_create_session_key
        _aget_or_create_session_key get_session_cookie_age TEST_COOKIE_NAME TEST_COOKIE_VALUE
        _SessionBase__not_given
    """,
}
OF_ANY_CLASS = {*dir(object), "__dict__", "__weakref__", "__module__"} | {
    "__static_attributes__",  # since Python 3.13
    "__firstlineno__",
    "__annotations_cache__",  # since Python 3.14
    "__annotate_func__",
}


def test_every_name_of_a_session_is_known() -> None:
    names = set(vars(SessionBase)) - OF_ANY_CLASS
    known = set(" ".join(OF_SESSION.values()).split())
    assert names <= known
    assert known - names <= {"__bool__"}  # which Django 5.2 hasn't


def test_only_what_is_touched_is_decoded() -> None:
    data = make_lazy()
    assert (data["_auth_user_id"], data.get("missing"), "b" in data, len(data)) == (
        "7",
        None,
        True,
        7,
    )
    assert count_pieces(data) == len(PLAIN) - 1
    data["b"] = 1
    del data["n"]
    assert count_pieces(data) == len(PLAIN) - 3
    assert write(data, DJANGOS).content == DJANGOS.dumps(data)


def test_a_value_is_decoded_once() -> None:
    data = make_lazy()
    data["b"].append(2)
    assert data["b"] is data.get("b") is dict(data)["b"] is data.copy()["b"]
    assert data["b"] == [1, {"c": None}, 2]


def test_a_snapshot_stays_as_it_is() -> None:
    data = make_lazy()
    taken = snapshot(data)
    assert count_pieces(taken) == len(PLAIN)
    data["a"], data["new"] = 1, 2
    data.pop("b")
    assert taken == PLAIN


def test_a_piece_that_a_site_has_set_is_refused() -> None:
    data = make_lazy()
    data["a"] = data["z"] = pieces.Piece(b'"not text"')
    assert type(data["a"]) is type(data.pop("z")) is pieces.Piece
    with pytest.raises(TypeError, match="'a'"):
        write(data, DJANGOS)


def test_pieces_are_merged_as_they_are() -> None:
    theirs = read(Body(DJANGOS.dumps(PLAIN | {"b": [2], "x": {"y": 1}})), DJANGOS)
    ours = make_lazy()
    ours["a"] = "ours"
    merge_theirs(ours, base=make_lazy(), theirs=theirs, serializer=DJANGOS)
    assert count_pieces(ours) == len(PLAIN)
    assert ours == PLAIN | {"b": [2], "x": {"y": 1}, "a": "ours"}


def test_threads_find_one_value() -> None:
    """Else what one of them has changed in it would be lost."""
    for _ in range(50):
        data, found, barrier = make_lazy(), [], threading.Barrier(4)

        def look(data: Any = data, found: Any = found, barrier: Any = barrier) -> None:
            barrier.wait()
            data["b"].append(0)
            found.append(data["b"])

        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({id(each) for each in found}) == 1
        assert data["b"] == [1, {"c": None}, 0, 0, 0, 0]


def test_what_another_thread_does_meanwhile_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def look(act: Callable[[LazyData], Any]) -> tuple[Any, LazyData]:
        data = make_lazy()

        def decode(piece: Any) -> Any:
            monkeypatch.undo()
            act(data)
            return pieces.decode(piece)

        monkeypatch.setattr(lazy, "decode", decode)
        return data["b"], data

    found, data = look(lambda data: data["b"].append(2))
    assert found is data["b"]
    assert found == [1, {"c": None}, 2]
    found, data = look(lambda data: data.update(b="new"))
    assert found == data["b"] == "new"
    found, data = look(lambda data: data.pop("b"))
    assert found == [1, {"c": None}]
    assert "b" not in data


def test_random_operations() -> None:
    operate(random.Random(18), 60_000)


@pytest.mark.stress
def test_many_random_operations() -> None:
    """MULTISTORE_ROUNDS=20000 makes it a million."""
    operate(random.Random(), rounds() * 50)


def operate(chance: random.Random, count: int) -> None:
    """Do the same to lazy data and to a plain dict, which are saved and loaded now and then."""
    names = [*"abcdefg"]
    lazy: dict[str, Any] = make_lazy()
    plain = copy.deepcopy(PLAIN)
    for _ in range(count):
        key, value = (
            chance.choice(names),
            chance.choice((None, 1, 2.5, "x", [1], {"y": []}, "é", True)),
        )
        operation = chance.choice(OPERATIONS)
        made = [outcome(operation, data, key, copy.deepcopy(value)) for data in (lazy, plain)]
        assert repr(made[0]) == repr(made[1]), operation
        if chance.random() < 0.1:
            written = write(snapshot(lazy), DJANGOS)
            assert written.content == DJANGOS.dumps(plain)
            lazy, plain = read(written, DJANGOS), DJANGOS.loads(written.content)


def outcome(operation: Callable[..., Any], *args: Any) -> Any:
    try:
        return operation(*args)
    except (KeyError, TypeError, AttributeError) as error:
        return type(error), str(error)


def change_within(data: Any, key: str, value: Any) -> Any:
    data[key].append(value)


OPERATIONS: list[Callable[[Any, str, Any], Any]] = [
    lambda data, key, value: data[key],
    lambda data, key, value: data.get(key, value),
    lambda data, key, value: data.__setitem__(key, value),
    lambda data, key, value: data.__delitem__(key),
    lambda data, key, value: data.pop(key),
    lambda data, key, value: data.pop(key, value),
    lambda data, key, value: data.popitem(),
    lambda data, key, value: data.setdefault(key, value),
    lambda data, key, value: data.update({key: value, "a": key}),
    lambda data, key, value: key in data,
    lambda data, key, value: list(data.items()),
    lambda data, key, value: list(data.values()),
    lambda data, key, value: list(data),
    lambda data, key, value: len(data),
    lambda data, key, value: dict(data),
    lambda data, key, value: {**data, key: value},
    lambda data, key, value: data | {key: value},
    lambda data, key, value: data == {key: value},
    lambda data, key, value: json.dumps(data),
    lambda data, key, value: snapshot(data).get(key),
    change_within,
    change_within,
    lambda data, key, value: data.get(key, {}).update(y=value),
    lambda data, key, value: data.clear() if len(data) > 6 else None,
    lambda data, key, value: data.__ior__({key: value}) and None,
]
