"""Redis servers of a test's own: their clients, and what a client leaves open."""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from tests import servers

PATIENCE = 30  # seconds


def client_of(server: servers.Server) -> Any:
    """Return redis-py's client, which asks a server what nobody else would."""
    return redis.Redis(host=servers.HOST, port=server.port, protocol=2)


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


@pytest.fixture
def no_resource_warning() -> Iterator[None]:
    """Fail a test that leaves a connection, a loop or a file to the garbage collector."""
    gc.collect()  # What others have left behind is theirs.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert not [str(each.message) for each in caught]
