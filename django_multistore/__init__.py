"""Django sessions over interchangeable stores, indexed by user."""

__version__ = "0.1.0"
