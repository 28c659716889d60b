"""
A lock for one request's session, on which several tasks or threads may work.

A task waits for whoever holds the lock. A thread waits for threads only: a task that holds it may
need this very thread, in which asgiref runs the sync code of a request. So a thread beside a task
goes ahead without the lock, as another request would, and the store keeps the two apart.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

# The locks that this context holds. What is called meanwhile need not wait, in whichever thread or
# task asgiref and Django's signals run it.
_held: ContextVar[frozenset[SessionLock]] = ContextVar(
    "django_multistore.locks", default=frozenset()
)

# It guards the few instructions that look who holds a lock, of all sessions.
_mutex = threading.Lock()


class SessionLock:
    """One task or thread at a time works on a session; see above for who waits for whom."""

    __slots__ = ("_holder", "_tasks", "_threads")

    def __init__(self) -> None:
        self._holder: str | None = None  # "task" or "thread".
        # These are made when somebody has to wait, which is seldom.
        self._tasks: deque[asyncio.Future[None]] | None = None
        self._threads: deque[threading.Event] | None = None

    def acquire(self) -> bool:
        """Wait for the lock, and say whether it has to be released: not if it is held already."""
        if self in _held.get():
            return False
        with _mutex:
            if self._holder == "task":
                return False
            mine = None
            if self._holder is None:
                self._holder = "thread"
            else:
                mine = threading.Event()
                self._threads = self._threads or deque()
                self._threads.append(mine)
        if mine is not None:
            mine.wait()
        _held.set(_held.get() | {self})
        return True

    async def aacquire(self) -> bool:
        """See acquire()."""
        if self in _held.get():
            return False
        with _mutex:
            mine = None
            if self._holder is None:
                self._holder = "task"
            else:
                mine = asyncio.get_running_loop().create_future()
                self._tasks = self._tasks or deque()
                self._tasks.append(mine)
        if mine is not None:
            await self._until(mine)
        _held.set(_held.get() | {self})
        return True

    def release(self) -> None:
        """Pass the lock to the next who waits."""
        _held.set(_held.get() - {self})
        self._wake()

    async def _until(self, mine: asyncio.Future[None]) -> None:
        try:
            await mine
        except asyncio.CancelledError:
            with _mutex:
                was_waiting = self._tasks is not None and mine in self._tasks
                if self._tasks and was_waiting:
                    self._tasks.remove(mine)
            if not was_waiting:
                self._wake()  # The lock came together with the cancellation.
            raise

    def _wake(self) -> None:
        with _mutex:
            # Threads come first: a task must not get the lock while a thread waits that it needs.
            if self._threads:
                self._holder = "thread"
                self._threads.popleft().set()
                return
            while self._tasks:
                mine = self._tasks.popleft()
                loop = mine.get_loop()
                if not loop.is_closed():
                    self._holder = "task"
                    loop.call_soon_threadsafe(_hand_over, mine)
                    return
            self._holder = None


def _hand_over(mine: asyncio.Future[None]) -> None:
    if not mine.done():
        mine.set_result(None)


class _Lockable(Protocol):
    lock: SessionLock


Session = TypeVar("Session", bound=_Lockable)


def locked(
    method: Callable[Concatenate[Session, Parameters], Result],
) -> Callable[Concatenate[Session, Parameters], Result]:
    """Run a method of a session while its thread holds the session's lock."""

    @wraps(method)
    def run_locked(self: Session, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        if not self.lock.acquire():
            return method(self, *args, **kwargs)
        try:
            return method(self, *args, **kwargs)
        finally:
            self.lock.release()

    return run_locked


def alocked(
    method: Callable[Concatenate[Session, Parameters], Coroutine[Any, Any, Result]],
) -> Callable[Concatenate[Session, Parameters], Coroutine[Any, Any, Result]]:
    """Run a method of a session while its task holds the session's lock."""

    @wraps(method)
    async def run_locked(
        self: Session, /, *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        if not await self.lock.aacquire():
            return await method(self, *args, **kwargs)
        try:
            return await method(self, *args, **kwargs)
        finally:
            self.lock.release()

    return run_locked
