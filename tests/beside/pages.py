"""What the pages of docs/with/ tell a site to write, taken out of them."""

from __future__ import annotations

import re
import sys
from types import ModuleType
from typing import Any

from tests.support.paths import CHECKOUT

DOCS = CHECKOUT / "docs" / "with"
# Name and text of a file: its path is the comment in the first line.
BLOCK = re.compile(r"^```python\n# (mysite/\w+\.py)\n(.+?)^```$", re.MULTILINE | re.DOTALL)


def read_blocks(page: str, file: str) -> list[str]:
    """Return the code that a page has for a file of the site's."""
    text = (DOCS / f"{page}.md").read_text("utf-8")
    return [code for path, code in BLOCK.findall(text) if path == file]


def run_blocks(page: str, file: str, names: dict[str, Any]) -> None:
    """Run the code that a page has for a file, among these names."""
    blocks = read_blocks(page, file)
    assert blocks, f"{page} has nothing for {file}"
    for code in blocks:
        exec(compile(code, f"{page}: {file}", "exec"), names)  # noqa: S102


def make_module(page: str, file: str) -> ModuleType:
    """Make a module of the code that a page has for it, under its name."""
    sys.modules.setdefault("mysite", ModuleType("mysite"))
    name = file.removesuffix(".py").replace("/", ".")
    module = sys.modules[name] = ModuleType(name)
    run_blocks(page, file, module.__dict__)
    return module
