"""
The engines that sites come from: Django's five, django-qsessions and others.

Each is read and written through its own SessionStore class, for the salt, the serializer and what a
site has overridden are that class's business. Nothing but that class and its cache unpickles.
"""

from .base import OldEngine
from .finding import find_old_engine

__all__ = ["OldEngine", "find_old_engine"]
