"""
Have pyright say whether the types of all that is public are known to who only has the wheel.

Models are left out: what a field is in Python, Django tells by django-stubs' plugin for mypy alone.
Run it where the package is installed: python tests/project/verify_types.py
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
NO_MODELS = {"django_multistore.models"}


def list_public_names() -> Iterator[str]:
    """Return what is in __all__ of each module of the reference, by its dotted path."""
    for page in sorted((CHECKOUT / "docs" / "reference").glob("*.md")):
        for name in re.findall(r"automodule:: (\S+)", page.read_text("utf-8")):
            path = CHECKOUT / name.replace(".", "/")
            source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
            for node in ast.parse(source.read_text("utf-8")).body:
                if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                    yield from (f"{name}.{each}" for each in ast.literal_eval(node.value))


def ask_pyright() -> list[dict[str, object]]:
    """Return what it knows of each symbol of the installed package."""
    command = ["basedpyright", "--verifytypes", "django_multistore", "--ignoreexternal"]
    with tempfile.TemporaryDirectory() as elsewhere:  # not beside the package's source
        done = subprocess.run(
            [*command, "--outputjson", "--pythonpath", sys.executable],
            cwd=elsewhere,
            capture_output=True,
            text=True,
            check=False,
        )
    found: list[dict[str, object]] = json.loads(done.stdout)["typeCompleteness"]["symbols"]
    return found


def find_unknown_types() -> Iterator[str]:
    """Return the public symbols, and their members, whose types aren't known."""
    public = [name for name in list_public_names() if name.rpartition(".")[0] not in NO_MODELS]
    symbols = {str(symbol["name"]): symbol for symbol in ask_pyright()}
    missing = set(public) - symbols.keys()
    assert public and not missing, f"pyright doesn't see {missing or 'the package'}"  # noqa: PT018
    for name, symbol in symbols.items():
        is_public = any(name == each or name.startswith(f"{each}.") for each in public)
        if is_public and not symbol["isTypeKnown"]:
            yield f"{name}: {symbol['diagnostics']}"


if __name__ == "__main__":
    sys.exit("\n".join(find_unknown_types()) or None)
