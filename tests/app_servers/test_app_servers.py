"""
What application servers make of REMOTE_ADDR and X-Forwarded-For: the table of the documentation.

They are real ones, of the versions that tox.ini pins. Where one isn't installed its tests are
skipped; with MULTISTORE_APP_SERVERS, which that environment of tox sets, they fail.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.settings import OWN_PREFIX
from tests.support.paths import CHECKOUT

pytestmark = pytest.mark.elsewhere

HERE = "tests.app_servers.site"
CLIENT, PROXY, FAKE = "192.0.2.1", "192.0.2.2", "192.0.2.9"
HOSTS = {"TCP": "127.0.0.1", "IPv6": "::1", "unix": None}
SCRIPTS = Path(sysconfig.get_path("scripts"))
PATIENCE = 20  # seconds

CHEROOT = f"""
import sys
from cheroot.wsgi import Server
from {HERE} import wsgi
host, port = sys.argv[1:]
Server((host, int(port)) if port else host, wsgi).start()
"""


@dataclass
class Server:
    """
    A server and what it is known to do.

    Attributes:
        package: as pip has it.
        command: {listen} {host} {port} {path} {bind} are filled in.
        tcp, unix: arguments of where to listen; None where it can't.
        on_unix: REMOTE_ADDR on a socket of the machine.
        two_lines: what two lines with one address each become.
        underscored: what X_Forwarded_For becomes.
        both: what a proxy's line and then a client's X_Forwarded_For become.
        kept: what a line with two addresses becomes.
        remote: what takes REMOTE_ADDR's place then; None if nothing does.
        is_variant: whether another entry looks at it on each kind of socket.
    """

    package: str
    command: list[str]
    tcp: list[str]
    unix: list[str] | None
    on_unix: str | None = ""
    two_lines: str | None = f"{CLIENT},{PROXY}"
    underscored: str | None = None
    both: str | None = CLIENT
    kept: str | None = f"{CLIENT}, {PROXY}"
    remote: str | None = None
    is_variant: bool = False


def python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


URL, UNIX = "{listen}", "unix:{path}"
HOST_PORT = ["--host", "{host}", "--port", "{port}"]
UWSGI = [str(SCRIPTS / "uwsgi"), "--need-app", "--module", f"{HERE}:wsgi"]
WAITRESS = (["--listen", URL, f"{HERE}:wsgi"], ["--unix-socket", "{path}", f"{HERE}:wsgi"])
SPACED = f"{CLIENT}, {PROXY}"
LAST_WINS = {"underscored": FAKE, "both": FAKE}
JOINED = {"underscored": FAKE, "both": f"{CLIENT},{FAKE}"}
SERVERS = {
    "gunicorn": Server("gunicorn", python("gunicorn", f"{HERE}:wsgi"), ["-b", URL], ["-b", UNIX]),
    "uWSGI": Server(
        *("uwsgi", UWSGI, ["--http-socket", URL], ["--http-socket", "{path}"]),
        on_unix="0.0.0.0",  # noqa: S104
        two_lines=SPACED,
        underscored=FAKE,
        both=f"{CLIENT}, {FAKE}",
    ),
    "waitress": Server(
        *("waitress", python("waitress"), *WAITRESS),
        on_unix="localhost",
        two_lines=None,
        both=None,
        kept=None,
    ),
    "waitress, told": Server(
        "waitress",
        python(
            *("waitress", "--trusted-proxy=*", "--trusted-proxy-count=1"),
            "--trusted-proxy-headers=x-forwarded-for",
        ),
        *WAITRESS,
        on_unix="localhost",
        two_lines=PROXY,
        kept=PROXY,
        remote=PROXY,
        is_variant=True,
    ),
    "cheroot": Server(
        *("cheroot", [sys.executable, "-c", CHEROOT], ["{host}", "{port}"], ["{path}", ""]),
        two_lines=PROXY,
        **LAST_WINS,
    ),
    "hypercorn": Server(
        *("hypercorn", python("hypercorn", f"{HERE}:asgi"), ["-b", URL], ["-b", UNIX]),
        on_unix=None,
    ),
    "hypercorn, WSGI": Server(
        *("hypercorn", python("hypercorn", f"wsgi:{HERE}:wsgi"), ["-b", URL], ["-b", UNIX]),
        on_unix=None,
        **JOINED,
        is_variant=True,
    ),
    "granian": Server(
        "granian",
        python("granian", "--interface", "asgi", f"{HERE}:asgi"),
        HOST_PORT,
        ["--uds", "{path}"],
    ),
    "granian, WSGI": Server(
        "granian",
        python("granian", "--interface", "wsgi", f"{HERE}:wsgi"),
        HOST_PORT,
        ["--uds", "{path}"],
        **LAST_WINS,
        is_variant=True,
    ),
    "daphne": Server(
        "daphne",
        python("daphne", f"{HERE}:asgi"),
        ["-b", "{host}", "-p", "{port}"],
        ["-u", "{path}"],
        on_unix=None,
    ),
    "daphne --proxy-headers": Server(
        "daphne",
        python("daphne", "--proxy-headers", f"{HERE}:asgi"),
        ["-b", "{host}", "-p", "{port}"],
        ["-u", "{path}"],
        on_unix=None,
        remote=CLIENT,
        is_variant=True,
    ),
    "uvicorn": Server(
        *("uvicorn", python("uvicorn", f"{HERE}:asgi"), HOST_PORT, ["--uds", "{path}"]),
        on_unix=None,
        remote=PROXY,
    ),
    "runserver": Server("django", python("django", "runserver", "--noreload"), [URL], None),
}


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Server:
    found = SERVERS[request.param]
    require(found.package)
    return found


def require(package: str) -> None:
    try:
        distribution(package)
    except PackageNotFoundError:
        missing = f"{package} is missing"
        if "MULTISTORE_APP_SERVERS" in os.environ:
            pytest.fail(missing)
        pytest.skip(missing)


def find_checkout() -> dict[str, str]:
    """Return what lets a server find the site; under tox it does, after the installed package."""
    return {} if "TOX_PACKAGE" in os.environ else {"PYTHONPATH": str(CHECKOUT)}


@contextmanager
def serve(command: list[str], log: Path, **environment: str) -> Iterator[None]:
    environment = os.environ | find_checkout() | environment
    environment["DJANGO_SETTINGS_MODULE"] = "tests.app_servers.settings"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield
    except BaseException:
        print(log.read_text("utf-8", "replace"))  # noqa: T201 - pytest shows it with a failure
        raise
    finally:
        # It has processes of its own.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ask(address: tuple[str, int] | str, *lines: str, page: str = "/") -> Any:
    """Return what the site says of a request with these lines, and the cookie that it sets."""
    deadline = time.monotonic() + PATIENCE
    family = socket.AF_UNIX
    if not isinstance(address, str):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    while True:
        connection = socket.socket(family)
        connection.settimeout(PATIENCE)
        try:
            connection.connect(address)
            break
        except OSError:
            connection.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    with connection:
        head = [f"GET {page} HTTP/1.1", "Host: testserver", "Connection: close", *lines]
        connection.sendall(("\r\n".join(head) + "\r\n\r\n").encode())
        response = http.client.HTTPResponse(connection)
        response.begin()
        body = json.loads(response.read())
        return body | {"cookie": (response.getheader("Set-Cookie") or "").partition(";")[0]}


def free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as taken:
        taken.bind((host, 0))
        return int(taken.getsockname()[1])


def fill(server: Server, kind: str, folder: Path) -> tuple[list[str], tuple[str, int] | str]:
    """Return a command that serves, and where."""
    host = HOSTS[kind]
    if host is None:
        assert server.unix is not None
        path = str(folder / "s")
        return [*server.command, *(each.format(path=path) for each in server.unix)], path
    port = free_port(host)
    listen = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    values = {"host": host, "port": port, "listen": listen}
    return [*server.command, *(each.format(**values) for each in server.tcp)], (host, port)


def test_addresses(server: Server, tmp_path: Path) -> None:
    kinds = [kind for kind in HOSTS if kind != "unix" or server.unix is not None]
    if server.is_variant:
        kinds = ["TCP"]
    with ExitStack() as stack:
        places = {}
        for kind in kinds:
            command, places[kind] = fill(server, kind, tmp_path)
            stack.enter_context(serve(command, tmp_path / kind))
        for kind, place in places.items():
            connected = server.on_unix if kind == "unix" else HOSTS[kind]
            known = HOSTS[kind]  # What a resolver makes of a socket of the machine is no address.
            plain = ask(place)
            assert (plain["remote_addr"], plain["forwarded"]) == (connected, None)
            assert (plain["remote_address"], plain["one"]) == (known, known)

            chain = ask(place, f"X-Forwarded-For: {CLIENT}, {PROXY}")
            assert chain["forwarded"] == server.kept
            # uvicorn trusts this machine by default, and nobody on a socket of it.
            rewrites = server.remote is not None
            if server.package == "uvicorn":
                rewrites = kind != "unix"
            assert chain["remote_addr"] == (server.remote if rewrites else connected)
            expected = known if server.kept is None else PROXY
            assert chain["one"] == expected

        place = places["TCP"]
        lines = ask(place, f"X-Forwarded-For: {CLIENT}", f"X-Forwarded-For: {PROXY}")
        assert lines["forwarded"] == server.two_lines
        made_up = ask(place, f"X_Forwarded_For: {FAKE}")
        assert made_up["forwarded"] == server.underscored
        both = ask(place, f"X-Forwarded-For: {CLIENT}", f"X_Forwarded_For: {FAKE}")
        assert both["forwarded"] == server.both


FORKING = {
    "gunicorn --preload": (
        "gunicorn",
        python("gunicorn", f"{HERE}:wsgi", "--preload", "-w", "2", "-b", URL),
    ),
    "gunicorn, gevent": (
        "gevent",
        python("gunicorn", f"{HERE}:wsgi", "-k", "gevent", "--preload", "-w", "2", "-b", URL),
    ),
    "uWSGI": ("uwsgi", [*UWSGI, "--master", "-p", "2", "--http-socket", URL]),
    "uWSGI, threads": (
        "uwsgi",
        [*UWSGI, "--master", "-p", "2", "--threads", "4", "--http-socket", URL],
    ),
}


@pytest.mark.parametrize("name", FORKING)
def test_a_redis_store_that_was_used_before_the_fork(name: str, tmp_path: Path) -> None:
    package, command = FORKING[name]
    require(package)
    place = ("127.0.0.1", free_port("127.0.0.1"))
    command = [each.format(listen=f"127.0.0.1:{place[1]}") for each in command]

    def visit(visitor: int) -> None:
        cookie = ""
        for turn in range(1, 11):
            answer = ask(place, f"Cookie: {cookie}", page="/count/")
            assert answer["count"] == turn
            cookie = answer["cookie"] or cookie

    environment = {
        "MULTISTORE_REDIS": servers.require("redis"),
        "SITE_PREFIX": f"{OWN_PREFIX}forks:",
        "USE_BEFORE_FORK": "1",
    }
    with serve(command, tmp_path / "log", **environment), ThreadPoolExecutor(12) as visitors:
        assert len(list(visitors.map(visit, range(12)))) == 12
