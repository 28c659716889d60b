"""The methods of a store, called as sync code calls them and as async code does."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from asgiref.sync import async_to_sync

from ..stores.base import BaseStore

Operation = Callable[..., Any]

INTERFACE = [
    name
    for name, member in inspect.getmembers(BaseStore, inspect.isfunction)
    if hasattr(BaseStore, f"a{name}")
]


class Calls:
    """An object's methods as plain functions: its own, or their async variants run to the end."""

    def __init__(self, target: Any, *, twins: bool) -> None:
        self.target = target
        self._twins = twins

    def __getattr__(self, name: str) -> Operation:
        if not self._twins:
            own: Operation = getattr(self.target, name)
            return own
        variant: Callable[..., Awaitable[Any]] = getattr(self.target, f"a{name}")
        return async_to_sync(variant)


def both_ways(test: Callable[[Any, Calls], None]) -> Callable[[Any], None]:
    """Run a test of the contract through the sync methods, then through their async variants."""

    @wraps(test)
    def run(self: Any) -> None:
        for twins in (False, True):
            with self.subTest(twins=twins):
                test(self, Calls(self.make_store(), twins=twins))

    # pytest takes a parameter of the wrapped function for a fixture.
    del run.__wrapped__
    return run


def of_users(test: Callable[[Any, Calls], None]) -> Callable[[Any, Calls], None]:
    """Skip a test of the contract for a store that finds no users."""

    @wraps(test)
    def run(self: Any, store: Calls) -> None:
        if not store.target.supports_users:
            self.skipTest("this store finds no users")
        test(self, store)

    return run
