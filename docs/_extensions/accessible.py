"""
Mend what Sphinx and its theme leave out for keyboards and screen readers.

Captions of the contents are headings without a level, what scrolls sideways can't be reached with
the keyboard, and headers of columns that have none are empty (Sphinx 9.2, Furo 2025.12.19).
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

CAPTION = 'class="caption" role="heading"'
SCROLLS = re.compile(r'<pre(?=>)|<div(?= class="table-wrapper)')
HEAD = re.compile(r"<thead>.*?</thead>\n?", re.DOTALL)
EMPTY_HEADER = re.compile(r'<th class="head"><p></p></th>')
HEADER = re.compile(r'<th class="head')


def mend_head(found: re.Match[str]) -> str:
    """Return the head of a table without headers that have no text."""
    head = EMPTY_HEADER.sub("<td></td>", found[0])
    return head if HEADER.search(head) else ""


def mend(page: str) -> str:
    """Return a part of a page, mended."""
    page = page.replace(CAPTION, f'{CAPTION} aria-level="2"')
    page = SCROLLS.sub(r'\g<0> tabindex="0"', page)
    return HEAD.sub(mend_head, page)


def mend_page(
    app: Sphinx, name: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    """Mend a page's text and the contents beside it, once the theme has made them."""
    for part in ("body", "furo_navigation_tree"):
        if part in context:
            context[part] = mend(context[part])


def setup(app: Sphinx) -> ExtensionMetadata:
    """Come after the theme."""
    app.connect("html-page-context", mend_page, priority=900)
    return {"parallel_read_safe": True}
