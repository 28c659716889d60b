"""The rows of the table, each a server, and its columns, each a part of the tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

# Where the versions of a server come from; "" is the system's own.
DATABASES = {
    "postgres": ("", "trixie", "sid"),
    "mariadb": ("", "trixie"),
    "mysql": ("mysql",),
}
REDIS = ("", "trixie", "sid", "trixie-valkey", "sid-valkey")
MEMCACHED = ("", "trixie", "sid")
PGBOUNCER = ("", "trixie", "sid")

LEVELS = ("read committed", "repeatable read", "serializable")
ROUNDS = "50"  # of each race

# Parts of the tests: pytest's arguments, where {} is the server.
CONTRACT = ("tests/stores/orm/test_contract.py", "-k", "DefaultDatabase or InTransactionTests")
ENGINE = (
    "tests/stores/orm/test_engine.py",
    "tests/engine/test_session_store.py",
    "tests/management/test_gc.py",
)
CROSSING = ("tests/engine/test_interleavings.py", "tests/stores/orm/test_lock_views.py")
LIMITS = ("tests/auth/test_limits.py", "-k", "not memory and not redis")
ERRORS = ("tests/stores/sql/test_drivers.py", "-k", "not another_driver")
CHECKS = ("tests/stores/sql/test_checks.py",)
RACES = ("tests/races/test_races.py",)
FAULTS = ("tests/stores/orm/test_faults.py", "tests/races/test_kills.py", "-k", "{}")
OF_REDIS = {
    "contract": ("tests/stores/redis/test_contract.py", "tests/stores/redis/test_store.py"),
    "engine": ("tests/stores/redis/test_engine.py", "tests/http/test_hops.py"),
    "interleavings": ("tests/stores/redis/test_explorer.py",),
    "limits": ("tests/auth/test_limits.py", "-k", "redis"),
    "races": ("tests/races/test_races.py", "-k", "redis and not postgres"),
    "faults": ("tests/stores/redis/test_faults.py", "tests/stores/redis/test_groups.py"),
}
OF_MEMCACHED = {
    "contract": (
        "tests/stores/cache/test_contract.py",
        "tests/stores/memcached/test_contract.py",
        "tests/stores/memcached/test_store.py",
        "-k",
        "memcached",
    ),
    "engine": ("tests/stores/memcached/test_engine.py",),
    "interleavings": ("tests/stores/memcached/test_explorer.py",),
    "races": ("tests/races/test_races.py", "-k", "memcached and sqlite"),
    "faults": (
        "tests/stores/cache/test_faults.py",
        "tests/stores/memcached/test_faults.py",
        "-k",
        "memcached",
    ),
}
COLUMNS = ("contract", "engine", "interleavings", "limits", "errors", "checks", "races", "faults")


@dataclass(frozen=True)
class Row:
    """
    One server and how it is used.

    Args:
        server: Its name in tests/servers.py.
        root: The directory of its own release; "" for the system's.
        suites: The columns that it has, as pytest's arguments.
        note: What else there is to say, behind the version.
        environment: What the tests are told.
        behind: The root of the PgBouncer in front of it, "" for the system's; None without one.
    """

    server: str
    root: str
    suites: Mapping[str, tuple[str, ...]]
    note: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    behind: str | None = None


def rows() -> Iterator[Row]:
    """Return all rows, in the order of the table."""
    for server, roots in DATABASES.items():
        for root in roots:
            yield from _rows_of_database(server, root)
    for root in PGBOUNCER:
        yield _row_behind_pgbouncer(root)
    for root in REDIS:
        yield Row("redis", root, OF_REDIS)
    for root in MEMCACHED:
        yield Row("memcached", root, OF_MEMCACHED)


def _rows_of_database(server: str, root: str) -> Iterator[Row]:
    crossing = {
        "contract": CONTRACT,
        "interleavings": CROSSING,
        "limits": LIMITS,
        "errors": ERRORS,
        "races": RACES,
    }
    whole = crossing | {"engine": ENGINE, "checks": CHECKS, "faults": FAULTS}
    yield Row(server, root, whole, environment={"MULTISTORE_DEFAULT_DB": server})
    for level in LEVELS:
        yield Row(
            server,
            root,
            crossing,
            f"{level} by Django's option",
            {"MULTISTORE_DEFAULT_DB": server, "MULTISTORE_ISOLATION": level},
        )
        yield Row(
            server,
            root,
            crossing,
            f"{level} by the server's default",
            {
                "MULTISTORE_DEFAULT_DB": server,
                "MULTISTORE_ISOLATION": "server's",
                "MULTISTORE_SERVER_ISOLATION": level,
            },
        )


def _row_behind_pgbouncer(root: str) -> Row:
    # Its statements' names are kept apart from 1.21 on.
    prepare = {"MULTISTORE_PREPARE_THRESHOLD": "0"} if root else {}
    return Row(
        "postgres",
        "",
        {"contract": CONTRACT, "engine": ENGINE, "limits": LIMITS, "races": RACES},
        "prepare_threshold 0" if prepare else "",
        {"MULTISTORE_DEFAULT_DB": "postgres", **prepare},
        behind=root,
    )
