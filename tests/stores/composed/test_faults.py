"""A TieredStore whose front is killed, frozen, and comes back with what it had."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.test import override_settings

from django_multistore.records import Outcome, key_of
from django_multistore.session.keys import new_session_key
from django_multistore.stores import stores
from django_multistore.stores.composed.front import RETRY_SECONDS
from django_multistore.testing import Calls, make_record
from tests import servers
from tests.support.composed import ORM, tiered

pytestmark = [pytest.mark.fault, pytest.mark.django_db(transaction=True)]

BOTH_WAYS = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
TIMEOUT = 0.3
SLACK = 1.5  # seconds, which this machine may take for itself


@pytest.fixture
def server() -> Iterator[servers.Server]:
    with servers.private("redis", durable=True) as started:
        options = {"URL": f"redis://{started.address}/0", "TIMEOUT": TIMEOUT}
        front = {"BACKEND": "django_multistore.stores.redis.RedisStore", "OPTIONS": options}
        with override_settings(SESSION_STORES=tiered(front, ORM)):
            yield started


def live_through(server: servers.Server, calls: Any) -> None:
    """Do what requests do while the front can't be asked."""
    records = [make_record(user_id="7") for _ in range(5)]
    kept, changed, rotated, ended, also_ended = records
    for record in records:
        assert calls.create(record) is True
    new = replace(rotated, key=key_of(new_session_key()))
    assert calls.read(kept.key) == kept
    assert calls.update(replace(changed, payload=b"new")) is Outcome.DONE
    assert calls.read(changed.key).payload == b"new"
    assert calls.rotate(rotated.key, new) is Outcome.DONE
    assert calls.read(rotated.key) is None
    assert calls.destroy(ended.key) is True
    assert calls.read(ended.key) is None
    assert calls.destroy_session("7", also_ended.id) is True
    assert calls.destroy_for_user("7") == 3
    assert calls.read(kept.key) is None


@BOTH_WAYS
def test_killed_and_back(is_async: bool, server: servers.Server, caplog: Any) -> None:
    calls = Calls(stores["default"], is_async=is_async)
    for _ in range(2):
        kept, ended, rotated = (make_record(user_id="8") for _ in range(3))
        for record in (kept, ended, rotated):
            calls.create(record)
            calls.read(record.key)
            assert stores["front"].read(record.key) is not None
        caplog.clear()
        server.kill()
        live_through(server, calls)
        new = replace(rotated, key=key_of(new_session_key()))
        assert calls.destroy(ended.key) is True
        assert calls.rotate(rotated.key, new) is Outcome.DONE
        assert calls.update(replace(kept, payload=b"new")) is Outcome.DONE
        assert len([each for each in caplog.records if "goes on without" in each.message]) == 1
        server.start()
        # It is back with what it had: it has written that to disk.
        assert stores["front"].read(ended.key) is not None
        time.sleep(RETRY_SECONDS)
        assert calls.read(ended.key) is None
        assert calls.read(rotated.key) is None
        for _ in range(3):
            assert calls.read(kept.key).payload == b"new"
        assert stores["front"].read(ended.key) is None
        calls.destroy_for_user("8")


@BOTH_WAYS
def test_frozen_and_thawed(is_async: bool, server: servers.Server) -> None:
    calls = Calls(stores["default"], is_async=is_async)
    kept, ended = (make_record(user_id="8") for _ in range(2))
    for record in (kept, ended):
        calls.create(record)
        calls.read(record.key)
    server.freeze()
    try:
        began = time.monotonic()
        assert calls.read(kept.key) == kept
        assert time.monotonic() - began < 2 * TIMEOUT + SLACK
        assert calls.destroy(ended.key) is True
        # One request in a while waits for it, and no other does.
        began = time.monotonic()
        for _ in range(20):
            assert calls.read(ended.key) is None
        assert time.monotonic() - began < 3 * TIMEOUT + SLACK
    finally:
        server.thaw()
    time.sleep(RETRY_SECONDS)
    assert calls.read(ended.key) is None
    for _ in range(3):
        assert calls.read(kept.key) == kept
    assert stores["front"].read(ended.key) is None
    assert stores["front"].read(kept.key) is not None
