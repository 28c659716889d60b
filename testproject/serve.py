"""
Serve the demo site to click through: `make serve`.

`python -m testproject.serve 8001` takes another port.
"""

from __future__ import annotations

import contextlib
import os
import sys

import django
from django.conf import settings
from django.core.management import call_command

from .server import Server, make_site_server

PORT = 8000


def prepare() -> None:
    """Set Django up, and bring the database up to date."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "testproject.settings"
    django.setup()
    call_command("migrate", verbosity=0)


def main(arguments: list[str]) -> None:
    prepare()
    from .seed import PASSWORD, USERNAME, seed  # noqa: PLC0415 - once Django is set up

    seed()
    with _bound(int(arguments[0]) if arguments else PORT) as server:
        print(f"The demo site is at {server.address}/")
        print(f"User: {USERNAME}    Password: {PASSWORD}")
        print(f"Database: {settings.DATABASES['default']['NAME']}")
        print(f"{USERNAME} is logged in on some devices already: see {server.address}/devices/")
        print(f"and, as the administrator that {USERNAME} is, {server.address}/admin/")
        print("Log in with two browsers, or with a private window beside this one.")
        print("Ctrl-C ends it.", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


def _bound(port: int) -> Server:
    try:
        return make_site_server(port)
    except OSError:
        print(f"Port {port} is taken, so it is another one.")
        return make_site_server(0)


if __name__ == "__main__":
    main(sys.argv[1:])
