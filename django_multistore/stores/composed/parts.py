"""The stores that a composed store is made of, by their aliases in SESSION_STORES."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from ...exceptions import InvalidStore
from ...records import SessionRecord
from ..base import BaseStore
from ..configuration import find_configuration, read_stores
from ..handler import stores
from ..spelling import suggest


class ComposedStore(BaseStore):
    """A store whose options in PARTS name others, each of which is found when it is needed."""

    # The options that name its parts. The first one answers for what can be said of one only.
    PARTS: ClassVar[tuple[str, ...]]

    def __init__(self, alias: str = "default", **options: Any) -> None:
        super().__init__(alias, **options)
        for option in self.PARTS:
            _check_part(alias, option, self.options[option])

        aliases = [self.options[option] for option in self.PARTS]
        if len(set(aliases)) < len(aliases):
            raise InvalidStore(
                f"SESSION_STORES[{alias!r}]['OPTIONS'] has {aliases[0]!r} as {self.PARTS[0]} and "
                f"as {self.PARTS[1]}. Name two stores, or use that one by itself."
            )

    @property
    def parts(self) -> list[BaseStore]:
        """The stores that it is made of."""
        # They can't be kept: the handler builds them, and it may be building this one.
        return [stores[self.options[option]] for option in self.PARTS]

    def is_in_transaction(self) -> bool:
        return any(part.is_in_transaction() for part in self.parts)

    def after_commit(self, action: Callable[[], object]) -> None:
        for part in self.parts:
            if part.is_in_transaction():
                part.after_commit(action)
                return
        action()

    def try_more(self, record: SessionRecord) -> None:
        for part in self.parts:
            part.try_more(record)


class FlagOfParts:
    """A flag that says of the class what it can do, and of a store what its parts let it do."""

    def __init__(self, name: str, *options: str) -> None:
        self._name = name
        self._options = options

    def __get__(self, store: ComposedStore | None, owner: type[ComposedStore]) -> bool:
        if store is None:
            return True
        parts = (stores[store.options[option]] for option in self._options)
        return all(getattr(part, self._name) for part in parts)


def _check_part(alias: str, option: str, named: object) -> None:
    """Raise InvalidStore if an option names no store, or one that comes back to this one."""
    where = f"SESSION_STORES[{alias!r}]['OPTIONS'][{option!r}]"
    config = read_stores()
    known = ", ".join(repr(each) for each in config if each != alias) or "none yet"
    remedy = f"Name another store of SESSION_STORES by its alias; there is {known}."
    if named is None:
        raise InvalidStore(f"{where} is missing. {remedy}")
    if not isinstance(named, str):
        raise InvalidStore(f"{where} is of the type {type(named).__name__}. {remedy}")
    if named == alias:
        raise InvalidStore(f"{where} is {named!r}, which is this store itself. {remedy}")
    if named not in config:
        raise InvalidStore(
            f"{where} is {named!r}, which isn't there. {remedy}{suggest([named], config)}"
        )
    for path in _paths_from(named, [alias]):
        if path[-1] in path[:-1]:
            ring = " -> ".join(map(repr, path))
            raise InvalidStore(
                f"{where} is {named!r}, which leads back: {ring}. A store can't be made of itself. "
                f"{remedy}"
            )


def _paths_from(named: str, path: list[str]) -> Iterator[list[str]]:
    """Yield how one comes from a store to those that it is made of, as far as to a ring."""
    here = [*path, named]
    yield here
    if named in path:
        return
    store_class, options = find_configuration(named)
    for option in getattr(store_class, "PARTS", ()):
        part = options.get(option)
        if isinstance(part, str):
            yield from _paths_from(part, here)


def classes_below(alias: str) -> Iterator[type[BaseStore]]:
    """Yield the classes of a store, and of those that it is made of."""
    for path in _paths_from(alias, []):
        yield find_configuration(path[-1])[0]
