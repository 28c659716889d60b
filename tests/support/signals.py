"""What is told by session_ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django_multistore.signals import session_ended


@contextmanager
def ends_told() -> Iterator[list[dict[str, Any]]]:
    """Collect the arguments of each signal that is sent meanwhile."""
    told: list[dict[str, Any]] = []

    def receive(**arguments: Any) -> None:
        told.append(arguments)

    session_ended.connect(receive)
    try:
        yield told
    finally:
        session_ended.disconnect(receive)
