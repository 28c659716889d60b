from __future__ import annotations

import itertools
from typing import ClassVar

from django.core.cache import caches
from django.db import connections
from django.test import TestCase, TransactionTestCase, override_settings

from django_multistore.stores.cache import CacheStore
from django_multistore.testing import StoreContract
from tests import servers
from tests.settings import OWN_PREFIX
from tests.support.caches import django_valkey
from tests.support.meeting import DATABASES, alias_of

SERVERS = {"memcached": "memcached", "redis": "redis", "django_redis": "redis"}


class CacheStoreContract(StoreContract):
    cache: ClassVar[str] = "locmem"
    database: ClassVar[str] = "default"
    is_exact: ClassVar[bool] = True
    gc_counts_records = False

    @classmethod
    def setUpClass(cls) -> None:
        if cls.cache not in caches.settings:
            servers.require(SERVERS[cls.cache])
        if cls.database not in connections:
            servers.require(cls.database)
        super().setUpClass()

    def make_store(self) -> CacheStore:
        return CacheStore("mine", CACHE=self.cache, DATABASE=self.database, EXACT=self.is_exact)


class WithoutLocksTests(CacheStoreContract, TransactionTestCase):
    is_exact = False


class OddAnswersTests(CacheStoreContract, TransactionTestCase):
    cache = "odd"

    @classmethod
    def setUpClass(cls) -> None:
        entry = {"BACKEND": "tests.support.caches.OddCache", "LOCATION": "odd"}
        cls.enterClassContext(override_settings(CACHES={"odd": entry}))
        super().setUpClass()


class ValkeyTests(CacheStoreContract, TransactionTestCase):
    """django-valkey, whose backend is no BaseCache, on a Redis server."""

    cache = "valkey"

    @classmethod
    def setUpClass(cls) -> None:
        cls.enterClassContext(django_valkey())
        entry = {
            "BACKEND": "django_valkey.cache.ValkeyCache",
            "LOCATION": f"valkey://{servers.require('redis')}/2",
            "KEY_PREFIX": OWN_PREFIX,
            "OPTIONS": {"SOCKET_CONNECT_TIMEOUT": 2, "SOCKET_TIMEOUT": 2},
        }
        cls.enterClassContext(override_settings(CACHES={"valkey": entry}))
        super().setUpClass()


# The index on each database in autocommit; on the default one within a transaction as well.
for cache, kind in itertools.product(["locmem", *SERVERS], DATABASES):
    name = f"{cache.title()}On{kind.title()}Tests".replace("_", "")
    database = alias_of(kind)
    attributes = {"cache": cache, "database": database, "databases": {"default", database}}
    globals()[name] = type(name, (CacheStoreContract, TransactionTestCase), attributes)
    if database == "default":
        name = f"{cache.title()}InTransactionTests".replace("_", "")
        globals()[name] = type(name, (CacheStoreContract, TestCase), {"cache": cache})
