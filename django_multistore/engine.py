"""Django's session API over one store: SESSION_ENGINE = "django_multistore.engine"."""

from __future__ import annotations

import secrets
from typing import Any, ClassVar

from .records import Update
from .stores import stores
from .stores.base import BaseStore
from .tracking import Secret, TrackedSession, key_if_valid

SESSION_KEY_LENGTH = 32
# From a random byte to one of base32's 32 letters and digits, each as likely as any other.
SESSION_KEY_LETTERS = b"abcdefghijklmnopqrstuvwxyz234567" * 8


def new_session_key() -> str:
    """
    Draw a session key.

    Returns:
        160 bits from the system's random source, as 32 lower-case letters and digits.
    """
    return secrets.token_bytes(SESSION_KEY_LENGTH).translate(SESSION_KEY_LETTERS).decode()


class SessionStore(TrackedSession):
    """
    One visitor's session, in the store that SESSION_STORES names.

    Twins for sync and async code differ only by `await`.
    """

    store_alias: ClassVar[str] = "default"

    @classmethod
    def get_store(cls) -> BaseStore:
        """Return the store that this engine keeps sessions in."""
        return stores[cls.store_alias]

    def load(self) -> dict[str, Any]:
        """
        Return the session as the store has it now.

        Changes made here stay, unless the session turns out to be dead: then they go, and
        so does its key.

        Raises:
            StoreUnavailable: the store could not be asked.
        """
        key = self.key
        return self._loaded(self.get_store().read(key) if key else None)

    async def aload(self) -> dict[str, Any]:
        """See load()."""
        key = self.key
        return self._loaded(await self.get_store().aread(key) if key else None)

    def exists(self, session_key: str | None) -> bool:
        """Say whether a live session has this session key."""
        key, session_key = key_if_valid(session_key), None
        return key is not None and self.get_store().read(key) is not None

    async def aexists(self, session_key: str | None) -> bool:
        """See exists()."""
        key, session_key = key_if_valid(session_key), None
        return key is not None and await self.get_store().aread(key) is not None

    def save(self, must_create: bool = False) -> None:
        """
        Save what was changed here, beside what other requests have saved meanwhile.

        Without a change it moves last-seen, at most once in SESSION_TOUCH_INTERVAL.

        Args:
            must_create: store a new session, under the session key if there is one.

        Raises:
            CreateError: must_create, and the session key is taken or was loaded before.
            UpdateError: the session was destroyed or has expired since it was loaded.
            StoreUnavailable: the store could not be asked.
        """
        if self.session_key is None:
            return self.create()
        if must_create:
            draft = self._first_draft(Secret(self.session_key))
            is_free = draft.ends_session or self.get_store().create(draft.record)
            return self._inserted(draft, is_free)
        self._get_session()
        draft = self._draft(self.key)
        if self._is_unmodified(draft):
            if touched := self._due_touch(draft):
                self._touched(touched, self.get_store().touch(touched))
            return None
        if draft.ends_session:
            return self._ended(self.get_store().destroy(draft.record.key))
        outcome = self.get_store().update(draft.record)
        if outcome is Update.CONFLICT:
            outcome = self.get_store().modify(draft.record.key, self._redrafting(draft))
        return self._updated(draft, outcome)

    async def asave(self, must_create: bool = False) -> None:
        """See save()."""
        if self.session_key is None:
            return await self.acreate()
        if must_create:
            draft = self._first_draft(Secret(self.session_key))
            is_free = draft.ends_session or await self.get_store().acreate(draft.record)
            return self._inserted(draft, is_free)
        await self._aget_session()
        draft = self._draft(self.key)
        if self._is_unmodified(draft):
            if touched := self._due_touch(draft):
                self._touched(touched, await self.get_store().atouch(touched))
            return None
        if draft.ends_session:
            return self._ended(await self.get_store().adestroy(draft.record.key))
        outcome = await self.get_store().aupdate(draft.record)
        if outcome is Update.CONFLICT:
            outcome = await self.get_store().amodify(draft.record.key, self._redrafting(draft))
        return self._updated(draft, outcome)

    def create(self) -> None:
        """
        Store a new session under a new session key, with what was set so far.

        An instance that had a session key starts empty: what it loaded may be a session
        that was ended since.

        Raises:
            StoreUnavailable: the store could not be asked.
        """
        self._start_anew()
        while True:
            draft = self._first_draft(Secret(new_session_key()))
            if draft.ends_session or self.get_store().create(draft.record):
                return self._created(draft)

    async def acreate(self) -> None:
        """See create()."""
        self._start_anew()
        while True:
            draft = self._first_draft(Secret(new_session_key()))
            if draft.ends_session or await self.get_store().acreate(draft.record):
                return self._created(draft)

    def cycle_key(self) -> None:
        """
        Move the session to a new session key; the old one is dead from then on.

        A session that was destroyed meanwhile does not come back. One without a user then
        starts anew, empty.

        Raises:
            SessionInterrupted: it was destroyed, and it is a user's.
            StoreUnavailable: the store could not be asked.
        """
        self._get_session()
        if self.key is None:
            return self.create()
        old_key, secret = self.key, Secret(new_session_key())
        draft = self._draft(secret.key, secret=secret)
        if draft.ends_session:
            return self._ended(self.get_store().destroy(old_key))
        outcome = self.get_store().rotate(old_key, draft.record)
        if outcome is Update.CONFLICT:
            outcome = self.get_store().modify(old_key, self._redrafting(draft))
        if not self._is_rotated(draft, outcome):
            self.create()

    async def acycle_key(self) -> None:
        """See cycle_key()."""
        await self._aget_session()
        if self.key is None:
            return await self.acreate()
        old_key, secret = self.key, Secret(new_session_key())
        draft = self._draft(secret.key, secret=secret)
        if draft.ends_session:
            return self._ended(await self.get_store().adestroy(old_key))
        outcome = await self.get_store().arotate(old_key, draft.record)
        if outcome is Update.CONFLICT:
            outcome = await self.get_store().amodify(old_key, self._redrafting(draft))
        if not self._is_rotated(draft, outcome):
            await self.acreate()

    def delete(self, session_key: str | None = None) -> None:
        """
        End the session under this session key.

        Args:
            session_key: None for this session's own.

        Raises:
            StoreUnavailable: the store could not be asked.
        """
        key, session_key = self._key_to_delete(session_key), None
        if key is not None:
            self._deleted(key, self.get_store().destroy(key))

    async def adelete(self, session_key: str | None = None) -> None:
        """See delete()."""
        key, session_key = self._key_to_delete(session_key), None
        if key is not None:
            self._deleted(key, await self.get_store().adestroy(key))

    @classmethod
    def clear_expired(cls) -> int:  # type: ignore[override]
        """
        Remove expired sessions from the store.

        Returns:
            How many there were.
        """
        return cls.get_store().gc()

    @classmethod
    async def aclear_expired(cls) -> int:  # type: ignore[override]
        """See clear_expired()."""
        return await cls.get_store().agc()
