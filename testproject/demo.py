"""
Show what this package is for, on a live site over HTTP: `make demo`.

The site moves here from Django's engine, and its devices stay logged in. Then three devices of one
user log in, and the first one logs out the others. The exit status is 0 only if every step went as
it should.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from importlib import import_module
from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.utils import timezone

from .browser import TIMEOUT, Browser, Page
from .moving_in import move_in
from .running import running_site
from .table import Table

USERNAME, PASSWORD = "ada", "the password of the demo's user"
HOME, DEVICES_PAGE, LOGIN = f"Home of {USERNAME}", "Your devices", "Log in"
DEVICES_PATH = "/devices/"
PREFIX = "multistore"  # Of the pages' CSS classes.
DEVICES = ["a laptop", "a phone", "a tablet"]
TO_EXPIRE = 3  # sessions, for gc
EXPIRE_AFTER = timedelta(seconds=2.5)  # All three must be stored before they expire.
LOG_LINES = 40


def main() -> int:
    """Run the demo and return the exit status."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="multistore_demo_") as directory:
        os.environ["TESTPROJECT_DIR"] = directory
        os.environ["TESTPROJECT_IN_FLIGHT"] = "yes"
        os.environ["DJANGO_SETTINGS_MODULE"] = "testproject.settings"
        django.setup()
        print(f"A site on SQLite with SESSION_ENGINE = {settings.SESSION_ENGINE!r}, over HTTP:\n")
        log = Path(directory, "server.log")
        try:
            call_command("migrate", verbosity=0)
            table = _demonstrated(log)
        finally:
            connections.close_all()
        print(table)
        print(f"\n{len(table.rows)} steps in {time.monotonic() - began:.1f} s.", end=" ")
        if not table.failed:
            print("All of it held.")
            return 0
        _explain(table, log)
        return 1


def _demonstrated(log: Path) -> Table:
    from django.contrib.auth import get_user_model  # noqa: PLC0415 - once Django is set up

    table = Table()
    user = get_user_model().objects.create_user(USERNAME, password=PASSWORD)
    move_in(table, log, DEVICES, HOME, _log_in)
    all_have_expired_at = _leave_sessions_that_expire()
    # The pool outside: a request that still waits ends with the server.
    with ThreadPoolExecutor() as pool, running_site(log) as site:
        devices = [Browser(site, name) for name in DEVICES]
        _log_in_on_each(table, devices)
        _log_out_the_others(table, devices, pool, site)
        _count_sessions(table, user, all_have_expired_at)
        _search_database(table, devices)
    return table


# The other four acts.


def _log_in_on_each(table: Table, devices: list[Browser]) -> None:
    for number, device in enumerate(devices, 1):
        table.check(f"device {number} logs in", HOME, partial(_log_in, device))
    for number, device in enumerate(devices, 1):
        table.check(
            f"device {number} is shown the user's devices",
            "3, this one marked",
            partial(_listed_devices, device),
        )
    table.check(
        "it names each, this one and the one seen last first",
        "a laptop, a tablet, a phone",
        lambda: ", ".join(devices[0].get(DEVICES_PATH).texts_of(f"{PREFIX}-name")),
    )


def _log_out_the_others(
    table: Table, devices: list[Browser], pool: ThreadPoolExecutor, site: str
) -> None:
    first, second, third = devices
    onlooker = Browser(site)
    rotating = pool.submit(second.get, "/in-flight/two/rotate/")
    saving = pool.submit(third.get, "/in-flight/three/save/")
    for name, number in (("two", 2), ("three", 3)):
        table.check(
            f"device {number} has a request under way",
            "its session is loaded",
            partial(_is_loaded, onlooker, name),
        )
    thief, old_key = first.copy(), first.session_key
    table.check(
        "device 1 logs out the others, wrong password",
        "asked again, nobody logged out",
        partial(_ask_with_wrong_password, first),
    )
    table.check(
        "device 1 logs out the others",
        "2 other devices were logged out.",
        lambda: _ask_to_log_out_others(first, PASSWORD).text_of("message"),
    )
    table.check(
        "session key of device 1",
        "changed",
        lambda: "the same" if first.session_key == old_key else "changed",
    )
    table.check("a thief opens the site with its old key", LOGIN, partial(_open, thief))
    for name in ("two", "three"):
        onlooker.get(f"/in-flight/{name}/go-on/")
    table.check("device 2's request goes on, changes its key", 400, partial(_status, rotating))
    table.check("device 3's request goes on, saves its session", 400, partial(_status, saving))
    table.check("device 2 opens the site", LOGIN, partial(_open, second))
    table.check("device 3 opens the site", LOGIN, partial(_open, third))
    table.check("device 1 goes on", "1, this one marked", partial(_listed_devices, first))


