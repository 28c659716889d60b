"""An error and what has caused it."""

from __future__ import annotations

from collections.abc import Iterator


def say_cause(error: BaseException) -> str:
    """
    Return an error's type and text for a log or a check, where it may have no password.

    A URL that can't be read is a plain ValueError, whose text has a part of it: "Port could not be
    cast to integer value as …" is the password's first half, if that has a "#" in it.
    """
    kind = type(error)
    if kind is ValueError:
        return "ValueError: its text may have a part of a password, and isn't told"
    return f"{kind.__name__}: {error}"


def iterate_chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what has caused it, each once: a chain may be a ring."""
    seen: list[BaseException] = []
    while error is not None and not any(error is each for each in seen):
        seen.append(error)
        yield error
        error = error.__cause__ or error.__context__
