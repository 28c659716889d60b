"""What each part of the contract stands on."""

from __future__ import annotations

import unittest
from typing import TYPE_CHECKING, Any

from ..stores.base import BaseStore

if TYPE_CHECKING:
    _TestCase = unittest.TestCase
else:
    _TestCase = object


class ContractPart(_TestCase):
    """Some of the tests that a store passes."""

    # Set to False for a store whose records vanish by themselves when they expire, and whose
    # gc() has nothing to count.
    gc_counts_records = True

    def make_store(self) -> BaseStore:
        """Return a store that is ready for use. It may hold other sessions."""
        raise NotImplementedError("Return a store from make_store().")

    if TYPE_CHECKING:  # SimpleTestCase's.

        def assertRaisesMessage(self, *args: Any, **kwargs: Any) -> Any: ...  # noqa: N802
