"""
A protocol of several steps, written once for sync and for async code.

It is a generator: it yields each command that it wants run, and gets the answer back. What
runs it decides how.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, TypeAlias, TypeVar

from asgiref.sync import sync_to_async

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


@dataclass(slots=True)
class Call:
    """A call of a function that has an async variant."""

    function: Callable[..., Any]
    variant: Callable[..., Awaitable[Any]]
    arguments: tuple[Any, ...]

    def take(self) -> Any:
        """Run it."""
        return self.function(*self.arguments)

    async def atake(self) -> Any:
        """See take()."""
        return await self.variant(*self.arguments)


@dataclass(slots=True)
class DatabaseCall:
    """A call that asks a database of Django's, which async code does in a thread."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]

    def take(self) -> Any:
        """Run it."""
        return self.function(*self.arguments)

    async def atake(self) -> Any:
        """See take()."""
        return await sync_to_async(self.function)(*self.arguments)


@dataclass(slots=True)
class Pause:
    """Wait."""

    seconds: float

    def take(self) -> None:
        """Wait in this thread."""
        time.sleep(self.seconds)

    async def atake(self) -> None:
        """See take()."""
        await asyncio.sleep(self.seconds)


@dataclass(slots=True)
class Insisting:
    """A step that is taken to its end, whoever cancels the task that waits for it."""

    step: Step

    def take(self) -> Any:
        """Take the step."""
        return self.step.take()

    async def atake(self) -> Any:
        """See take()."""
        # In a task of its own: some cancel again and again until a task has ended.
        task = asyncio.ensure_future(self.step.atake())
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        return task.result()


Step: TypeAlias = Call | DatabaseCall | Pause | Insisting
Steps: TypeAlias = Generator[Step, Any, Result]

MOST_CANCELLATIONS = 3


def call(
    function: Callable[Parameters, Result],
    variant: Callable[Parameters, Awaitable[Result]],
    *arguments: Parameters.args,
    **nothing: Parameters.kwargs,
) -> Steps[Result]:
    """Call a function, or the variant of it for async code, as one step. It takes no keywords."""
    result: Result = yield Call(function, variant, arguments)
    return result


def call_database(
    function: Callable[Parameters, Result],
    *arguments: Parameters.args,
    **nothing: Parameters.kwargs,
) -> Steps[Result]:
    """Call a function that asks a database, as one step. See call()."""
    result: Result = yield DatabaseCall(function, arguments)
    return result


def call_in_thread(
    function: Callable[Parameters, Result],
    *arguments: Parameters.args,
    **nothing: Parameters.kwargs,
) -> Steps[Result]:
    """Call a function that has no async variant, as one step. See call()."""
    result: Result = yield Call(function, partial(_run_in_thread, function), arguments)
    return result


async def _run_in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    return await sync_to_async(function)(*arguments)


def pause(seconds: float) -> Steps[None]:
    """Wait, as one step; none if there is nothing to wait for."""
    if seconds:
        yield Pause(seconds)


def run(steps: Steps[Result]) -> Result:
    """Take the steps one after the other and return what they come to."""
    try:
        step = next(steps)
        while True:
            try:
                answer = step.take()
            except Exception as error:  # noqa: BLE001 - the protocol's to deal with
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


async def arun(steps: Steps[Result]) -> Result:
    """See run(). A protocol that is cancelled takes the steps that it has for that."""
    try:
        step = next(steps)
        while True:
            try:
                answer = await step.atake()
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - see run()
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def to_its_end(steps: Steps[Result]) -> Steps[Result]:
    """
    Take all steps of a protocol also where it is cancelled, which it is when they are taken.

    For what must not stop half-way. Nobody knows whether the step was done at which it was
    cancelled, so that one is taken once more, and each must bear that.

    Raises:
        CancelledError: it was cancelled meanwhile.
    """
    cancellation: asyncio.CancelledError | None = None
    count = 0
    try:
        step = next(steps)
        while True:
            try:
                answer = yield (Insisting(step) if cancellation else step)
            except asyncio.CancelledError as error:
                # A loop that shuts down cancels also the task in which a step is insisted on.
                count += 1
                if count > MOST_CANCELLATIONS:
                    raise
                cancellation = error
            except Exception as error:  # noqa: BLE001 - the protocol's to deal with
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as end:
        if cancellation is None:
            return end.value  # type: ignore[no-any-return]
        raise cancellation from None
    except Exception as error:
        if cancellation is None:
            raise
        raise cancellation from error
