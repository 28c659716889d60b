"""ASYNC_POOL: what is refused, and what the connections of a pool have of DATABASES."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import pytest
from django.db import connections
from django.test import AsyncClient, TestCase

from django_multistore.engine import SessionStore
from django_multistore.exceptions import InvalidStore
from django_multistore.records import Device
from django_multistore.stores import stores
from django_multistore.stores.orm import OrmStore
from django_multistore.stores.sql.pools import is_pooled_by_transactions
from django_multistore.testing import make_record
from tests import servers
from tests.support import pools
from tests.support.meeting import alias_of, on
from tests.support.pgbouncer import pgbouncer
from tests.support.unreachable import redirected

POSTGRES = pytest.mark.parametrize("kind", on("postgres", transaction=True))

# What is wrong, and what the message has to name.
WRONG: dict[str, tuple[Any, list[str]]] = {
    "a number": (4, ["of the type int", "dictionary of psycopg_pool's options"]),
    "True": (True, ["of the type bool", "{} has their defaults"]),
    "an unknown option": ({"max_sise": 4}, ["'max_sise'", "'max_size'", "Did you mean"]),
    "where it is": ({"conninfo": "host=db"}, ["'conninfo'", "DATABASES"]),
    "open": ({"open": True}, ["'open'", "which the store sets"]),
    "no arguments": ({"kwargs": "sslmode=require"}, ["['kwargs']", "of the type str"]),
    "an argument that is taken": ({"kwargs": {"autocommit": False}}, ["'autocommit'", "Leave"]),
    "no size": ({"min_size": -1}, ["refused by psycopg_pool", "min_size cannot be negative"]),
    "a smaller size": ({"min_size": 4, "max_size": 2}, ["max_size must be greater"]),
    "no time": ({"timeout": 0}, ["['timeout']", "above 0"]),
    "a text for a time": ({"timeout": "5"}, ["['timeout']", "number of seconds"]),
}


@pytest.mark.parametrize(("value", "named"), WRONG.values(), ids=list(WRONG))
@POSTGRES
def test_what_is_refused(kind: str, value: Any, named: list[str]) -> None:
    with pytest.raises(InvalidStore) as raised:
        OrmStore("web", DATABASE=pools.alias(), ASYNC_POOL=value)
    for text in ["SESSION_STORES['web']['OPTIONS']", "ASYNC_POOL", *named]:
        assert text in str(raised.value)


def test_another_database_is_refused() -> None:
    others = (alias for alias in connections if connections[alias].vendor != "postgresql")
    other = next(others, None)
    if other is None:
        pytest.skip("there is but PostgreSQL")
    with pytest.raises(InvalidStore, match=rf"(?s)'web'.*'ASYNC_POOL'.*{other!r}.*Leave") as raised:
        OrmStore("web", DATABASE=other, ASYNC_POOL={})
    assert connections[other].vendor in str(raised.value)


@POSTGRES
def test_without_the_package_the_extra_is_named(kind: str) -> None:
    alias = pools.alias()
    with (
        patch.dict(sys.modules, {"psycopg_pool": None}),
        pytest.raises(InvalidStore, match=r"'ASYNC_POOL'.*django-multistore\[postgres-async\]"),
    ):
        OrmStore("web", DATABASE=alias, ASYNC_POOL={})


@POSTGRES
def test_a_driver_without_async_code_is_refused(kind: str) -> None:
    alias = pools.alias()
    with (
        patch.object(type(connections[alias]), "Database", object()),
        pytest.raises(InvalidStore, match=r"psycopg2.*postgres-async"),
    ):
        OrmStore("web", DATABASE=alias, ASYNC_POOL={})


@POSTGRES
def test_the_least_is_the_most_if_it_is_more(kind: str) -> None:
    async def size(store: OrmStore) -> int:
        return (await store._table._get_pool())._pool.max_size

    assert asyncio.run(size(pools.make_store())) == 8
    assert asyncio.run(size(pools.make_store(min_size=9))) == 9


# Connections.


def ask(store: OrmStore, *questions: str) -> list[Any]:
    """Return what a pool's connection says to each question."""

    async def answers() -> list[Any]:
        return [(await store._table.aask(question))[0][0] for question in questions]

    return asyncio.run(answers())


