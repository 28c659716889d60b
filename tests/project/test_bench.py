"""The measurements start, and a small one comes to its end."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.paths import CHECKOUT


def run_bench(*arguments: str) -> str:
    command = [sys.executable, "-m", "bench", *arguments]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.elsewhere
def test_it_starts_without_databases() -> None:
    assert "--adopting" in run_bench("--help")


@pytest.mark.stress
@pytest.mark.parametrize("what", ["--adopting", "--moving"])
def test_all_sessions_come_though_a_move_is_killed(what: str) -> None:
    pytest.importorskip("qsessions", reason="only `make stress` and `make bench` have the peer")
    said = run_bench(what, "20000")
    assert "20,200 of 20,200 sessions have come." in said
    assert "Changes lost: 0" in said
