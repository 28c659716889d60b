"""What was expected of each step, and what happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

GOT_WIDTH = 36


@dataclass(frozen=True, kw_only=True)
class Row:
    """One step."""

    step: str
    expected: str
    got: str

    @property
    def holds(self) -> bool:
        """Whether it went as it should."""
        return self.got == self.expected


class Table:
    """The steps in their order; str() of it is what the reader sees."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def check(self, step: str, expected: object, look: Callable[[], object]) -> None:
        """
        Take a step.

        Args:
            step: what is done.
            expected: what it should give.
            look: does it. What it raises is what it gave, and the next step follows.
        """
        try:
            got = str(look())
        except Exception as error:  # noqa: BLE001 - however a step fails, it has failed
            got = f"{type(error).__name__}: {error}"
        self.rows.append(Row(step=step, expected=str(expected), got=got))

    @property
    def failed(self) -> list[Row]:
        """The rows that don't hold."""
        return [row for row in self.rows if not row.holds]

    def __str__(self) -> str:
        cells = [("step", "expected", "got", "ok")]
        for row in self.rows:
            ok = "yes" if row.holds else "NO"
            cells.append((row.step, row.expected, _shortened(row.got), ok))
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        cells.insert(1, ("-" * widths[0], "-" * widths[1], "-" * widths[2], "--"))
        return "\n".join(_line(row, widths) for row in cells)


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= GOT_WIDTH else f"{text[: GOT_WIDTH - 1]}…"


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return "  ".join(padded).rstrip()
