"""
Stores that are made of other stores of SESSION_STORES.

This room imports the rest of stores/, its handler as well, and knows no store by its kind.
"""

from .migrating import MigratingStore
from .split import SplitStore
from .tiered import TieredStore

__all__ = ["MigratingStore", "SplitStore", "TieredStore"]
