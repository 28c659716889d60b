"""Which engines a site can come from, and what is said of others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_multistore.adopting.old_engines import find_old_engine
from tests.support.old_engines.sites import DJANGOS, OWN
from tests.support.paths import CHECKOUT

KNOWN = {
    f"{DJANGOS}db": (True, "TableEngine"),
    f"{DJANGOS}cached_db": (True, "CachedTableEngine"),
    f"{DJANGOS}cache": (False, "CacheEngine"),
    f"{DJANGOS}file": (True, "FileEngine"),
    f"{DJANGOS}signed_cookies": (False, "SignedCookieEngine"),
    f"{OWN}accounts": (True, "TableEngine"),
    f"{OWN}cached_accounts": (True, "CachedTableEngine"),
}


@pytest.mark.parametrize("engine", KNOWN)
def test_an_engine_is_of_its_family(engine: str) -> None:
    old = find_old_engine(engine)
    assert (old.can_scan, type(old).__name__) == KNOWN[engine]
    assert old.finds_users is old.can_scan
    assert old.name == engine


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ("django_multistore.engine", "django_multistore's own. Write what SESSION_ENGINE was"),
        ("django.contrib.sessions.backends.base", "no class SessionStore"),
        ("django.contrib.sessions.backends.db.SessionStore", "without the class"),
        (
            "django.contrib.sessions.backends.dbb",
            "No module named .* as it stood in SESSION_ENGINE",
        ),
        ("no_such_package.sessions", "Leave its package installed"),
        ("", "Write the path"),
        ("tests.support.old_engines.sites", "no class SessionStore"),
        ("tests.support.old_engines.unknown", "inherits from none .*Write one of these"),
    ],
)
def test_others_are_refused_with_what_to_write(engine: str, message: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=message) as raised:
        find_old_engine(engine)
    assert repr(engine) in str(raised.value)


def test_an_app_that_is_not_installed_is_named(tmp_path: Path) -> None:
    """In a process of its own: once a model is imported, it is there for good."""
    script = """
import django
from django.conf import settings
settings.configure(SECRET_KEY="x", INSTALLED_APPS=["django.contrib.contenttypes"], DATABASES={})
django.setup()
from django_multistore.adopting.old_engines import find_old_engine
print(find_old_engine("django.contrib.sessions.backends.db").missing())
"""
    ended = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(CHECKOUT)},
    )
    assert '"django.contrib.sessions" in INSTALLED_APPS' in ended.stdout
