"""Inherited tests that a class can't run, and why."""

from __future__ import annotations

import unittest
from collections.abc import Callable


def not_here(reason: str, *tests: str) -> Callable[[type], type]:
    """Have a class skip some of the tests that it inherits, for the reason that is given."""

    def decorate(cls: type) -> type:
        for name in tests:
            setattr(cls, name, unittest.skip(reason)(getattr(cls, name)))
        return cls

    return decorate
