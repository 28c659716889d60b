from __future__ import annotations

from typing import ClassVar

import pytest
from django.core.cache import caches
from django.test import SimpleTestCase

from django_multistore.stores.redis import RedisStore
from django_multistore.testing import StoreContract
from tests import servers
from tests.settings import OWN_PREFIX
from tests.support import redis_groups

pytestmark = pytest.mark.elsewhere


class OnAServerTests(StoreContract, SimpleTestCase):
    gc_counts_records = False

    def make_store(self) -> RedisStore:
        address = servers.require("redis")
        return RedisStore("mine", URL=f"redis://{address}/2", KEY_PREFIX=f"{OWN_PREFIX}:")


class OverDjangoRedisTests(StoreContract, SimpleTestCase):
    gc_counts_records = False

    def make_store(self) -> RedisStore:
        if "django_redis" not in caches.settings:
            servers.require("redis")
        return RedisStore("mine", CACHE="django_redis")


@pytest.mark.fault
class OnAClusterTests(StoreContract, SimpleTestCase):
    gc_counts_records = False
    group: ClassVar[redis_groups.ClusterGroup]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.group = cls.enterClassContext(redis_groups.ClusterGroup())

    def make_store(self) -> RedisStore:
        return RedisStore("mine", URL=self.group.url, CLUSTER=True)


@pytest.mark.fault
class BehindSentinelsTests(StoreContract, SimpleTestCase):
    gc_counts_records = False
    group: ClassVar[redis_groups.SentinelGroup]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.group = cls.enterClassContext(redis_groups.SentinelGroup())

    def make_store(self) -> RedisStore:
        return RedisStore("mine", SENTINELS=self.group.sentinels, SERVICE="sessions", WAIT=1)
