"""Imports point down: from a floor to the floors below it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import django_multistore

PACKAGE = Path(django_multistore.__path__[0])

# From the ground up. Within a floor a module imports those that stand before it.
FLOORS = [
    ["__init__", "exceptions", "clock"],
    [
        "session.users",
        "records",
        "conf",
        "session.namespaces",
        "addresses",
        "codec",
        "merge",
        "serializers",
        "descriptions.wording",
        "descriptions.user_agents",
        "descriptions.places",
    ],
    [
        "models",
        "descriptions",
        "stores.base",
        "stores.pacing",
        "stores.statements",
        "stores.orm_statements",
        "stores.server_clocks",
        "stores.orm_checks",
        "stores.database_errors",
        "stores.transactions",
        "stores.isolation",
        "stores.isolation_checks",
        "stores.row_values",
        "stores.table",
        "stores.memory",
        "stores.orm_turns",
        "stores.orm",
        "stores.moments",
        "stores.packing",
        "stores.steps",
        "stores.stepwise",
        "stores.user_index",
        "stores.cache_answers",
        "stores.cache_options",
        "stores.cache_client",
        "stores.cache_protocol",
        "stores.cache_backends",
        "stores.cache_probe",
        "stores.cache_checks",
        "stores.cache",
        "stores.redis.scripts",
        "stores.redis.base_client",
        "stores.redis.places",
        "stores.redis.pools",
        "stores.redis.connections",
        "stores.redis.errors",
        "stores.redis.client",
        "stores.redis.cluster_client",
        "stores.redis.values",
        "stores.redis.protocol",
        "stores.redis.server",
        "stores.redis.cluster",
        "stores.redis.expiry",
        "stores.redis.checks",
        "stores.redis.store",
        "stores.redis",
        "stores.handler",
        "stores",
    ],
    [
        "own_endings",
        "turns",
        "signals",
        "session_keys",
        "auth_hashes",
        "trails",
        "expiring",
        "lifetimes",
        "tracking",
        "moves",
        "openable",
        "engine",
    ],
    [
        "request_users",
        "devices",
        "takeovers",
        "search.filters",
        "search.usernames",
        "search.listing",
        "search",
        "json_answers",
        "outages",
        "cookies",
        "middleware",
        "token_clients",
        "deactivation",
        "receivers",
    ],
    [
        "acting",
        "forms",
        "second_posts",
        "decorators",
        "paging",
        "user_pages",
        "reauthentication",
        "views",
        "device_views",
        "urls",
        "templatetags.multistore",
        "session_admin.live_sessions",
        "session_admin.ending",
        "session_admin",
        "admin",
        "takeover_checks",
        "checks",
        "management.output",
        "management.commands.gc",
        "management.commands.clearsessions",
        "management.commands.sessions",
    ],
    ["testing", "apps"],
]
ORDER = {name: place for place, name in enumerate(name for floor in FLOORS for name in floor)}


def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        if path.read_text().strip() and "migrations" not in parts:
            found[name] = path
    return found


def imports_of(name: str, path: Path) -> Iterator[str]:
    is_package = path.name == "__init__.py"
    here = ["django_multistore", *([] if name == "__init__" else name.split("."))]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith("django_multistore") for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.level:
            package = here[: len(here) - node.level + is_package]
            target = [*package, *(node.module.split(".") if node.module else [])][1:]
            for alias in node.names:
                as_module = ".".join([*target, alias.name])
                yield as_module if as_module in modules() else ".".join(target)


def test_every_module_has_its_place() -> None:
    assert set(modules()) == set(ORDER)


@pytest.mark.parametrize("name", ORDER)
def test_imports_point_down(name: str) -> None:
    above = [used for used in imports_of(name, modules()[name]) if ORDER[used] >= ORDER[name]]
    assert above == []
