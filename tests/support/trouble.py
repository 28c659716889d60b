"""What comes over a site while one of its views is at work."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest


class Trouble:
    def __init__(self) -> None:
        self.strike: Callable[[], object] = lambda: None


trouble = Trouble()


@pytest.fixture(autouse=True)
def no_trouble() -> Iterator[None]:
    """Have none after each test of the modules that take this fixture over."""
    yield
    trouble.__init__()
