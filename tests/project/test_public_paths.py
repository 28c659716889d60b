"""What sites and their settings may name, and what stands at the top of the package for it."""

from __future__ import annotations

import ast
import re
from importlib import import_module

import pytest

from tests.support.paths import CHECKOUT

# Each public module, and its names that the README or the docs have in them.
PUBLIC = {
    "addresses": "TrustedProxies remote_address",
    "contrib.cas_ng": "SessionTicketMiddleware",
    "decorators": "has_recent_login recent_login_required",
    "devices": """
        aend_session alog_out_everywhere alog_out_other_devices
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
    "session_admin": "UserSessionsAdminMixin",
    "signals": "session_created session_ended",
    "stores": "stores",
    "stores.base": "BaseStore",
    "stores.cache": "CacheStore",
    "stores.memory": "MemoryStore",
    "stores.orm": "OrmStore",
    "stores.redis": "RedisStore",
    "takeovers": "amark_as_takeover mark_as_takeover takes_over",
    "testing": "IsolatedStoresMixin StoreContract isolate isolated_stores make_record",
    "token_clients": "atouch_from touch_from",
    "views": """
        LogoutOtherDevicesMixin LogoutOtherDevicesView RecentLoginRequiredMixin SessionLimitMixin
    """,
    # Where Django looks by itself.
    "admin": "",
    "apps": "",
    "models": "StoredSession UserSession",
    "urls": "urlpatterns",
}
# Django and pytest look for these by themselves; and what only the package uses.
NOT_PUBLIC = {"receivers", "pytest_plugin", "conf"}

PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]
IMPORT = r"^ *from django_multistore[\w.]* import (?:\([^)]+\)|.+)$"


@pytest.mark.parametrize("path", PUBLIC)
def test_each_public_path_has_its_names(path: str) -> None:
    module = import_module(f"django_multistore.{path}")
    assert [name for name in PUBLIC[path].split() if not hasattr(module, name)] == []


def test_nothing_else_stands_at_the_top() -> None:
    """What is a module's business alone is in its subject's folder."""
    package = CHECKOUT / "django_multistore"
    modules = {path.stem for path in package.glob("*.py")} - {"__init__"}
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    at_the_top = {path for path in PUBLIC if "." not in path}
    assert modules == at_the_top - folders | NOT_PUBLIC


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
        for alias in node.names:
            module = import_module(str(node.module))
            if not hasattr(module, alias.name):
                import_module(f"{node.module}.{alias.name}")
