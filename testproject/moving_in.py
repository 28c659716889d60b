"""The act in which the site comes from Django's own engine, with three devices logged in."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from django.core.management import call_command
from django.test.utils import override_settings

from .browser import Browser
from .running import running_site
from .table import Table

OLD_ENGINE = "django.contrib.sessions.backends.db"
STAYED = "3 of 3 are logged in"


def move_in(
    table: Table, log: Path, names: list[str], home: str, log_in: Callable[[Browser], str]
) -> None:
    """
    Move from Django's engine, each server beside the one before, and end the sessions at last.

    Args:
        table: for the steps.
        log: of the servers.
        names: of the devices.
        home: the title of the page that whoever is logged in gets.
        log_in: what a device does first; it returns the title of the page that it gets.
    """
    with ExitStack() as old, ExitStack() as following, ExitStack() as adopting:
        first = old.enter_context(running_site(log, TESTPROJECT_SESSION_ENGINE=OLD_ENGINE))
        devices = [Browser(first, name) for name in names]
        table.check(
            "3 devices log in, on Django's engine",
            "3 of 3 are logged in",
            lambda: _count(log_in(device) == home for device in devices),
        )
        look = partial(_look_at_both, devices, home)
        second = following.enter_context(running_site(log, TESTPROJECT_ADOPT="follow"))
        table.check("this engine beside it, PHASE 'follow'", STAYED, partial(look, first, second))
        old.close()
        third = adopting.enter_context(running_site(log, TESTPROJECT_ADOPT="adopt"))
        table.check("PHASE 'adopt' beside 'follow'", STAYED, partial(look, second, third))
        following.close()
        table.check("manage.py sessions adopt --status", "The old engine can go", _adopt)
        with running_site(log) as fourth:
            table.check("no SESSION_ADOPT beside 'adopt'", STAYED, partial(look, third, fourth))
            adopting.close()
            table.check("sessions in Django's table now", 0, _count_rows)
            table.check(
                "they log out",
                "0 of 3 are logged in",
                lambda: _count(_log_out(device, fourth) == home for device in devices),
            )


def _count(are_logged_in: Iterable[bool]) -> str:
    found = [*are_logged_in]
    return f"{sum(found)} of {len(found)} are logged in"


def _look_at_both(devices: list[Browser], home: str, one: str, other: str) -> str:
    return _count(
        all(_open(device, site) == home for site in (one, other, one)) for device in devices
    )


def _open(device: Browser, site: str) -> str:
    device.go_to(site)
    return device.get("/").summary


def _adopt() -> str:
    said = io.StringIO()
    with override_settings(SESSION_ADOPT={"ENGINE": OLD_ENGINE, "PHASE": "adopt"}):
        call_command("sessions", "adopt", stdout=io.StringIO())
        call_command("sessions", "adopt", "--status", stdout=said)
    return said.getvalue().splitlines()[-1].partition(":")[0]


def _count_rows() -> int:
    from django.contrib.sessions.models import Session  # noqa: PLC0415 - once Django is set up

    return Session.objects.count()


def _log_out(device: Browser, site: str) -> str:
    device.go_to(site)
    device.submit(device.get("/"), "/logout/")
    return device.get("/").summary
