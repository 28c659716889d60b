"""
Sessions in Redis alone, the index of their users included.

It imports what all stores share, and the rooms of other stores only for the check of the clock.
"""

from .store import RedisStore

__all__ = ["RedisStore"]
