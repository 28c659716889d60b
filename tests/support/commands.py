"""The command "sessions" as it is called from code, with or without a terminal."""

from __future__ import annotations

import io
from typing import Any
from unittest.mock import patch

from django.core.management import call_command


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def sessions(*arguments: str, answer: str | None = None, **options: Any) -> tuple[int, str, str]:
    """Call the command, and return its number and what it wrote to stdout and to stderr."""
    out, err = io.StringIO(), io.StringIO()
    terminal = io.StringIO() if answer is None else Terminal(answer)
    with patch("sys.stdin", terminal):
        number = call_command("sessions", *arguments, stdout=out, stderr=err, **options)
    return number, out.getvalue(), err.getvalue()
