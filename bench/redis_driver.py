"""redis-py with hiredis: the raw driver beside RedisStore."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta

import redis
from django.contrib.sessions.serializers import JSONSerializer

from django_multistore.records import SessionRecord, key_of, new_id
from django_multistore.session import codec
from django_multistore.session.keys import new_session_key
from django_multistore.stores import stores
from django_multistore.stores.redis import layout

from .columns import Data

LIFE = timedelta(days=14)


def client_of(alias: str) -> redis.Redis:
    """
    Return a client of the Redis that a RedisStore is in, with the store's time limits.

    Args:
        alias: the store's.
    """
    options = stores[alias].options
    return redis.Redis.from_url(
        options["URL"],
        protocol=2,  # as the store's
        socket_connect_timeout=options["CONNECT_TIMEOUT"],
        socket_timeout=options["TIMEOUT"],
    )


def record_of(user_id: str, payload: bytes, key: str) -> SessionRecord:
    """Return a session that has just begun, without a device."""
    now = datetime.now(UTC)
    return SessionRecord(
        id=new_id(),
        key=key,
        payload=payload,
        version=1,
        user_id=user_id,
        created_at=now,
        authenticated_at=now,
        last_seen_at=now,
        expires_at=now + LIFE,
    )


class RedisDriver:
    """
    A client as sites have it, with the plainest commands that keep a session: no index.

    The value is the one that RedisStore would keep, ready beforehand.
    """

    def __init__(self, alias: str, data: Data) -> None:
        key = key_of(new_session_key())
        payload = codec.seal(JSONSerializer().dumps(data), key)
        self._value = layout.pack(alias, record_of(data["_auth_user_id"], payload, key))
        self._life = int(LIFE.total_seconds())
        self._client = client_of(alias)

    def create(self, count: int) -> list[str]:
        client, value, life = self._client, self._value, self._life
        # As long as the store's names, of which these can't be any.
        names = [f"raw:{secrets.token_urlsafe(16)}" for _ in range(count)]
        for name in names:
            client.set(name, value, ex=life)
        return names

    def load(self, keys: list[str]) -> None:
        client = self._client
        for name in keys:
            value = client.get(name)
        assert value

    def save(self, keys: list[str]) -> None:
        client, value, life = self._client, self._value, self._life
        for name in keys:
            assert client.get(name)
            client.set(name, value, ex=life)

    def delete(self, keys: list[str]) -> None:
        for name in keys:
            assert self._client.delete(name) == 1
