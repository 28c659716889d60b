"""What commands write, to a terminal that may not have all letters."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.core.management.base import OutputWrapper


def write(stream: OutputWrapper, text: str) -> None:
    r"""Write a line, with what the stream can't encode as \xe9 or \u20ac."""
    encoding = getattr(stream, "encoding", None)
    if encoding:
        text = text.encode(encoding, "backslashreplace").decode(encoding)
    stream.write(text)
