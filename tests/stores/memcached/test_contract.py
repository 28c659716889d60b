from __future__ import annotations

from typing import ClassVar

from django.db import connections
from django.test import TestCase, TransactionTestCase

from django_multistore.stores.memcached import MemcachedStore
from django_multistore.testing import StoreContract
from tests import servers
from tests.settings import OWN_PREFIX
from tests.support.meeting import DATABASES, alias_of


class MemcachedStoreContract(StoreContract):
    database: ClassVar[str] = "default"
    gc_counts_records = False

    @classmethod
    def setUpClass(cls) -> None:
        servers.require("memcached")
        if cls.database not in connections:
            servers.require(cls.database)
        super().setUpClass()

    def make_store(self) -> MemcachedStore:
        address = servers.require("memcached")
        options = {"DATABASE": self.database, "KEY_PREFIX": f"{OWN_PREFIX}:"}
        return MemcachedStore("mine", SERVERS=address, **options)


class OfACacheTests(MemcachedStoreContract, TransactionTestCase):
    def make_store(self) -> MemcachedStore:
        return MemcachedStore("mine", CACHE="memcached")


class InTransactionTests(MemcachedStoreContract, TestCase):
    pass


# The index on each database in autocommit.
for kind in DATABASES:
    name = f"On{kind.title()}Tests"
    database = alias_of(kind)
    attributes = {"database": database, "databases": {"default", database}}
    globals()[name] = type(name, (MemcachedStoreContract, TransactionTestCase), attributes)
