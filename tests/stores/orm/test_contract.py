from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from django.db import connections
from django.test import TestCase, TransactionTestCase

from django_multistore.stores.orm import OrmStore
from django_multistore.testing import StoreContract
from tests import servers
from tests.settings import IN_SNAPSHOTS
from tests.support import pools

needs_pools = pytest.mark.skipif(not pools.are_there(), reason=pools.MISSING)

REFUSED_IN_SNAPSHOTS = {
    "test_admit_is_a_compare_and_set",
    "test_admit_refuses_a_session_beyond_the_limit",
    "test_admit_writes_like_create_update_and_rotate",
}


class OrmStoreContract(StoreContract):
    database: ClassVar[str] = "default"

    @classmethod
    def setUpClass(cls) -> None:
        if cls.database not in connections:
            servers.require(cls.database)
        super().setUpClass()

    def make_store(self) -> OrmStore:
        return OrmStore("mine", DATABASE=self.database)


class DefaultDatabaseTests(OrmStoreContract, TransactionTestCase):
    pass


class InTransactionContract(OrmStoreContract):
    def setUp(self) -> None:
        is_postgres = connections[self.database].vendor == "postgresql"
        if is_postgres and IN_SNAPSHOTS and self._testMethodName in REFUSED_IN_SNAPSHOTS:
            self.skipTest("a login that may have to be refused needs to see those before it")
        super().setUp()


class InTransactionTests(InTransactionContract, TestCase):
    pass


class PostgresTests(OrmStoreContract, TransactionTestCase):
    database = "postgres"
    databases = {"postgres"}


@needs_pools
class PooledTests(OrmStoreContract, TransactionTestCase):
    """Async code that nobody waits for, in a loop that lasts, as an ASGI server's is."""

    database = "postgres"
    databases = {"postgres"}
    store: ClassVar[OrmStore]
    runner: ClassVar[asyncio.Runner]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.runner = cls.enterClassContext(asyncio.Runner())
        cls.store = OrmStore("mine", DATABASE=cls.database, ASYNC_POOL={"max_size": 4})

    def make_store(self) -> OrmStore:
        return self.store

    def make_function(self, variant: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **kwargs: self.runner.run(variant(*args, **kwargs))


@needs_pools
class PooledInTransactionTests(InTransactionContract, TestCase):
    """Sync code waits, in a transaction: the pool's connections would not see what it wrote."""

    database = "postgres"
    databases = {"postgres"}

    def make_store(self) -> OrmStore:
        return OrmStore("mine", DATABASE=self.database, ASYNC_POOL={})


class MariaDBTests(OrmStoreContract, TransactionTestCase):
    database = "mariadb"
    databases = {"mariadb"}


class MySQLTests(OrmStoreContract, TransactionTestCase):
    database = "mysql"
    databases = {"mysql"}


class InTransactionOnMySQLTests(InTransactionContract, TestCase):
    database = "mysql"
    databases = {"mysql"}
