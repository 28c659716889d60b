"""Fill RedisStore's Redis with many sessions, by the store's own commands."""

from __future__ import annotations

import secrets

from django_multistore.records import SessionRecord
from django_multistore.stores import stores

from . import filling
from .redis_driver import record_of

BATCH = 1_000  # commands in one round trip


def fill(alias: str, *, count: int, users: int) -> None:
    """
    Have so many sessions in a store and no others.

    Args:
        alias: the store's, which has a database number of its own: all of it is removed.
        count: how many.
        users: how many users they are spread over.
    """
    store = stores[alias]
    client, protocol = store._client, store._protocol
    client.call("FLUSHDB")
    for first in range(0, count, BATCH):
        numbers = range(first, min(first + BATCH, count))
        requests = [protocol.create(_record(number % users)) for number in numbers]
        assert all(
            client.call_many([command for request in requests for command in request.commands])
        )


def _record(user: int) -> SessionRecord:
    return record_of(str(user), secrets.token_bytes(filling.PAYLOAD), secrets.token_hex(20))
