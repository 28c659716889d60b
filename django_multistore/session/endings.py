"""Which sessions the present request has ended itself. Its own session may be among them."""

from __future__ import annotations

from collections.abc import Iterator, Set
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

# The user id and the session's public name; None for all that the user had.
Ending: TypeAlias = tuple[str | None, int | None]
Endings: TypeAlias = Set[Ending]

_endings: ContextVar[set[Ending] | None] = ContextVar("django_multistore.endings", default=None)


@contextmanager
def collect_endings() -> Iterator[Endings]:
    """Collect what is ended meanwhile, in tasks and threads of this context too."""
    endings: set[Ending] = set()
    token = _endings.set(endings)
    try:
        yield endings
    finally:
        _endings.reset(token)


def note(user_id: str | None, id: int | None) -> None:
    """Note that one session of a user was ended, or all."""
    endings = _endings.get()
    if endings is not None:
        endings.add((user_id, id))
