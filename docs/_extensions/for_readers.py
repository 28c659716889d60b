"""
Leave out of the reference what its readers have no use for.

Async variants are described where the sync function is, whose name each has with an "a" before it.
What a room of the code may import is for those who change it.
"""

from __future__ import annotations

import re

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

ABOUT_THE_ROOM = re.compile(r"\bThis room\b.*?(?=\n\n|\Z)", re.DOTALL)


def skip(
    app: Sphinx, kind: str, name: str, member: object, skip: bool, options: object
) -> bool | None:
    """Skip what says no more than where the sync function is."""
    return True if (member.__doc__ or "").startswith(f"See {name[1:]}().") else None


def shorten(
    app: Sphinx, kind: str, name: str, member: object, options: object, lines: list[str]
) -> None:
    """Leave out what a module says of the room it is in, from there to the paragraph's end."""
    if kind == "module":
        text = "\n".join(lines)
        lines[:] = ABOUT_THE_ROOM.sub("", text).split("\n")


def setup(app: Sphinx) -> ExtensionMetadata:
    """Ask for each member."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-skip-member", skip)
    app.connect("autodoc-process-docstring", shorten)
    return {"parallel_read_safe": True}
