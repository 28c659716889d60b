"""The ways of docs/tenants.md, with the real django-tenants on PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest

from tests import servers
from tests.settings import OWN_PREFIX
from tests.support.paths import CHECKOUT


@pytest.fixture
def database() -> Iterator[str]:
    servers.require_module("django_tenants")
    host, port = servers.require("postgres").split(":")
    name = f"{OWN_PREFIX}_tenants"
    where = {"host": host, "port": int(port), "user": servers.USER, "dbname": "postgres"}
    with psycopg.connect(**where, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        yield name
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.mark.parametrize("place", ["shared", "schemas", "both", "cache", "redis", "unsaid"])
def test_the_devices_of_two_bobs(place: str, database: str) -> None:
    if place == "redis":
        servers.require("redis")
    own = {
        "DJANGO_SETTINGS_MODULE": "tests.tenants.settings",
        "MULTISTORE_TENANTS": place,
        "MULTISTORE_TENANTS_DB": database,
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.tenants.trial"],
        cwd=CHECKOUT,
        env=os.environ | own,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.endswith("It went well.\n")
