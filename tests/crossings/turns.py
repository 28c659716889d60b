"""
Requests that take turns at a store.

Each request is served in a thread of its own, by all of Django and this package, and waits before
each call of the store until it is told to go on. So two or three of them can be run in any order of
these calls, and a store can be out for one of them from any call on.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import wraps
from typing import Any

import pytest
from django.contrib.auth.backends import ModelBackend
from django.core.cache import caches
from django.core.signals import got_request_exception
from django.db import connections

from django_multistore.exceptions import StoreUnavailable
from django_multistore.stores.base import BaseStore
from django_multistore.testing import INTERFACE

PATIENCE = 60  # seconds
# Who comes to no call of the store for so long waits for a lock that another has.
AT_A_LOCK = 0.25  # seconds

BY_KEY = {"read", "reread", "destroy", "modify", "rotate"}

_here = threading.local()


class Turn:
    """One request, which stops before each call of the store."""

    def __init__(self, serve: Callable[[], Any], *, fails: range = range(0)) -> None:
        """
        Take the request.

        Args:
            serve: what serves it.
            fails: the calls, counted from 0, at which the store is out.
        """
        self.calls: list[str] = []
        self.outcome: Any = None
        self.error: BaseException | None = None
        self.is_done = False
        self.failures: list[str] = []  # What Django has made an error 500 of.
        self._serve = serve
        self._fails = fails
        self._count = 0
        self._is_at_call = False
        self._stands_still = threading.Event()
        self._may_go = threading.Semaphore(0)

    def starts(self, pool: ThreadPoolExecutor) -> None:
        """Run to the first call of the store."""
        pool.submit(self._run)
        self._waits()

    def goes_on(self) -> None:
        """Make the call at which it stands, and run to the next. It may be waiting for a lock."""
        if self._is_at_call:
            self._is_at_call = False
            self._stands_still.clear()
            self._may_go.release()
        self._waits()

    def at_call(self, name: str, *, is_stores: bool) -> None:
        """Wait before a call, which may be one of the store."""
        number = self._count
        self._count += is_stores
        self.calls.append(name)
        self._is_at_call = True
        self._stands_still.set()
        assert self._may_go.acquire(timeout=PATIENCE), "nobody said to go on"
        if is_stores and number in self._fails:
            raise StoreUnavailable("The store is out, for a test.")

    def _waits(self) -> None:
        self._stands_still.wait(AT_A_LOCK)

    def _run(self) -> None:
        _here.turn, _here.is_in_call = self, False
        try:
            self.outcome = self._serve()
        except BaseException as error:  # noqa: BLE001 - told to who looks at the outcome
            self.error = error
        finally:
            _here.turn = None
            self.is_done = True
            self._stands_still.set()


def note_failure(**kwargs: Any) -> None:
    """Note what Django makes an error 500 of: a receiver of got_request_exception."""
    turn = getattr(_here, "turn", None)
    if turn is not None:
        turn.failures.append(traceback.format_exc())


got_request_exception.connect(note_failure)


@contextmanager
def taken_at(store: BaseStore) -> Iterator[None]:
    """
    Have requests that take turns stop before each call of this store.

    And before they look who the user is: the password may have been changed by then.
    """

    def stopping(name: str, method: Callable[..., Any], *, is_stores: bool) -> Callable[..., Any]:
        @wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            turn = getattr(_here, "turn", None)
            if turn is None or _here.is_in_call:  # A store's own, or the test's.
                return method(*args, **kwargs)
            turn.at_call(name, is_stores=is_stores)
            if name in BY_KEY and not isinstance(args[0], str):
                raise TypeError(f"{name}() takes a key")  # Not each store says so.
            _here.is_in_call = True
            try:
                return method(*args, **kwargs)
            finally:
                _here.is_in_call = False

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in INTERFACE:
            method = getattr(store, name)
            patch.setattr(store, name, stopping(name, method, is_stores=True))
        looked_up = stopping("get_user", ModelBackend.get_user, is_stores=False)
        patch.setattr(ModelBackend, "get_user", looked_up)
        yield


def close_all() -> None:
    """Close what this thread has open to databases and caches."""
    connections.close_all()
    caches.close_all()


@contextmanager
def threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Provide threads that keep their connections to the databases until the end."""
    with ThreadPoolExecutor(max_workers=count) as pool:
        yield pool
        all_are_there = threading.Barrier(count)

        def close() -> None:
            all_are_there.wait(PATIENCE)
            close_all()

        for closed in [pool.submit(close) for _ in range(count)]:
            closed.result(PATIENCE)
