"""Commands as Redis reads them."""

from __future__ import annotations

from collections.abc import Callable

from ..scripts import Command


def pack_in_python(command: Command) -> bytes:
    """
    Return the bytes of a command.

    Source: https://redis.io/docs/latest/develop/reference/protocol-spec/
    """
    parts = [b"*%d\r\n" % len(command)]
    for word in command:
        value = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(value), value))
    return b"".join(parts)


pack_command: Callable[[Command], bytes]
try:
    from hiredis import pack_command  # type: ignore[assignment]
except ImportError:
    pack_command = pack_in_python


def pack(commands: list[Command]) -> bytes:
    """Return the bytes of commands."""
    if len(commands) == 1:
        return pack_command(commands[0])
    return b"".join(map(pack_command, commands))
