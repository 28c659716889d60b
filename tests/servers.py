"""
Private PostgreSQL, MariaDB, MySQL, Redis and memcached servers for the tests, and what they need.

    python tests/servers.py install                   get what is missing (as root, by apt)
    python tests/servers.py install wrk               and this program, by the package of its name
    python tests/servers.py run -- COMMAND ...        run a command with every server there is
    python tests/servers.py run --only redis -- ...   or with some of them
    python tests/servers.py driver                    compile mysqlclient into this environment

Standard library only: this file also runs before there is any virtual environment.

`run` tells its command where the servers are by MULTISTORE_POSTGRES, MULTISTORE_MARIADB,
MULTISTORE_MYSQL, MULTISTORE_REDIS and MULTISTORE_MEMCACHED, each "127.0.0.1:port". A test gets a
shared server's address by `require()`, and a server of its own, to kill and to freeze, by
`private()`; a browser or gettext by `require_browser()` and `require_gettext()`. Where what a test
needs is missing the test is skipped; with CI=true it fails. A server that the system's own release
need not have, as MySQL, is optional: without it the test is skipped in CI too.

Servers of other releases are run from directories that hold nothing but these, as
`python -m tests.matrix fetch` makes them: as root, in a chroot of their own.

    MULTISTORE_SERVERS_ROOT        such directories, with colons between; each server comes from
                                   the first that has it, else from the system
    MULTISTORE_SERVERS_CACHE       where they are kept; ~/.cache/django-multistore/servers if unset
    MULTISTORE_SERVER_ISOLATION    the default isolation level of databases that are started, for
                                   example "repeatable read"
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import unittest
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import ClassVar, NoReturn, Self

HOST = "127.0.0.1"
USER = "multistore"  # the databases' all-powerful user, without a password

# Below the range from which the kernel takes ports for outgoing connections: none of them can
# take a server's port while that server is down for a restart.
PORTS = range(20000, 32000)

START_TIMEOUT = 60
STOP_TIMEOUT = 15
COMMAND_TIMEOUT = 3

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
GETTEXT = ("xgettext", "msgfmt")
PGBOUNCER = "pgbouncer"  # program and package

# What a chroot has of the system.
MOUNTED = ("/dev", "/proc", "/etc/passwd", "/etc/group", "/etc/hosts")
SYSTEM = Path("/")


class ServerError(Exception):
    """A server did not start, or did not answer."""


def in_ci() -> bool:
    """Tell whether what is missing must fail rather than be skipped."""
    return os.environ.get("CI") == "true"


def _unprivileged_user() -> pwd.struct_passwd | None:
    """Return the user that servers run as where we are root, which most of them refuse."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def cache() -> Path:
    """Return where the directories with servers of other releases are kept."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    default = Path(caches, "django-multistore", "servers")
    return Path(os.environ.get("MULTISTORE_SERVERS_CACHE") or default)


def _find(program: str, root: Path = SYSTEM) -> str | None:
    """
    Return a program's path; Debian keeps PostgreSQL's off PATH, a directory per version.

    Args:
        program: Its name.
        root: What is "/" for it.
    """
    versions = (root / "usr/lib/postgresql").glob("[0-9]*/bin")
    newest_first = sorted(versions, key=lambda path: int(path.parent.name), reverse=True)
    path = [os.environ.get("PATH", os.defpath)] if root == SYSTEM else [f"{root}/usr/bin"]
    path = [*map(str, newest_first), *path, f"{root}/usr/sbin"]
    return shutil.which(program, path=os.pathsep.join(path))


@functools.cache
def _version(path: str, root: Path) -> str:
    """Return what a program says of its version, or an empty text."""
    inside = [] if root == SYSTEM else [str(_find("chroot")), str(root)]
    program = path if root == SYSTEM else f"/{Path(path).relative_to(root)}"
    said = subprocess.run(
        [*inside, program, "--version"], capture_output=True, text=True, check=False
    )
    return (said.stdout.strip() or "\n").splitlines()[0]


def _free_port() -> int:
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port


class Server(ABC):
    """
    One private server in a temporary directory, listening on 127.0.0.1 only.

    It keeps its port and its data over stop(), kill() and start(). It ends, and its directory goes,
    with close() or when the process that started it is gone.

    Args:
        durable: Whether what the server says it wrote outlives a crash; off is faster.
        arguments: What to add to the server's command line.
    """

    name: ClassVar[str]
    programs: ClassVar[tuple[str, ...]]  # it needs these; the last one is the server
    packages: ClassVar[tuple[str, ...]]  # and these Debian packages have them
    optional: ClassVar[str] = ""  # where not every release has it: how to get it
    drivers: ClassVar[tuple[str, ...]]  # its clients need one of these Python modules
    question: ClassVar[bytes] = b""  # once connected, what to ask
    answer: ClassVar[bytes]  # a pattern: what only a server that is ready says
    stop_signal: ClassVar = signal.SIGTERM  # ends it in good order
    end_signal: ClassVar = signal.SIGKILL  # ends it at once, leaving nothing behind in the system

    def __init__(self, *, durable: bool = False, arguments: Sequence[str] = ()) -> None:
        self.durable = durable
        self.arguments = arguments
        self.root = self.place()
        self.port = _free_port()
        self.directory = Path(tempfile.mkdtemp(prefix=f"multistore-{self.name}-"))
        self.data = self.directory / "data"
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def roots(cls) -> list[Path]:
        """Return what may be "/" for its programs, the first choice first."""
        chosen = os.environ.get("MULTISTORE_SERVERS_ROOT", "")
        return [*map(Path, filter(None, chosen.split(os.pathsep))), SYSTEM]

    @classmethod
    def has(cls, root: Path) -> bool:
        """Tell whether all of its programs are there."""
        return all(_find(program, root) for program in cls.programs)

    @classmethod
    def place(cls) -> Path:
        """Return what is "/" for its programs."""
        return next((root for root in cls.roots() if cls.has(root)), SYSTEM)

    @classmethod
    def version(cls) -> str:
        """Return what the server says of its version, or an empty text where there is none."""
        path = _find(cls.programs[-1], cls.place())
        return _version(path, cls.place()) if path else ""

    @classmethod
    def missing(cls) -> list[str]:
        """Return the programs that this machine lacks."""
        return [program for program in cls.programs if _find(program, cls.place()) is None]

    @classmethod
    def variable(cls) -> str:
        """Return the environment variable that holds the shared server's address."""
        return f"MULTISTORE_{cls.name.upper()}"

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ServerError(f"{self.name} is not running.")
        return self._process.pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @abstractmethod
    def command(self) -> list[str]:
        """Return the program and its arguments, which keep it in the foreground."""

    def initialise(self) -> None:
        """Make the data directory."""
        self.data.mkdir()
        if user := _unprivileged_user():
            for path in (self.directory, self.data):
                os.chown(path, user.pw_uid, user.pw_gid)

    def start(self) -> None:
        """Start the server, or start it again, and return when it answers."""
        if self._process is not None:
            raise ServerError(f"{self.name} is running already.")
        if not self.data.exists():
            self.initialise()
        program, *arguments = [*self.command(), *self.arguments]
        keeper = [sys.executable, "-I", "-S", str(Path(__file__).resolve()), "keep"]
        keeper += [str(int(self.end_signal)), str(self.directory), str(self.root)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*keeper, self._path_of(program), *arguments],
                stdin=subprocess.PIPE,  # closes when we are gone: see keep()
                stdout=log,
                stderr=log,
                cwd=self.data,
                env=self._environment(),
                start_new_session=True,  # Ctrl-C is for us, not for the servers
            )
        deadline = time.monotonic() + START_TIMEOUT
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._end()
                raise ServerError(f"{self.name} did not start: {self._last_words()}")
            time.sleep(0.02)

    def answers(self) -> bool:
        """Tell whether the server is ready to serve."""
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as connection:
                connection.sendall(self.question)
                reply = connection.recv(1024)
        except OSError:
            return False
        return re.match(self.answer, reply, re.DOTALL) is not None

    def stop(self) -> None:
        """End the server in good order; start() brings it back."""
        os.kill(self.pid, self.stop_signal)
        self._wait()

    def kill(self) -> None:
        """End all of the server by SIGKILL, as a crash would; start() brings it back."""
        self.freeze()  # or it might start another process meanwhile
        processes = self._processes()
        for pid in processes:
            _signal(pid, signal.SIGKILL)
        self._wait()
        for pid in processes:  # while one is left, PostgreSQL refuses to start again
            _wait_for_state(pid, "ZX")

    def freeze(self) -> None:
        """Stop all of the server by SIGSTOP: connections stay open, and nothing answers."""
        _signal(self.pid, signal.SIGSTOP)
        _wait_for_state(self.pid, "TZX")  # from here on it starts no more processes
        for pid in self._processes():
            _signal(pid, signal.SIGSTOP)
            _wait_for_state(pid, "TZX")

    def thaw(self) -> None:
        """Let a frozen server go on."""
        for pid in self._processes():
            _signal(pid, signal.SIGCONT)

    def restart(self) -> None:
        """Stop the server in good order and start it again, on its port and with its data."""
        self.stop()
        self.start()

    def close(self) -> None:
        """End the server at once and remove its directory; it may have ended before."""
        self._end()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            _signal(self.pid, self.end_signal)
            self.thaw()  # a frozen process takes nothing but SIGKILL
        self._wait()

    @property
    def _log(self) -> Path:
        return self.directory / "log"

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-15:]) or "it said nothing."

    def _path_of(self, program: str) -> str:
        path = _find(program, self.root)
        if path is None:
            raise ServerError(f"{self.name} needs {program}, which is not on this machine.")
        return path if self.root == SYSTEM else f"/{Path(path).relative_to(self.root)}"

    def _environment(self) -> dict[str, str]:
        # Nothing else of ours: PGPORT, PGDATA, MYSQL_HOME and the like would reach the server.
        path = os.environ.get("PATH", os.defpath) if self.root == SYSTEM else "/usr/bin:/usr/sbin"
        return {"PATH": path, "LC_ALL": "C", "HOME": str(self.directory)}

    def _call(self, program: str, *arguments: str) -> None:
        """Run a program to its end as the server's user."""
        become = [sys.executable, "-I", "-S", str(Path(__file__).resolve()), "become"]
        with self._log.open("ab") as log:
            ended = subprocess.run(
                [*become, str(self.directory), str(self.root), self._path_of(program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.data,
                env=self._environment(),
                start_new_session=True,
                check=False,
            )
        if ended.returncode:
            raise ServerError(f"{program} failed: {self._last_words()}")

    def _wait(self) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()  # ends the watcher
        self._process = None

    def _processes(self) -> list[int]:
        """Return the server's pid and its children's (PostgreSQL has one for each connection)."""
        everyone = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
        children = [pid for pid in everyone if _state_and_parent(pid)[1] == self.pid]
        return [self.pid, *(pid for pid in children if not _is_watcher(pid))]


class Postgres(Server):
    name = "postgres"
    programs = ("initdb", "postgres")
    packages = ("postgresql",)
    drivers = ("psycopg", "psycopg2")
    # The startup message (43 bytes, version 3.0), and what only a server that is ready answers:
    # AuthenticationOk.
    question = b"\0\0\0\x2b\0\3\0\0user\0multistore\0database\0postgres\0\0"
    answer = rb"R\0\0\0\x08\0\0\0\0"
    stop_signal = signal.SIGINT  # SIGTERM would wait for the clients to leave
    end_signal = signal.SIGQUIT  # SIGKILL would leave a shared memory segment behind

    def initialise(self) -> None:
        super().initialise()
        options = ["--auth=trust", f"--username={USER}", "--encoding=UTF8", "--locale=C"]
        self._call("initdb", f"--pgdata={self.data}", "--no-sync", *options)

    def command(self) -> list[str]:
        command = ["postgres", "-D", str(self.data), "-p", str(self.port), "-h", HOST, "-k", ""]
        settings = ["max_connections=200"]
        if level := _isolation():
            settings.append(f"default_transaction_isolation={level}")
        if not self.durable:
            settings += ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
        return command + [f"--{setting}" for setting in settings]


class _MySQLFamily(Server):
    drivers = ("MySQLdb",)
    answer = rb"...\0\x0a"  # the first packet (length, number 0) is the handshake, version 10

    def initialise(self) -> None:
        super().initialise()
        self._users.write_text(
            f"CREATE USER IF NOT EXISTS '{USER}'@'{HOST}';\n"
            f"GRANT ALL PRIVILEGES ON *.* TO '{USER}'@'{HOST}' WITH GRANT OPTION;\n"
        )

    def command(self) -> list[str]:
        command = [self.programs[-1], "--no-defaults", f"--datadir={self.data}"]
        command += [f"--port={self.port}", f"--bind-address={HOST}", "--skip-name-resolve"]
        command += [f"--init-file={self._users}"]
        # Relative to the data directory: a whole path may be longer than a socket's can be.
        command += ["--socket=socket", "--pid-file=pid"]
        command += ["--character-set-server=utf8mb4", "--max-connections=200"]
        command += ["--innodb-buffer-pool-size=64M"]
        if level := _isolation():
            command.append(f"--transaction-isolation={level.upper().replace(' ', '-')}")
        if not self.durable:
            command += ["--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0"]
        return command

    @property
    def _users(self) -> Path:
        return self.directory / "users.sql"


class MariaDB(_MySQLFamily):
    name = "mariadb"
    programs = ("mariadb-install-db", "mariadbd")
    packages = ("mariadb-server",)

    def initialise(self) -> None:
        super().initialise()
        options = ["--skip-test-db", "--auth-root-authentication-method=normal"]
        self._call("mariadb-install-db", "--no-defaults", f"--datadir={self.data}", *options)

    def command(self) -> list[str]:
        return super().command() + ([] if self.durable else ["--debug-no-sync"])


class MySQL(_MySQLFamily):
    """Found on PATH, or where `python -m tests.matrix fetch mysql` puts it: it can't share /usr."""

    name = "mysql"
    programs = ("mysqld",)
    packages = ()
    optional = "as root on Debian: python3 -m tests.matrix fetch mysql"

    @classmethod
    def roots(cls) -> list[Path]:
        kept = cache() / cls.name
        return super().roots() + ([kept] if os.geteuid() == 0 else [])  # a chroot needs root

    @classmethod
    def has(cls, root: Path) -> bool:
        # MariaDB's packages have links of MySQL's names.
        path = _find(cls.programs[-1], root)
        return path is not None and "MariaDB" not in _version(path, root)

    @classmethod
    def missing(cls) -> list[str]:
        return [] if cls.has(cls.place()) else ["mysqld of MySQL"]

    def initialise(self) -> None:
        super().initialise()
        options = ["--initialize-insecure", "--innodb-buffer-pool-size=64M"]
        self._call("mysqld", "--no-defaults", f"--datadir={self.data}", *options)

    def command(self) -> list[str]:
        command = [*super().command(), "--mysqlx=OFF", "--secure-file-priv=NULL"]
        return command if self.durable else [*command, "--skip-log-bin"]


class Redis(Server):
    name = "redis"
    programs = ("redis-server",)
    packages = ("redis-server",)
    drivers = ("django_redis",)
    question = b"PING\r\n"
    answer = rb"\+PONG"

    def command(self) -> list[str]:
        command = ["redis-server", "--bind", HOST, "--port", str(self.port)]
        command += ["--dir", str(self.data), "--save", ""]
        if self.durable:
            command += ["--appendonly", "yes", "--appendfsync", "always"]
        return command


class Memcached(Server):
    name = "memcached"
    programs = ("memcached",)
    packages = ("memcached",)
    drivers = ("pymemcache",)
    question = b"version\r\n"
    answer = rb"VERSION "

    def command(self) -> list[str]:
        return ["memcached", "--listen", HOST, "--port", str(self.port), "--udp-port", "0"]


SERVERS: dict[str, type[Server]] = {
    server.name: server for server in (Postgres, MariaDB, MySQL, Redis, Memcached)
}


def _isolation() -> str:
    return os.environ.get("MULTISTORE_SERVER_ISOLATION", "").lower()


# What tests and settings ask for


def address(name: str) -> str | None:
    """Return a shared server's "host:port", or None where it or its Python driver is missing."""
    server = SERVERS[name]
    if not _has_module(*server.drivers):
        return None
    return os.environ.get(server.variable()) or None


def require(name: str) -> str:
    """Return a shared server's "host:port"; without one skip the test, or fail it with CI=true."""
    found = address(name)
    if found is None:
        server = SERVERS[name]
        reason = f"{name} is missing: no {server.variable()}, or no module {server.drivers[0]}"
        give_up(reason, server.optional)
    return found


def private(name: str, *, durable: bool = False, arguments: Sequence[str] = ()) -> Server:
    """
    Return a new server, to be used in a `with` statement, which starts and closes it.

    Where it can't be had the test is skipped, or fails with CI=true.
    """
    server = SERVERS[name]
    lacks = server.missing()
    if not _has_module(*server.drivers):
        lacks.append(f"the module {server.drivers[0]}")
    if lacks:
        give_up(f"{name} is missing: no {', '.join(lacks)}", server.optional)
    return server(durable=durable, arguments=arguments)


def browser() -> str | None:
    """Return the path of Chromium or Chrome, or None where this machine has neither."""
    return next(filter(None, map(_find, BROWSERS)), None)


def require_browser() -> str:
    """Return a browser's path; without one skip the test, or fail it with CI=true."""
    path = browser()
    if path is None:
        give_up(f"a browser is missing: no {', no '.join(BROWSERS)}")
    return path


def require_module(name: str) -> None:
    """Without a Python module skip the test, or fail it with CI=true."""
    if not _has_module(name):
        give_up(f"the module {name} is missing")


def _has_module(*names: str) -> bool:
    """Tell whether one of these Python modules can be imported."""
    return any(importlib.util.find_spec(name.partition(".")[0]) for name in names)


def require_gettext() -> None:
    """Without GNU gettext skip the test, or fail it with CI=true."""
    if lacks := [program for program in GETTEXT if _find(program) is None]:
        give_up(f"gettext is missing: no {', no '.join(lacks)}")


def give_up(reason: str, optional: str = "") -> NoReturn:
    """Skip the test, or fail it with CI=true, unless it needs what is optional."""
    if optional:
        raise unittest.SkipTest(f"{reason} (to get it, {optional})")
    raise (AssertionError if in_ci() else unittest.SkipTest)(reason)


# Processes


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _state_and_parent(pid: int) -> tuple[str, int]:
    """Return a process's state (T: stopped, Z: ended, X: no such process) and its parent's pid."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "X", 0
    state, parent, *_ = stat.rpartition(")")[2].split()  # the name before it may hold anything
    return state, int(parent)


def _wait_for_state(pid: int, states: str) -> None:
    deadline = time.monotonic() + STOP_TIMEOUT
    while (state := _state_and_parent(pid)[0]) not in states:
        if time.monotonic() > deadline:
            raise ServerError(f"Process {pid} is still in state {state}.")
        time.sleep(0.002)


def _is_watcher(pid: int) -> bool:
    try:
        return os.fsencode(Path(__file__).resolve()) in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def keep(end_signal: signal.Signals, directory: Path, root: Path, command: list[str]) -> NoReturn:
    """
    Become the server, leaving a child behind that ends it when its starter is gone.

    SIGKILL leaves a process no chance to clean up, but it closes its pipes: our standard input is
    one, which nobody but our starter holds open.
    """
    server = os.getpid()
    if os.fork() == 0:
        _watch(server, end_signal, directory)
        os._exit(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    become(directory, root, command)


def become(directory: Path, root: Path, command: list[str]) -> NoReturn:
    """Become a program, as the servers' user, where `root` is "/" and `directory` is there."""
    if root != SYSTEM:
        # What is mounted from here on nobody else sees, and ends with us. It is the same process.
        this = [sys.executable, "-I", "-S", str(Path(__file__).resolve()), "enter"]
        namespace = [str(_find("unshare")), "--mount", "--propagation", "private", *this]
        _execute([*namespace, str(directory), str(root), *command])
    _drop_privileges()
    _execute(command)


def enter(directory: Path, root: Path, command: list[str]) -> NoReturn:
    """Do what become() does, in a namespace of mounts of our own."""
    here, user = Path.cwd(), _unprivileged_user()
    _mount("-t", "tmpfs", "tmpfs", str(root / "tmp"))
    for path in (str(directory), *MOUNTED):
        place = Path(f"{root}{path}")
        place.parent.mkdir(parents=True, exist_ok=True)
        if Path(path).is_dir():
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.touch()
        _mount("--rbind", path, str(place))
    os.chroot(root)
    os.chdir(here)
    _drop_privileges(user)
    _execute(command)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def _drop_privileges(user: pwd.struct_passwd | None = None) -> None:
    if user := user or _unprivileged_user():
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)


def _execute(command: list[str]) -> NoReturn:
    os.execv(command[0], command)  # noqa: S606 (there is no shell, and none is wanted)


def _watch(server: int, end_signal: signal.Signals, directory: Path) -> None:
    sys.stdin.buffer.read()
    if os.getppid() != server:  # it has ended: its pid may be another's by now
        return
    _signal(server, end_signal)
    _signal(server, signal.SIGCONT)  # a frozen process takes nothing but SIGKILL
    deadline = time.monotonic() + STOP_TIMEOUT
    while os.getppid() == server and time.monotonic() < deadline:
        time.sleep(0.05)
    if os.getppid() == server:
        _signal(server, signal.SIGKILL)
    shutil.rmtree(directory, ignore_errors=True)


# The command line


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def run(command: list[str], names: Sequence[str]) -> int:
    """Run a command with these servers, which end whatever happens, and return its exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _exit_on_signal)
    with contextlib.ExitStack() as stack, ThreadPoolExecutor() as pool:
        starts = {}
        problems = {}
        for name in names:
            if lacks := SERVERS[name].missing():
                problems[name] = f"no {', '.join(lacks)} on this machine"
                if optional := SERVERS[name].optional:
                    problems[name] += f"; what needs it is skipped (to get it, {optional})"
                continue
            server = SERVERS[name]()
            stack.callback(server.close)
            starts[server] = pool.submit(server.start)
        for server, started in starts.items():
            if error := started.exception():
                problems[server.name] = str(error)
        running = [server for server in starts if server.name not in problems]
        for server in running:
            _say(f"{server.name}: {server.address}")
        for name, problem in problems.items():
            _say(f"{name}: MISSING: {problem}")
        required = [
            name for name in problems if not (SERVERS[name].optional and SERVERS[name].missing())
        ]
        if required and in_ci():
            _say(f"With CI=true every server must start; missing: {', '.join(required)}.")
            return 1
        environment = {key: value for key, value in os.environ.items() if key not in _variables()}
        environment |= {server.variable(): server.address for server in running}
        return _call_to_the_end(command, environment)


def _variables() -> set[str]:
    return {server.variable() for server in SERVERS.values()}


def _exit_on_signal(number: int, frame: FrameType | None) -> NoReturn:
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_IGN)  # cleaning up is not to be interrupted
    raise SystemExit(128 + number)


def _call_to_the_end(command: list[str], environment: dict[str, str]) -> int:
    try:
        process = subprocess.Popen(command, env=environment)
    except OSError as error:
        _say(f"{command[0]}: {error}")
        return 127
    try:
        code = process.wait()
    except SystemExit:  # a signal: Ctrl-C has reached the command too, so give it time at first
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(COMMAND_TIMEOUT)
                break
            process.send_signal(number)  # SIGINT first: tox passes no other on
        process.wait()
        raise
    return code if code >= 0 else 128 - code


def install(programs: Sequence[str] = ()) -> int:
    """
    Install what is missing by apt; where that can't be done, say what is missing.

    Args:
        programs: what else is wanted, each in the Debian package of its name.
    """
    packages = _packages_to_compile_mysqlclient()
    packages += [program for program in programs if _find(program) is None]
    for server in SERVERS.values():
        if server.missing():
            packages += server.packages
            if server.optional:
                _say(f"{server.name} is missing, and optional. To get it, {server.optional}")
    if _find(PGBOUNCER) is None:
        packages.append(PGBOUNCER)
    if any(_find(program) is None for program in GETTEXT):
        packages.append("gettext")
    if importlib.util.find_spec("ensurepip") is None:  # Debian's venv fails without it
        packages.append("python3-venv")
    # Apart: apt installs all or nothing, and not every distribution has this package.
    # The font has Latin and Persian letters.
    for_browser = ["chromium", "fonts-dejavu-core"] if browser() is None else []
    missing = [*packages, *for_browser]
    if not missing:
        return 0
    if os.geteuid() != 0 or _find("apt-get") is None:
        _say(f"Missing, and what needs them will be skipped: {', '.join(missing)}.")
        _say(f"To get them: apt-get install --no-install-recommends {' '.join(missing)}")
        return 1 if in_ci() else 0
    with _no_services_started():
        if failed := _apt_get("update"):
            _say(f"apt-get update failed; missing: {', '.join(missing)}.")
            return failed if in_ci() else 0
        for group in filter(None, (packages, for_browser)):
            if code := _apt_get("install", "--yes", "--no-install-recommends", *group):
                _say(f"apt-get install failed; missing: {', '.join(group)}.")
                failed = code
    return failed if in_ci() else 0


def _apt_get(*arguments: str) -> int:
    apt = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=120"]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run([*apt, *arguments], env=environment, check=False).returncode


def _packages_to_compile_mysqlclient() -> list[str]:
    """Return what is missing to compile mysqlclient, which has no wheels for Linux."""
    packages = []
    if _find("gcc") is None:
        packages.append("build-essential")
    if _find("pkg-config") is None:
        packages += ["pkg-config", "libmariadb-dev"]
    elif subprocess.run(["pkg-config", "--exists", "libmariadb"], check=False).returncode:
        packages.append("libmariadb-dev")
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        packages.append("python3-dev")
    return packages


@contextlib.contextmanager
def _no_services_started() -> Iterator[None]:
    """Keep the packages from starting services of their own; put the system's policy back after."""
    policy = Path("/usr/sbin/policy-rc.d")
    aside = policy.with_name("policy-rc.d.multistore")
    if os.path.lexists(policy):
        policy.rename(aside)
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()
        if os.path.lexists(aside):
            aside.rename(policy)


def driver() -> int:
    """Compile mysqlclient into the environment that runs this; where that can't be done, say so."""
    if importlib.util.find_spec("MySQLdb"):
        return 0
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "mysqlclient"]
    built = subprocess.run(pip, capture_output=True, text=True, check=False)
    if built.returncode == 0:
        return 0
    _say("mysqlclient could not be installed: tests on MariaDB and MySQL will be skipped.")
    _say("\n".join(built.stderr.splitlines()[-20:]))
    return 1 if in_ci() else 0


def main(arguments: list[str]) -> int:
    match arguments:  # by Server.start() and become() only
        case ["keep", number, directory, root, *command]:
            keep(signal.Signals(int(number)), Path(directory), Path(root), command)
        case ["become", directory, root, *command]:
            become(Path(directory), Path(root), command)
        case ["enter", directory, root, *command]:
            enter(Path(directory), Path(root), command)
    parser = argparse.ArgumentParser(description="Servers for the tests.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    install_parser = verbs.add_parser("install", help="install by apt what this machine lacks")
    install_parser.add_argument("programs", nargs="*", metavar="PROGRAM", help="these as well")
    verbs.add_parser("driver", help="compile mysqlclient into this Python's environment")
    run_parser = verbs.add_parser("run", help="run a command with the servers")
    run_parser.add_argument("--only", metavar="NAME,NAME", default=",".join(SERVERS))
    run_parser.add_argument("command", nargs="+", help="after --")
    options = parser.parse_args(arguments)
    match options.verb:
        case "install":
            return install(options.programs)
        case "driver":
            return driver()
    names = options.only.split(",")
    if unknown := set(names) - set(SERVERS):
        parser.error(f"no such server: {', '.join(sorted(unknown))}")
    return run(options.command, names)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