@pytest.fixture
def options(kind: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the OPTIONS of DATABASES, to be changed."""
    settings_dict = connections[pools.alias()].settings_dict
    changed = dict(settings_dict["OPTIONS"])
    monkeypatch.setitem(settings_dict, "OPTIONS", changed)
    return changed


@POSTGRES
def test_they_are_made_as_django_s_are(options: dict[str, Any]) -> None:
    options |= {
        "application_name": "shop",
        "options": "-c statement_timeout=4321",
        "pool": True,
        "server_side_binding": True,
    }
    store = pools.make_store(kwargs={"keepalives_idle": 7})
    asked = ask(store, "SHOW application_name", "SHOW statement_timeout", "SHOW client_encoding")
    assert asked == ["shop", "4321ms", "UTF8"]


@POSTGRES
def test_the_role_is_assumed_and_the_time_zone_set(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    alias = pools.alias()
    with connections[alias].cursor() as cursor:
        cursor.execute('DROP ROLE IF EXISTS "it\'s"')
        cursor.execute('CREATE ROLE "it\'s"')
    try:
        options["assume_role"] = "it's"
        for name in ("timezone", "timezone_name"):
            connections[alias].__dict__.pop(name, None)
        monkeypatch.setitem(connections[alias].settings_dict, "TIME_ZONE", "Asia/Tehran")
        asked = ask(pools.make_store(), "SELECT CURRENT_USER", "SHOW TimeZone")
        assert asked == ["it's", "Asia/Tehran"]
    finally:
        for name in ("timezone", "timezone_name"):
            connections[alias].__dict__.pop(name, None)
        with connections[alias].cursor() as cursor:
            cursor.execute('DROP ROLE "it\'s"')


@POSTGRES
def test_its_transactions_see_what_is_committed(kind: str) -> None:
    store = pools.make_store()

    async def read_level() -> Any:
        return (await store._table.aask("SHOW transaction_isolation"))[0][0]

    async def scene() -> Any:
        return await store._table.atransact(read_level)

    assert asyncio.run(scene()) == "read committed"


@pytest.mark.parametrize("use_tz", [False, True])
@POSTGRES
def test_values_are_what_django_makes_of_them(kind: str, use_tz: bool, settings: Any) -> None:
    settings.USE_TZ = use_tz
    settings.TIME_ZONE = "America/New_York"
    store = pools.make_store()
    record = make_record(
        user_id="7",
        device=Device(ip_address="2001:db8::7", user_agent="\N{SNOWMAN} browser"),
        payload=bytes(range(256)),
        authenticated_at=datetime(2026, 3, 8, 7, 30, 0, 123456, tzinfo=UTC),
    )

    async def scene() -> Any:
        assert await store.acreate(record)
        assert await store.aread(record.key) == record
        return (await store.asessions_for_user("7"))[0]

    listed = asyncio.run(scene())
    assert store.read(record.key) == record
    assert store.sessions_for_user("7") == [listed]
    assert isinstance(listed.device.ip_address, str)


# Prepared statements.


PREPARED = "SELECT COUNT(*) FROM pg_prepared_statements"


async def count_prepared(store: OrmStore) -> int:
    for _ in range(12):
        await store.aread("0" * 40)
    found: int = (await store._table.aask(PREPARED))[0][0]
    return found


@pytest.mark.parametrize(
    ("in_options", "in_kwargs", "expected"),
    [
        ({}, {}, True),
        ({"prepare_threshold": None}, {}, False),
        ({}, {"prepare_threshold": None}, False),
        ({"prepare_threshold": None}, {"prepare_threshold": 0}, True),
    ],
)
@POSTGRES
def test_statements_are_prepared_unless_it_says_otherwise(
    options: dict[str, Any], in_options: Any, in_kwargs: Any, expected: bool
) -> None:
    options.pop("prepare_threshold", None)
    options |= in_options
    store = pools.make_store(min_size=1, max_size=1, kwargs=in_kwargs)
    assert (asyncio.run(count_prepared(store)) > 0) == expected


@pytest.mark.fault
@POSTGRES
def test_behind_pgbouncer(options: dict[str, Any]) -> None:
    """Clients would prepare statements under the same names, on one server connection."""
    options.pop("prepare_threshold", None)
    with pgbouncer(servers.require("postgres"), "default_pool_size = 2") as pooler:
        host, port = pooler.address.split(":")
        with redirected(pools.alias(), HOST=host, PORT=port):
            store = pools.make_store(min_size=4, max_size=4)
            record = make_record(user_id="7")
            assert store.create(record)

            async def use(number: int) -> None:
                # Each connection would give the same names to others' statements.
                if number % 2:
                    assert await store.aread(record.key) == record
                else:
                    assert len(await store.asessions_for_user("7")) == 1

            async def scene() -> None:
                for start in range(10):
                    await asyncio.gather(*(use(start + number) for number in range(20)))
                for connection in (await store._table._get_pool()).connections:
                    assert await is_pooled_by_transactions(connection)
                    assert connection.prepare_threshold is None

            asyncio.run(scene())


@pytest.mark.fault
@POSTGRES
def test_the_check_of_poolers_knows_the_pool_s_own_argument(options: dict[str, Any]) -> None:
    options.pop("prepare_threshold", None)
    with pgbouncer(servers.require("postgres")) as pooler:
        host, port = pooler.address.split(":")
        with redirected(pools.alias(), HOST=host, PORT=port):
            (message,) = pools.make_store(kwargs={"prepare_threshold": 5}).check(deploy=True)
            assert message.id == "django_multistore.W026"
            assert "SESSION_STORES['default']['OPTIONS']['ASYNC_POOL']" in str(message.hint)
            assert pools.make_store().check(deploy=True) == []
            connections[pools.alias()].close()


# Tests of a site's.


@pytest.mark.skipif(not pools.are_there(), reason=pools.MISSING)
class InTestCase(TestCase):
    """Django's own way to test async code: what is written is undone, and is seen until then."""

    databases = {"default", alias_of("postgres")}

    @classmethod
    def setUpClass(cls) -> None:
        pools.alias()  # It skips the tests where there is none.
        super().setUpClass()

    def setUp(self) -> None:
        self.enterContext(self.settings(SESSION_STORES=pools.setting()))

    async def test_a_request_sees_what_the_test_wrote(self) -> None:
        await self.write_and_look()

    async def test_nor_does_another_test_see_it(self) -> None:
        await self.write_and_look()

    async def write_and_look(self) -> None:
        session = SessionStore()
        session["_auth_user_id"] = "7"
        await session.asave()
        self.assertEqual(len(await stores["default"].asessions_for_user("7")), 1)
        client = AsyncClient()
        client.cookies["sessionid"] = session.session_key
        await client.get("/")
        self.assertIsNotNone(await stores["default"].aread(session.key))
        self.assertFalse(stores["default"]._table._pools)


@POSTGRES
def test_isolation_levels_change_nothing(kind: str) -> None:
    """A server whose transactions are snapshots by default: statements are tried again."""
    store = pools.make_store(kwargs={"options": "-c default_transaction_isolation=serializable"})
    record = make_record()

    async def scene() -> None:
        assert await store.acreate(record)
        modifications = (store.amodify(record.key, lambda stored: stored) for _ in range(20))
        await asyncio.gather(*modifications)
        found = await store.aread(record.key)
        assert found is not None
        assert found.version == 21

    asyncio.run(scene())
