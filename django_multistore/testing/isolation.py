"""Stores that are empty when a test begins, and that no other test, worker or person shares."""

from __future__ import annotations

import itertools
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import settings
from django.test import override_settings
from django.utils.module_loading import import_string

from ..conf import DEFAULT_STORES
from ..exceptions import StoreUnavailable
from ..stores import stores
from ..stores.base import BaseStore

if TYPE_CHECKING:
    from django.test import SimpleTestCase as _TestCase
else:
    _TestCase = object

ENGINE = "django_multistore.engine"
PAGE = 1_000  # names that one SCAN looks at
_TOKEN = secrets.token_hex(4)
_numbers = itertools.count()
# By their address and prefix: stores whose names of this process's tests are still there.
_used: dict[str, BaseStore] = {}


def isolate(session_stores: Any) -> Any:
    """
    Return SESSION_STORES with names of a test's own, for a store that others may share.

    Stores in the database are left alone, for tests have a database of their own; and so is what
    it doesn't understand.

    Args:
        session_stores: as the setting has it. It stays as it is.
    """
    if not isinstance(session_stores, Mapping):
        return session_stores
    return {alias: _isolate_store(entry) for alias, entry in session_stores.items()}


def _isolate_store(entry: Any) -> Any:
    try:
        store_class = import_string(entry["BACKEND"])
        options = dict(entry.get("OPTIONS", {}))
        prefix = options.get("KEY_PREFIX", store_class.default_options["KEY_PREFIX"])
    except (AttributeError, ImportError, KeyError, TypeError, ValueError):
        return entry
    if not isinstance(prefix, str):
        return entry
    own = _own_mark()
    options["KEY_PREFIX"] = f"{prefix.partition(own)[0]}{own}{next(_numbers)}:"
    return {**entry, "OPTIONS": options}


@contextmanager
def isolated_stores() -> Iterator[None]:
    """Have empty stores within, under names that nobody else has; a decorator of tests as well."""
    configured = getattr(settings, "SESSION_STORES", DEFAULT_STORES)
    if not _is_engine_ours() or _is_in_database_only(configured):
        yield
        return
    with override_settings(SESSION_STORES=isolate(configured)):
        try:
            yield
        finally:
            _note_used()


def remove_leftovers() -> None:
    """
    Remove what tests of this process have left in Redis, by one SCAN of each that they used.

    Only names that isolated_stores() has made are removed. What a cache has expires by itself.
    """
    for key, store in list(_used.items()):
        with suppress(StoreUnavailable):
            client: Any = store._client  # type: ignore[attr-defined]
            before, mark, _ = store._options.prefix.partition(_own_mark().encode())  # type: ignore[attr-defined]
            if mark:
                for page in client.scan(
                    re.sub(rb"([\\*?\[\]])", rb"\\\1", before + mark) + b"*", PAGE
                ):
                    client.call_many([("UNLINK", name) for name in page])
        del _used[key]


class IsolatedStoresMixin(_TestCase):
    """Give each test of a TestCase empty stores: with `manage.py test --parallel` as well."""

    @classmethod
    def setUpClass(cls) -> None:
        # For what setUpTestData() logs in; and what it has left goes with the class.
        cls.addClassCleanup(remove_leftovers)
        cls.enterClassContext(isolated_stores())
        super().setUpClass()

    def setUp(self) -> None:
        self.enterContext(isolated_stores())
        super().setUp()


def _own_mark() -> str:
    # A process that was forked has another number, and one on another host another token.
    return f"t{_TOKEN}.{os.getpid()}."


def _is_engine_ours() -> bool:
    if not apps.ready:
        return False
    if settings.SESSION_ENGINE == ENGINE:
        return True
    try:
        engine = getattr(import_module(settings.SESSION_ENGINE), "SessionStore", None)
    except ImportError:
        return False
    return isinstance(engine, type) and hasattr(engine, "get_store")


def _is_in_database_only(configured: Any) -> bool:
    return not isinstance(configured, Mapping) or all(
        isinstance(entry, Mapping) and entry.get("BACKEND") == DEFAULT_STORES["default"]["BACKEND"]
        for entry in configured.values()
    )


def _note_used() -> None:
    for store in stores._stores.values():
        options = getattr(store, "_options", None)
        prefix = getattr(options, "prefix", None)
        if isinstance(prefix, bytes) and hasattr(store, "_client"):
            before, mark, _ = prefix.partition(_own_mark().encode())
            if mark:
                _used.setdefault(f"{options.address} {before!r}", store)  # type: ignore[union-attr]
