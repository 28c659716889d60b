"""Two processes at one session: each race is run MULTISTORE_ROUNDS times."""

from __future__ import annotations

import faulthandler
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import environment, rounds
from tests.races import worker
from tests.races.support import alias_of, new_user, on, store_setting

ROOT = Path(worker.__file__).parents[2]

pytestmark = [
    pytest.mark.stress,
    pytest.mark.parametrize("kind", on("sqlite", "postgres", "mariadb", transaction=True)),
]


def run(name: str, kind: str, settings: Any) -> tuple[Counter[str], Counter[str]]:
    """Run a race and return what its host and its guest have counted."""
    settings.SESSION_STORES = store_setting(kind)
    arguments = [alias_of(kind), rounds(), new_user().pk]
    with ExitStack() as stack:
        memory = stack.enter_context(tempfile.TemporaryFile())
        memory.truncate(2)
        processes = [
            stack.enter_context(_start(name, role, arguments, line, memory.fileno()))
            for role, line in zip(("host", "guest"), socket.socketpair(), strict=True)
        ]
        for process in processes:
            stack.callback(process.kill)
        timeout = 60 + rounds() / 10
        faulthandler.cancel_dump_traceback_later()  # pytest's, which is for shorter tests
        said = [process.communicate(timeout=timeout)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    host, guest = (Counter[str](json.loads(line)) for line in said)
    assert not host["StoreUnavailable"] + guest["StoreUnavailable"], (host, guest)
    if "MULTISTORE_ROUNDS" in os.environ:
        counts = f"host {dict(host)}, guest {dict(guest)}"
        print(f"{name} on {kind}, {rounds()} rounds: {counts}")  # noqa: T201 - for pytest -rP
    return host, guest


def _start(
    name: str, role: str, arguments: list[Any], line: socket.socket, memory: int
) -> subprocess.Popen[bytes]:
    with line:
        descriptors = [line.fileno(), memory]
        command = [sys.executable, "-m", worker.__name__, name, role, *arguments, *descriptors]
        return subprocess.Popen(
            [*map(str, command)],
            stdout=subprocess.PIPE,
            pass_fds=descriptors,
            env=environment(),
            cwd=ROOT,
        )


def test_no_save_brings_a_destroyed_session_back(kind: str, settings: Any) -> None:
    saver, destroyer = run("save-destroy", kind, settings)
    assert saver["resurrected"] == 0
    assert destroyer["destroyed"] == rounds()
    assert saver["done"]
    assert saver["UpdateError"]


def test_no_increment_is_lost(kind: str, settings: Any) -> None:
    host, guest = run("increments", kind, settings)
    assert (host["host"], host["guest"]) == (rounds(), rounds())
    assert (host["done"], guest["done"]) == (rounds(), rounds())


def test_no_rotation_escapes_a_destroy_for_user(kind: str, settings: Any) -> None:
    rotator, destroyer = run("rotate-destroy", kind, settings)
    assert rotator["alive"] == 0
    assert destroyer["destroyed"] == rounds()
    assert rotator["done"]
    assert rotator["SessionInterrupted"]


def test_no_login_escapes_the_list_and_the_next_destroy(kind: str, settings: Any) -> None:
    visitor, destroyer = run("login-destroy", kind, settings)
    assert (visitor["not listed"], visitor["alive"]) == (0, 0)
    assert visitor["destroyed"]
    assert destroyer["destroyed"]


def test_gc_removes_no_renewed_session(kind: str, settings: Any) -> None:
    visitor, collector = run("renew-gc", kind, settings)
    assert visitor["lost"] == 0
    assert visitor["done"]
    assert visitor["UpdateError"]
    assert collector["collected"]


def test_of_two_rotations_one_wins(kind: str, settings: Any) -> None:
    host, guest = run("rotate-rotate", kind, settings)
    assert host["done"] + guest["done"] == rounds()
    assert host["live"] == host["destroyed"] == rounds()
    assert host["done"]
    assert guest["done"]