def _count_sessions(table: Table, user: object, all_have_expired_at: float) -> None:
    from django_multistore import devices  # noqa: PLC0415 - once Django is set up
    from django_multistore.models import StoredSession  # noqa: PLC0415

    table.check("live sessions of the user", 1, lambda: len(devices.sessions_for_user(user)))
    time.sleep(max(0, all_have_expired_at - time.monotonic()))
    table.check(
        "manage.py gc",
        f"Removed {TO_EXPIRE} expired session(s)",
        _collect_garbage,
    )
    table.check("sessions in the table now", 1, StoredSession.objects.sessions().count)


def _search_database(table: Table, devices: list[Browser]) -> None:
    used = [key for device in devices for key in device.session_keys]
    table.check(
        "cookie values found in the database",
        "0 of 4",  # Two of device 1, one of each other.
        lambda: f"{_count_in_database(used)} of {len(used)}",
    )
    table.check(
        "digest of the live one found there",
        "1 of 1",
        lambda: f"{_count_in_database([_digest(devices[0])])} of 1",
    )


# What they are made of.


def _log_in(device: Browser) -> str:
    page = device.submit(device.get("/"), "/login/", username=USERNAME, password=PASSWORD)
    return page.summary


def _open(device: Browser) -> str:
    return device.get("/").summary


def _listed_devices(device: Browser) -> str:
    page = device.get(DEVICES_PATH)
    if page.summary != DEVICES_PAGE:
        return page.summary
    here = {0: "none marked", 1: "this one marked"}.get(
        len(page.texts_of(f"{PREFIX}-here")), "several marked"
    )
    return f"{len(page.texts_of(f'{PREFIX}-device'))}, {here}"


def _ask_to_log_out_others(device: Browser, password: str) -> Page:
    path = f"{DEVICES_PATH}end-others/"
    return device.submit(device.submit(device.get(DEVICES_PATH), path), path, password=password)


def _ask_with_wrong_password(device: Browser) -> str:
    page = _ask_to_log_out_others(device, "a guess")
    devices = _listed_devices(device)
    is_asked_again = bool(page.texts_of("errorlist")) and devices == "3, this one marked"
    return "asked again, nobody logged out" if is_asked_again else f"{page.summary}; {devices}"


def _is_loaded(onlooker: Browser, name: str) -> str:
    page = onlooker.get(f"/in-flight/{name}/wait/")
    return "its session is loaded" if page.status == 200 else page.summary


def _status(request: Future[Page]) -> int:
    return request.result(TIMEOUT).status


def _leave_sessions_that_expire() -> float:
    session_class = import_module(settings.SESSION_ENGINE).SessionStore
    for _ in range(TO_EXPIRE):
        session = session_class()
        session["cart"] = ["a book"]
        session.set_expiry(timezone.now() + EXPIRE_AFTER)
        session.create()
    return time.monotonic() + EXPIRE_AFTER.total_seconds()


def _collect_garbage() -> str:
    said = io.StringIO()
    call_command("gc", stdout=said)
    return said.getvalue().partition(" from store")[0]


def _digest(device: Browser) -> str:
    from django_multistore.records import key_of  # noqa: PLC0415 - once Django is set up

    return key_of(device.session_key)


def _count_in_database(texts: Iterable[str]) -> int:
    # The file and its write-ahead log as they are, with the places of rows that are deleted.
    directory = Path(settings.DATABASES["default"]["NAME"]).parent
    contents = b"".join(path.read_bytes() for path in directory.glob("testproject.sqlite3*"))
    return sum(text.encode() in contents for text in texts)


def _explain(table: Table, log: Path) -> None:
    print(f"{len(table.failed)} did NOT hold:")
    for row in table.failed:
        print(f"- {row.step}: expected {row.expected!r}, got {row.got!r}")
    print(f"\nThe last {LOG_LINES} lines of the server's log:")
    print("\n".join(log.read_text().splitlines()[-LOG_LINES:]))


if __name__ == "__main__":
    sys.exit(main())
