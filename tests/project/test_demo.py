"""The demo holds, and says so where it doesn't."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.sessions.backends.base import UpdateError

from django_multistore import engine
from tests.support.paths import CHECKOUT

pytestmark = pytest.mark.elsewhere

ROW = re.compile(r"^(?P<step>\S.*?)  +.* (?P<ok>yes|NO)$", re.MULTILINE)
SESSION_KEY = re.compile(r"\b[a-z0-9]{32}\b")


class SessionStore(engine.SessionStore):
    """For the demo: one that stores a session anew where it is gone, as an upsert does."""

    def save(self, must_create: bool = False) -> None:
        data = dict(self.items())
        try:
            super().save(must_create)
        except UpdateError:
            self.flush()
            self.update(data)
            self.create()


def run_demo(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "testproject.demo"],
        cwd=CHECKOUT,
        # What it leaves behind would be found there.
        env=os.environ | {"TMPDIR": str(tmp_path)} | environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def steps(output: str, ok: str) -> list[str]:
    """Return the steps of the demo's table that have this in their last column."""
    return [row["step"] for row in ROW.finditer(output) if row["ok"] == ok]


def test_every_step_holds(tmp_path: Path) -> None:
    demo = run_demo(tmp_path)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert len(steps(demo.stdout, "yes")) == 30
    assert not steps(demo.stdout, "NO")
    assert "All of it held." in demo.stdout
    assert not SESSION_KEY.search(demo.stdout + demo.stderr)
    assert not list(tmp_path.iterdir())


def test_an_engine_that_brings_sessions_back_is_found_out(tmp_path: Path) -> None:
    demo = run_demo(tmp_path, TESTPROJECT_SESSION_ENGINE="tests.project.test_demo")
    assert demo.returncode == 1, demo.stdout + demo.stderr
    assert steps(demo.stdout, "NO") == [
        "device 3's request goes on, saves its session",
        "device 3 opens the site",
        "device 1 goes on",
        "live sessions of the user",
        "sessions in the table now",
        "cookie values found in the database",  # None, but there was one more to look for.
    ]
    assert "6 did NOT hold" in demo.stdout
    assert not list(tmp_path.iterdir())


def test_an_engine_without_the_promises_is_found_out(tmp_path: Path) -> None:
    theirs = "django.contrib.sessions.backends.db"
    demo = run_demo(tmp_path, TESTPROJECT_SESSION_ENGINE=theirs)
    assert demo.returncode == 1, demo.stdout + demo.stderr
    failed = steps(demo.stdout, "NO")
    assert "device 2's request goes on, changes its key" in failed
    assert "cookie values found in the database" in failed
    assert "whose sessions lack what is asked for here" in demo.stdout  # The server's own words.
    assert not SESSION_KEY.search(demo.stdout + demo.stderr)
    assert not list(tmp_path.iterdir())
