"""The rules of the tests themselves."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.support.paths import CHECKOUT

MODULES = {
    path.relative_to(CHECKOUT).as_posix(): ast.parse(path.read_text("utf-8"))
    for path in sorted((CHECKOUT / "tests").rglob("*.py"))
}


def imported_names(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_of_a_test_module(name: str) -> bool:
    top, *parts = name.split(".")
    return top == "tests" and any(part.startswith("test_") for part in parts)


def assigned_tests(module: ast.Module) -> Iterator[str]:
    classes = [node for node in ast.walk(module) if isinstance(node, ast.ClassDef)]
    for statement in [statement for node in classes for statement in node.body]:
        if isinstance(statement, ast.Assign):
            names = [target.id for target in statement.targets if isinstance(target, ast.Name)]
            yield from (name for name in names if name.startswith("test"))


def test_no_module_imports_a_test_module() -> None:
    """What modules share is in tests/support, so that each can be read and moved by itself."""
    found = [(path, name) for path, module in MODULES.items() for name in imported_names(module)]
    assert len(found) > 1000
    assert [(path, name) for path, name in found if is_of_a_test_module(name)] == []


def test_no_inherited_test_is_switched_off_without_a_reason() -> None:
    """One that is set to None is gone without a trace; tests.support.skips gives a reason."""
    assert [
        (path, name) for path, module in MODULES.items() for name in assigned_tests(module)
    ] == []
