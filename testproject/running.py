"""The demo site in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def running_site(log: Path, **variables: str) -> Iterator[str]:
    """
    Run the site in a process of its own, and yield its address.

    Args:
        log: what it writes to standard error is added there.
        variables: of the environment, beside those of this process.
    """
    with (
        log.open("a") as log_file,
        subprocess.Popen(
            [sys.executable, "-m", "testproject.server"],
            stdin=subprocess.PIPE,  # It ends with this, should this process be killed.
            stdout=subprocess.PIPE,
            stderr=log_file,
            text=True,
            env=os.environ | variables,
        ) as server,
    ):
        try:
            address = server.stdout.readline().strip() if server.stdout else ""
            if not address:
                raise RuntimeError(f"The server did not start:\n{log.read_text()}")
            yield address
        finally:
            server.terminate()
            try:
                server.wait(timeout=5)
            except subprocess.TimeoutExpired:
                server.kill()
