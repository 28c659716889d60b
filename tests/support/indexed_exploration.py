"""The world of a store with an index in a database, and what is done in it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import pytest

from django_multistore.models import UserSession
from django_multistore.stores.indexed.store import IndexedStore
from django_multistore.stores.steps import Steps, call_database, run
from tests.support.exploration import (
    OF_A_USER,
    OF_A_VISITOR,
    USER,
    VISITOR,
    Operation,
    World,
    become_another,
    log_in,
    log_in_and_rotate,
    log_in_anew,
    pairs,
    rotate,
    save_and_slide,
)

HALF_ROTATED = "half rotated"


@dataclass
class IndexedWorld(World):
    store: IndexedStore

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start == HALF_ROTATED:
            # As a process leaves it that dies when it has moved the row.
            self.store._index.move(self.session.key, self.changed(key=self.new_key()))

    @abstractmethod
    def keys_with_data(self, keys: Collection[str]) -> set[str]:
        """Return those of the keys under which the store has a session's data, whoever's."""

    @property
    def protocol(self) -> Any:
        return self.store._protocol

    def ending(self) -> Steps[Any]:
        return self.protocol.destroy_for_user(self.ann, id=self.session.id)  # type: ignore[no-any-return]

    def wait_is_over(self) -> None:
        pass

    def look_at_what_is_left(self) -> None:
        pass

    def clean_up(self) -> None:
        rows = self.store._index.rows_after(0, 100)
        run(self.store._protocol.gc(rows, dry_run=False))
        alive = {record.key for record in self.live() if record.user_id is not None}
        rows = self.store._index.rows_after(0, 100)
        pointing = {key for row in rows for key in row.keys}
        assert alive <= pointing, "gc has made a live session unlisted"
        # A row stays while the store has its session, even as another's or as nobody's.
        with_data = self.keys_with_data(pointing)
        assert all(with_data.intersection(row.keys) for row in rows), (
            "a row points nowhere after gc"
        )
        for user in (self.ann, self.bob):
            self.store.destroy_for_user(user)
        assert not [record for record in self.live() if record.user_id is not None], (
            "destroy_for_user() did not end all of them"
        )
        for key in self.keys:
            self.store.destroy(key)
        run(self.store._protocol.gc(self.store._index.rows_after(0, 100), dry_run=False))
        assert not rows_of(self.store).exists(), "a row points nowhere"


def rows_of(store: IndexedStore) -> Any:
    return UserSession.objects.using(store.database).all()


def collect(world: World) -> Steps[Any]:
    assert isinstance(world, IndexedWorld)
    rows = yield from call_database(world.store._index.rows_after, 0, 100)
    return (yield from world.protocol.gc(rows, dry_run=False)) if rows else 0


OPERATIONS: dict[str, list[Operation]] = {
    USER: [*OF_A_USER, collect],
    VISITOR: [*OF_A_VISITOR, collect],
    HALF_ROTATED: [*OF_A_USER, collect],
}
WORLDS = [(start, operation) for start in OPERATIONS for operation in OPERATIONS[start]]
IN_A_TRANSACTION = [
    (USER, rotate),
    (USER, save_and_slide),
    (USER, log_in_anew),
    (USER, become_another),
    (VISITOR, log_in),
    (VISITOR, log_in_and_rotate),
    (HALF_ROTATED, rotate),
]
PAIRS = [
    pytest.param(start, (one, other), id=f"{start}-{one.__name__}-{other.__name__}")
    for start, one, other in pairs(OPERATIONS)
]
