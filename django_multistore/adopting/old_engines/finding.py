"""Which old engine a path is."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from .base import OldEngine
from .caches import CacheEngine, RedisSessionsEngine
from .cookies import SignedCookieEngine
from .files import FileEngine
from .tables import CachedTableEngine, TableEngine
from .users_tables import QsessionsEngine, UserSessionsEngine

FAMILIES: dict[str, type[OldEngine]] = {
    "django.contrib.sessions.backends.db": TableEngine,
    "django.contrib.sessions.backends.cached_db": CachedTableEngine,
    "django.contrib.sessions.backends.cache": CacheEngine,
    "django.contrib.sessions.backends.file": FileEngine,
    "django.contrib.sessions.backends.signed_cookies": SignedCookieEngine,
    "qsessions.backends.db": QsessionsEngine,
    "user_sessions.backends.db": UserSessionsEngine,
    "redis_sessions.session": RedisSessionsEngine,
}
OURS = "django_multistore"


def find_old_engine(engine: str) -> OldEngine:
    """
    Return what reads and writes the sessions of an engine.

    Args:
        engine: its path, as it stood in SESSION_ENGINE: that of the module.

    Raises:
        ImproperlyConfigured: it is no engine, this package's own, or of no family that is known.
    """
    store_class = _import_store_class(engine)
    # A class of a site's own may have several of them among its bases, as qsessions' cached_db has.
    bases = [
        FAMILIES[base.__module__]
        for base in store_class.__mro__
        if base.__name__ == "SessionStore" and base.__module__ in FAMILIES
    ]
    if any(base.__module__.split(".")[0] == OURS for base in store_class.__mro__):
        raise ImproperlyConfigured(
            f'SESSION_ADOPT["ENGINE"] is {engine!r}, which is {OURS}\'s own. Write what'
            " SESSION_ENGINE was before, and leave SESSION_ENGINE as it is now."
        )
    if not bases:
        known = ", ".join(FAMILIES)
        raise ImproperlyConfigured(
            f'SESSION_ADOPT["ENGINE"] is {engine!r}, whose SessionStore inherits from none that is'
            f" known. Write one of these, or a subclass's module: {known}, qsessions.backends."
            "cached_db."
        )
    chosen = bases[0] if len(bases) == 1 else type(bases[0].__name__, tuple(bases), {})
    old_engine: OldEngine = chosen(engine)
    return old_engine


def _import_store_class(engine: str) -> Any:
    try:
        module = import_module(engine)
    except (ImportError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise ImproperlyConfigured(
            f'SESSION_ADOPT["ENGINE"] is {engine!r}, which can\'t be imported: {error} Write the'
            " path of the engine's module as it stood in SESSION_ENGINE, without the class; leave"
            " its package installed, and in INSTALLED_APPS if it has a table."
        ) from error
    store_class = getattr(module, "SessionStore", None)
    if not isinstance(store_class, type):
        raise ImproperlyConfigured(
            f'SESSION_ADOPT["ENGINE"] is {engine!r}, which has no class SessionStore. Write the'
            " path of the engine's module, as it stood in SESSION_ENGINE."
        )
    return store_class
