"""SplitStore: what every store does, over several pairs of stores."""

from __future__ import annotations

from django.test import SimpleTestCase, TransactionTestCase, override_settings

from django_multistore.stores import stores
from django_multistore.stores.composed import SplitStore
from django_multistore.testing import StoreContract
from tests import servers
from tests.support.composed import CACHE, MEMORY, ORM, memcached, redis, split
from tests.support.skips import not_here


class ContractOfHalves(StoreContract):
    def make_store(self) -> SplitStore:
        store = stores["default"]
        assert isinstance(store, SplitStore)
        return SplitStore("mine", **store.options)


@override_settings(SESSION_STORES=split(MEMORY, MEMORY))
class InMemoryTests(ContractOfHalves, SimpleTestCase):
    pass


@override_settings(SESSION_STORES=split(redis("a"), ORM))
@not_here(
    "which of them Redis forgets by itself depends on their keys",
    "test_gc_removes_what_has_expired_and_counts_it",
)
class RedisBesideADatabaseTests(ContractOfHalves, TransactionTestCase):
    def setUp(self) -> None:
        servers.require("redis")


@override_settings(SESSION_STORES=split(CACHE, redis("u")))
class CacheBesideRedisTests(ContractOfHalves, TransactionTestCase):
    gc_counts_records = False

    def setUp(self) -> None:
        servers.require("redis")


@override_settings(SESSION_STORES=split(memcached("a"), ORM))
@not_here(
    "which of them memcached forgets by itself depends on their keys",
    "test_gc_removes_what_has_expired_and_counts_it",
)
class MemcachedBesideADatabaseTests(ContractOfHalves, TransactionTestCase):
    def setUp(self) -> None:
        servers.require("memcached")
