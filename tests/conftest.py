"""Prepare a run of tests; skip them all where the default database is missing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import django
import pytest
from django.conf import settings

import django_multistore
from django_multistore.testing import Calls
from tests import servers
from tests.support.helpers import rounds

DATABASE_MISSING = f"the default database's server is missing: {settings.DEFAULT_DB}"


def pytest_configure(config: pytest.Config) -> None:
    pytest.register_assert_rewrite("tests.support.cases")
    if not settings.DEFAULT_DB_IS_THERE and servers.in_ci():
        raise pytest.UsageError(DATABASE_MISSING)
    if not settings.RUN.exists():  # a worker of pytest-xdist finds it made
        settings.RUN.mkdir(mode=0o700)
        config.add_cleanup(lambda: shutil.rmtree(settings.RUN))


def pytest_report_header() -> list[str]:
    found = [f"{name} {servers.address(name) or 'MISSING'}" for name in servers.SERVERS]
    return [
        f"Django {django.__version__}, django_multistore from {django_multistore.__path__[0]}",
        f"default database: {settings.DEFAULT_DB}; servers: {', '.join(found)}; rounds: {rounds()}",
    ]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not settings.DEFAULT_DB_IS_THERE:
        for item in items:
            item.add_marker(pytest.mark.skip(reason=DATABASE_MISSING))


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Callable[[object], Any]:
    """Return what gives an object's methods, or their async variants run to the end."""
    return lambda target: Calls(target, is_async=request.param)
