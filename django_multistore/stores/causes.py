"""An error and what has caused it."""

from __future__ import annotations

from collections.abc import Iterator


def iterate_chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what has caused it, each once: a chain may be a ring."""
    seen: list[BaseException] = []
    while error is not None and not any(error is each for each in seen):
        seen.append(error)
        yield error
        error = error.__cause__ or error.__context__
