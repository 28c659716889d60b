"""
The tests that every store passes, and stores that are empty when a test of a site begins.

    class MyStoreTests(StoreContract, SimpleTestCase):
        def make_store(self) -> MyStore:
            return MyStore("mine", LOCATION="…")

Each test runs twice, through the store's sync methods and through their async variants. This room
may import all of the package; nothing of the package imports it.
"""

from .base import INTERFACE, Calls, expired, make_record
from .contract import StoreContract
from .isolation import IsolatedStoresMixin, isolate, isolated_stores, remove_leftovers

__all__ = [
    "INTERFACE",
    "Calls",
    "IsolatedStoresMixin",
    "StoreContract",
    "expired",
    "isolate",
    "isolated_stores",
    "make_record",
    "remove_leftovers",
]
