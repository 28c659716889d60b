"""
The site of these tests, in a process of its own.

    python -m tests.crossings.served SETTINGS FD

FD is the socket on which it listens, which other processes may share. SETTINGS is JSON: some of
Django's, and ASYNC, whether it is served by async code. Each line of its input is JSON as well:
settings that change now, which it answers by a line. It ends with its input.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import threading
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import django

if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()

import uvicorn
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.signals import setting_changed
from django.core.wsgi import get_wsgi_application

from tests.crossings import site


def change(changes: dict[str, Any]) -> None:
    """Change settings as tests do."""
    for name, value in changes.items():
        setattr(settings, name, value)
        setting_changed.send(sender=None, setting=name, value=value, enter=True)


def listen_to_input() -> None:
    for line in sys.stdin:
        change(json.loads(line))
        print(flush=True)  # noqa: T201 - for the test that started this
    os._exit(0)


def is_unexpected(entry: logging.LogRecord) -> bool:
    """Say whether an error is none that the site makes by itself."""
    return not (entry.exc_info and entry.exc_info[0] is site.Failure)


class Server(ThreadingMixIn, WSGIServer):
    """One thread for each request."""

    daemon_threads = True
    request_queue_size = 1000

    def server_bind(self) -> None:
        """Learn where it is bound."""
        self.server_name, self.server_port = self.server_address[:2]
        self.setup_environ()


class Handler(WSGIRequestHandler):
    def log_message(self, *args: object) -> None:
        """Log nothing."""


def serve(listener: socket.socket, *, is_async: bool) -> None:
    if is_async:
        config = uvicorn.Config(
            get_asgi_application(),
            access_log=False,
            backlog=1000,
            lifespan="off",
            log_level="warning",
            ws="none",
        )
        uvicorn.Server(config).run([listener])
        return
    server = Server(listener.getsockname(), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.server_bind()
    server.set_app(get_wsgi_application())
    server.serve_forever()


def main(chosen: str, descriptor: str) -> None:
    changes = json.loads(chosen)
    is_async = changes.pop("ASYNC")
    logging.basicConfig()
    logging.getLogger().handlers[0].setLevel(logging.ERROR)
    logging.getLogger("django.request").addFilter(is_unexpected)
    change(site.SETTINGS | changes)
    threading.Thread(target=listen_to_input, daemon=True).start()
    serve(socket.socket(fileno=int(descriptor)), is_async=is_async)


if __name__ == "__main__":
    main(*sys.argv[1:])
