from __future__ import annotations

from django.test import SimpleTestCase, override_settings

from django_multistore.stores.memory import MemoryStore
from django_multistore.testing import StoreContract
from tests.support.cases import engine
from tests.support.skips import not_here
from tests.support.stores import MEMORY


class MemoryStoreTests(StoreContract, SimpleTestCase):
    def make_store(self) -> MemoryStore:
        return MemoryStore()


@override_settings(SESSION_STORES=MEMORY)
@not_here(
    "it counts the statements of a database", "test_clear_and_save_without_a_load_is_one_statement"
)
@not_here("memory keeps the time zone that it is given", "test_without_time_zones")
class SessionStoreTests(engine.SessionStoreTests):
    pass
