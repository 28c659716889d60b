"""MemcachedStores on the server of the tests, and how many round trips they take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_multistore.records import SessionRecord, key_of, new_id
from django_multistore.session.keys import new_session_key
from django_multistore.stores.memcached import MemcachedStore
from django_multistore.stores.memcached.connections import Connection
from django_multistore.testing import make_record
from tests import servers
from tests.settings import OWN_PREFIX


def store_with(**options: Any) -> MemcachedStore:
    own = {"SERVERS": servers.require("memcached"), "KEY_PREFIX": f"{OWN_PREFIX}:"}
    return MemcachedStore("mine", **(own | options))


def of_user(**changes: Any) -> SessionRecord:
    user_id = str(new_id())
    return make_record(**{"user_id": user_id, "authenticated_at": timezone.now(), **changes})


def moved(record: SessionRecord, **changes: Any) -> SessionRecord:
    return replace(record, key=key_of(new_session_key()), **changes)


class RoundTrips(list[str]):
    """What was sent, one command for each round trip."""

    @contextmanager
    def are(self, *commands: str, statements: tuple[str, ...] = ()) -> Iterator[None]:
        """Expect these commands, in their order, and these statements."""
        self.clear()
        with CaptureQueriesContext(connection) as queries:
            yield
        assert [*self] == [*commands]
        assert tuple(query["sql"].split()[0] for query in queries) == statements


@pytest.fixture
def trips() -> Iterator[RoundTrips]:
    found = RoundTrips()

    def counted(name: str) -> Any:
        send = getattr(Connection, name)

        def note(self: Connection, command: Any, *arguments: Any, **options: Any) -> Any:
            said = command[0] if isinstance(command, list) else command
            found.append(said.split()[0].decode())
            return send(self, command, *arguments, **options)

        return patch.object(Connection, name, note)

    with counted("_fetch_cmd"), counted("_store_cmd"), counted("_misc_cmd"):
        yield found
