"""RedisStores on the server of the tests, and how many round trips they take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.utils import timezone

from django_multistore.records import SessionRecord, key_of, new_id
from django_multistore.session.keys import new_session_key
from django_multistore.stores.redis import RedisStore
from django_multistore.stores.redis.client.server import ServerClient
from django_multistore.stores.redis.cluster import ClusterProtocol
from django_multistore.testing import make_record
from tests import servers
from tests.settings import OWN_PREFIX

DATABASE = 5


class RoundTrips(list[list[Any]]):
    """Commands, by the round trip in which they were sent."""

    @contextmanager
    def are(self, *counts: int) -> Iterator[None]:
        """Expect one round trip for each number, of so many commands."""
        self.clear()
        yield
        assert [len(commands) for commands in self] == [*counts], self


@pytest.fixture
def trips() -> Iterator[RoundTrips]:
    found = RoundTrips()
    exchange, aexchange = ServerClient._exchange, ServerClient._aexchange

    def counted(self: ServerClient, commands: Any) -> Any:
        found.append(commands)
        return exchange(self, commands)

    def acounted(self: ServerClient, connections: Any, commands: Any) -> Any:
        found.append(commands)
        return aexchange(self, connections, commands)

    with (
        patch.object(ServerClient, "_exchange", counted),
        patch.object(ServerClient, "_aexchange", acounted),
    ):
        yield found


def server_store(**options: Any) -> RedisStore:
    url = f"redis://{servers.require('redis')}/{DATABASE}"
    return RedisStore("mine", URL=url, KEY_PREFIX=f"{OWN_PREFIX}:", **options)


def cluster_store() -> RedisStore:
    """Return a store with the steps of a cluster, which one server takes as well."""
    store = server_store()
    store._protocol = ClusterProtocol(store.alias, store._client, store._options)
    return store


def new_key() -> str:
    return key_of(new_session_key())


def of_user(**changes: Any) -> SessionRecord:
    """Return a session whose user logged in a while ago."""
    login = timezone.now() - timedelta(minutes=5)
    return make_record(user_id=str(new_id()), authenticated_at=login, **changes)
