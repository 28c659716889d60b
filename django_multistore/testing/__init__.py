"""
The tests that every store passes: this package's, and your own.

    class MyStoreTests(StoreContract, SimpleTestCase):
        def make_store(self) -> MyStore:
            return MyStore("mine", LOCATION="…")

Each test runs twice, through the store's sync methods and through their async variants. This room
may import all of the package; nothing of the package imports it.
"""

from .base import INTERFACE, Calls, expired, make_record
from .contract import StoreContract

__all__ = ["INTERFACE", "Calls", "StoreContract", "expired", "make_record"]
