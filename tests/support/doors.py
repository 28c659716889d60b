"""A way to a server that can be shut: whoever comes then is refused, and who was inside is out."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any, Self

from tests import servers

PATIENCE = 30  # seconds
BACKLOG = 1000  # clients that may come at once


class Door:
    """
    Listens on a port of its own, and relays to a server what is sent there.

    It keeps its port while it is shut. Not one from the kernel's range: a client that connects to
    such a port may be given that very port itself, and then it is connected, to itself.
    """

    def __init__(self, address: str) -> None:
        self._server = (servers.HOST, int(address.partition(":")[2]))
        self._port = servers._free_port()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._listener: asyncio.Server | None = None
        self._guests: set[asyncio.Task[None]] = set()
        self.address = f"{servers.HOST}:{self._port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self.open()
        return self

    def __exit__(self, *exception: object) -> None:
        self.shut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def open(self) -> None:
        """Let clients in, again."""
        self._run(self._open())

    def shut(self) -> None:
        """Refuse clients, and reset the connections of those that are there."""
        self._run(self._shut())

    def _run(self, steps: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(steps, self._loop).result(PATIENCE)

    async def _open(self) -> None:
        if self._listener is not None:
            return
        self._listener = await asyncio.start_server(
            self._let_in, servers.HOST, self._port, backlog=BACKLOG
        )

    async def _shut(self) -> None:
        if self._listener is None:
            return
        listener, self._listener = self._listener, None
        listener.close()
        guests = list(self._guests)
        for guest in guests:
            guest.cancel()
        await asyncio.gather(*guests, return_exceptions=True)
        # It waits also for those who were accepted just now, whom _let_in() will turn away.
        await listener.wait_closed()

    def _let_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._listener is None:  # Too late: it was shut since they were let in.
            writer.transport.abort()
            return
        guest = self._loop.create_task(self._relay(reader, writer))
        self._guests.add(guest)
        guest.add_done_callback(self._guests.discard)
        # Not by the task itself: one that is cancelled at once does nothing at all.
        guest.add_done_callback(lambda _: writer.transport.abort())

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opening = self._loop.create_task(asyncio.open_connection(*self._server))
        try:
            server_reader, server_writer = await asyncio.shield(opening)
        except asyncio.CancelledError:
            # What is half open when the door is shut would be left open.
            _, server_writer = await opening
            server_writer.transport.abort()
            raise
        both = [_pump(reader, server_writer), _pump(server_reader, writer)]
        pumps = [self._loop.create_task(pump) for pump in both]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            server_writer.transport.abort()
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
