"""Processes that take part in a race."""

from __future__ import annotations

import faulthandler
import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from types import ModuleType
from typing import Any

from tests.support.helpers import environment
from tests.support.paths import CHECKOUT


def start(
    module: ModuleType, *arguments: object, descriptors: Sequence[int] = (), **streams: Any
) -> subprocess.Popen[bytes]:
    """
    Run a module in a process, on the databases of the test that is running.

    Args:
        module: this.
        arguments: what it is told, before the descriptors.
        descriptors: what it inherits.
        streams: see subprocess.Popen.
    """
    return subprocess.Popen(
        [sys.executable, "-m", module.__name__, *map(str, (*arguments, *descriptors))],
        stdout=subprocess.PIPE,
        pass_fds=descriptors,
        env=environment(),
        cwd=CHECKOUT,
        **streams,
    )


def answers(processes: Sequence[subprocess.Popen[bytes]], *, timeout: float) -> list[Any]:
    """
    Wait for processes to end.

    Args:
        processes: each prints JSON.
        timeout: in seconds.

    Returns:
        What each has printed.
    """
    faulthandler.cancel_dump_traceback_later()  # pytest's, which is for shorter tests
    with ExitStack() as stack:
        for process in processes:
            stack.enter_context(process)
            stack.callback(process.kill)
        said = [process.communicate(timeout=timeout)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return [json.loads(text) for text in said]
