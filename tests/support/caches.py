"""Caches that answer as others than Django's do, and caches that lie."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from django.core import signals
from django.core.cache import close_caches
from django.core.cache.backends.locmem import LocMemCache


class OddCache:
    """
    No BaseCache, without methods for async code, and with answers of its own.

    As django-valkey's: None in place of False. As others': what is missing is named, and how many
    were stored or removed is told.
    """

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        self._cache = LocMemCache(location, params)

    def add(self, name: str, value: object, seconds: int) -> bool | None:
        return self._cache.add(name, value, seconds) or None

    def get_many(self, names: Iterable[str]) -> dict[str, Any]:
        return {name: self._cache.get(name) for name in names}

    def set_many(self, values: Mapping[str, object], seconds: int) -> int:
        self._cache.set_many(values, seconds)
        return len(values)

    def delete(self, name: str) -> int:
        return int(self._cache.delete(name))

    def close(self) -> None:
        self._cache.close()


@contextmanager
def django_valkey() -> Iterator[Any]:
    """Have the package, which closes all caches in a way of its own from its import on."""
    base = pytest.importorskip("django_valkey.base")
    signals.request_finished.disconnect(base.close_async_caches)
    signals.request_finished.connect(close_caches)
    yield base


# What a cache that is out says: of add(), get_many() and set_many().
LIES: dict[str, tuple[Callable[[], Any], Callable[[], Any], Callable[[Any], Any]]] = {
    "as memcached's clients": (lambda: False, dict, list),
    "as those that ignore exceptions": (lambda: None, dict, lambda values: None),
    "as those that answer nothing": (lambda: None, lambda: None, lambda values: False),
    "as those that drop what they are given": (lambda: False, dict, lambda values: []),
}


class Outage:
    """When the lying caches are out, and how they say so."""

    def __init__(self) -> None:
        self.lies: tuple[Callable[[], Any], Callable[[], Any], Callable[[Any], Any]] | None = None
        self.begins_at = 0
        self.commands = 0

    def answers(self) -> tuple[Callable[[], Any], Callable[[], Any], Callable[[Any], Any]] | None:
        self.commands += 1
        return self.lies if self.commands > self.begins_at else None


outage = Outage()


@contextmanager
def lying(kind: str, *, after: int = 0) -> Iterator[Outage]:
    """
    Let each LyingCache be out.

    Args:
        kind: how it says so, one of LIES.
        after: how many commands it takes before.
    """
    outage.__init__()
    outage.lies, outage.begins_at = LIES[kind], after
    try:
        yield outage
    finally:
        outage.lies = None


class LyingCache(LocMemCache):
    """Keep what it is given, but for an outage, which it doesn't report."""

    def add(self, *args: Any, **kwargs: Any) -> Any:
        lies = outage.answers()
        return lies[0]() if lies else super().add(*args, **kwargs)

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        return default if outage.answers() else super().get(key, default, version)

    def get_many(self, keys: Iterable[str], version: int | None = None) -> Any:
        lies = outage.answers()
        if lies:
            return lies[1]()
        found = {key: super(LyingCache, self).get(key, None, version) for key in keys}
        return {key: value for key, value in found.items() if value is not None}

    def set_many(self, data: Mapping[str, object], *args: Any, **kwargs: Any) -> Any:
        lies = outage.answers()
        if lies:
            return lies[2](data)
        for key, value in data.items():
            super().set(key, value, *args, **kwargs)
        return []

    def delete(self, key: str, version: int | None = None) -> bool:
        return not outage.answers() and super().delete(key, version)

    def touch(self, *args: Any, **kwargs: Any) -> bool:
        return not outage.answers() and super().touch(*args, **kwargs)
