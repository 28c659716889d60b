"""A function for sync code and its variant for async code differ only by `await`."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from django.contrib import auth
from django.contrib.sessions.backends.base import SessionBase
from django.dispatch import Signal

from django_multistore import decorators, devices, signals, takeovers, token_clients
from django_multistore.auth import request_users, unopenable
from django_multistore.engine import SessionStore
from django_multistore.http import cookies, request_subject
from django_multistore.middleware import SessionMiddleware
from django_multistore.session.tracking import TrackedSession
from django_multistore.stores import steps
from django_multistore.stores.base import BaseStore
from django_multistore.stores.orm import OrmStore
from django_multistore.stores.redis.client.base import Client
from django_multistore.stores.redis.protocol import Request
from django_multistore.stores.sql import lost_transactions
from django_multistore.stores.sql.pooled_table import PooledTable
from django_multistore.stores.steps import Pause
from django_multistore.testing import INTERFACE


def names_with_a_variant(*homes: Any) -> set[str]:
    names = {name for home in homes for name in dir(home)}
    return {name for name in names if variant_name(name) in names}


def variant_name(name: str) -> str:
    bare = name.lstrip("_")
    return "_" * (len(name) - len(bare)) + "a" + bare


HOMES = [
    SessionStore,
    SessionMiddleware,
    cookies,
    BaseStore,
    OrmStore,
    PooledTable,
    auth,
    decorators,
    devices,
    unopenable,
    request_users,
    request_subject,
    signals,
    steps,
    takeovers,
    token_clients,
    lost_transactions,
    Signal,
    Pause,
    Client,
    Request,
]
KNOWN = {variant_name(name): name for name in names_with_a_variant(*HOMES)} | {
    "_aget_session": "_get_session"
}


class WithoutAwait(ast.NodeTransformer):
    def visit_Await(self, node: ast.Await) -> ast.AST:
        return self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Take a function that is run in a thread, for it has no async variant, for itself."""
        is_in_thread = isinstance(node.func, ast.Name) and node.func.id == "sync_to_async"
        return self.visit(node.args[0]) if is_in_thread else self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        node.attr = KNOWN.get(node.attr, node.attr)
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(id=KNOWN.get(node.id, node.id), ctx=node.ctx)


def statements(function: Any) -> list[str]:
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef)
    body = definition.body[1 if ast.get_docstring(definition) else 0 :]
    return [ast.unparse(WithoutAwait().visit(statement)) for statement in body]


def variants(home: type | ModuleType) -> Iterator[Any]:
    own = {name: getattr(home, name) for name in vars(home)}
    for name, function in own.items():
        # Django's __call__() chooses between the two.
        if inspect.iscoroutinefunction(function) and name in KNOWN and name != "__acall__":
            yield pytest.param(own[KNOWN[name]], function, id=f"{home.__name__}.{KNOWN[name]}")


@pytest.mark.parametrize(
    ("function", "variant"),
    [
        pair
        for home in (
            *(SessionStore, SessionMiddleware, cookies, Client, Request),
            *(decorators, devices, unopenable, request_subject, signals, takeovers, token_clients),
        )
        for pair in variants(home)
    ],
)
def test_variants_differ_only_by_await(function: Any, variant: Any) -> None:
    assert inspect.signature(function).parameters == inspect.signature(variant).parameters
    assert statements(function) == statements(variant)


# Of OrmStore's methods these do more than their variants in a pool, for the sake of a caller's
# transaction or of other databases.
WITH_TRANSACTIONS = {"reread", "modify", "admit", "destroy_for_user", "destroy_session", "gc"}
PRIVATE = ["_read", "_list", "_compare_and_set", "_explain_miss", "_write_over"]


@pytest.mark.parametrize("name", [*INTERFACE, *PRIVATE])
def test_variants_in_a_pool_differ_only_by_await(name: str) -> None:
    function, variant = getattr(OrmStore, name), getattr(OrmStore, variant_name(name))
    assert inspect.signature(function).parameters == inspect.signature(variant).parameters
    is_same = statements(function) == statements(variant)
    assert is_same == (name not in WITH_TRANSACTIONS)


@pytest.mark.parametrize("name", INTERFACE)
def test_the_bases_variants_have_the_same_parameters(name: str) -> None:
    function, variant = getattr(BaseStore, name), getattr(BaseStore, f"a{name}")
    assert inspect.signature(function).parameters == inspect.signature(variant).parameters


def test_the_interface_is_whole() -> None:
    sync_only = {"check", "unavailable", "gave_up", "database_index", "remove_expired"}
    sync_only |= {"try_more", "is_in_transaction"}
    sync_only |= {"scan", "create_many", "update_many", "retire_many"}
    sync_only |= {"try_more", "fits", "is_in_transaction", "after_commit"}
    public = {name for name, _ in inspect.getmembers(BaseStore, inspect.isfunction)}
    public = {name for name in public if not name.startswith("_")}
    assert public - sync_only == set(INTERFACE) | {f"a{name}" for name in INTERFACE}


@pytest.mark.parametrize("session_class", [SessionStore, TrackedSession])
def test_what_is_overridden_is_overridden_in_both(session_class: type[SessionBase]) -> None:
    own = vars(session_class).keys()
    with_variant = names_with_a_variant(SessionBase)
    for name in with_variant & own:
        assert variant_name(name) in own
    for name in with_variant:
        if variant_name(name) in own:
            assert name in own
