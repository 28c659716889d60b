"""
The demo site for the tests in a browser, in a process of its own.

    python -m tests.browser.site

It says on its first line of output at which address it serves. Then each line of its input, JSON,
calls one of CALLS, and is answered by a line of JSON. It ends with its input.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TextIO

from django.conf import settings
from django.core.management import call_command
from django.core.signals import setting_changed
from django.template.loader import render_to_string

from testproject.serve import prepare
from testproject.server import make_site_server

TEMPLATES = Path(__file__).parent / "templates"


def empty() -> None:
    """Remove all that the database holds."""
    call_command("flush", interactive=False, verbosity=0)


def create_user(**fields: Any) -> int:
    """Create a user, and return its primary key."""
    from django.contrib.auth.models import User  # noqa: PLC0415 - once Django is set up

    return User.objects.create_user(**fields).pk


def count_sessions(username: str) -> int:
    """Return how many live sessions a user has."""
    from django.contrib.auth.models import User  # noqa: PLC0415

    from django_multistore import devices  # noqa: PLC0415

    return len(devices.sessions_for_user(User.objects.get_by_natural_key(username)))


def put_logins_back(seconds: int) -> None:
    """Have everybody logged in so much longer ago."""
    from django.db.models import F  # noqa: PLC0415

    from django_multistore.models import StoredSession  # noqa: PLC0415

    then = F("authenticated_at") - timedelta(seconds=seconds)
    StoredSession.objects.update(authenticated_at=then)


def seed() -> tuple[str, str]:
    """Have the demo's user there, logged in elsewhere; return the username and the password."""
    from testproject import seed  # noqa: PLC0415

    seed.seed()
    return seed.USERNAME, seed.PASSWORD


def log_in_elsewhere(username: str, user_agents: list[str]) -> None:
    """Have a user logged in on more devices, each later than the one before."""
    from django.contrib.auth import login  # noqa: PLC0415
    from django.contrib.auth.models import User  # noqa: PLC0415
    from django.http import HttpRequest  # noqa: PLC0415

    from django_multistore.engine import SessionStore  # noqa: PLC0415
    from django_multistore.records import Device  # noqa: PLC0415

    user = User.objects.get_by_natural_key(username)
    for user_agent in user_agents:
        request = HttpRequest()
        request.session = session = SessionStore()
        session.device = Device(user_agent=user_agent)
        login(request, user, backend="django.contrib.auth.backends.ModelBackend")
        session.save()


def read_client_hints(wanted: bool) -> None:
    """Have the login page ask for client hints, or not."""
    settings.SESSION_DEVICE_CLIENT_HINTS = wanted
    setting_changed.send(None, setting="SESSION_DEVICE_CLIENT_HINTS", value=wanted, enter=wanted)


def have_frame(template: str) -> None:
    """Have the pages of devices find this template for a frame; without one they stand alone."""
    from django_multistore.pages import frames  # noqa: PLC0415

    frames.SITE_FRAME = template or "there is none.html"


def page_of_an_outage() -> str:
    """Return what users see while the store can't be asked."""
    return render_to_string("django_multistore/503.html")


CALLS: dict[str, Callable[..., Any]] = {
    call.__name__: call
    for call in (
        empty,
        create_user,
        count_sessions,
        put_logins_back,
        seed,
        log_in_elsewhere,
        read_client_hints,
        have_frame,
        page_of_an_outage,
    )
}


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # the site prints its mails
    prepare()
    engine: dict[str, Any] = settings.TEMPLATES[0]
    settings.TEMPLATES = [engine | {"DIRS": [*engine["DIRS"], TEMPLATES]}]
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # a quick one
    with make_site_server(0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        _write_line(answers, server.address)
        for line in sys.stdin:
            name, arguments = json.loads(line)
            _write_line(answers, json.dumps(CALLS[name](**arguments)))
        server.shutdown()


def _write_line(answers: TextIO, line: str) -> None:
    answers.write(f"{line}\n")
    answers.flush()


if __name__ == "__main__":
    main()
