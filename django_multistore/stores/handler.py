"""Build each store that the settings name, once for each process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextvars import copy_context

from django.apps import apps
from django.core.signals import setting_changed

from ..exceptions import InvalidStore
from .base import BaseStore
from .configuration import find_configuration, read_stores
from .packages import explain_missing_package

DEFAULT_ALIAS = "default"


class StoreHandler:
    """
    Map aliases to stores: stores["default"] is built from SESSION_STORES["default"].

    A store is thread-safe and lives as long as the process. Django's
    BaseConnectionHandler would build one for each thread or asyncio task.
    """

    def __init__(self) -> None:
        self._stores: dict[str, BaseStore] = {}
        self._lock = threading.Lock()
        setting_changed.connect(self._forget_stores, dispatch_uid=f"{__name__}.{id(self)}")

    def __getitem__(self, alias: str) -> BaseStore:
        """
        Return the store with this alias.

        Raises:
            InvalidStore: the settings name no such store or configure it wrongly.
        """
        try:
            return self._stores[alias]
        except KeyError:
            with self._lock:
                if alias not in self._stores:
                    self._stores[alias] = self._build(alias)
                return self._stores[alias]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the aliases, as SESSION_STORES has them, or raise InvalidStore."""
        return iter(read_stores())

    def build_all(self) -> None:
        """
        Build each store that isn't built yet. None connects before it is asked something.

        A server does so when it starts: what is wrong with an option must not wait for a visitor.

        Raises:
            InvalidStore: the settings configure one of them wrongly.
        """
        # Under ASGI requests inherit what is in this context, also a cache's client, which isn't
        # for several threads at once. What is in a copy stays there.
        copy_context().run(self._build_each)

    def _build_each(self) -> None:
        for alias in self:
            self[alias]

    def _build(self, alias: str) -> BaseStore:
        if not apps.is_installed("django_multistore"):
            raise InvalidStore(
                "SESSION_ENGINE is 'django_multistore.engine', but the app isn't installed. "
                "Add 'django_multistore' to INSTALLED_APPS, then run 'manage.py migrate'."
            )
        store_class, options = find_configuration(alias)
        try:
            return store_class(alias, **options)
        except ImportError as error:
            reason = explain_missing_package(error) or str(error)
            raise InvalidStore(
                f"SESSION_STORES[{alias!r}] can't be built, for something can't be imported: "
                f"{reason}"
            ) from error

    def _forget_stores(self, *, setting: str, **kwargs: object) -> None:
        # A store keeps what it made of them: OrmStore's statements depend on USE_TZ, for one.
        if setting in ("SESSION_STORES", "USE_TZ", "CACHES", "SESSION_CACHE_ALIAS"):
            self._stores = {}


stores: StoreHandler = StoreHandler()
