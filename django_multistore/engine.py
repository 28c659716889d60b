"""Django's session API over one store: SESSION_ENGINE = "django_multistore.engine"."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from .adopting.session import AdoptingSession
from .exceptions import StoreUnavailable
from .records import SessionRecord
from .saving.writes import WritingSession
from .session.keys import Secret
from .session.locks import alocked, locked
from .stores.steps import arun, run

__all__ = ["SessionStore"]


class SessionStore(AdoptingSession, WritingSession):
    """
    A session in the store that SESSION_STORES names.

    The variants for sync and for async code differ only by `await`.
    """

    accessed: bool

    def load(self) -> dict[str, Any]:
        """
        Return the session as the store has it now.

        Changes made here stay, unless the session turns out to be dead: then they go, and
        so does its key.

        Raises:
            StoreUnavailable: the store could not be asked.
        """
        key = self.key
        try:
            record = self.store.read(key) if key else None
            if record is None and key and settings.SECRET_KEY_FALLBACKS:
                record = run(self._follow_upgrade())
            return self._note_load(record)
        except StoreUnavailable as outage:
            return self._note_failed_load(outage)

    def open(self) -> None:
        """Load the session, if that wasn't done yet."""
        self._get_session()

    def _get_session(self, no_load: bool = False) -> dict[str, Any]:
        self.accessed = True
        if not hasattr(self, "_session_cache"):
            if self.session_key is None or no_load:
                self.__dict__.setdefault("_session_cache", {})
            else:
                self._load_once()
        return self._session_cache

    _session = property(_get_session)

    @locked
    def _load_once(self) -> None:
        # What another task has loaded and changed meanwhile stays.
        if not hasattr(self, "_session_cache"):
            self.__dict__.setdefault("_session_cache", self.load())

    async def aload(self) -> dict[str, Any]:
        """See load()."""
        key = self.key
        try:
            record = await self.store.aread(key) if key else None
            if record is None and key and settings.SECRET_KEY_FALLBACKS:
                record = await arun(self._follow_upgrade())
            return self._note_load(record)
        except StoreUnavailable as outage:
            return self._note_failed_load(outage)

    async def aopen(self) -> None:
        """See open()."""
        await self._aget_session()

    async def _aget_session(self, no_load: bool = False) -> dict[str, Any]:
        self.accessed = True
        if not hasattr(self, "_session_cache"):
            if self.session_key is None or no_load:
                self.__dict__.setdefault("_session_cache", {})
            else:
                await self._aload_once()
        return self._session_cache

    @alocked
    async def _aload_once(self) -> None:
        # What another task has loaded and changed meanwhile stays.
        if not hasattr(self, "_session_cache"):
            self.__dict__.setdefault("_session_cache", await self.aload())

    def exists(self, session_key: str | None) -> bool:
        """Say whether a live session has this session key."""
        key, session_key = self._introduce(session_key), None
        return key is not None and self.store.read(key) is not None

    async def aexists(self, session_key: str | None) -> bool:
        """See exists()."""
        key, session_key = self._introduce(session_key), None
        return key is not None and await self.store.aread(key) is not None

    @locked
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
        self._unlearn_undone()
        if self.session_key is None:
            return self.create()
        if must_create:
            draft = self._draft_first(Secret(self.session_key))
            return self._note_insert(draft, run(self._insert(draft)))
        self.open()
        self._keep_login_if_elsewhere()
        draft = self._draft(self.key)
        if self._is_unmodified(draft):
            return self._touch_if_due(draft.record)
        return run(self._write(draft))

    @alocked
    async def asave(self, must_create: bool = False) -> None:
        """See save()."""
        self._unlearn_undone()
        if self.session_key is None:
            return await self.acreate()
        if must_create:
            draft = self._draft_first(Secret(self.session_key))
            return self._note_insert(draft, await arun(self._insert(draft)))
        await self.aopen()
        self._keep_login_if_elsewhere()
        draft = self._draft(self.key)
        if self._is_unmodified(draft):
            return await self._atouch_if_due(draft.record)
        return await arun(self._write(draft))

    @locked
    def create(self) -> None:
        """
        Store a new session under a new session key, with what was set so far.

        An instance that had a session key starts empty: what it loaded may be a session
        that was ended since.

        Raises:
            StoreUnavailable: the store could not be asked.
        """
        self._start_anew()
        run(self._create())

    @alocked
    async def acreate(self) -> None:
        """See create()."""
        self._start_anew()
        await arun(self._create())

    def cycle_key(self) -> None:
        """
        Move the session to a new session key; the old one is dead from then on.

        A session that was destroyed meanwhile does not come back. One without a user then
        starts anew, empty.

        Raises:
            SessionInterrupted: it was destroyed, and it is a user's.
            StoreUnavailable: the store could not be asked.
        """
        self.open()
        self._unlearn_undone()
        return self._cycle(self.key)

    @locked
    def _cycle(self, old_key: str | None) -> None:
        run(self._move(old_key))

    async def acycle_key(self) -> None:
        """See cycle_key()."""
        await self.aopen()
        self._unlearn_undone()
        return await self._acycle(self.key)

    @alocked
    async def _acycle(self, old_key: str | None) -> None:
        await arun(self._move(old_key))

    def delete(self, session_key: str | None = None) -> None:
        """
        End the session under this session key.

        Args:
            session_key: None for this session's own.

        Raises:
            StoreUnavailable: the store could not be asked.
        """
        self._introduce(session_key)
        key, session_key = self._find_key_to_delete(session_key), None
        if key is not None:
            self._delete(key)

    @locked
    def _delete(self, key: str) -> None:
        run(self._destroy(key))

    async def adelete(self, session_key: str | None = None) -> None:
        """See delete()."""
        self._introduce(session_key)
        key, session_key = self._find_key_to_delete(session_key), None
        if key is not None:
            await self._adelete(key)

    @alocked
    async def _adelete(self, key: str) -> None:
        await arun(self._destroy(key))

    @locked
    def flush(self) -> None:
        """
        End the session, and start anew without one.

        Raises:
            StoreUnavailable: the store could not be asked.
        """
        self.clear()
        run(self._flush())

    @alocked
    async def aflush(self) -> None:
        """See flush()."""
        self.clear()
        await arun(self._flush())

    def end_left_behind(self) -> None:
        """End another user's session that a login leaves with nobody to hold it."""
        run(self._end_left_behind())

    def log_in_apart(self) -> bool:
        """
        Start a session of its own for a login that lost to a rotation of the one that it was in.

        Returns:
            Whether it did; else that session has ended.
        """
        return run(self._log_in_apart())

    def look_for_trail(self) -> None:
        """
        Find out whether the browser may have a newer cookie, which this session's would replace.

        It may where the session is anonymous, and its request came with a key that no store knows.
        """
        run(self._look_for_trail())

    async def alook_for_trail(self) -> None:
        """See look_for_trail()."""
        await arun(self._look_for_trail())

    def look_for_key(self) -> None:
        """Find out whether the session is still under the key that its hash's renewal has given."""
        run(self._look_for_key())

    async def alook_for_key(self) -> None:
        """See look_for_key()."""
        await arun(self._look_for_key())

    def follow_form(self) -> bool:
        """
        Go on with the session that the first POST of a form has moved, if this is its second.

        It may be where no store knows the request's session key. `form` has to be set.
        """
        return run(self._follow_form())

    @locked
    def touch(self) -> None:
        """Note that a loaded session is in use, once in SESSION_TOUCH_INTERVAL."""
        self._touch_if_due(self._draft_touch())

    @alocked
    async def atouch(self) -> None:
        """See touch()."""
        await self._atouch_if_due(self._draft_touch())

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

    def _touch_if_due(self, moved: SessionRecord | None) -> None:
        touched = self._find_due_touch(moved)
        if touched is None:
            return
        try:
            self._note_touch(touched, self.store.touch(touched))
        except StoreUnavailable as outage:
            self._note_failed_touch(outage)

    async def _atouch_if_due(self, moved: SessionRecord | None) -> None:
        touched = self._find_due_touch(moved)
        if touched is None:
            return
        try:
            self._note_touch(touched, await self.store.atouch(touched))
        except StoreUnavailable as outage:
            self._note_failed_touch(outage)
