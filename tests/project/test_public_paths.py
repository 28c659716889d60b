"""What sites and their settings may name, and what stands at the top of the package for it."""

from __future__ import annotations

import ast
import inspect
import re
from importlib import import_module

import pytest

from tests.support.paths import CHECKOUT

# Each public module, and all of its names that are public: its __all__.
PUBLIC = {
    "addresses": "TrustedProxies remote_address",
    "contrib.cas_ng": "SessionTicketMiddleware",
    "decorators": "ahas_recent_login has_recent_login recent_login_required",
    "devices": """
        acount_for_user aend_session alog_out_everywhere alog_out_other_devices apage_for_user
        asessions_for_user count_for_user end_session log_out_everywhere log_out_other_devices
        page_for_user sessions_for_user
    """,
    "engine": "SessionStore",
    "exceptions": """
        InvalidStore MultistoreError NotSupported OtherUser SessionLimitReached StoreUnavailable
        TransactionLost
    """,
    "middleware": "SessionMiddleware",
    "records": "Device Outcome Page SessionRecord key_of successor touched user_id_of",
    "serializers": "BytesSerializer TaggedJSONSerializer bytes_serde",
    "session.clock": "now to_utc",
    "session.namespaces": "extract_primary_key split",
    "session_admin": "UserSessionsAdminMixin add_sessions",
    "signals": "Reason session_created session_ended",
    "stores": "stores",
    "stores.base": "BaseStore",
    "stores.batches": "Batch",
    "stores.cache": "CacheStore",
    "stores.memcached": "MemcachedStore",
    "stores.composed": "MigratingStore SplitStore TieredStore",
    "stores.memory": "MemoryStore",
    "stores.orm": "OrmStore",
    "stores.redis": "RedisStore",
    "takeovers": "amark_as_takeover mark_as_takeover takes_over",
    "testing": """
        INTERFACE Calls IsolatedStoresMixin StoreContract expired isolate isolated_stores
        make_record remove_leftovers
    """,
    "token_clients": "atouch_from touch_from",
    "views": """
        LogoutOtherDevicesMixin LogoutOtherDevicesView RecentLoginRequiredMixin SessionLimitMixin
    """,
    "descriptions": "DeviceDescription describe",
    # Where Django looks by itself.
    "models": "StoredSession UserSession",
    "urls": "app_name urlpatterns",
}
MODULES = {f"django_multistore.{path}" for path in PUBLIC}

# Django and pytest look for these by themselves; and what only the package uses.
NOT_PUBLIC = {"admin", "apps", "conf", "pytest_plugin", "receivers"}

REFERENCE = CHECKOUT / "docs" / "reference"
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]
IMPORT = r"^ *from django_multistore[\w.]* import (?:\([^)]+\)|.+)$"


@pytest.mark.parametrize("path", PUBLIC)
def test_all_says_what_is_public(path: str) -> None:
    """What a module has beside that may change with any release."""
    module = import_module(f"django_multistore.{path}")
    assert set(module.__all__) == set(PUBLIC[path].split())
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


@pytest.mark.parametrize("path", PUBLIC)
def test_what_is_public_is_in_the_reference(path: str) -> None:
    documented = "".join(page.read_text("utf-8") for page in REFERENCE.glob("*.md"))
    assert f"automodule:: django_multistore.{path}\n" in documented


@pytest.mark.parametrize("path", PUBLIC)
def test_what_is_public_says_what_it_does(path: str) -> None:
    module = import_module(f"django_multistore.{path}")
    assert module.__doc__
    named = {name: getattr(module, name) for name in module.__all__}
    callables = {name: each for name, each in named.items() if callable(each)}
    assert [name for name, each in callables.items() if not inspect.getdoc(each)] == []


def test_nothing_else_stands_at_the_top() -> None:
    """What is a module's business alone is in its subject's folder."""
    package = CHECKOUT / "django_multistore"
    modules = {path.stem for path in package.glob("*.py")} - {"__init__"}
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    at_the_top = {path for path in PUBLIC if "." not in path}
    assert modules == at_the_top - folders | NOT_PUBLIC


def is_public(module: str, names: list[str]) -> bool:
    """Tell whether a module is public, or all that is taken out of it are such modules."""
    paths = [f"{module}.{name}" for name in names] if module not in MODULES else [module]
    return MODULES.issuperset(paths)


def test_what_the_docs_import_can_be_imported() -> None:
    found = [
        statement.strip()
        for page in PAGES
        for statement in re.findall(IMPORT, page.read_text("utf-8"), re.MULTILINE)
    ]
    assert len(found) > 30
    for statement in found:
        (node,) = ast.parse(statement).body
        assert isinstance(node, ast.ImportFrom)
        assert is_public(str(node.module), [alias.name for alias in node.names]), statement
        for alias in node.names:
            module = import_module(str(node.module))
            if not hasattr(module, alias.name):
                import_module(f"{node.module}.{alias.name}")
