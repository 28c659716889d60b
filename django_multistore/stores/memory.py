"""A store in this process's memory: the reference for the contract, and for tests."""

from __future__ import annotations

import heapq
import threading
from dataclasses import replace
from typing import Any

from django.core.checks import CheckMessage, Warning

from ..records import Admission, Limit, Outcome, SessionRecord, successor, touched, user_id_of
from ..session import clock
from .base import BaseStore
from .batches import Batch

__all__ = ["MemoryStore"]


class MemoryStore(BaseStore):
    """Keep records in a dictionary, under one lock. They end with the process."""

    supports_users = True
    supports_scan = True
    serializes_logins = True

    def __init__(self, alias: str = "default", **options: Any) -> None:
        super().__init__(alias, **options)
        self._records: dict[str, SessionRecord] = {}
        self._lock = threading.RLock()

    def read(self, key: str) -> SessionRecord | None:
        record = self._records.get(key)
        return record if record is not None and _is_live(record) else None

    def create(self, record: SessionRecord) -> bool:
        with self._lock:
            if record.key in self._records:
                return False
            self._records[record.key] = record
            return True

    def update(self, record: SessionRecord) -> Outcome:
        return self.rotate(record.key, record)

    def rotate(self, old_key: str, record: SessionRecord) -> Outcome:
        with self._lock:
            stored = self.read(old_key)
            if stored is None:
                return Outcome.GONE
            if record.version not in (None, stored.version):
                return Outcome.CONFLICT
            del self._records[old_key]
            self._records[record.key] = successor(stored, record)
            return Outcome.DONE

    def touch(self, record: SessionRecord) -> bool:
        with self._lock:
            stored = self.read(record.key)
            if stored is None or stored.version != record.version:
                return False
            self._records[record.key] = touched(stored, record)
            return True

    def destroy(self, key: str) -> bool:
        with self._lock:
            return self._records.pop(key, None) is not None

    def remove_expired(self, cursor: Any, size: int, *, dry_run: bool) -> Batch:
        with self._lock:
            expired = [key for key, record in self._records.items() if not _is_live(record)]
            if dry_run:
                return Batch(len(expired))
            for key in expired[:size]:
                del self._records[key]
        # The next step looks through all of them again: none is where it was.
        return Batch(len(expired[:size]), cursor="start" if len(expired) > size else None)

    def make_way(self, record: SessionRecord) -> bool:
        with self._lock:
            stored = self._records.get(record.key)
            if stored is None or _is_live(stored):
                return False
            del self._records[record.key]
            return True

    def scan(self, cursor: Any, size: int) -> tuple[list[SessionRecord], Any]:
        with self._lock:
            after = [key for key in self._records if cursor is None or key > cursor]
            keys = heapq.nsmallest(size, after)
            found = [self._records[key] for key in keys]
        return [each for each in found if _is_live(each)], keys[-1] if len(keys) == size else None

    def admit(self, old_key: str | None, record: SessionRecord, limit: Limit) -> Admission:
        with self._lock:
            return super().admit(old_key, record, limit)

    def sessions_for_user(self, user_id: object) -> list[SessionRecord]:
        wanted = user_id_of(user_id)
        with self._lock:
            mine = [record for record in self._records.values() if record.user_id == wanted]
        return [replace(record, payload=b"") for record in mine if _is_live(record)]

    def destroy_for_user(self, user_id: object, *, except_key: str | None = None) -> int:
        wanted = user_id_of(user_id)
        with self._lock:
            mine = [key for key, record in self._records.items() if record.user_id == wanted]
            return sum(self.destroy(key) for key in mine if key != except_key)

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        if not kwargs.get("deploy"):
            return []
        return [
            Warning(
                f"Session store {self.alias!r} keeps sessions in the memory of one process.",
                hint="Use django_multistore.stores.orm.OrmStore: other processes don't see "
                "these sessions, and a restart logs everyone out.",
                id="django_multistore.W001",
            )
        ]


def _is_live(record: SessionRecord) -> bool:
    return record.expires_at > clock.now()
