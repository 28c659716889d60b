"""Engines that keep sessions in a cache, or on Redis, where nobody can search them."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.contrib.sessions.backends.base import CreateError, UpdateError
from django.core.cache.backends.base import InvalidCacheKey

from ...records import Device
from ...session import clock
from ..old_sessions import OldSession
from .base import OldEngine, is_session_key
from .payloads import compute_expiry, first_of, open_text, prepare, read_signing_time
from .tables import describe_missing_cache

# What unpickling raises for what this process has no code for, by the library's documentation.
UNREADABLE = (pickle.UnpicklingError, AttributeError, EOFError, ImportError, IndexError)


class CacheEngine(OldEngine):
    """
    Django's cache engine: pickled data, which come over as they are.

    The expiry is known where the cache tells it: those of django-redis and django-valkey do. Else
    it is the one that a save would give now. `created_at` is now, for nothing earlier is known.
    No cache can write only over what is there, so a delete that crosses a save may be lost.
    """

    def load(self, session_key: str) -> OldSession | None:
        """See OldEngine.load()."""
        if not is_session_key(session_key):
            return None
        store = self._make_store(session_key)
        name = store.cache_key_prefix + session_key
        # The class's own load() takes an outage for a session that isn't there.
        try:
            data = store._cache.get(name)
        except (InvalidCacheKey, *UNREADABLE):
            return None
        if not isinstance(data, dict):
            return None
        expires_at = find_expiry(store._cache, name)
        return OldSession(
            data=data,
            expires_at=compute_expiry(store, data, clock.now())
            if expires_at is None
            else expires_at,
            created_at=clock.now(),
            last_seen_at=None,
            is_expiry_known=expires_at is not None,
        )

    def save(self, session_key: str, data: dict[str, Any], device: Device | None) -> bool:
        """See OldEngine.save()."""
        if not is_session_key(session_key):
            return False
        try:
            self._fill(session_key, data).save()
        except UpdateError:
            return False
        return True

    def create(self, session_key: str, data: dict[str, Any], device: Device | None) -> bool:
        """See OldEngine.create()."""
        if not is_session_key(session_key):
            return False
        try:
            self._fill(session_key, data).save(must_create=True)
        except CreateError:
            return False
        return True

    def delete(self, session_key: str) -> bool:
        """See OldEngine.delete()."""
        if not is_session_key(session_key):
            return False
        store = self._make_store(session_key)
        return bool(store._cache.delete(store.cache_key_prefix + session_key))

    def delete_many(self, session_keys: Iterable[str]) -> None:
        """See OldEngine.delete_many()."""
        keys = list(session_keys)
        if keys:
            store = self._make_store(keys[0])
            store._cache.delete_many([store.cache_key_prefix + key for key in keys])

    def missing(self) -> str | None:
        """See OldEngine.missing()."""
        return describe_missing_cache(self.name)

    def _fill(self, session_key: str, data: dict[str, Any]) -> Any:
        store = self._make_store(session_key)
        store._session_cache = prepare(data)
        return store


class RedisSessionsEngine(OldEngine):
    """
    django-redis-sessions: sealed text on Redis, by a connection of its own settings.

    The expiry is Redis' own. `created_at` is when the session was last written, by the signature's
    time.
    """

    def load(self, session_key: str) -> OldSession | None:
        """See OldEngine.load()."""
        if not is_session_key(session_key):
            return None
        store = self._make_store(session_key)
        name = store.get_real_stored_key(session_key)
        # Its own load() takes an outage for a session that isn't there, and logs that one which
        # isn't there is corrupted.
        sealed = store.server.get(name)
        if sealed is None:
            return None
        text = sealed.decode("utf-8", "replace") if isinstance(sealed, bytes) else sealed
        data = open_text(store, text)
        left = store.server.pttl(name)
        if data is None or left == -2:  # It has expired since.
            return None
        now = clock.now()
        return OldSession(
            data=data,
            expires_at=compute_expiry(store, data, now) if left < 0 else later(now, left),
            created_at=first_of(read_signing_time(text)),
            last_seen_at=None,
            is_expiry_known=left >= 0,
        )

    def save(self, session_key: str, data: dict[str, Any], device: Device | None) -> bool:
        """See OldEngine.save()."""
        # Its own save() makes a session where there is none.
        return is_session_key(session_key) and self._set(session_key, data, xx=True)

    def create(self, session_key: str, data: dict[str, Any], device: Device | None) -> bool:
        """See OldEngine.create()."""
        return is_session_key(session_key) and self._set(session_key, data, nx=True)

    def delete(self, session_key: str) -> bool:
        """See OldEngine.delete()."""
        if not is_session_key(session_key):
            return False
        store = self._make_store(session_key)
        return bool(store.server.delete(store.get_real_stored_key(session_key)))

    def _set(self, session_key: str, data: dict[str, Any], **condition: bool) -> bool:
        store = self._make_store(session_key)
        store._session_cache = prepare(data)
        name, text = store.get_real_stored_key(session_key), store.encode(store._session_cache)
        # Redis refuses a lifetime of 0, which a session has whose time came a moment ago.
        seconds = max(int(store.get_expiry_age()), 1)
        return bool(store.server.set(name, text, ex=seconds, **condition))


def find_expiry(cache: Any, name: str) -> datetime | None:
    """
    Return when a cache's entry expires; None if the cache can't tell, or the entry never does.

    Args:
        cache: of any backend.
        name: of the entry.
    """
    for method, unit in (("pttl", 1), ("ttl", 1000)):
        if hasattr(cache, method):
            left = getattr(cache, method)(name)
            return None if left is None else later(clock.now(), max(left, 0) * unit)
    return None


def later(now: datetime, milliseconds: int) -> datetime:
    """Return a time so many milliseconds later."""
    return now + timedelta(milliseconds=milliseconds)
