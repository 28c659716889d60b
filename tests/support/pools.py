"""Stores whose async variants have a pool, and what the server says of its connections."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest
from django.db import connections

from django_multistore.stores.orm import OrmStore
from tests import servers
from tests.settings import DRIVER
from tests.support.meeting import alias_of

MISSING = "psycopg 3 or psycopg_pool is missing, or not what Django uses"
KIND = "postgres"


def are_there() -> bool:
    """Say whether this environment can have pools."""
    return DRIVER != "psycopg2" and all(map(find_spec, ("psycopg", "psycopg_pool")))


def alias() -> str:
    """Return the alias of the PostgreSQL database, or skip the test."""
    if not are_there():
        pytest.skip(MISSING)
    if alias_of(KIND) not in connections:
        servers.require(KIND)
    return alias_of(KIND)


def setting(**pool: Any) -> dict[str, Any]:
    """Return SESSION_STORES for a store with a pool."""
    options = {"DATABASE": alias(), "ASYNC_POOL": pool}
    return {
        "default": {"BACKEND": "django_multistore.stores.orm.OrmStore", "OPTIONS": options},
    }


def make_store(**pool: Any) -> OrmStore:
    """Return a store with a pool, which nobody else has."""
    return OrmStore("default", DATABASE=alias(), ASYNC_POOL=pool)


def list_others(using: str) -> list[tuple[int, str]]:
    """Return process id and state of the connections that others have to a database."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT pid, state FROM pg_stat_activity WHERE datname = CURRENT_DATABASE() "
            "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        return cursor.fetchall()
