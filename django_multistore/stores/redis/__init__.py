"""
Sessions in Redis alone, the index of their users included.

store.py is the store, server.py and cluster.py are its operations, lua/ has the scripts they send,
and client/ sends them. layout.py has the bytes that are stored. The room imports what all stores
share and records.py; the rooms of other stores only for the check of the clock.
"""

from .store import RedisStore

__all__ = ["RedisStore"]
