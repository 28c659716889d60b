"""uvicorn, one process for each site, and the sessions that it has stored."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection

from .asgi_sites import BEGIN, READ, SITES, WRITE

HOST = "127.0.0.1"
COOKIE = "sessionid="
SESSIONS = 100  # more than there are connections: writers rarely meet
START_TIMEOUT = 30  # seconds
STOP_TIMEOUT = 10

UVICORN = (
    "--loop=uvloop",
    "--http=httptools",
    "--lifespan=off",
    "--no-access-log",
    "--log-level=warning",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A site that is being served, and what to ask it with."""

    url: str
    session_keys: list[str]


@contextmanager
def served(title: str) -> Iterator[Server]:
    """
    Serve a site, with its databases in this process's environment.

    Args:
        title: one of SITES.
    """
    port = _free_port()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "uvicorn",
            "bench.asgi_site:application",
            f"--port={port}",
            *UVICORN,
        ],
        env=os.environ | {"MULTISTORE_BENCH_SITE": title},
    )
    try:
        _wait(process, port)
        has_session = SITES[title].middleware is not None
        yield Server(
            url=f"http://{HOST}:{port}",
            session_keys=_begun(port) if has_session else [secrets.token_hex(16)],
        )
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection((HOST, port)).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("uvicorn did not start; what it said is above.")


def _begun(port: int) -> list[str]:
    cookies = [_asked(port, BEGIN)[1] for _ in range(SESSIONS)]
    session_keys = [cookie.partition(COOKIE)[2].partition(";")[0] for cookie in cookies]
    # What is measured has to happen, after the response was made as well.
    written, _ = _asked(port, WRITE, session_keys[0])
    assert _asked(port, READ, session_keys[0])[0] == written
    return session_keys


def _asked(port: int, view: str, session_key: str | None = None) -> tuple[str, str]:
    with closing(HTTPConnection(HOST, port, timeout=START_TIMEOUT)) as connection:
        headers = {"Cookie": f"{COOKIE}{session_key}"} if session_key else {}
        connection.request("GET", f"/{view}", headers=headers)
        response = connection.getresponse()
        if response.status != 200:
            raise RuntimeError(f"/{view} failed; what the site said is above.")
        return response.read().decode(), response.getheader("Set-Cookie") or ""
