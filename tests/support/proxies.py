"""What stands between a client and its server, and fails when a test wants it to."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Self

from tests.servers import HOST

# What redis-py sends by itself when it connects.
GREETINGS = (b"SELECT", b"CLIENT", b"HELLO", b"AUTH", b"PING")


class Line:
    """The way to a server, which relays what is sent."""

    def __init__(self, address: str) -> None:
        self._server = (HOST, int(address.partition(":")[2]))
        self._listener = socket.create_server((HOST, 0))
        self._threads = [threading.Thread(target=self._accept)]
        self._ends: list[socket.socket] = [self._listener]
        self.address = f"{HOST}:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *exception: object) -> None:
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def relay(self, client: socket.socket, server: socket.socket) -> None:
        """Pass on what one connection has to say, to its end."""
        raise NotImplementedError

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._connect, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _connect(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._server) as server, contextlib.suppress(OSError):
            self._ends += [client, server]
            for end in (client, server):  # or it would wait until what it sent was received
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.relay(client, server)


class LossyLine(Line):
    """
    The way to a Redis server, on which one command breaks its connection.

    It is forwarded all the same, with those before it, and done; only its reply gets lost. Or it
    gets lost itself. All other connections, and those made later, are sound.
    """

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self._lock = threading.Lock()
        self.begin()

    def begin(
        self,
        break_at: int = 0,
        *,
        forwards: bool = True,
        before_each: Callable[[], object] = lambda: None,
    ) -> None:
        """
        Count the commands anew.

        Args:
            break_at: Which one breaks its connection, from 1; 0 for none.
            forwards: Whether that one comes to the server.
            before_each: What to do before each is forwarded.
        """
        with self._lock:
            self.given = 0
            self._break_at = break_at
            self._forwards = forwards
            self._before_each = before_each

    def relay(self, client: socket.socket, server: socket.socket) -> None:
        unread = bytearray()
        while True:
            for source in select.select([client, server], [], [])[0]:
                data = source.recv(65536)
                if not data:
                    return
                if source is server:
                    client.sendall(data)
                    continue
                unread += data
                for command in _commands(unread):
                    if not self._pass_on(command, server):
                        return

    def _pass_on(self, command: bytes, server: socket.socket) -> bool:
        if _name(command) in GREETINGS:
            server.sendall(command)
            return True
        with self._lock:
            self.given += 1
            is_last = self.given == self._break_at
        self._before_each()
        if not is_last or self._forwards:
            server.sendall(command)
        if is_last:
            server.shutdown(socket.SHUT_WR)
            while server.recv(65536):  # at the end it has done everything
                pass
        return not is_last


def _commands(unread: bytearray) -> Iterator[bytes]:
    """Take whole commands off what was read."""
    while (end := _end(unread)) is not None:
        command = bytes(unread[:end])
        del unread[:end]
        yield command


def _end(unread: bytearray) -> int | None:
    line = unread.find(b"\r\n")
    if line < 0:
        return None
    place = line + 2
    for _ in range(int(unread[1:line])):  # after "*"
        line = unread.find(b"\r\n", place)
        if line < 0:
            return None
        place = line + 2 + int(unread[place + 1 : line]) + 2  # after "$"
    return place if place <= len(unread) else None


def _name(command: bytes) -> bytes:
    return command.split(b"\r\n", 3)[2].upper()


class FaultyLine(Line):
    """
    What a server is reached by.

    Its state is "open"; "cut": whatever is sent gets lost; "deaf": so do the next reply and
    what follows; or "slow": whatever is sent comes to the server when catch_up() is called.
    """

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.state = "open"
        self._is_caught_up = threading.Event()
        self._late: list[threading.Thread] = []

    def __exit__(self, *exception: object) -> None:
        self._is_caught_up.set()
        super().__exit__(*exception)

    def catch_up(self) -> None:
        """Let the server have what was sent while the line was slow, and wait till it has."""
        assert self._late, "nothing was sent"
        self._is_caught_up.set()
        for thread in self._late:
            thread.join()
        self._late.clear()
        self._is_caught_up.clear()

    def relay(self, client: socket.socket, server: socket.socket) -> None:
        while True:
            for source in select.select([client, server], [], [])[0]:
                data = source.recv(65536)
                if not data or not self._pass_on(data, source is client, client, server):
                    return

    def _pass_on(
        self, data: bytes, is_request: bool, client: socket.socket, server: socket.socket
    ) -> bool:
        if self.state == "cut":
            return False
        if self.state == "deaf" and not is_request:
            self.state = "cut"
            return False
        if self.state == "slow" and is_request:
            self._late.append(threading.current_thread())
            self._is_caught_up.wait()
            server.sendall(data)
            return not server.recv(65536)
        (server if is_request else client).sendall(data)
        return True
