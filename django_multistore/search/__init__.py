"""
Sessions of all users: find them, end them, and lay them out for operators.

This room may import descriptions/, session/, stores/, models and signals.
"""

from .sessions import SessionSearch, Tally

__all__ = ["SessionSearch", "Tally"]
