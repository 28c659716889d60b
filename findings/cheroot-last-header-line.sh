#!/usr/bin/env bash
# cheroot 11.1.2, CPython 3.11 to 3.13, run on 29 November 2026.
#
# A header whose value is a list may come in several lines, as from a proxy that adds one of its own, and
# means the same as one line with commas (RFC 9110, section 5.3). cheroot joins the lines of the headers that
# it has in a list, Via and Accept among them; X-Forwarded-For isn't there, and all lines but the last are
# dropped. In one line both addresses arrive.
#
# Output seen:
#   one line: 192.0.2.1, 192.0.2.2
#   two lines: 192.0.2.2
#
# It fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check cheroot==11.1.2
cat > "$folder/run.py" <<'PYTHON'
import socket
import threading

from cheroot.wsgi import Server


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Connection", "close")])
    return [environ["HTTP_X_FORWARDED_FOR"].encode()]


def ask(*lines):
    with socket.create_connection(server.bind_addr, timeout=10) as connection:
        head = ["GET / HTTP/1.1", "Host: localhost", "Connection: close", *lines]
        connection.sendall(("\r\n".join(head) + "\r\n\r\n").encode())
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    body = answer.partition(b"\r\n\r\n")[2]
    if b"chunked" in answer:
        body = body.split(b"\r\n")[1]
    return body.decode()


server = Server(("127.0.0.1", 0), app)
server.prepare()
threading.Thread(target=server.serve, daemon=True).start()
one = ask("X-Forwarded-For: 192.0.2.1, 192.0.2.2")
two = ask("X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 192.0.2.2")
server.stop()
print(f"one line: {one}", f"two lines: {two}", sep="\n")
assert (one, two) == ("192.0.2.1, 192.0.2.2", "192.0.2.2"), (one, two)
PYTHON
"$folder/venv/bin/python" "$folder/run.py"
