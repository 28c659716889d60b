"""
Measure the stores beside the raw driver and the peers, and print Markdown tables.

The exit status is 0 whether or not the targets are met: "!" marks what misses its own. The
machine's other work makes single times worthless; compare columns.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from unittest import SkipTest

from . import (
    adopting,
    asgi,
    beside,
    caches,
    databases,
    expiry,
    formats,
    moving,
    redis_memory,
    redis_rows,
    rows,
    tables,
    users,
)

DATABASES = {"postgres": "PostgreSQL", "sqlite": "SQLite"}
STORES = {"orm": "OrmStore", "cache": "CacheStore", "redis": "RedisStore"}
PACKAGES = (
    "Django",
    "django-qsessions",
    "psycopg",
    "psycopg-pool",
    "pymemcache",
    "django-redis",
    "redis",
    "hiredis",
    "msgspec",
    "backports.zstd",
    "uvicorn",
)
QUICK = 10  # a part of this size


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--rounds", type=int, default=60, help="of each measurement (60); ASGI has a twelfth"
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument(
        "--only",
        choices=[*DATABASES, "mariadb"],
        help="one of the databases; RedisStore has none, and MariaDB is there for --gc only",
    )
    parser.add_argument("--store", choices=STORES, help="one of the stores")
    parser.add_argument("--formats", action="store_true", help="formats of payloads alone")
    parser.add_argument("--asgi", action="store_true", help="async requests alone (PostgreSQL)")
    parser.add_argument(
        "--moving", type=int, metavar="N", help="only move N sessions from PostgreSQL to Redis"
    )
    parser.add_argument(
        "--adopting", type=int, metavar="N", help="only take over N sessions of Django's db engine"
    )
    parser.add_argument(
        "--gc", action="store_true", help="only remove expired sessions, on MariaDB as well"
    )
    options = parser.parse_args(arguments)
    if options.only == "mariadb" and not options.gc:
        parser.error("on MariaDB only --gc measures")
    if options.asgi and options.only == "sqlite":
        parser.error("--asgi measures on PostgreSQL only")
    part = QUICK if options.quick else 1
    turns = max(1, options.rounds // part)
    _say(about())
    if options.moving:
        with _section("MigratingStore"), databases.fresh("postgres", ["redis"]) as process:
            _say("\n" + moving.describe(process.call(moving.measure, options.moving)))
            _measure_beside(process, options.moving, moving, "moving", None)
        return
    if options.gc:
        for kind, title in (DATABASES | {"mariadb": "MariaDB"}).items():
            if options.only in (None, kind):
                with _section(f"gc, {title}"), databases.fresh(kind) as process:
                    _measure_gc(process, kind, part)
        return
    if options.adopting:
        with _section("SESSION_ADOPT"), databases.fresh("postgres", ["redis"]) as process:
            _say("\n" + adopting.describe(process.call(adopting.measure, options.adopting)))
            _measure_beside(process, options.adopting, adopting, "default", adopting.ADOPT)
        return
    if options.formats:
        with _section("Formats"), databases.fresh("sqlite", ["redis"]) as process:
            _say("\n" + tables.of_formats(process.call(formats.measure, turns)))
        return
    chosen = [options.store] if options.store else list(STORES)
    kinds = [options.only] if options.only else list(DATABASES)
    if not options.asgi:
        _measure_calls(chosen, kinds, turns, part)
    if "postgres" in kinds:
        title = f"ASGI, {DATABASES['postgres']}"
        with _section(title), databases.fresh("postgres", ["redis"]) as process:
            _measure_asgi(process, chosen, turns, part)


def _measure_beside(
    process: databases.Process, count: int, what: ModuleType, alias: str, adopt: beside.Adopt
) -> None:
    """Measure a site's requests beside the same move once more, and count what came of it."""
    visitors = process.call(what.fill_for_site, count, beside.VISITORS)
    measured = beside.measure(process, alias, adopt, what.move_all, visitors)
    moved, wanted = process.call(what.count_moved), count + len(visitors)
    _say("\n" + measured.describe())
    _say(f"\n{moved:,} of {wanted:,} sessions have come{'' if moved == wanted else ' !'}.")


def _measure_calls(chosen: list[str], kinds: list[str], turns: int, part: int) -> None:
    for kind in kinds:
        if "orm" in chosen:
            with _section(f"{STORES['orm']}, {DATABASES[kind]}"), databases.fresh(kind) as process:
                _measure_orm(process, kind, turns, part)
        if "cache" in chosen:
            servers, title = databases.CACHE_SERVERS, f"{STORES['cache']}, {DATABASES[kind]}"
            with _section(title), databases.fresh(kind, servers) as process:
                _measure_cache(process, turns, part)
    if "redis" in chosen:
        # Django wants a database, and this one is there at once.
        with _section(STORES["redis"]), databases.fresh("sqlite", ["redis"]) as process:
            _measure_redis(process, turns, part)


@contextmanager
def _section(title: str) -> Iterator[None]:
    """Say what is measured, and what is missing if it can't be."""
    _say(f"\n## {title}")
    try:
        yield
    except SkipTest as missing:
        _say(f"\nNot measured: {missing}")


def _measure_orm(process: databases.Process, kind: str, turns: int, part: int) -> None:
    measured = process.call(rows.measure, turns)
    _say("\n" + tables.of_rows(measured, rows.TARGETS[kind], rows.PEER_TARGET))
    _say("\n" + tables.of_users(process.call(users.measure, "orm", turns, part)))
    _measure_gc(process, kind, part)


def _measure_gc(process: databases.Process, kind: str, part: int) -> None:
    _say("\n" + tables.of_expiry(process.call(expiry.measure, part), kind))


def _measure_cache(process: databases.Process, turns: int, part: int) -> None:
    for cache, title in caches.CACHES.items():
        measured = process.call(caches.measure, cache, turns)
        _say(f"\n### {title}\n\n{tables.of_caches(measured)}")
    _say("\n" + tables.of_users(process.call(users.measure, "cache", turns, part)))


def _measure_redis(process: databases.Process, turns: int, part: int) -> None:
    measured = process.call(redis_rows.measure, turns)
    _say("\n" + tables.of_rows(measured, redis_rows.TARGETS, redis_rows.PEER_TARGET))
    _say("\n" + tables.of_formats(process.call(formats.measure, turns)))
    _say("\n" + tables.of_memory(process.call(redis_memory.measure)))
    _say("\n" + tables.of_users(process.call(users.measure, "redis", turns, part)))


def _measure_asgi(process: databases.Process, chosen: list[str], turns: int, part: int) -> None:
    measured = process.call(asgi.measure, chosen, turns, part)
    for connections in asgi.CONNECTIONS:
        _say("\n" + tables.of_asgi(measured, connections))


def about() -> str:
    """Say what was measured with what, and when."""
    versions = ", ".join(f"{package} {_version(package)}" for package in PACKAGES)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({platform.machine()}), "
        f"Python {platform.python_version()}, {versions}."
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
