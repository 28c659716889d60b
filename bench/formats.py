"""What the formats of payloads cost: RedisStore beside django-redis, which pickles."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

from django.contrib.sessions.backends.base import SessionBase

from django_multistore.conf import ASCII, DEFLATE, UNPACKED, UTF8, ZSTD, conf
from django_multistore.session import pieces

from . import rounds, timing
from .caches import django_engine, our_engine
from .columns import Column, Data, Engine
from .redis_rows import ALIAS, USER_ID
from .redis_sizes import LARGE, MIDDLE, session_of

PEER = "Django cache, django-redis"
# Each with whether msgspec is used, SESSION_JSON_ENCODING and SESSION_COMPRESSION.
WAYS = {
    "without fast": (False, ASCII, DEFLATE),
    "fast": (True, ASCII, DEFLATE),
    "fast, utf-8, zstd": (True, UTF8, ZSTD),
    "fast, utf-8, none": (True, UTF8, UNPACKED),
}
MEANT = "fast, utf-8, zstd"  # The targets are its.
OPERATIONS = {
    "read_login": "read the login",
    "save": "load, modify one small key, save",
    "change_all": "read and change every value, save",
}
TARGETS = {  # in times of django-redis
    "read_login": {MIDDLE: 0.7, LARGE: 0.5},
    "save": {MIDDLE: 0.9, LARGE: 0.5},
    "change_all": {MIDDLE: 1.0, LARGE: 1.0},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One operation on sessions of one size."""

    operation: str
    size: str
    times: timing.Times

    @property
    def target(self) -> float:
        return TARGETS[self.operation][self.size]

    @property
    def peer_microseconds(self) -> float:
        return median(self.times[PEER]) * 1e6

    def to_peer(self, way: str) -> float:
        """Return how many times as long as django-redis one of the WAYS takes."""
        return timing.ratio(self.times, way, PEER)


class Requests(Engine):
    """What requests do with a session."""

    def read_login(self, keys: list[str]) -> None:
        for key in keys:
            user_id = self._store(key)["_auth_user_id"]
        assert user_id == str(USER_ID)

    def change_all(self, keys: list[str]) -> None:
        for number, key in enumerate(keys):
            session: Any = self._store(key)
            for name, value in [*session.items()]:
                session[name] = _change(name, value, number)
            session.save()


class Configured(Requests):
    """The same with settings of its own."""

    def __init__(self, store: type[SessionBase], data: Data, way: str) -> None:
        super().__init__(store, data)
        self._way = WAYS[way]

    def create(self, count: int) -> list[str]:
        with self._configured():
            return super().create(count)

    def read_login(self, keys: list[str]) -> None:
        with self._configured():
            super().read_login(keys)

    def save(self, keys: list[str]) -> None:
        with self._configured():
            super().save(keys)

    def change_all(self, keys: list[str]) -> None:
        with self._configured():
            super().change_all(keys)

    @contextmanager
    def _configured(self) -> Iterator[None]:
        is_fast, encoding, compression = self._way
        was_fast = pieces.IS_FAST
        pieces.IS_FAST = is_fast and was_fast
        # Not by override_settings(), which would be a part of what is measured.
        vars(conf).update(writes_utf8=encoding == UTF8, compression=compression)
        try:
            yield
        finally:
            pieces.IS_FAST = was_fast
            vars(conf).clear()


def measure(turns: int) -> list[Row]:
    """
    Measure every row in one Redis.

    Args:
        turns: how many rounds.
    """
    return [row for size in (MIDDLE, LARGE) for row in _measure(size, turns)]


def _measure(size: str, turns: int) -> list[Row]:
    data = session_of(USER_ID, size)
    columns: dict[str, Column] = {PEER: Requests(django_engine("django_redis"), data)}
    columns |= {way: Configured(our_engine(ALIAS), data, way) for way in WAYS}
    times = rounds.measured(columns, ("create", *OPERATIONS, "delete"), turns)
    return [Row(operation=name, size=size, times=times[name]) for name in OPERATIONS]


def _change(name: str, value: Any, number: int) -> Any:
    if name == "cart":
        for item in value:
            item["quantity"] = number
    elif name == "_auth_user_hash":
        value = f"{number:064x}"
    elif name == "number":
        value = number
    return value
