from __future__ import annotations

from django.test import SimpleTestCase

from django_multistore.stores.memory import MemoryStore
from django_multistore.testing import StoreContract


class MemoryStoreTests(StoreContract, SimpleTestCase):
    def make_store(self) -> MemoryStore:
        return MemoryStore()
