"""TieredStore: what every store does, over several fronts and backs."""

from __future__ import annotations

from django.test import SimpleTestCase, TestCase, TransactionTestCase, override_settings

from django_multistore.stores import stores
from django_multistore.stores.composed import TieredStore
from django_multistore.testing import StoreContract
from tests import servers
from tests.support.composed import CACHE, MEMORY, ORM, memcached, redis, tiered


class ContractOfTiers(StoreContract):
    def make_store(self) -> TieredStore:
        store = stores["default"]
        assert isinstance(store, TieredStore)
        return TieredStore("mine", **store.options)


@override_settings(SESSION_STORES=tiered(MEMORY, MEMORY))
class InMemoryTests(ContractOfTiers, SimpleTestCase):
    pass


@override_settings(SESSION_STORES=tiered(redis("f"), ORM))
class RedisBeforeAnOpenTransactionTests(ContractOfTiers, TestCase):
    """Each test is in a transaction: nothing is copied."""

    @classmethod
    def setUpClass(cls) -> None:
        servers.require("redis")
        super().setUpClass()


@override_settings(SESSION_STORES=tiered(redis("f"), ORM))
class RedisBeforeADatabaseTests(ContractOfTiers, TransactionTestCase):
    def setUp(self) -> None:
        servers.require("redis")


@override_settings(SESSION_STORES=tiered(MEMORY, redis("b")))
class BeforeRedisTests(ContractOfTiers, SimpleTestCase):
    gc_counts_records = False

    def setUp(self) -> None:
        servers.require("redis")


@override_settings(SESSION_STORES=tiered(CACHE, ORM))
class CacheBeforeADatabaseTests(ContractOfTiers, TransactionTestCase):
    pass


@override_settings(SESSION_STORES=tiered(memcached("f"), ORM))
class MemcachedBeforeADatabaseTests(ContractOfTiers, TransactionTestCase):
    def setUp(self) -> None:
        servers.require("memcached")
