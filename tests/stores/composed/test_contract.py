from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from django.test import TestCase, TransactionTestCase, override_settings

from django_multistore.stores.composed import MigratingStore
from django_multistore.testing import StoreContract

from . import settings


class MigratingContract(StoreContract):
    phase: ClassVar[str] = "move"
    old: ClassVar[Callable[[], dict[str, Any]]] = settings.memory
    new: ClassVar[Callable[[], dict[str, Any]]] = settings.memory

    def setUp(self) -> None:
        kind = type(self)
        session_stores = settings.moving(kind.old(), kind.new(), self.phase)
        self.enterContext(override_settings(SESSION_STORES=session_stores))
        super().setUp()

    def make_store(self) -> MigratingStore:
        return settings.store_in(self.phase)


class FollowingInMemoryTests(MigratingContract, TransactionTestCase):
    phase = "follow"


class MovingInMemoryTests(MigratingContract, TransactionTestCase):
    pass


class ReturningInMemoryTests(MigratingContract, TransactionTestCase):
    phase = "return"


class FollowingSmallestTests(MigratingContract, TransactionTestCase):
    phase = "follow"
    old = new = settings.smallest


class MovingSmallestTests(MigratingContract, TransactionTestCase):
    old = new = settings.smallest


class FollowingToRedisTests(MigratingContract, TransactionTestCase):
    phase = "follow"
    old, new = settings.orm, settings.redis


@pytest.mark.elsewhere
class MovingToRedisTests(MigratingContract, TransactionTestCase):
    gc_counts_records = False
    old, new = settings.orm, settings.redis


class MovingToTheDatabaseTests(MigratingContract, TransactionTestCase):
    old, new = settings.redis, settings.orm


@pytest.mark.elsewhere
class ReturningToRedisTests(MigratingContract, TransactionTestCase):
    gc_counts_records = False
    phase = "return"
    old, new = settings.redis, settings.orm


class MovingToACacheTests(MigratingContract, TransactionTestCase):
    gc_counts_records = False
    old, new = settings.orm, settings.cache


class ReturningToACacheTests(MigratingContract, TransactionTestCase):
    gc_counts_records = False
    phase = "return"
    old, new = settings.cache, settings.orm


class InATransactionTests(MigratingContract, TestCase):
    old, new = settings.orm, settings.memory


class ReturningInATransactionTests(MigratingContract, TestCase):
    phase = "return"
    old, new = settings.orm, settings.memory


@pytest.mark.elsewhere
class MovingToMemcachedTests(MigratingContract, TransactionTestCase):
    gc_counts_records = False
    old, new = settings.orm, settings.memcached
