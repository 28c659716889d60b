"""
Leave the async variants out of the reference.

Each is described where the sync function is, whose name it has with an "a" before it.
"""

from __future__ import annotations

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata


def skip(
    app: Sphinx, kind: str, name: str, member: object, skip: bool, options: object
) -> bool | None:
    """Skip what says no more than where the sync function is."""
    return True if (member.__doc__ or "").startswith(f"See {name[1:]}().") else None


def setup(app: Sphinx) -> ExtensionMetadata:
    """Ask for each member."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True}
