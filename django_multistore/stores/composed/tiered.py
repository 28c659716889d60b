"""TieredStore: sessions in one store, and copies of them in a quicker one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar, NamedTuple

from django.core.checks import CheckMessage, Error

from ...exceptions import InvalidStore, StoreUnavailable
from ...models import SessionRowQuerySet
from ...records import SessionRecord
from ..base import BaseStore
from ..batches import Batch
from ..handler import stores
from ..steps import arun, run
from ..stepwise import StepwiseStore
from .copies import find_copied
from .front import Front
from .parts import ComposedStore, FlagOfParts
from .tiers import TieredProtocol

LONGEST_SECONDS = 24 * 3600


class _Cursor(NamedTuple):
    """Where gc is: in the back, and then in the front, whose copies are no sessions."""

    is_in_front: bool
    there: Any


class TieredStore(ComposedStore, StepwiseStore):
    """
    Keep records in one store, and serve copies of them from a quicker one.

    A copy is never older than what was saved last, nor there when its session has ended. Without
    the front each request goes to the back.

    Options:
        FRONT: the alias of the store that has the copies: a RedisStore, for example.
        BACK: the alias of the store that has the sessions.
        FRONT_SECONDS: for how long a copy is served at the most.
    """

    default_options: ClassVar[dict[str, Any]] = {"FRONT": None, "BACK": None, "FRONT_SECONDS": 300}
    PARTS: ClassVar[tuple[str, ...]] = ("BACK", "FRONT")

    supports_users: ClassVar[Any] = FlagOfParts("supports_users", "BACK")
    serializes_logins: ClassVar[Any] = FlagOfParts("serializes_logins", "BACK")
    has_database_index: ClassVar[Any] = FlagOfParts("has_database_index", "BACK")

    _protocol: TieredProtocol

    def __init__(self, alias: str = "default", **options: Any) -> None:
        super().__init__(alias, **options)
        seconds = self.options["FRONT_SECONDS"]
        is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if not is_number or not 1 <= seconds <= LONGEST_SECONDS:
            raise InvalidStore(
                f"SESSION_STORES[{alias!r}]['OPTIONS']['FRONT_SECONDS'] is {seconds!r}. It must be "
                f"a number of seconds, from 1 to {LONGEST_SECONDS}."
            )
        self._front = Front(alias, self.options["FRONT"], seconds)
        self._protocol = TieredProtocol(self._front, self.options["BACK"])

    @property
    def _back(self) -> BaseStore:
        return stores[self.options["BACK"]]

    @property
    def configured_by(self) -> str:
        return self._back.configured_by

    @property
    def database(self) -> str | None:
        """The alias of the database of the back, if it has one."""
        return getattr(self._back, "database", None)

    # A hit is one question to the front, so read() is no protocol for run().

    def read(self, key: str) -> SessionRecord | None:
        if not self._front.may_read(key):
            return run(self._protocol.read_again(key))
        try:
            entry = self._front.store.read(key)
        except StoreUnavailable as error:
            self._front.note_outage(error)
            return self._back.read(key)
        copied = find_copied(entry)
        return run(self._protocol.fill(key, entry)) if copied is None else copied

    async def aread(self, key: str) -> SessionRecord | None:
        if not self._front.may_read(key):
            return await arun(self._protocol.read_again(key))
        try:
            entry = await self._front.store.aread(key)
        except StoreUnavailable as error:
            self._front.note_outage(error)
            return await self._back.aread(key)
        copied = find_copied(entry)
        return await arun(self._protocol.fill(key, entry)) if copied is None else copied

    def reread(self, key: str) -> SessionRecord | None:
        return self._back.reread(key)

    async def areread(self, key: str) -> SessionRecord | None:
        return await self._back.areread(key)

    def database_index(self) -> SessionRowQuerySet:
        return self._back.database_index()

    def remove_expired(self, cursor: _Cursor | None, size: int, *, dry_run: bool) -> Batch:
        is_in_front, there = cursor or (False, None)
        part = self._front.store if is_in_front else self._back
        size = min(size, part.max_batch_size or size)
        if not is_in_front:
            batch = part.remove_expired(there, size, dry_run=dry_run)
            if batch.cursor is not None:
                return Batch(batch.count, _Cursor(False, batch.cursor))
            return Batch(batch.count, None if dry_run else _Cursor(True, None))
        with suppress(StoreUnavailable):  # What isn't removed there expires.
            batch = part.remove_expired(there, size, dry_run=dry_run)
            return Batch(0, None if batch.cursor is None else _Cursor(True, batch.cursor))
        return Batch(0)

    def is_in_transaction(self) -> bool:
        return self._back.is_in_transaction()

    def after_commit(self, action: Callable[[], object]) -> None:
        self._back.after_commit(action)

    def fits(self, key: str, user_id: str | None, old_key: str | None = None) -> bool:
        return self._back.fits(key, user_id, old_key)

    def try_more(self, record: SessionRecord) -> None:
        self._back.try_more(record)

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        front, back = self._front.store, self._back
        where = f"SESSION_STORES[{self.alias!r}]['OPTIONS']['FRONT']"
        if front.place is not None and front.place == back.place:
            return [
                Error(
                    f"Session store {self.alias!r} has its FRONT and its BACK at one place: "
                    f"{back.place}.",
                    hint=f"Have {where} name a store with another place, a RedisStore for example.",
                    id="django_multistore.E028",
                )
            ]
        reason = front.unfit_for_copies
        if reason is None and not front.supports_users:
            reason = "which can't find the sessions of one user"
        if reason is None:
            return []
        return [
            Error(
                f"Session store {self.alias!r} would serve sessions after their end: its FRONT is "
                f"{front.alias!r} ({type(front).__name__}), {reason}.",
                hint=f"Have {where} name a RedisStore, a MemcachedStore, or a CacheStore with "
                "EXACT.",
                id="django_multistore.E027",
            )
        ]
