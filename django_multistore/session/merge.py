"""Carry another request's changes into a session that was changed here as well."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import NoneType
from typing import Any
from uuid import UUID

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.core.signing import JSONSerializer

from ..records import ACTOR_SESSION_KEY
from . import joining, pieces
from .codec import Body, Serializer
from .lazy import LazyData
from .serialization import is_djangos, recode, spells_utf8

# A user id with another login's backend or hash would be a login that nobody made, and one with
# another's actor a takeover.
AUTH_KEYS = frozenset({SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY, ACTOR_SESSION_KEY})
# The repr() of these tells apart what is equal: 0.0 and -0.0, Decimal("1.0") and Decimal("1.00").
TOLD_BY_REPR = frozenset(
    {
        *(NoneType, bool, int, float, complex, str, bytes),
        *(Decimal, UUID, datetime, date, time, timedelta),
    }
)


def merge_theirs(
    ours: dict[Any, Any],
    *,
    base: Mapping[Any, Any],
    theirs: Mapping[Any, Any],
    serializer: Serializer,
) -> None:
    """
    Bring into `ours`, in place, what they changed of the keys that we left alone.

    Keys are those of the top level. A key that both sides changed stays as it is here:
    ours is the later write. The keys of a login go together.

    Args:
        ours: the session here, with its changes.
        base: what it was when it was loaded.
        theirs: what the store holds now.
        serializer: decides what a change is. A value is unchanged if its serialised form
            is; a tuple or an int key never equals its decoded self.
    """
    spelling = {_decode_key(key, serializer): key for key in ours}
    for key in find_changed_keys(base, theirs, serializer) - find_changed_keys(
        base, ours, serializer
    ):
        own_key = spelling.get(key, key)
        ours.pop(own_key, None)
        if key in theirs:
            _take(key, ours, theirs)


def is_same_body(before: Body, after: Body, serializer: Serializer) -> bool:
    """Say whether two serialised sessions are the same, whichever their encodings are."""
    before = recode(before, serializer, is_utf8=after.is_utf8)
    return is_same(before.content, after.content, serializer)


def is_same(before: bytes, after: bytes, serializer: Serializer) -> bool:
    """
    Say whether two serialised values are the same.

    Not every serializer makes the same bytes of the same value: pickle has a set in whatever order
    it happens to be, and one that encrypts makes other bytes each time. So values are compared
    where the bytes differ, and by their types as well: 1 is not True.
    """
    # Django's serializer does, so that the usual session is not loaded for this.
    if before == after or type(serializer).dumps is JSONSerializer.dumps:
        return before == after
    try:
        was, now = serializer.loads(before), serializer.loads(after)
        return _make_comparable(was, serializer) == _make_comparable(now, serializer)
    except Exception:  # noqa: BLE001 - what can't be compared counts as changed, and is written
        return False


def _make_comparable(value: Any, serializer: Serializer) -> Hashable:
    kind = type(value)
    if kind is dict:
        # The order counts: a dict keeps it, and JSON does.
        pairs = ((_make_comparable(each, serializer) for each in pair) for pair in value.items())
        return kind, tuple(map(tuple, pairs))
    if kind in (set, frozenset):
        return kind, frozenset(_make_comparable(each, serializer) for each in value)
    if kind in (list, tuple):
        return kind, tuple(_make_comparable(each, serializer) for each in value)
    # Nobody knows what the __eq__ of others looks at; that of a model's instance looks at its key.
    return kind, repr(value) if kind in TOLD_BY_REPR else serializer.dumps({"": value})


def find_changed_keys(
    base: Mapping[Any, Any], now: Mapping[Any, Any], serializer: Serializer
) -> set[Any]:
    """
    Return the keys of the top level that differ, as they are once they were serialised.

    The three keys of a login are one: if one of them differs, all are returned.
    """
    before, after = _spell(base, serializer), _spell(now, serializer)
    if before is None or after is None:
        before, after = dict(_fingerprint(base, serializer)), dict(_fingerprint(now, serializer))
    shared = before.keys() & after.keys()
    keys = {key for key in shared if not is_same(before[key], after[key], serializer)}
    keys |= before.keys() ^ after.keys()
    return keys | AUTH_KEYS if keys & AUTH_KEYS else keys


def _spell(data: Mapping[Any, Any], serializer: Serializer) -> dict[Any, bytes] | None:
    """Spell data key by key without decoding what is in pieces; None if that can't be done."""
    if not pieces.IS_FAST or not isinstance(data, dict) or not is_djangos(serializer):
        return None
    return joining.spell_each(data, is_utf8=spells_utf8(serializer))


def _take(key: Any, ours: dict[Any, Any], theirs: Mapping[Any, Any]) -> None:
    if isinstance(ours, LazyData) and isinstance(theirs, LazyData) and ours.is_like(theirs):
        ours.take(key, theirs)
    else:
        ours[key] = theirs[key]


def _fingerprint(data: Mapping[Any, Any], serializer: Serializer) -> Iterator[tuple[Any, bytes]]:
    for key, value in data.items():
        yield _decode_key(key, serializer), serializer.dumps({key: value})


def _decode_key(key: Any, serializer: Serializer) -> Any:
    if isinstance(key, str):
        return key
    (decoded,) = serializer.loads(serializer.dumps({key: None}))
    return decoded
