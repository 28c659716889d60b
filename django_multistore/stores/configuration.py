"""SESSION_STORES, read and refused."""

from __future__ import annotations

from typing import Any

from django.utils.module_loading import import_string

from ..conf import DEFAULT_STORES, conf
from ..exceptions import InvalidStore
from .base import BaseStore
from .packages import explain_missing_package
from .spelling import suggest

KEYS = ("BACKEND", "OPTIONS")


def read_stores() -> dict[str, Any]:
    """
    Return SESSION_STORES, with whatever it has for each alias.

    Raises:
        InvalidStore: it is no dictionary, or an alias is no text.
    """
    config: Any = conf.session_stores
    if isinstance(config, dict) and all(isinstance(alias, str) for alias in config):
        return config
    # A value may have a password in it, so only its type is told.
    found = "has an alias that is no text" if isinstance(config, dict) else f"is {_kind_of(config)}"
    raise InvalidStore(
        f"SESSION_STORES {found}. It must be a dictionary of dictionaries, one for each alias, for "
        f"example {DEFAULT_STORES!r}."
    )


def find_configuration(alias: str) -> tuple[type[BaseStore], dict[str, Any]]:
    """
    Return the class of a store and its OPTIONS.

    Raises:
        InvalidStore: there is no such store, or what is said of it can't be.
    """
    config = read_stores()
    if alias not in config:
        known = ", ".join(map(repr, config)) or "none at all"
        raise InvalidStore(
            f"SESSION_STORES has no store {alias!r}; it has {known}.{suggest([alias], config)}"
        )
    where, entry = f"SESSION_STORES[{alias!r}]", config[alias]
    if not isinstance(entry, dict):
        raise InvalidStore(
            f"{where} is {_kind_of(entry)}. SESSION_STORES must be a dictionary of dictionaries, "
            f"for example {{{alias!r}: {DEFAULT_STORES['default']!r}}}."
        )
    if unknown := [key for key in entry if key not in KEYS]:
        raise InvalidStore(
            f"{where} has {', '.join(map(repr, unknown))}, which isn't known there. A store is "
            f"configured by 'BACKEND' and 'OPTIONS'.{suggest(unknown, KEYS) or _move(unknown)}"
        )
    options = entry.get("OPTIONS", {})
    if not isinstance(options, dict) or not all(isinstance(name, str) for name in options):
        found = "has a name that is no text" if isinstance(options, dict) else _kind_of(options)
        verb = "" if isinstance(options, dict) else "is "
        raise InvalidStore(
            f"{where}['OPTIONS'] {verb}{found}. It must be a dictionary of the store's options; "
            "leave it out to have their defaults."
        )
    return _import_class(where, entry), options


def _import_class(where: str, entry: dict[str, Any]) -> type[BaseStore]:
    if "BACKEND" not in entry:
        raise InvalidStore(f"{where} has no 'BACKEND'. Name a store's class by its dotted path.")
    path = entry["BACKEND"]
    if not isinstance(path, str):
        raise InvalidStore(
            f"{where}['BACKEND'] is {_kind_of(path)}. Name a store's class by its dotted path, as "
            f"text: {DEFAULT_STORES['default']['BACKEND']!r}, for example."
        )
    where = f"{where}['BACKEND'] is {path!r}"
    try:
        store_class = import_string(path)
    except ImportError as error:
        reason = explain_missing_package(error) or f"{error}.{suggest([path], OUR_STORES)}"
        raise InvalidStore(f"{where}, which can't be imported: {reason}") from error
    except Exception as error:  # whatever a module of the site's raises when it is imported
        raise InvalidStore(
            f"{where}, whose import raises {type(error).__name__}: {error}"
        ) from error
    if not (isinstance(store_class, type) and issubclass(store_class, BaseStore)):
        raise InvalidStore(
            f"{where}, which is no subclass of django_multistore.stores.base.BaseStore."
            f"{suggest([path], OUR_STORES)}"
        )
    return store_class


OUR_STORES = (
    "django_multistore.stores.orm.OrmStore",
    "django_multistore.stores.cache.CacheStore",
    "django_multistore.stores.memcached.MemcachedStore",
    "django_multistore.stores.redis.RedisStore",
    "django_multistore.stores.memory.MemoryStore",
    "django_multistore.stores.composed.MigratingStore",
    "django_multistore.stores.composed.TieredStore",
    "django_multistore.stores.composed.SplitStore",
)


def _kind_of(value: object) -> str:
    return "None" if value is None else f"of the type {type(value).__name__}"


def _move(unknown: list[Any]) -> str:
    return f" An option of the store's goes into 'OPTIONS': {{'OPTIONS': {{{unknown[0]!r}: …}}}}."
