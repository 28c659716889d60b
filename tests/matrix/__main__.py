"""
Run the tests on servers of several releases of Debian, and print a table of what came out.

    python -m tests.matrix fetch [NAME ...]    get the servers (as root, with mmdebstrap)
    python -m tests.matrix run [--only X]      run the tests; X: a pattern of the rows' names
                          [--columns X,Y]      or of the parts of the tests, by their names
    python -m tests.matrix list                print the rows' names

`make servers-matrix` does the first two. It is for a developer's machine and takes long: CI has
the release's own servers alone.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

from tests import servers
from tests.matrix import roots
from tests.matrix.rows import COLUMNS, ROUNDS, Row, rows
from tests.support.pgbouncer import PgBouncer

ROOT = Path(__file__).parents[2]
VARIABLE = "MULTISTORE_SERVERS_ROOT"
NAMES = {
    "postgres": "PostgreSQL",
    "mariadb": "MariaDB",
    "mysql": "MySQL",
    "redis": "Redis",
    "memcached": "memcached",
    "pgbouncer": "PgBouncer",
}
COUNT = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed)")
WORKERS = ("-n", "2")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.matrix",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    fetch = verbs.add_parser("fetch", help="get the servers")
    fetch.add_argument("names", nargs="*", metavar="NAME")
    run = verbs.add_parser("run", help="run the tests and print the table")
    run.add_argument("--only", default="", metavar="PATTERN", help="rows whose names match")
    run.add_argument("--columns", default=",".join(COLUMNS), metavar="NAME,NAME")
    verbs.add_parser("list", help="print the rows' names")
    options = parser.parse_args(arguments)
    if unknown := set(getattr(options, "names", ())) - set(roots.ROOTS):
        parser.error(f"no such servers: {', '.join(sorted(unknown))}")
    match options.verb:
        case "fetch":
            return roots.fetch(options.names)
        case "list":
            print("\n".join(map(name_of, rows())))
            return 0
    if unknown := set(options.columns.split(",")) - set(COLUMNS):
        parser.error(f"no such columns: {', '.join(sorted(unknown))}")
    return _run(options.only, [name for name in COLUMNS if name in options.columns.split(",")])


def name_of(row: Row) -> str:
    """Return a row's name: the server with its version, and how it is used."""
    server = servers.SERVERS[row.server]
    with _servers_of(row.root):
        found = _version(server)
    if row.behind is not None:
        with _servers_of(row.behind):
            found = f"{_version(PgBouncer)} before {found}"
    return f"{found}, {row.note}" if row.note else found


def _version(server: type[servers.Server]) -> str:
    said = server.version()
    name = next((name for name in ("Valkey", "MariaDB") if name in said), NAMES[server.name])
    number = re.search(r"\d+(\.\d+)+", said)
    return f"{name} {number[0]}" if number else f"{name}: none"


@contextmanager
def _told(environment: dict[str, str]) -> Iterator[None]:
    """Have this process and those that it starts find this in their environment."""
    with patch.dict(os.environ, environment):
        yield


def _servers_of(root: str) -> AbstractContextManager[None]:
    return _told({VARIABLE: str(roots.path_of(root)) if root else ""})


def _run(only: str, columns: list[str]) -> int:
    print(f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}\n")
    print(f"| server | {' | '.join(columns)} |")
    print(f"|---|{'---|' * len(columns)}", flush=True)
    total: Counter[str] = Counter()
    for row in rows():
        name = name_of(row)
        if not re.search(only, name):
            continue
        with _servers_of(row.root), _told(row.environment), _address_of(row) as address:
            cells = [_cell(row, column, address, name) for column in columns]
        print(f"| {name} | {' | '.join(text for text, _ in cells)} |", flush=True)
        for _, counted in cells:
            total += counted
    print(f"\n{total['passed']} passed, {total['failed']} failed")
    return 1 if total["failed"] else 0


@contextmanager
def _address_of(row: Row) -> Iterator[dict[str, str]]:
    """Start a row's servers, and return what tells the tests of them."""
    with ExitStack() as stack:
        server: servers.Server = stack.enter_context(servers.SERVERS[row.server]())
        variable, address = server.variable(), server.address
        if row.behind is not None:
            with _servers_of(row.behind):
                address = stack.enter_context(PgBouncer(address)).address
        yield {each.variable(): "" for each in servers.SERVERS.values()} | {variable: address}


def _cell(row: Row, column: str, address: dict[str, str], name: str) -> tuple[str, Counter[str]]:
    """Run a part of the tests, and return what the table says of it."""
    if column not in row.suites:
        return "", Counter()
    environment = os.environ | address | {"MULTISTORE_ROUNDS": ROUNDS}
    if column in ("faults", "checks"):  # while the store fails, the users stay there
        environment["MULTISTORE_DEFAULT_DB"] = "sqlite"
    command = [sys.executable, "-m", "pytest", "-q", *WORKERS, "-p", "no:cacheprovider"]
    if row.behind is not None:
        command.append("--reuse-db")  # a pooler's connections keep a database from being dropped
    logs = servers.cache().with_name("logs")
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{re.sub(r'[^a-z0-9.]+', '-', name.lower())}-{column}.log"
    begun = time.monotonic()
    with log.open("w") as output:
        ended = subprocess.run(
            [*command, *(argument.format(row.server) for argument in row.suites[column])],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
            check=False,
        )
    seconds = time.monotonic() - begun
    last = [line for line in log.read_text().splitlines() if " in " in line][-1:]
    counted = Counter({kind: int(number) for number, kind in COUNT.findall("".join(last))})
    counted["failed"] += counted["error"] + counted["errors"]
    if ended.returncode and not counted["failed"]:
        counted["failed"] += 1  # it did not come to an end, or found nothing to do
    failed = f", **{counted['failed']} failed**" if counted["failed"] else ""
    return f"{counted['passed']}{failed} ({seconds:.0f} s)", counted


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
