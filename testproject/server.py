"""
A small multi-threaded HTTP server for the demo site. Not for production.

`python -m testproject.server` serves on a free port, says on its first line of output at
which address, and ends with its standard input: so with the process that started it.
"""

from __future__ import annotations

import os
import sys
import threading
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.wsgi import get_wsgi_application

HOST = "127.0.0.1"


class Server(ThreadingMixIn, WSGIServer):
    """One thread for each request."""

    daemon_threads = True

    @property
    def address(self) -> str:
        """The site's address, as a browser takes it."""
        return f"http://{HOST}:{self.server_port}"


class Handler(WSGIRequestHandler):
    """Log requests without a reverse look-up of the client's name."""

    def address_string(self) -> str:
        return str(self.client_address[0])


def make_site_server(port: int) -> Server:
    """
    Bind a server of the demo site.

    Args:
        port: 0 for any free one.
    """
    os.environ["DJANGO_SETTINGS_MODULE"] = "testproject.settings"
    application = StaticFilesHandler(get_wsgi_application())
    return make_server(HOST, port, application, Server, Handler)


def main() -> None:
    with make_site_server(0) as server:
        print(server.address, flush=True)
        threading.Thread(target=_stop_at_end_of_input, args=(server,), daemon=True).start()
        server.serve_forever()


def _stop_at_end_of_input(server: Server) -> None:
    sys.stdin.read()
    server.shutdown()


if __name__ == "__main__":
    main()
