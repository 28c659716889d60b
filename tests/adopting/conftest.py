"""What the old engines of these tests need, and sites on each kind of store."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import pytest
from django.contrib.auth.models import User
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache

from django_multistore.records import new_id
from tests.adopting.site import FILE


class OldCache(LocMemCache):
    """Can be gone, and names in its errors what it was asked for, as real ones do."""

    is_gone: ClassVar[bool] = False

    def make_and_validate_key(self, key: str, version: Any = None) -> str:
        name: str = super().make_and_validate_key(key, version)
        if self.is_gone:
            raise ConnectionError(f"Nobody answers for {name}.")
        return name


@pytest.fixture
def old_place(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the old engines on files and on a cache a place of this test's own."""
    settings.CACHES = settings.CACHES | {
        "old": {
            "BACKEND": f"{__name__}.OldCache",
            "LOCATION": f"old-{tmp_path}",
            "OPTIONS": {"MAX_ENTRIES": 100_000},
        }
    }
    settings.SESSION_CACHE_ALIAS = "old"
    caches["old"].clear()
    files = tmp_path / "files"
    files.mkdir()
    settings.SESSION_FILE_PATH = str(files)
    # The class keeps the first path that it was asked for.
    monkeypatch.setattr(
        import_module(FILE).SessionStore, "_storage_path", str(files), raising=False
    )
    return files


@pytest.fixture
def user() -> User:
    # No other test's, of whom there may be a record on a server.
    return User.objects.create_user("ann", password="correct", pk=new_id() >> 33)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this room: they name the databases that they are about."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.elsewhere)
