"""
Django settings of the tests.

MULTISTORE_DEFAULT_DB (sqlite, postgres, mariadb or mysql; sqlite if unset) says what is behind the
alias "default". The aliases "postgres", "mariadb" and "mysql" are there when their servers are. All
are databases of their own.

MULTISTORE_ISOLATION ("read committed", "repeatable read" or "serializable") is the isolation level
of all connections to these servers. If it is "server's", Django sets none, and what the server has
by default holds: see MULTISTORE_SERVER_ISOLATION in tests/servers.py. Unset, Django's holds.

MULTISTORE_PREPARE_THRESHOLD, a number, has psycopg prepare statements on the server.

MULTISTORE_WITHOUT_FAST has sessions decoded as where the extra `fast` is missing.

MULTISTORE_DRIVER ("psycopg2", "pymysql" or "mysql.connector") takes the place of psycopg 3 or of
mysqlclient.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from pathlib import Path
from typing import Any

from django_multistore.session import pieces
from tests import servers

if "MULTISTORE_WITHOUT_FAST" in os.environ:
    pieces.IS_FAST = False

# The run of tests that this process belongs to. Its workers, and the processes that they start,
# share its directory, which tests/conftest.py makes and removes.
RUN = Path(
    os.environ.setdefault(
        "MULTISTORE_RUN", f"{tempfile.gettempdir()}/multistore_{secrets.token_hex(4)}"
    )
)

# The servers are shared with other runs and workers: no test may flush them.
OWN_PREFIX = RUN.name + os.environ.get("PYTEST_XDIST_WORKER", "")


# Whether a transaction on the servers sees what there was when it began.
IN_SNAPSHOTS = {"repeatable read", "serializable"} & {
    os.environ.get(f"MULTISTORE_{name}", "").lower() for name in ("ISOLATION", "SERVER_ISOLATION")
} != set()

DRIVER = os.environ.get("MULTISTORE_DRIVER")
if DRIVER == "psycopg2":
    sys.modules["psycopg"] = None  # type: ignore[assignment]  # Django prefers it
elif DRIVER == "pymysql":
    import pymysql

    pymysql.install_as_MySQLdb()


def database(kind: str, name: str, address: str = "") -> dict[str, Any]:
    """
    Return the entry in DATABASES of one database.

    Args:
        kind: "sqlite", "postgres", "mariadb" or "mysql".
        name: The database's name; for SQLite its file.
        address: The server's "host:port".
    """
    if kind == "sqlite":
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": name,
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
            },
            # By default it would be in memory, where a second process of a test can't find it.
            "TEST": {"NAME": f"{name}.test"},
        }
    host, port = address.split(":")
    server = {"NAME": name, "USER": servers.USER, "HOST": host, "PORT": port}
    if kind == "postgres":
        return server | {
            "ENGINE": "django.db.backends.postgresql",
            "OPTIONS": _isolation(kind) | _prepared(),
        }
    return server | {
        "ENGINE": "mysql.connector.django"
        if DRIVER == "mysql.connector"
        else "django.db.backends.mysql",
        "OPTIONS": {"charset": "utf8mb4"} | _isolation(kind),
        "TEST": {"CHARSET": "utf8mb4"},
    }


def _isolation(kind: str) -> dict[str, Any]:
    level = os.environ.get("MULTISTORE_ISOLATION", "").lower()
    if kind != "postgres":  # where Django sets READ COMMITTED by itself, and none for None
        return {"isolation_level": None if level == "server's" else level} if level else {}
    if level in ("", "server's"):
        return {}
    from django.db.backends.postgresql.psycopg_any import IsolationLevel  # noqa: PLC0415

    return {"isolation_level": IsolationLevel[level.upper().replace(" ", "_")]}


def _prepared() -> dict[str, Any]:
    threshold = os.environ.get("MULTISTORE_PREPARE_THRESHOLD")
    if threshold is None:
        return {}
    return {"server_side_binding": True, "prepare_threshold": int(threshold)}


def _database(alias: str, kind: str) -> dict[str, Any]:
    # A run has names of its own, so that several can share a server.
    name = str(RUN / alias) if kind == "sqlite" else f"{RUN.name}_{alias}"
    entry = database(kind, name, "" if kind == "sqlite" else servers.require(kind))
    # In a second process of a test, which helpers.environment() tells of the test's own.
    return entry | {"NAME": os.environ.get(f"MULTISTORE_NAME_{alias.upper()}", entry["NAME"])}


DEFAULT_DB = os.environ.get("MULTISTORE_DEFAULT_DB", "sqlite")
# Without its server tests/conftest.py skips every test, or fails with CI=true.
DEFAULT_DB_IS_THERE = DEFAULT_DB == "sqlite" or servers.address(DEFAULT_DB) is not None

DATABASES = {"default": _database("default", DEFAULT_DB if DEFAULT_DB_IS_THERE else "sqlite")} | {
    kind: _database(kind, kind)
    for kind in ("postgres", "mariadb", "mysql")
    if servers.address(kind)
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Each with what it needs so that an outage is an error, in bounded time.
_SECONDS = 2
_REDIS_TIMEOUTS = {"socket_connect_timeout": _SECONDS, "socket_timeout": _SECONDS}
_CACHES: dict[str, tuple[str, dict[str, Any]]] = {
    "memcached": (
        "memcached",
        {
            "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
            "LOCATION": "{}",
            "OPTIONS": {
                "timeout": _SECONDS,
                "connect_timeout": _SECONDS,
                "retry_attempts": 0,
                "dead_timeout": 0,
            },
        },
    ),
    "redis": (
        "redis",
        {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://{}/0",
            "OPTIONS": _REDIS_TIMEOUTS,
        },
    ),
    "django_redis": (
        "redis",
        {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": "redis://{}/1",
            "OPTIONS": {name.upper(): value for name, value in _REDIS_TIMEOUTS.items()},
        },
    ),
}


def cache(kind: str, address: str) -> dict[str, Any]:
    """
    Return the entry in CACHES of one cache.

    Args:
        kind: "memcached", "redis" (Django's own backend) or "django_redis".
        address: The server's "host:port".
    """
    _, entry = _CACHES[kind]
    return entry | {
        "LOCATION": entry["LOCATION"].format(address),
        "KEY_PREFIX": OWN_PREFIX,
    }


_IN_MEMORY = {
    "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
    "OPTIONS": {"MAX_ENTRIES": 100_000},
}
CACHES = {alias: _IN_MEMORY | {"LOCATION": alias} for alias in ("default", "locmem")} | {
    kind: cache(kind, there)
    for kind, (server, _) in _CACHES.items()
    if (there := servers.address(server))
}

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_multistore",
    "django.contrib.sessions",
    "tests",
]
MIDDLEWARE = [
    "django_multistore.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

SESSION_ENGINE = "django_multistore.engine"
SECRET_KEY = "not a secret: for tests only"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ROOT_URLCONF = "tests.urls"
STATIC_URL = "static/"
USE_TZ = True
