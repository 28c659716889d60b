"""
Imports point down.

FLOORS has the package from the ground up. A name is a module, or a room with all that has no line
of its own; a room's __init__ may have one too. Each may import what stands before it, on its own
floor and on those below, and nothing that stands after it. The modules of one line import one
another as they like, but never in a circle.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import django_multistore

PACKAGE = Path(django_multistore.__path__[0])

FLOORS = {
    "what a session is": """
        __init__ exceptions session/clock session/user_ids session/endings records
        session/client_hints conf models serializers addresses descriptions/ session/
    """,
    "what sites come from": """
        adopting/__init__ adopting/old_sessions adopting/old_engines/
    """,
    "where it is kept": """
        stores/ stores/sql/ stores/orm/ stores/indexed/ stores/cache/ stores/memcached/
        stores/redis/layout stores/redis/scripts stores/redis/sources
        stores/redis/options stores/redis/client/ stores/redis/
        stores/remedies stores/trial stores/handler stores/composed/ stores/__init__
    """,
    "what it came from": """
        adopting/old_sessions adopting/old_engines/ adopting/
    """,
    "what Django does with it": """
        signals auth/ rotation/ saving/ engine
    """,
    "what a site does with it": """
        http/ devices takeovers token_clients search/ middleware receivers contrib/
    """,
    "what people see of it": """
        decorators pages/ views urls templatetags/ session_admin/ admin
    """,
    "what is run by itself": """
        system_checks/ management/ testing/ pytest_plugin apps
    """,
}
ORDER = {name: place for place, name in enumerate(" ".join(FLOORS.values()).split())}

# Django's rooms need no docstring.
DJANGOS = {"management", "management/commands", "templatetags"}


def read_modules() -> dict[str, ast.Module]:
    return {
        path.relative_to(PACKAGE).with_suffix("").as_posix(): ast.parse(path.read_text("utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
        if "migrations" not in path.parts
    }


MODULES = read_modules()


def line_of(name: str) -> str:
    """Return the name in FLOORS that a module goes by: its own, or that of its closest room."""
    parts = name.split("/")
    rooms = ["/".join(parts[:end]) + "/" for end in range(len(parts) - 1, 0, -1)]
    return next((line for line in [name, *rooms] if line in ORDER), name)


def imports_of(name: str) -> Iterator[str]:
    here = ["django_multistore", *name.split("/")]
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith("django_multistore") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            target = [*here[: len(here) - node.level], *(node.module or "").split(".")]
            path = "/".join(part for part in target[1:] if part)
            for alias in node.names:
                candidates = (f"{path}/{alias.name}".lstrip("/"), path, f"{path}/__init__")
                yield next(module for module in candidates if module in MODULES)


def rooms() -> dict[str, ast.Module]:
    return {
        name.removesuffix("/__init__"): module
        for name, module in MODULES.items()
        if name.endswith("/__init__")
    }


def is_re_export(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign):
        return [ast.unparse(target) for target in node.targets] == ["__all__"]
    return isinstance(node, ast.Import | ast.ImportFrom)


def test_every_module_has_its_place_and_every_place_a_module() -> None:
    assert {line_of(name) for name in MODULES} == set(ORDER)


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_down(name: str) -> None:
    place = ORDER[line_of(name)]
    assert [used for used in imports_of(name) if ORDER[line_of(used)] > place] == []


def test_no_circle() -> None:
    TopologicalSorter({name: set(imports_of(name)) for name in MODULES}).prepare()


def test_a_room_s_init_has_re_exports_and_a_docstring_alone() -> None:
    def has_code(module: ast.Module) -> bool:
        body = module.body[1:] if ast.get_docstring(module) else module.body
        return not all(is_re_export(node) for node in body)

    assert {name for name, module in rooms().items() if has_code(module)} == set()
    without = {name for name, module in rooms().items() if not ast.get_docstring(module)}
    assert without <= DJANGOS
