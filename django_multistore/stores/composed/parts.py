"""The stores that a store is made of: found by their aliases, and refused where they go round."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from ...exceptions import InvalidStore
from ..configuration import find_configuration
from ..handler import stores

if TYPE_CHECKING:
    from ..base import BaseStore


class Flag:
    """A flag of a store that is made of others: of the class as it is, of a store by its parts."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, store: Any, owner: type[Any]) -> bool:
        return True if store is None else all(getattr(part, self._name) for part in store.parts)


class Composed:
    """A store that is made of others, which options of it name."""

    part_options: ClassVar[tuple[str, ...]] = ()

    alias: str
    options: dict[str, Any]

    @property
    def parts(self) -> list[BaseStore]:
        """The stores that it is made of. They are built when they are first asked for."""
        # The handler builds one store at a time, so none may ask for another as it is built.
        return [stores[self.options[name]] for name in self.part_options]

    def check_parts(self) -> None:
        """
        Check that the options name stores, each another one, and none of which this one is a part.

        Raises:
            InvalidStore: they don't.
        """
        seen: dict[str, str] = {}
        for name in self.part_options:
            alias = self.options[name]
            if not isinstance(alias, str):
                raise self.refuse(name, "Name another store of SESSION_STORES by its alias.")
            if other := seen.get(alias):
                raise self.refuse(name, f"That is {other} as well. Name two different stores.")
            seen[alias] = name
            try:
                ring = self.alias in _list_below(alias, (self.alias,))
            except InvalidStore as error:
                raise self.refuse(name, str(error)) from error
            if ring:
                raise self.refuse(
                    name, "The store would be a part of itself. Name a store that keeps sessions."
                )

    def refuse(self, name: str, remedy: str) -> InvalidStore:
        """Say that the value of an option can't work, for the caller to raise."""
        return InvalidStore(
            f"SESSION_STORES[{self.alias!r}]['OPTIONS'][{name!r}] is {self.options[name]!r}. "
            f"{remedy}"
        )


def _list_below(alias: str, above: tuple[str, ...]) -> Iterator[str]:
    """Yield an alias, and those of which that store is made, as SESSION_STORES says."""
    yield alias
    if alias in above:
        return
    store_class, options = find_configuration(alias)
    for name in getattr(store_class, "part_options", ()):
        part = options.get(name)
        if isinstance(part, str):
            yield from _list_below(part, (*above, alias))


def classes_below(alias: str) -> Iterator[type[BaseStore]]:
    """Yield the classes of a store, and of those of which it is made."""
    for each in dict.fromkeys(_list_below(alias, ())):
        yield find_configuration(each)[0]
