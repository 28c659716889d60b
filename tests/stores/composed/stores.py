"""Stores in memory that are as hard to move to as others are."""

from __future__ import annotations

from typing import Any

from django_multistore.records import Outcome, SessionRecord, is_over
from django_multistore.stores.memory import MemoryStore


class ByIdStore(MemoryStore):
    """A store whose ids are unique, and which keeps what has expired, as one in a table does."""

    def create(self, record: SessionRecord) -> bool:
        with self._lock:
            ids = {each.id for each in self._records.values()}
            return record.id not in ids and super().create(record)

    def make_way(self, record: SessionRecord) -> bool:
        with self._lock:
            in_the_way = [
                key
                for key, each in self._records.items()
                if record.id == each.id and self.read(key) is None
            ]
            for key in in_the_way:
                del self._records[key]
            return super().make_way(record) or bool(in_the_way)


class RememberingStore(MemoryStore):
    """A store that remembers which keys have ended, as one in a cache does."""

    def __init__(self, alias: str = "default", **options: Any) -> None:
        super().__init__(alias, **options)
        self._ended: set[str] = set()

    def create(self, record: SessionRecord) -> bool:
        with self._lock:
            return record.key not in self._ended and super().create(record)

    def rotate(self, old_key: str, record: SessionRecord) -> Outcome:
        with self._lock:
            outcome = super().rotate(old_key, record)
            if outcome is Outcome.DONE and (is_over(record) or old_key != record.key):
                self._records.pop(old_key, None)
                self._ended.add(old_key)
            return outcome

    def destroy(self, key: str) -> bool:
        with self._lock:
            self._ended.add(key)
            return super().destroy(key)
