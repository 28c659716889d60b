"""Connections to one memcached server, which wait to be used again by the process's threads."""

from __future__ import annotations

import os
import ssl
import weakref
from collections import deque
from contextlib import suppress
from typing import Any

from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheUnexpectedCloseError

# What shows that a connection was closed meanwhile, by the server or on the way. No timeout is.
LOST = (ConnectionError, MemcacheUnexpectedCloseError, ssl.SSLEOFError)

# As pymemcache has it: host and port, or the path of a socket.
Server = tuple[str, int] | str


class OneAddress:
    """A socket module to which a name has one address."""

    def __init__(self, module: Any, address: tuple[Any, ...]) -> None:
        self._module, self._address = module, address

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def getaddrinfo(self, *arguments: Any) -> list[tuple[Any, ...]]:
        return [self._address]


class Connection(Client):  # type: ignore[misc]
    """
    One of pymemcache's, which knows whether it has come as far as to send something.

    Of a name that has several addresses each is tried, as "localhost" has one of IPv6 and one of
    IPv4: pymemcache tries the first.
    """

    is_connecting = False

    def _connect(self) -> None:
        self.is_connecting = True
        if isinstance(self.server, str):
            super()._connect()
        else:
            self._connect_to_any(self.socket_module)
        self.is_connecting = False

    def _connect_to_any(self, module: Any) -> None:
        host, port = self.server
        kinds = (module.AF_UNSPEC, module.SOCK_STREAM, module.IPPROTO_TCP)
        *others, last = module.getaddrinfo(host, port, *kinds)
        try:
            for address in others:
                self.socket_module = OneAddress(module, address)
                with suppress(OSError):
                    super()._connect()
                    return
            self.socket_module = OneAddress(module, last)
            super()._connect()
        finally:
            self.socket_module = module


class NotSent(Exception):
    """There is no connection, so the server has not got the command."""


class Connections:
    """
    The connections of a process to one server.

    pymemcache's own pool keeps those that the server has closed, and hands them on to a child.
    """

    def __init__(self, server: Server, arguments: dict[str, Any]) -> None:
        self._server = server
        self._arguments = arguments
        self._idle: deque[Connection] = deque()
        self._pid = os.getpid()
        # Not by __del__: a store and its sockets are collected at once, in any order.
        weakref.finalize(self, _close, self._idle)

    def ask(self, command: str, *arguments: Any) -> tuple[Any, bool]:
        """
        Run a command of pymemcache's, once more if a connection was lost that had waited.

        Returns:
            The answer, and whether it is to a command that the server may have had before.

        Raises:
            NotSent: from an OSError; the server has not got the command.
        """
        connection = self._take()
        had_waited, is_resent = connection.sock is not None, False
        try:
            try:
                answer = getattr(connection, command)(*arguments)
            except LOST:
                if not had_waited:
                    raise
                # The others are likely to be lost as well. This one connects anew.
                _close(self._idle)
                is_resent = True
                answer = getattr(connection, command)(*arguments)
        except BaseException as error:
            connection.close()
            if isinstance(error, OSError) and connection.is_connecting and not is_resent:
                raise NotSent from error
            raise
        self._idle.append(connection)
        return answer, is_resent

    def _take(self) -> Connection:
        if self._pid != os.getpid():
            # After a fork these are the parent's, to whom it is nothing that they are closed here.
            self._pid = os.getpid()
            _close(self._idle)
        try:
            return self._idle.pop()
        except IndexError:
            return Connection(self._server, **self._arguments)


def _close(connections: deque[Connection]) -> None:
    for _ in range(len(connections)):
        try:
            connections.pop().close()
        except IndexError:
            return
