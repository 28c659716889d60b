"""The stores that SESSION_STORES configures, by alias."""

from .handler import StoreHandler

stores = StoreHandler()

__all__ = ["stores"]
