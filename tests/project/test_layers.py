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
    ["__init__", "exceptions", "session", "session.clock"],
    [
        "session.users",
        "records",
        "conf",
        "session.namespaces",
        "addresses",
        "session.codec",
        "session.merge",
        "serializers",
        "descriptions.wording",
        "descriptions.user_agents",
        "descriptions.places",
        "descriptions.devices",
        "descriptions",
    ],
    [
        "models",
        "stores.base",
        "stores.batches",
        "stores.sql.writer",
        "stores.orm.statements",
        "stores.sql.clocks",
        "stores.sql.checks",
        "stores.sql.errors",
        "stores.sql.transactions",
        "stores.sql.isolation",
        "stores.sql.isolation_checks",
        "stores.sql.rows",
        "stores.sql.table",
        "stores.memory",
        "stores.orm.locks",
        "stores.orm.store",
        "stores.orm",
        "stores.timestamps",
        "stores.cache.values",
        "stores.steps",
        "stores.stepwise",
        "stores.cache.index",
        "stores.cache.answers",
        "stores.cache.options",
        "stores.cache.client",
        "stores.cache.protocol",
        "stores.cache.backends",
        "stores.cache.probe",
        "stores.cache.checks",
        "stores.cache.store",
        "stores.cache",
        "stores.redis.scripts",
        "stores.redis.client.base",
        "stores.redis.options",
        "stores.redis.client.pools",
        "stores.redis.client.connections",
        "stores.redis.client.errors",
        "stores.redis.client.server",
        "stores.redis.client.cluster",
        "stores.redis.values",
        "stores.redis.protocol",
        "stores.redis.server",
        "stores.redis.cluster",
        "stores.redis.gc",
        "stores.redis.checks",
        "stores.redis.store",
        "stores.redis",
        "stores.handler",
        "stores",
    ],
    [
        "session.endings",
        "session.locks",
        "signals",
        "session.keys",
        "auth",
        "auth.hashes",
        "rotation.trails",
        "session.expiring",
        "session.lifetimes",
        "session.tracking",
        "rotation.moved",
        "auth.openable",
        "engine",
    ],
    [
        "auth.request_users",
        "auth.deactivation",
        "http",
        "http.sessions",
        "http.subject",
        "http.negotiation",
        "http.outages",
        "http.cookies",
        "http.second_posts",
        "devices",
        "takeovers",
        "token_clients",
        "middleware",
        "receivers",
        "search.filters",
        "search.usernames",
        "search.listing",
        "search.sessions",
        "search",
    ],
    [
        "decorators",
        "pages",
        "pages.paging",
        "pages.base",
        "pages.reauthentication",
        "pages.views",
        "views",
        "urls",
        "templatetags",
        "templatetags.multistore",
        "session_admin.live_sessions",
        "session_admin.ending",
        "session_admin.mixin",
        "session_admin",
        "admin",
        "system_checks",
        "system_checks.settings",
        "system_checks.tenants",
        "system_checks.site",
        "system_checks.takeovers",
        "system_checks.stores",
        "checks",
        "management",
        "management.output",
        "management.commands",
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
