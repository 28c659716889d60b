#!/usr/bin/env bash
# pymemcache 4.0.0, CPython 3.11 to 3.13, run on 29 November 2026.
#
# A name may have several addresses, as "localhost" has ::1 and 127.0.0.1 on most hosts, and a client is to try
# them in turn (RFC 6724, section 2; socket.create_connection() does). Debian's memcached listens on 127.0.0.1
# alone. pymemcache goes through the addresses of a name, but only to make a socket; it connects to the first
# for which it got one. If no socket can be made for the first, as for ::1 where the kernel has no IPv6, it raises that
# error although it has made one for the next.
#
# Output seen:
#   create_connection, a dead address first: connected
#   pymemcache, a dead address first: ConnectionRefusedError
#   pymemcache, first an address of a family that isn't there: OSError
#
# It fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pymemcache==4.0.0
cat > "$folder/run.py" <<'PYTHON'
import errno
import socket
import threading

from pymemcache.client.base import Client


class NoIPv6:
    """The socket module of a host whose kernel has no IPv6, though its resolver knows ::1."""

    def __getattr__(self, name):
        return getattr(socket, name)

    def socket(self, family, *arguments):
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return socket.socket(family, *arguments)


def serve():
    while True:
        connection, _ = listener.accept()
        connection.recv(100)
        connection.sendall(b"VERSION 1.6.45\r\n")


def have(addresses):
    """Have the name stand for these."""
    socket.getaddrinfo = lambda host, port, *rest, **more: [
        found for each in addresses for found in resolve(each, port, *rest, **more)
    ]


def ask(**options):
    client = Client(("memcached.test", port), connect_timeout=5, timeout=5, **options)
    try:
        return client.version().decode()
    except OSError as error:
        return type(error).__name__


resolve = socket.getaddrinfo
listener = socket.create_server(("127.0.0.1", 0))
port = listener.getsockname()[1]
threading.Thread(target=serve, daemon=True).start()

have(["127.0.0.2", "127.0.0.1"])
socket.create_connection(("memcached.test", port), timeout=5).close()
listener_alone = ask()
have(["::1", "127.0.0.1"])
without_ipv6 = ask(socket_module=NoIPv6())
have(["127.0.0.1"])
assert ask() == "1.6.45"

print("create_connection, a dead address first: connected")
print(f"pymemcache, a dead address first: {listener_alone}")
print(f"pymemcache, first an address of a family that isn't there: {without_ipv6}")
assert (listener_alone, without_ipv6) == ("ConnectionRefusedError", "OSError")
PYTHON
"$folder/venv/bin/python" "$folder/run.py"
