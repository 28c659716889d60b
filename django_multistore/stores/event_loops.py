"""What belongs to one event loop, as connections do that async code awaits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Generic, TypeVar

from asgiref.sync import AsyncToSync

Held = TypeVar("Held")


class PerLoop(Generic[Held]):
    """
    One thing for each event loop, made when it is first needed there.

    Args:
        make: makes it for the loop that runs.
        close: closes it while the loop shuts down.
        abandon: closes it when the loop was closed without a shutdown: nothing can be awaited.
    """

    def __init__(
        self,
        make: Callable[[], Held],
        close: Callable[[Held], Awaitable[object]],
        abandon: Callable[[Held], object],
    ) -> None:
        self._make = make
        self._close = close
        self._abandon = abandon
        # Each with the generator that closes it, which ends if nobody refers to it.
        self._loops: dict[asyncio.AbstractEventLoop, tuple[Held, AsyncGenerator[None]]] = {}

    def __len__(self) -> int:
        return len(self._loops)

    async def get(self) -> Held:
        """Return what belongs to the loop that runs."""
        loop = asyncio.get_running_loop()
        if found := self._loops.get(loop):
            return found[0]
        self._abandon_closed()
        held = self._make()
        keeper = self._keep(loop, held)
        self._loops[loop] = held, keeper
        await anext(keeper)
        return held

    async def _keep(self, loop: asyncio.AbstractEventLoop, held: Held) -> AsyncGenerator[None]:
        # asyncio.run() and the servers' runners close every asynchronous generator that is left
        # before they close the loop: only then can what belongs to it still be closed.
        try:
            yield
        finally:
            self._loops.pop(loop, None)
            await self._close(held)

    def _abandon_closed(self) -> None:
        # Other threads, whose loops are here as well, may do the same at the same time.
        for loop in [*self._loops]:
            if loop.is_closed() and (found := self._loops.pop(loop, None)):
                self._abandon(found[0])


def is_below_sync_code() -> bool:
    """
    Say whether sync code waits for this task, in a thread whose connections are Django's.

    async_to_sync() leaves a trace of that, by which sync_to_async() finds the thread.
    """
    if getattr(AsyncToSync.executors, "current", None) is not None:
        return True
    return asyncio.get_running_loop() in AsyncToSync.loop_thread_executors
