"""What a view may keep in its session, whether or not JSON has it."""

from __future__ import annotations

import enum
import uuid
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import msgspec
from django.utils.translation import gettext_lazy
from hypothesis import strategies as st


class Text(str):
    """Text of a class of its own."""

    __slots__ = ()


class Whole(int):
    def __repr__(self) -> str:
        return "not a number"


class Fraction(float):
    def __repr__(self) -> str:
        return "not a number"


class Items(list):  # type: ignore[type-arg]
    """A list of a class of its own."""


class Upper(dict):  # type: ignore[type-arg]
    """A dict whose items aren't those of its table."""

    def items(self) -> Any:
        return [(key, "seen") for key in self]


class Colour(enum.Enum):
    RED = "red"
    BLUE = 2


class Size(enum.IntEnum):
    SMALL = 1


class Word(enum.StrEnum):
    YES = "yes"


class Odd(str, enum.Enum):  # noqa: UP042 - in a StrEnum the two are one
    """A text whose value is another."""

    ONE = "text", "value"

    def __new__(cls, text: str, value: str) -> Odd:
        made = str.__new__(cls, text)
        made._value_ = value
        return made


@dataclass
class Cart:
    total: int = 1


class Struct(msgspec.Struct):
    total: int = 1


Point = namedtuple("Point", "x y")

UNICODE = st.text(st.characters(), max_size=8)  # with halves of surrogate pairs
ASCII = st.text(st.characters(max_codepoint=0x7F), max_size=12)
TEXTS = st.one_of(
    ASCII, UNICODE, st.sampled_from(["", "\x7f", "\ud83d\ude00", "\ud800", "\\u00e9"])
)
EDGES = (1e-4, 1e-5, 9.9e-5, 1e15, 1e16, 9999999999999998.0, 1e17, 1e22, 5e-324, 1.8e308, -0.0)
FLOATS = st.one_of(
    st.floats(), st.floats(-1e17, 1e17), st.floats(-1e-3, 1e-3), st.sampled_from(EDGES)
)
INTS = st.one_of(
    st.integers(),
    st.integers(-(1 << 70), 1 << 70),
    st.sampled_from([1 << 53, 1 << 63, (1 << 64) - 1, 1 << 64, -(1 << 63) - 1]),
)
PLAIN = st.one_of(st.none(), st.booleans(), INTS, FLOATS, TEXTS)
KEPT = st.one_of(  # what Django's serializer keeps, as something else
    st.builds(Text, TEXTS),
    st.builds(Whole, st.integers()),
    st.builds(Fraction, FLOATS),
    st.sampled_from([Size.SMALL, Word.YES, Odd.ONE, Point(1, "x")]),
)
REFUSED = st.one_of(
    st.binary(max_size=4),
    st.builds(bytearray, st.binary(max_size=4)),
    st.dates(),
    st.datetimes(),
    st.uuids(),
    st.sampled_from(
        [
            *(time(1, 2), timedelta(1), Decimal("1.10"), Decimal("NaN"), uuid.UUID(int=1)),
            *(Colour.RED, Colour.BLUE, Cart(), Struct(), msgspec.Raw(b"1"), 1j, ..., object()),
            *(
                range(2),
                date(2026, 1, 1),
                datetime(2026, 1, 1),
                gettext_lazy("Yes"),
                memoryview(b""),
            ),
        ]
    ),
    st.sets(st.integers(), max_size=2),
    st.frozensets(st.integers(), max_size=2),
)
SCALARS = st.one_of(PLAIN, PLAIN, PLAIN, PLAIN, KEPT, REFUSED)
KEYS = st.one_of(
    TEXTS,
    TEXTS,
    TEXTS,
    TEXTS,
    st.one_of(
        INTS,
        FLOATS,
        st.sampled_from(
            [
                *(None, True, False, 1, "1", (1,), b"x", Text("k"), Size.SMALL, Word.YES, Odd.ONE),
                *(Colour.RED, uuid.UUID(int=1), Decimal(1), Whole(3), Fraction(1.5)),
                date(2026, 1, 1),
            ]
        ),
    ),
)


def _contain(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    pairs = st.dictionaries(KEYS, values, max_size=3)
    several = st.lists(values, max_size=3)
    return st.one_of(
        *(several, pairs, pairs, several.map(tuple), several.map(Items)),
        *(pairs.map(OrderedDict), pairs.map(Upper)),
    )


VALUES: st.SearchStrategy[Any] = st.recursive(SCALARS, _contain, max_leaves=6)
# JSON as no serializer writes it, and what is none.
NUMBERS = st.from_regex(
    r"-?(0|[1-9][0-9]{0,22})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True
)
TOKENS = st.one_of(
    NUMBERS,
    st.sampled_from(
        [
            *("NaN", "Infinity", "-Infinity", "true", "false", "null", "01", "1.", ".5", "+1", "-"),
            *(
                '"\\ud83d\\ude00"',
                '"\\ud800"',
                '"\\udc00\\ud800"',
                '"\\u00E9"',
                '"\\/"',
                '"\\q"',
                '"\\u12"',
            ),
            *(
                '"\t"',
                '"\xe9"',
                '"\x7f"',
                "'a'",
                "[1,]",
                '{"a":1,}',
                '{"a":1,"a":2}',
                "[1 2]",
                "//",
            ),
            "9" * 5000,
        ]
    ),
    TEXTS.map(lambda text: '"' + text.replace("\\", "").replace('"', "") + '"'),
)
SPACE = st.sampled_from(["", "", "", " ", "\n", "\t ", "\xa0", "\x0b"])


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """Draw what may be an object of JSON, with any bytes in it."""
    tokens = draw(st.lists(TOKENS, min_size=1, max_size=4))
    space = draw(SPACE)
    nested = [f"[{space}{token}]" if draw(st.booleans()) else token for token in tokens]
    names = draw(st.lists(TOKENS, min_size=len(nested), max_size=len(nested)))
    names = [
        name if draw(st.booleans()) else f'"{number % 2}"' for number, name in enumerate(names)
    ]
    text = ",".join(
        f"{space}{name}{space}:{token}" for name, token in zip(names, nested, strict=True)
    )
    return f"{{{text}}}{space}".encode("utf-8", "surrogatepass")
