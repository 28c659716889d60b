from __future__ import annotations

from typing import ClassVar

from django.db import connections
from django.test import TestCase, TransactionTestCase

from django_multistore.stores.orm import OrmStore
from django_multistore.testing import StoreContract
from tests import servers


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


class InTransactionTests(OrmStoreContract, TestCase):
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


class InTransactionOnMySQLTests(OrmStoreContract, TestCase):
    database = "mysql"
    databases = {"mysql"}
