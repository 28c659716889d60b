"""
Measure the ORM store beside the raw driver and the peers, and print Markdown tables.

The exit status is 0 whether or not the targets are met: "!" marks what misses its own. The
machine's other work makes single times worthless; compare columns.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from unittest import SkipTest

from . import databases, expiry, rows, tables, users

DATABASES = {"postgres": "PostgreSQL", "sqlite": "SQLite"}
PACKAGES = ("Django", "django-qsessions", "psycopg")
QUICK = 10  # a part of this size


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=60, help="of each measurement (60)")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--only", choices=DATABASES, help="one of the databases")
    options = parser.parse_args(arguments)
    part = QUICK if options.quick else 1
    rounds = max(1, options.rounds // part)
    _say(about())
    for kind in [options.only] if options.only else DATABASES:
        _say(f"\n## {DATABASES[kind]}")
        try:
            with databases.fresh(kind) as process:
                _say("\n" + tables.of_rows(kind, process.call(rows.measure, rounds)))
                _say("\n" + tables.of_users(process.call(users.measure, rounds, part)))
                _say("\n" + tables.of_expiry(process.call(expiry.measure, part)))
        except SkipTest as missing:
            _say(f"\nNot measured: {missing}")


def about() -> str:
    """Say what was measured with what, and when."""
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({platform.machine()}), "
        f"Python {platform.python_version()}, {versions}."
    )


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
