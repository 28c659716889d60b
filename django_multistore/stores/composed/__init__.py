"""
Stores that are made of other stores of SESSION_STORES.

It imports what all stores share, the handler and its configuration, and of no store its room.
"""

from .migrating import MigratingStore

__all__ = ["MigratingStore"]
