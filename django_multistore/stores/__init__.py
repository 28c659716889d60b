"""
Where records live: the interface of a store, the stores, and those that SESSION_STORES configures.

This room imports models, records, conf, exceptions and session.clock, and nothing of HTTP or the
engine. Within it, imports point down: handler, the stores, base, fallbacks.
"""

from .handler import stores

__all__ = ["stores"]
