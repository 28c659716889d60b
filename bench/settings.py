"""
Django settings of the measurements.

MULTISTORE_BENCH_DATABASE says which database is measured ("sqlite" or "postgres"),
MULTISTORE_BENCH_NAME where: a directory, or what the names of its databases begin with. See
databases.py, which sets both.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tests import servers

DATABASE = os.environ["MULTISTORE_BENCH_DATABASE"]
NAME = os.environ["MULTISTORE_BENCH_NAME"]


def _database(name: str) -> dict[str, Any]:
    if DATABASE == "sqlite":
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(Path(NAME) / name),
            "CONN_MAX_AGE": None,
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
            },
        }
    host, port = servers.require("postgres").split(":")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": f"{NAME}_{name}",
        "USER": servers.USER,
        "HOST": host,
        "PORT": port,
        "CONN_MAX_AGE": None,
    }


def _store(database: str) -> dict[str, Any]:
    return {
        "BACKEND": "django_multistore.stores.orm.OrmStore",
        "OPTIONS": {"DATABASE": database},
    }


DATABASES = {name: _database(name) for name in ("default", "large")}
SESSION_STORES = {database: _store(database) for database in DATABASES}
if DATABASE == "postgres":
    # The default database once more, where the driver may prepare statements on the server.
    # Django leaves that to the site: not every connection pooler can do it.
    prepared = {"server_side_binding": True, "prepare_threshold": 0}
    DATABASES["prepared"] = _database("default") | {"OPTIONS": prepared}
    SESSION_STORES["prepared"] = _store("prepared")

DEBUG = False
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django_multistore",
    "qsessions",
]
SECRET_KEY = "not a secret: for measurements only"
SESSION_ENGINE = "django_multistore.engine"
USE_TZ = True
