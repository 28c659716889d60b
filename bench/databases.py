"""Databases and caches that are made for one run and removed after it."""

from __future__ import annotations

import os
import secrets
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from multiprocessing import get_context
from typing import ParamSpec, TypeVar

import django
import MySQLdb
import psycopg
from django.core.management import call_command
from psycopg import sql

from tests import servers

NAMES = ("default", "large")  # of settings.DATABASES
CACHE_SERVERS = ("memcached", "redis")

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Process:
    """
    Another process, in which Django has one kind of database.

    Args:
        executor: of one worker.
        kind: one of KINDS.
        name: of the databases.
    """

    def __init__(self, executor: ProcessPoolExecutor, kind: str, name: str) -> None:
        self._executor, self._kind, self._name = executor, kind, name
        self._process_id = self.call(os.getpid)

    @contextmanager
    def sibling(self) -> Iterator[Process]:
        """Start one more process on the same databases."""
        with _start(_set_up_on, self._kind, self._name) as process:
            yield process

    def call(
        self,
        function: Callable[Arguments, Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """Call a function there and return what it returns."""
        return self.start(function, *args, **kwargs).result()

    def start(
        self,
        function: Callable[Arguments, Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Future[Result]:
        """Call a function there without waiting for it."""
        return self._executor.submit(function, *args, **kwargs)

    def kill(self) -> None:
        """Kill the process, whatever it does."""
        os.kill(self._process_id, signal.SIGKILL)


@contextmanager
def fresh(kind: str, caches: Sequence[str] = ()) -> Iterator[Process]:
    """
    Make empty databases, and a process that has them.

    Settings hold for a whole process, so each kind of database gets its own. All that is
    compared with each other is measured in one.

    Args:
        kind: "sqlite", "postgres" or "mariadb".
        caches: the servers of CACHE_SERVERS that the process needs as well.
    """
    with (
        _caches(caches),
        KINDS[kind]() as name,
        _start(_begin, kind, name) as process,
    ):
        yield process


@contextmanager
def _start(begin: Callable[[str, str], None], kind: str, name: str) -> Iterator[Process]:
    with ProcessPoolExecutor(
        1, get_context("spawn"), initializer=begin, initargs=(kind, name)
    ) as executor:
        yield Process(executor, kind, name)


def set_up() -> None:
    """Start Django in a process whose environment names the databases."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "bench.settings"
    django.setup()


def _set_up_on(kind: str, name: str) -> None:
    os.environ["MULTISTORE_BENCH_DATABASE"] = kind
    os.environ["MULTISTORE_BENCH_NAME"] = name
    set_up()


def _begin(kind: str, name: str) -> None:
    _set_up_on(kind, name)
    for database in NAMES:
        call_command("migrate", database=database, verbosity=0)


@contextmanager
def _caches(names: Sequence[str]) -> Iterator[None]:
    with ExitStack() as stack:
        for name in names:
            # As quick as they are by default, in memory only.
            server = stack.enter_context(servers.private(name))
            os.environ[server.variable()] = server.address
        yield


@contextmanager
def _sqlite() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="multistore_bench_") as directory:
        yield directory


@contextmanager
def _postgres() -> Iterator[str]:
    # A server that keeps what it has committed, as a site's does; the one that tests share
    # doesn't, and to write is far too cheap there.
    with servers.private("postgres", durable=True) as server:
        os.environ[server.variable()] = server.address
        name = f"bench_{secrets.token_hex(4)}"
        host, port = server.address.split(":")
        with psycopg.connect(
            host=host, port=port, user=servers.USER, dbname="postgres", autocommit=True
        ) as connection:
            for database in NAMES:
                created = sql.Identifier(f"{name}_{database}")
                connection.execute(sql.SQL("CREATE DATABASE {}").format(created))
        yield name


@contextmanager
def _mariadb() -> Iterator[str]:
    # With the room for pages that it has by default.
    arguments = ["--innodb-buffer-pool-size=128M"]
    with servers.private("mariadb", durable=True, arguments=arguments) as server:
        os.environ[server.variable()] = server.address
        name = f"bench_{secrets.token_hex(4)}"
        host, port = server.address.split(":")
        with closing(MySQLdb.connect(host=host, port=int(port), user=servers.USER)) as connection:
            for database in NAMES:
                connection.query(f"CREATE DATABASE {name}_{database}")
        yield name


KINDS = {"sqlite": _sqlite, "postgres": _postgres, "mariadb": _mariadb}
