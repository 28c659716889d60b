from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import unittest
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests import servers

RUN = [sys.executable, servers.__file__, "run"]
SAY_WHERE_AND_WAIT = "echo $MULTISTORE_REDIS; exec cat"


@pytest.fixture(params=servers.SERVERS)
def server(request: pytest.FixtureRequest) -> servers.Server:
    return servers.private(request.param)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


@pytest.mark.fault
def test_server_freezes_and_thaws(server: servers.Server) -> None:
    with server:
        server.freeze()
        assert not server.answers()
        server.thaw()
        wait_until(server.answers)


@pytest.mark.fault
@pytest.mark.parametrize("end", [servers.Server.kill, servers.Server.stop])
def test_server_comes_back_where_it_was(
    server: servers.Server, end: Callable[[servers.Server], None]
) -> None:
    with server:
        address = server.address
        end(server)
        assert not server.answers()
        server.start()
        assert server.answers()
        assert server.address == address


@pytest.mark.fault
def test_frozen_server_closes(server: servers.Server) -> None:
    with server:
        server.freeze()
    assert not server.answers()
    assert not server.directory.exists()


@pytest.mark.fault
def test_durable_server_keeps_its_data_when_killed() -> None:
    with servers.private("postgres", durable=True) as server:
        url = f"postgresql://{servers.USER}@{server.address}/postgres"
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        with psycopg.connect(url):  # a second process of the server's
            server.kill()
        server.start()
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchall() == [(42,)]


def test_server_that_does_not_start_says_why() -> None:
    server = servers.private("redis", arguments=["--no-such-option", "1"])
    with pytest.raises(servers.ServerError, match="no-such-option"):
        server.start()
    server.close()


def test_run_passes_addresses_on_and_the_exit_code_back() -> None:
    servers.private("redis").close()
    command = [*RUN, "--only", "redis", "--", "sh", "-c", "echo $MULTISTORE_REDIS; exit 7"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 7
    assert ended.stdout.startswith("127.0.0.1:")


@pytest.mark.fault
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_servers_end_with_run(number: signal.Signals, code: int) -> None:
    server = servers.private("redis")
    server.close()
    command = [*RUN, "--only", "redis", "--", "sh", "-c", SAY_WHERE_AND_WAIT]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as runner:
        assert runner.stdout
        server.port = int(runner.stdout.readline().rpartition(":")[2])
        assert server.answers()
        runner.send_signal(number)
        assert runner.wait(30) == code
        wait_until(lambda: not server.answers())


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 1)])
def test_missing_server_fails_in_ci_only(tmp_path: Path, ci: str, code: int) -> None:
    command = [*RUN, "--only", "redis", "--", "/bin/true"]
    environment = os.environ | {"PATH": str(tmp_path), "CI": ci}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == code
    assert "redis: MISSING: no redis-server" in ended.stderr


def program(path: Path, says: str) -> Path:
    """Write a program that says something, whatever it is asked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def only_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Hide all programs but those that the test puts into this directory."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("MULTISTORE_SERVERS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MULTISTORE_SERVERS_ROOT", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("says", "missing"),
    [
        ("mysqld  Ver 10.11.6-MariaDB-0+deb12u1 for debian-linux-gnu", ["mysqld of MySQL"]),
        ("/usr/sbin/mysqld  Ver 8.0.45 for Linux on x86_64 (Ubuntu)", []),
    ],
)
def test_mariadb_under_the_name_of_mysql_is_no_mysql(
    only_here: Path, says: str, missing: list[str]
) -> None:
    program(only_here / "mysqld", says)
    assert servers.MySQL.missing() == missing


def test_a_server_comes_from_the_first_root_that_has_it(
    only_here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(only_here / "redis-server", "of the system")
    first, second = only_here / "first", only_here / "second"
    for root, name in ((first, "memcached"), (second, "redis-server"), (second, "memcached")):
        program(root / "usr/bin" / name, "of a root")
    monkeypatch.setenv("MULTISTORE_SERVERS_ROOT", f"{first}:{second}")
    assert servers.Redis.place() == second
    assert servers.Memcached.place() == first
    monkeypatch.setenv("MULTISTORE_SERVERS_ROOT", str(first))
    assert servers.Redis.place() == servers.SYSTEM
    assert servers.Redis.version() == "of the system"


@pytest.mark.parametrize("ci", ["", "true"])
def test_mysql_may_be_missing_in_ci_too(
    only_here: Path, monkeypatch: pytest.MonkeyPatch, ci: str
) -> None:
    program(only_here / "mysqld", "mysqld of MariaDB")  # before one that may be in /usr/sbin
    command = [*RUN, "--only", "mysql", "--", "/bin/true"]
    environment = os.environ | {"CI": ci}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0
    assert f"to get it, {servers.MySQL.optional}" in ended.stderr
    monkeypatch.setenv("CI", ci)
    with pytest.raises(unittest.SkipTest, match="fetch mysql"):
        servers.private("mysql")


def test_what_needs_a_missing_server_is_skipped_or_fails_in_ci(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MULTISTORE_REDIS", raising=False)
    monkeypatch.setenv("CI", "")
    with pytest.raises(unittest.SkipTest, match="redis is missing"):
        servers.require("redis")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(AssertionError, match="redis is missing"):
        servers.require("redis")


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 1)])
def test_install_says_what_it_can_not_get(tmp_path: Path, ci: str, code: int) -> None:
    environment = os.environ | {"PATH": str(tmp_path), "CI": ci}  # without apt-get
    command = [sys.executable, servers.__file__, "install"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == code
    missing = ended.stderr.partition("will be skipped: ")[2].partition(".\n")[0].split(", ")
    wanted = {"mariadb-server", "redis-server", "memcached", "gettext", "chromium"}
    assert wanted <= set(missing)
    assert f"--no-install-recommends {' '.join(missing)}" in ended.stderr


@pytest.mark.parametrize("name", servers.BROWSERS)
def test_browser_goes_by_any_of_its_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert servers.browser() is None
    program = tmp_path / name
    program.touch(0o755)
    assert servers.browser() == str(program)
    assert servers.require_browser() == str(program)


@pytest.mark.parametrize("name", ["browser", "gettext"])
def test_what_needs_a_missing_program_is_skipped_or_fails_in_ci(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    require = getattr(servers, f"require_{name}")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CI", "")
    with pytest.raises(unittest.SkipTest, match=f"{name} is missing"):
        require()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(AssertionError, match=f"{name} is missing"):
        require()
