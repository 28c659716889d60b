"""The processes of a site, of which those of several deployments may run at once."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import servers
from tests.adopting.live import site
from tests.support.paths import CHECKOUT

START = 120  # seconds, which a process may take on a busy machine


@dataclass(frozen=True)
class Deployment:
    """One version of a site: its settings, as far as others have other ones."""

    name: str
    settings: dict[str, Any]

    @property
    def is_ours(self) -> bool:
        """Whether its engine is the one under test."""
        return bool(self.settings["SESSION_ENGINE"] == site.OURS)

    def command(self, *arguments: object, **variables: str) -> tuple[list[str], dict[str, str]]:
        """Return the command line of one of its processes, and that one's environment."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(CHECKOUT),
            "PYTHONSAFEPATH": "1",
            "LIVE_SITE": json.dumps(self.settings),
            **variables,
        }
        return [sys.executable, "-m", site.__name__, *map(str, arguments)], environment

    def run(self, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a process of its to the end."""
        command, environment = self.command(*arguments, **variables)
        return subprocess.run(
            command,
            env=environment,
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=START * 5,
            check=False,
        )


@dataclass(eq=False)
class Server:
    """One process that serves; its requests under way are counted."""

    deployment: Deployment
    kind: str
    port: int
    process: subprocess.Popen[bytes]
    under_way: int = 0

    def kill(self) -> None:
        """Kill it, whatever it is doing."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(START)
        if self.process.stdin is not None:
            self.process.stdin.close()


@dataclass
class Site:
    """What clients see of it: some process, for each request another."""

    log: Path
    running: list[Server] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def start(self, deployment: Deployment, kinds: list[str]) -> list[Server]:
        """Start processes, and send requests to them as well once they answer."""
        started = [self._spawn(deployment, kind) for kind in kinds]
        try:
            for server in started:
                self._wait_for(server)
        except BaseException:
            for server in started:
                server.kill()
            raise
        with self._changed:
            self.running += started
        return started

    def retire(self, retired: list[Server]) -> None:
        """Send no more requests there, wait for those under way, and end the processes."""
        with self._changed:
            self.running = [each for each in self.running if each not in retired]
            is_idle = self._changed.wait_for(
                lambda: not any(each.under_way for each in retired), START
            )
        for server in retired:
            server.kill()
        assert is_idle, "A request did not end."

    def kill(self, server: Server) -> None:
        """Kill a process amid its requests; those that come meanwhile find nobody there."""
        server.kill()
        with self._changed:
            self.running.remove(server)

    def close(self) -> None:
        """Kill all that run."""
        for server in self.running:
            server.kill()

    @contextmanager
    def lend(self, dice: random.Random, *, only_ours: bool = False) -> Iterator[Server | None]:
        """Choose the process for a request, which is under way until the end of the block."""
        with self._changed:
            usable = [each for each in self.running if each.deployment.is_ours or not only_ours]
            server = dice.choice(usable) if usable else None
            if server is not None:
                server.under_way += 1
        try:
            yield server
        finally:
            with self._changed:
                if server is not None:
                    server.under_way -= 1
                self._changed.notify_all()

    def has(self, *, ours: bool) -> bool:
        """Say whether a process runs whose engine is the one under test, or the old one."""
        with self._changed:
            return any(each.deployment.is_ours is ours for each in self.running)

    def _spawn(self, deployment: Deployment, kind: str) -> Server:
        # It is closed here at once: else the kernel would go on taking requests of a dead process.
        with socket.create_server((servers.HOST, 0), backlog=1000) as listener:
            command, environment = deployment.command(kind, listener.fileno())
            with self.log.open("ab") as log:
                process = subprocess.Popen(
                    command,
                    env=environment,
                    cwd=CHECKOUT,
                    stdin=subprocess.PIPE,  # It ends with this, should this process be killed.
                    stderr=log,
                    pass_fds=[listener.fileno()],
                )
            return Server(deployment, kind, listener.getsockname()[1], process)

    def _wait_for(self, server: Server) -> None:
        connection = http.client.HTTPConnection(servers.HOST, server.port, timeout=START)
        try:
            connection.request("GET", "/read")
            status = connection.getresponse().status
        except OSError as error:
            text = self.log.read_text()[-5_000:]
            raise RuntimeError(f"{server.deployment.name} did not start:\n{text}") from error
        finally:
            connection.close()
        assert status == 200, self.log.read_text()[-5_000:]
