"""Fill RedisStore's Redis with many sessions, by the store's own commands."""

from __future__ import annotations

import secrets

from django_multistore.records import SessionRecord
from django_multistore.stores import stores
from django_multistore.stores.redis.client.server import ServerClient
from django_multistore.stores.redis.options import parsed
from django_multistore.stores.redis.server import ServerProtocol

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
    place = parsed(alias, store.options)
    client = ServerClient(store.outages, place)
    protocol = ServerProtocol(alias, client, place)
    client.call("FLUSHDB")
    for first in range(0, count, BATCH):
        steps = [
            next(protocol.create(_record(number % users)))
            for number in range(first, min(first + BATCH, count))
        ]
        assert all(client.call_many([step.arguments for step in steps]))


def _record(user: int) -> SessionRecord:
    return record_of(str(user), secrets.token_bytes(filling.PAYLOAD), secrets.token_hex(20))
