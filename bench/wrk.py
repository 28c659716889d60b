"""Load a site by wrk."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from unittest import SkipTest

from .asgi_servers import Server

SCRIPT = Path(__file__).with_suffix(".lua")
DONE = re.compile(r"^done: (\d+) in (\d+) us, (\d+) failed$", re.MULTILINE)
TIMEOUT = 30  # seconds, of one request, and of wrk to come to its end


def require() -> None:
    """Skip what needs wrk where there is none."""
    if shutil.which("wrk") is None:
        raise SkipTest("no wrk on this machine")


def load(server: Server, view: str, *, connections: int, seconds: int) -> float:
    """
    Ask for one view as often as it answers.

    Args:
        server: whose sessions take turns.
        view: one of VIEWS.
        connections: how many requests are under way at a time.
        seconds: how long.

    Returns:
        Requests per second.

    Raises:
        RuntimeError: a request failed, or none was answered.
    """
    options = ["--threads=1", f"--connections={connections}", f"--duration={seconds}s"]
    options += [f"--timeout={TIMEOUT}s", f"--script={SCRIPT}"]
    command = ["wrk", *options, f"{server.url}/{view}", "--"]
    ended = subprocess.run(
        [*command, *server.session_keys],
        capture_output=True,
        text=True,
        timeout=seconds + TIMEOUT,
        check=False,
    )
    found = DONE.search(ended.stdout)
    answered, microseconds, failed = map(int, found.groups()) if found else (0, 0, 0)
    if not answered or failed:
        raise RuntimeError(f"{server.url}/{view} failed: {ended.stdout}{ended.stderr}")
    return answered / microseconds * 1e6
