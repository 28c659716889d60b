"""
A session's data that are decoded key by key, when they are touched.

It is a dict, since sites and other packages treat it as one. What reads a dict through its class
meets the methods below, and so do dict(…), {**…}, f(**…), |, update() and json.dumps(): C code
takes them for a dict of its own kind only if iteration is dict's. What reads the table of any dict
whatever its class, as OrderedDict's == with it on the right and dict.items(data) do, finds pieces.
"""

from __future__ import annotations

import threading
from collections.abc import ItemsView, Iterator, ValuesView
from copy import deepcopy
from typing import Any

from .pieces import Piece, decode

MISSING = object()
# A thread that has decoded a key must not replace what another has decoded, and changed since.
SWAP = threading.Lock()

_get, _set, _items = dict.__getitem__, dict.__setitem__, dict.items


def snapshot(data: dict[Any, Any]) -> dict[Any, Any]:
    """Return a copy of data, in which what is a piece is one as well."""
    return data.snapshot() if isinstance(data, LazyData) else dict(data)


class LazyData(dict[Any, Any]):
    """
    A dict whose values may be pieces of JSON until somebody looks.

    Copies of it are plain dicts.

    Args:
        pieces: by key. They are kept, and not changed.
        is_utf8: which spelling they have.
    """

    _pieces: dict[str, Any]
    _replaced: tuple[Any, ...]  # by pieces that were taken over
    __slots__ = ("_pieces", "_replaced", "is_utf8")

    def __init__(self, pieces: dict[str, Any], *, is_utf8: bool) -> None:
        super().__init__(pieces)
        self._pieces, self._replaced, self.is_utf8 = pieces, (), is_utf8

    @property
    def untouched(self) -> dict[str, Any]:
        """The pieces that nobody has decoded yet."""
        known = self._pieces
        return {key: value for key, value in _items(self) if known.get(key, MISSING) is value}

    def snapshot(self) -> LazyData:
        """Return a copy in which what is a piece here is one as well."""
        twin = LazyData(self._pieces, is_utf8=self.is_utf8)
        dict.clear(twin)
        dict.update(twin, _items(self))
        return twin

    def is_like(self, other: LazyData) -> bool:
        """Say whether pieces of both have the same spelling."""
        return self.is_utf8 is other.is_utf8

    def take(self, key: Any, other: LazyData) -> None:
        """Take over a value of other data in the same spelling, as a piece if it is one there."""
        value = _get(other, key)
        if other._pieces.get(key, MISSING) is value:
            # Another thread may have looked up the piece of before, and is about to decode it.
            self._replaced = (*self._replaced, self._pieces.get(key))
            self._pieces = self._pieces | {key: value}
        _set(self, key, value)

    def __getitem__(self, key: Any) -> Any:
        value = _get(self, key)
        return self._decode(key, value) if type(value) is Piece else value

    def get(self, key: Any, default: Any = None) -> Any:
        value = dict.get(self, key, default)
        return self._decode(key, value) if type(value) is Piece else value

    def pop(self, key: Any, *default: Any) -> Any:
        value = dict.pop(self, key, *default)
        return self._read(key, value) if type(value) is Piece else value

    def popitem(self) -> tuple[Any, Any]:
        key, value = dict.popitem(self)
        return key, self._read(key, value) if type(value) is Piece else value

    def setdefault(self, key: Any, default: Any = None) -> Any:
        value = dict.setdefault(self, key, default)
        return self._decode(key, value) if type(value) is Piece else value

    def items(self) -> ItemsView[Any, Any]:  # type: ignore[override] # dict's own class has no name
        self._decode_all()
        return _items(self)

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        self._decode_all()
        return dict.values(self)

    def copy(self) -> dict[Any, Any]:
        return {
            key: self._decode(key, value) if type(value) is Piece else value
            for key, value in [*_items(self)]
        }

    def __iter__(self) -> Iterator[Any]:
        # By this C code knows that it must not read the table: see the module's docstring.
        return dict.__iter__(self)

    def __eq__(self, other: object) -> bool:
        self._decode_all()
        return dict.__eq__(self, other.copy() if isinstance(other, LazyData) else other)

    def __ne__(self, other: object) -> bool:
        is_equal = self.__eq__(other)
        return is_equal if is_equal is NotImplemented else not is_equal

    __hash__ = None

    def __or__(self, other: Any) -> Any:
        return self.copy() | other

    def __ror__(self, other: Any) -> Any:
        return other | self.copy()

    def __repr__(self) -> str:
        return repr(self.copy())

    def __copy__(self) -> dict[Any, Any]:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[Any, Any]:
        return deepcopy(self.copy(), memo)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return dict, (self.copy(),)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (self.copy(),)

    def __getstate__(self) -> object:
        return None  # A dict has none.

    @classmethod
    def fromkeys(cls, keys: Any, value: Any = None) -> dict[Any, Any]:
        return dict.fromkeys(keys, value)

    def _decode(self, key: Any, piece: Any) -> Any:
        """Decode a piece where it is, and return what is there then."""
        if not self._is_own(key, piece):
            return piece  # A site has set it, and it can't be saved.
        value = decode(piece)
        with SWAP:
            present = dict.get(self, key, MISSING)
            if present is piece:
                _set(self, key, value)
            elif present is not MISSING and type(present) is not Piece:
                return present
        return value

    def _read(self, key: Any, piece: Any) -> Any:
        return decode(piece) if self._is_own(key, piece) else piece

    def _is_own(self, key: Any, piece: Any) -> bool:
        return self._pieces.get(key) is piece or any(piece is each for each in self._replaced)

    def _decode_all(self) -> None:
        for key, value in [*_items(self)]:
            if type(value) is Piece:
                self._decode(key, value)
