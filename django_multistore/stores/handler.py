"""Build each store that the settings name, once for each process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from ..conf import DEFAULT_STORES, conf
from ..exceptions import InvalidStore
from .base import BaseStore

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
        """Iterate over the aliases, as SESSION_STORES has them."""
        return iter(conf.session_stores)

    def _build(self, alias: str) -> BaseStore:
        if not apps.is_installed("django_multistore"):
            raise InvalidStore(
                "SESSION_ENGINE is 'django_multistore.engine', but the app isn't installed. "
                "Add 'django_multistore' to INSTALLED_APPS, then run 'manage.py migrate'."
            )
        config = conf.session_stores
        if not isinstance(config, dict) or not isinstance(config.get(alias, {}), dict):
            raise InvalidStore(
                "SESSION_STORES must be a dictionary of dictionaries, for example "
                f"{DEFAULT_STORES!r}."
            )
        if alias not in config:
            known = ", ".join(map(repr, config)) or "none at all"
            raise InvalidStore(f"SESSION_STORES has no store {alias!r}; it has {known}.")
        store_class, options = _read_config(alias, config[alias])
        return store_class(alias, **options)

    def _forget_stores(self, *, setting: str, **kwargs: object) -> None:
        # A store keeps what it made of them: OrmStore's statements depend on USE_TZ, for one.
        if setting in ("SESSION_STORES", "USE_TZ", "CACHES", "SESSION_CACHE_ALIAS"):
            self._stores = {}


stores: StoreHandler = StoreHandler()


def _read_config(alias: str, config: dict[str, Any]) -> tuple[type[BaseStore], dict[str, Any]]:
    where = f"SESSION_STORES[{alias!r}]"
    if unknown := config.keys() - {"BACKEND", "OPTIONS"}:
        raise InvalidStore(
            f"{where} has {', '.join(map(repr, sorted(unknown)))}, which isn't known there. "
            "A store is configured by 'BACKEND' and 'OPTIONS'."
        )
    try:
        store_class = import_string(config["BACKEND"])
    except KeyError:
        raise InvalidStore(
            f"{where} has no 'BACKEND'. Name a store's class by its dotted path."
        ) from None
    except ImportError as error:
        raise InvalidStore(
            f"{where}['BACKEND'] is {config['BACKEND']!r}, which can't be imported: {error}"
        ) from error
    if not (isinstance(store_class, type) and issubclass(store_class, BaseStore)):
        raise InvalidStore(
            f"{where}['BACKEND'] is {config['BACKEND']!r}, which is no subclass of "
            "django_multistore.stores.base.BaseStore."
        )
    return store_class, config.get("OPTIONS", {})
