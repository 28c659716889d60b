"""What stands before the engine's store while sessions of another engine are adopted."""

from __future__ import annotations

from typing import Any

from ..models import SessionRowQuerySet
from ..records import Page, SessionRecord
from ..stores.base import BaseStore
from ..stores.batches import Batch
from ..stores.steps import arun, run
from ..stores.stepwise import StepwiseStore
from .configuration import Adoption
from .envelopes import is_following
from .following import FollowingProtocol
from .known_keys import KnownKeys
from .protocol import AdoptingProtocol
from .signed_cookies import CookieProtocol
from .taking_over import TakingOverProtocol
from .translating import UserIdOf


class AdoptingStore(StepwiseStore):
    """
    Have the old engine's sessions among those of a store.

    It is made for each request, for it knows that request's session keys: the old engine wants
    them.

    Args:
        store: where records are.
        adoption: what SESSION_ADOPT says.
        user_id_of: the engine's get_user_id().
        known: the session keys that are known.
    """

    # Whose login is refused is found out by a list, and not by the store: what it evicts would
    # be in the old engine still.
    serializes_logins = False

    def __init__(
        self, store: BaseStore, adoption: Adoption, user_id_of: UserIdOf, known: KnownKeys
    ) -> None:
        super().__init__(store.alias)
        self.outages = store.outages
        self.store, self.adoption, self._user_id_of = store, adoption, user_id_of
        # Flags are the class's with any other store; here they are those of the one behind.
        vars(self).update(
            supports_users=store.supports_users,
            has_database_index=store.has_database_index,
            max_batch_size=store.max_batch_size,
        )
        self._protocol: AdoptingProtocol = _choose_protocol(adoption)(
            store, adoption, user_id_of, known
        )

    def knowing(self, known: KnownKeys) -> AdoptingStore:
        """Return it for a request with these session keys."""
        return AdoptingStore(self.store, self.adoption, self._user_id_of, known)

    @property
    def protocol(self) -> AdoptingProtocol:
        """The steps of each operation."""
        return self._protocol

    @property
    def database(self) -> str:
        """The alias of the database of the store behind, if it has one."""
        return str(getattr(self.store, "database"))  # noqa: B009 - not each store has it

    @property
    def place(self) -> str | None:
        return self.store.place

    @property
    def configured_by(self) -> str:
        return self.store.configured_by

    def read(self, key: str) -> SessionRecord | None:
        record = self.store.read(key)
        # What is here for good costs what it costs without this.
        if record is not None and not is_following(record):
            return record
        return run(self._protocol.settle(key, record))

    async def aread(self, key: str) -> SessionRecord | None:
        record = await self.store.aread(key)
        # What is here for good costs what it costs without this.
        if record is not None and not is_following(record):
            return record
        return await arun(self._protocol.settle(key, record))

    def reread(self, key: str) -> SessionRecord | None:
        return run(self._protocol.settle(key, self.store.reread(key)))

    async def areread(self, key: str) -> SessionRecord | None:
        return await arun(self._protocol.settle(key, await self.store.areread(key)))

    def page_for_user(self, user_id: object, *, start: int, size: int) -> Page:
        return self.store.page_for_user(user_id, start=start, size=size)

    async def apage_for_user(self, user_id: object, *, start: int, size: int) -> Page:
        return await self.store.apage_for_user(user_id, start=start, size=size)

    def database_index(self) -> SessionRowQuerySet:
        return self.store.database_index()

    def remove_expired(self, cursor: Any, size: int, *, dry_run: bool) -> Batch:
        return self.store.remove_expired(cursor, size, dry_run=dry_run)


def _choose_protocol(adoption: Adoption) -> type[AdoptingProtocol]:
    if adoption.old.keeps_in_cookies:
        return CookieProtocol
    return FollowingProtocol if adoption.follows else TakingOverProtocol
