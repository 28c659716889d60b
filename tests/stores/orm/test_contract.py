from __future__ import annotations

from typing import ClassVar

from django.db import connections
from django.test import TestCase, TransactionTestCase

from django_multistore.stores.orm import OrmStore
from django_multistore.testing import StoreContract
from tests import servers
from tests.settings import IN_SNAPSHOTS

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


class MariaDBTests(OrmStoreContract, TransactionTestCase):
    database = "mariadb"
    databases = {"mariadb"}


class MySQLTests(OrmStoreContract, TransactionTestCase):
    database = "mysql"
    databases = {"mysql"}


class InTransactionOnMySQLTests(InTransactionContract, TestCase):
    database = "mysql"
    databases = {"mysql"}
