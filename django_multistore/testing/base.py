"""What each part of the contract stands on: both ways to call a store, and records for it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync

from ..records import Device, Limit, SessionRecord, key_of, new_id
from ..session import clock
from ..session.keys import new_session_key
from ..stores.base import BaseStore

if TYPE_CHECKING:
    from django.test import SimpleTestCase as _TestCase
else:
    _TestCase = object

INTERFACE = [
    name
    for name, member in inspect.getmembers(BaseStore, inspect.isfunction)
    if hasattr(BaseStore, f"a{name}")
]

HOUR = timedelta(hours=1)
EVICTING, REFUSING = Limit(most=2, evicts=True), Limit(most=2, evicts=False)


class Calls:
    """
    An object's methods as plain functions: its own, or their async variants run to the end.

    Args:
        target: the object.
        is_async: whether to call the variants.
        run: makes a function of a variant.
    """

    def __init__(
        self, target: Any, *, is_async: bool, run: Callable[..., Any] = async_to_sync
    ) -> None:
        self.target = target
        self._is_async = is_async
        self._run = run

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if self._is_async:
            variant: Callable[..., Any] = self._run(getattr(self.target, f"a{name}"))
            return variant
        own: Callable[..., Any] = getattr(self.target, name)
        return own


class ContractPart(_TestCase):
    """Some of the tests that a store passes."""

    # Set to False for a store whose records vanish by themselves when they expire, and whose
    # gc() has nothing to count.
    gc_counts_records = True

    def make_store(self) -> BaseStore:
        """Return a store that is ready for use. It may hold other sessions."""
        raise NotImplementedError("Return a store from make_store().")

    def make_function(self, variant: Callable[..., Any]) -> Callable[..., Any]:
        """
        Return a function that runs an async variant to its end.

        Override it for a store that looks whether sync code waits for the task, as it does for one
        of async_to_sync().
        """
        return async_to_sync(variant)


def both_ways(test: Callable[[Any, Calls], None]) -> Callable[[Any], None]:
    """Run a test of the contract through the sync methods, then through their async variants."""

    @wraps(test)
    def run(self: Any) -> None:
        for is_async in (False, True):
            with self.subTest(is_async=is_async):
                test(self, Calls(self.make_store(), is_async=is_async, run=self.make_function))

    # pytest takes a parameter of the wrapped function for a fixture.
    del run.__wrapped__
    return run


def of_users(test: Callable[[Any, Calls], None]) -> Callable[[Any], None]:
    """Run a test of the contract both ways, but not for a store that finds no users."""

    @both_ways
    @wraps(test)
    def run(self: Any, store: Calls) -> None:
        if not store.target.supports_users:
            self.skipTest("this store finds no users")
        test(self, store)

    return run


def make_record(**changes: Any) -> SessionRecord:
    """Make a live record of a new session without a user, but for the fields that are given."""
    now = clock.now()
    record = SessionRecord(
        id=new_id(),
        key=key_of(new_session_key()),
        payload=b"\x00payload\xff",
        version=1,
        user_id=None,
        created_at=now,
        authenticated_at=None,
        last_seen_at=now,
        expires_at=now + HOUR,
        device=Device(ip_address="192.0.2.7", user_agent="Firefox"),
    )
    return replace(record, **changes)


def expired(record: SessionRecord) -> SessionRecord:
    """Return the record as one that expired an hour ago."""
    return replace(record, expires_at=clock.now() - HOUR)


def create_record(store: Calls, **changes: Any) -> SessionRecord:
    """Make a record as make_record() does, and have the store create it."""
    record = make_record(**changes)
    store.create(record)
    return record


def create_all(store: Calls, *records: SessionRecord) -> None:
    """Have the store create records."""
    for record in records:
        store.create(record)
