"""The smallest store that keeps the contract: what the base provides does the rest."""

from __future__ import annotations

from typing import Any

from django_multistore.records import Outcome, SessionRecord
from django_multistore.stores.base import BaseStore
from django_multistore.stores.batches import Batch
from django_multistore.stores.memory import MemoryStore


class SmallestStore(BaseStore):
    def __init__(self, alias: str = "default", **options: Any) -> None:
        super().__init__(alias, **options)
        self.memory = MemoryStore(alias)

    def read(self, key: str) -> SessionRecord | None:
        return self.memory.read(key)

    def create(self, record: SessionRecord) -> bool:
        return self.memory.create(record)

    def update(self, record: SessionRecord) -> Outcome:
        return self.memory.update(record)

    def destroy(self, key: str) -> bool:
        return self.memory.destroy(key)

    def remove_expired(self, cursor: Any, size: int, *, dry_run: bool) -> Batch:
        return self.memory.remove_expired(cursor, size, dry_run=dry_run)


class SmallestIndexedStore(SmallestStore):
    supports_users = True

    def sessions_for_user(self, user_id: object) -> list[SessionRecord]:
        return self.memory.sessions_for_user(user_id)
