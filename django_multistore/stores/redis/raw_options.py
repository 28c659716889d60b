"""The options of a store as SESSION_STORES has them, read with their types or refused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ...exceptions import InvalidStore

SECRET = ("URL", "CONNECTION", "SENTINEL_CONNECTION")  # They may hold a password.


class RawOptions:
    """
    The options of one store, with defaults.

    Raises:
        InvalidStore: from each method, for a value that can't work.
    """

    def __init__(self, alias: str, options: Mapping[str, Any]) -> None:
        self.alias = alias
        self._options = options

    def __getitem__(self, name: str) -> Any:
        return self._options[name]

    def refuse(self, name: str, remedy: str) -> InvalidStore:
        """Say that the value of an option can't work, for the caller to raise."""
        value = "not right" if name in SECRET else repr(self._options[name])
        return InvalidStore(
            f"SESSION_STORES[{self.alias!r}]['OPTIONS'][{name!r}] is {value}. {remedy}"
        )

    def read_seconds(self, name: str, least: float = 0) -> float:
        """Return an option that is a number of seconds above `least`."""
        value = self._options[name]
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or value <= least:
            raise self.refuse(name, f"It must be a number of seconds above {least}.")
        return float(value)

    def read_dictionary(self, name: str) -> dict[str, Any]:
        """Return an option that is a dictionary."""
        value = self._options[name]
        if not isinstance(value, dict):
            raise self.refuse(name, "It must be a dictionary of redis-py's arguments.")
        return value

    def take_limit(self, arguments: dict[str, Any], name: str, kind: Any) -> Any:
        """Take a limit out of the arguments of connections; 0 and None are for the default."""
        value = arguments.pop(name, None)
        if not value:
            return None
        if isinstance(value, bool) or not isinstance(value, kind) or not 0 < value < math.inf:
            raise InvalidStore(
                f"SESSION_STORES[{self.alias!r}]['OPTIONS']: URL, CACHE or CONNECTION has the "
                f"argument {name!r}, which is {value!r}. It must be a number above 0."
            )
        return value
