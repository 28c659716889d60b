"""SplitStore: visitors' sessions in one store, users' in another."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from ...models import SessionRowQuerySet
from ...records import SessionRecord
from ..base import BaseStore
from ..batches import Batch
from ..handler import stores
from ..steps import arun, run
from ..stepwise import StepwiseStore
from .crossing import SplitProtocol, belongs_to_user
from .marks import MARK, is_waiting
from .parts import ComposedStore, FlagOfParts


class _Cursor(NamedTuple):
    """Where gc is: in the one store, and then in the other."""

    option: str
    there: Any


class SplitStore(ComposedStore, StepwiseStore):
    """
    Keep visitors' sessions in one store and users' in another.

    A session's key says in which it is, so that each request asks one of them. A login moves the
    session, with the rotation that each login is.

    Options:
        ANONYMOUS: the alias of the store of sessions that begin without a user.
        USERS: the alias of the store of sessions that begin with one.
    """

    default_options: ClassVar[dict[str, Any]] = {"ANONYMOUS": None, "USERS": None}
    PARTS: ClassVar[tuple[str, ...]] = ("USERS", "ANONYMOUS")

    supports_users: ClassVar[Any] = FlagOfParts("supports_users", "USERS")
    has_database_index: ClassVar[Any] = FlagOfParts("has_database_index", "USERS")

    _protocol: SplitProtocol

    def __init__(self, alias: str = "default", **options: Any) -> None:
        super().__init__(alias, **options)
        self._protocol = SplitProtocol(
            self.outages, anonymous=self.options["ANONYMOUS"], users=self.options["USERS"]
        )

    @property
    def _users(self) -> BaseStore:
        return stores[self.options["USERS"]]

    @property
    def configured_by(self) -> str:
        return self._users.configured_by

    @property
    def database(self) -> str | None:
        """The alias of the database of the users' sessions, if they are in one."""
        return getattr(self._users, "database", None)

    def fits(self, key: str, user_id: str | None, old_key: str | None = None) -> bool:
        # Who was a user's once stays there: so no session moves but by a login.
        was_users = old_key is not None and belongs_to_user(old_key)
        return belongs_to_user(key) == (was_users or user_id is not None)

    # A load is one question, so read() is no protocol for run().

    def read(self, key: str) -> SessionRecord | None:
        entry = self._protocol.part_of(key).read(key)
        if entry is None or is_waiting(entry):
            return None
        return run(self._protocol.resolve(entry)) if entry.payload.startswith(MARK) else entry

    async def aread(self, key: str) -> SessionRecord | None:
        entry = await self._protocol.part_of(key).aread(key)
        if entry is None or is_waiting(entry):
            return None
        if entry.payload.startswith(MARK):
            return await arun(self._protocol.resolve(entry))
        return entry

    def reread(self, key: str) -> SessionRecord | None:
        return run(self._protocol.reread(key))

    async def areread(self, key: str) -> SessionRecord | None:
        return await arun(self._protocol.reread(key))

    def database_index(self) -> SessionRowQuerySet:
        return self._users.database_index()

    def remove_expired(self, cursor: _Cursor | None, size: int, *, dry_run: bool) -> Batch:
        here = cursor or _Cursor("ANONYMOUS", None)
        part = stores[self.options[here.option]]
        size = min(size, part.max_batch_size or size)
        batch = part.remove_expired(here.there, size, dry_run=dry_run)
        if batch.cursor is not None:
            return Batch(batch.count, here._replace(there=batch.cursor))
        is_last = here.option == "USERS"
        return Batch(batch.count, None if is_last else _Cursor("USERS", None))
