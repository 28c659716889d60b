"""
A protocol of several steps, written once for sync and for async code.

It is a generator: it yields each command that it wants run, and gets the answer back. What
runs it decides how.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from asgiref.sync import sync_to_async

Result = TypeVar("Result")


@dataclass(slots=True)
class Step:
    """One command of an object that has twins for async code."""

    target: Any
    name: str
    arguments: tuple[Any, ...]

    def take(self) -> Any:
        """Run it."""
        return getattr(self.target, self.name)(*self.arguments)

    async def atake(self) -> Any:
        """See take()."""
        return await getattr(self.target, f"a{self.name}")(*self.arguments)


@dataclass(slots=True)
class DatabaseStep:
    """One statement. Django's databases are asked in a thread by async code."""

    statement: Callable[..., Any]
    arguments: tuple[Any, ...]

    def take(self) -> Any:
        """Run it."""
        return self.statement(*self.arguments)

    async def atake(self) -> Any:
        """See take()."""
        return await sync_to_async(self.statement)(*self.arguments)


@dataclass(slots=True)
class Pause:
    """Wait."""

    seconds: float

    def take(self) -> None:
        """Wait in this thread."""
        if self.seconds:
            time.sleep(self.seconds)

    async def atake(self) -> None:
        """See take()."""
        if self.seconds:
            await asyncio.sleep(self.seconds)


Steps: TypeAlias = Generator[Step | DatabaseStep | Pause, Any, Result]


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
