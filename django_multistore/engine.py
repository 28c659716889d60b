"""Django's session API over one store: SESSION_ENGINE = "django_multistore.engine"."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings

from . import signals
from .auth import hashes, openable
from .exceptions import StoreUnavailable
from .records import Limit, Outcome, SessionRecord
from .rotation.moved import MovedSession
from .session import keys
from .session.keys import Secret, digest_if_valid
from .session.locks import alocked, locked
from .session.tracking import Draft
from .signals import Reason
from .stores import stores
from .stores.base import BaseStore, backoff
from .stores.steps import Pause, arun, run

# How many session keys of 160 random bits may be taken before the store isn't believed.
FRESH_KEYS = 5


class SessionStore(MovedSession):
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
        try:
            record = self.get_store().read(key) if key else None
            if record is None and key and settings.SECRET_KEY_FALLBACKS:
                record = run(self._follow_upgrade())
        except StoreUnavailable as outage:
            return self._not_loaded(outage)
        return self._loaded(record)

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
            record = await self.get_store().aread(key) if key else None
            if record is None and key and settings.SECRET_KEY_FALLBACKS:
                record = await arun(self._follow_upgrade())
        except StoreUnavailable as outage:
            return self._not_loaded(outage)
        return self._loaded(record)

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
        key, session_key = digest_if_valid(session_key), None
        return key is not None and self.get_store().read(key) is not None

    async def aexists(self, session_key: str | None) -> bool:
        """See exists()."""
        key, session_key = digest_if_valid(session_key), None
        return key is not None and await self.get_store().aread(key) is not None

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
            draft = self._first_draft(Secret(self.session_key))
            return self._inserted(draft, self._insert(draft))
        self.open()
        self._keep_login_if_elsewhere()
        draft = self._draft(self.key)
        if self._is_unmodified(draft):
            return self._touch_if_due(draft.record)
        if draft.ends_session:
            return self._end(draft.record.key)
        outcome = self._replace(draft.record.key, draft)
        if outcome is Outcome.GONE:
            if self._has_ended_itself():
                return self.create() if self._keep_own_changes() else None
            outcome = run(self._catch_up(draft))
        return self._updated(draft, outcome)

    @alocked
    async def asave(self, must_create: bool = False) -> None:
        """See save()."""
        self._unlearn_undone()
        if self.session_key is None:
            return await self.acreate()
        if must_create:
            draft = self._first_draft(Secret(self.session_key))
            return self._inserted(draft, await self._ainsert(draft))
        await self.aopen()
        self._keep_login_if_elsewhere()
        draft = self._draft(self.key)
        if self._is_unmodified(draft):
            return await self._atouch_if_due(draft.record)
        if draft.ends_session:
            return await self._aend(draft.record.key)
        outcome = await self._areplace(draft.record.key, draft)
        if outcome is Outcome.GONE:
            if self._has_ended_itself():
                return await self.acreate() if self._keep_own_changes() else None
            outcome = await arun(self._catch_up(draft))
        return self._updated(draft, outcome)

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
        for delay in backoff(FRESH_KEYS):
            Pause(delay).take()
            draft = self._first_draft(Secret(keys.new_session_key()))
            if self._insert(draft):
                return self._created(draft)
        raise self._all_taken()

    @alocked
    async def acreate(self) -> None:
        """See create()."""
        self._start_anew()
        for delay in backoff(FRESH_KEYS):
            await Pause(delay).atake()
            draft = self._first_draft(Secret(keys.new_session_key()))
            if await self._ainsert(draft):
                return self._created(draft)
        raise self._all_taken()

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
        return self._move(self.key)

    @locked
    def _move(self, old_key: str | None) -> None:
        if self.key != old_key:
            return None  # Another task of this request has just done it.
        if old_key is None:
            return self.create()
        if self.form is not None and self.is_out_of_reach:
            return None  # Another POST of the form finds one move, not two.
        renewal = run(hashes.renewal_of(self._session_cache))
        secret = self._next_key(renewal)
        draft = self._draft(secret.key, secret=secret)
        draft.is_followable = renewal is not None and renewal.hash is not None
        if draft.ends_session:
            return self._end(old_key)
        outcome = self._rotate(old_key, draft)
        if outcome is Outcome.GONE:
            if run(self._follow_rotation(renews_hash=draft.is_followable)):
                return None
            if renewal is not None and run(self._stay_where_it_is()):
                return None
            if self._has_ended_itself():
                self._keep_own_changes()
                return self.create()
        if not self._is_rotated(draft, outcome):
            return self.create()
        return signals.send_ended(type(self), Reason.ROTATED, **self._stored_name())

    async def acycle_key(self) -> None:
        """See cycle_key()."""
        await self.aopen()
        self._unlearn_undone()
        return await self._amove(self.key)

    @alocked
    async def _amove(self, old_key: str | None) -> None:
        if self.key != old_key:
            return None  # Another task of this request has just done it.
        if old_key is None:
            return await self.acreate()
        if self.form is not None and self.is_out_of_reach:
            return None  # Another POST of the form finds one move, not two.
        renewal = await arun(hashes.renewal_of(self._session_cache))
        secret = self._next_key(renewal)
        draft = self._draft(secret.key, secret=secret)
        draft.is_followable = renewal is not None and renewal.hash is not None
        if draft.ends_session:
            return await self._aend(old_key)
        outcome = await self._arotate(old_key, draft)
        if outcome is Outcome.GONE:
            if await arun(self._follow_rotation(renews_hash=draft.is_followable)):
                return None
            if renewal is not None and await arun(self._stay_where_it_is()):
                return None
            if self._has_ended_itself():
                self._keep_own_changes()
                return await self.acreate()
        if not self._is_rotated(draft, outcome):
            return await self.acreate()
        return await signals.asend_ended(type(self), Reason.ROTATED, **self._stored_name())

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
            self._delete(key)

    @locked
    def _delete(self, key: str) -> None:
        reason, name = self._reason_to_delete(key)
        count = self._deleted(key, self.get_store().destroy(key))
        signals.send_ended(type(self), reason, **name, count=count)

    async def adelete(self, session_key: str | None = None) -> None:
        """See delete()."""
        key, session_key = self._key_to_delete(session_key), None
        if key is not None:
            await self._adelete(key)

    @alocked
    async def _adelete(self, key: str) -> None:
        reason, name = self._reason_to_delete(key)
        count = self._deleted(key, await self.get_store().adestroy(key))
        await signals.asend_ended(type(self), reason, **name, count=count)

    @locked
    def flush(self) -> None:
        """
        End the session, and start anew without one.

        Raises:
            StoreUnavailable: the store could not be asked.
        """
        self.clear()
        key, name = self._key_to_flush(), self._stored_name()
        was_there = key is not None and self.get_store().destroy(key)
        if not was_there:
            was_there = run(self._end_moved())
        signals.send_ended(type(self), Reason.LOGOUT, **name, count=self._flushed(was_there))

    @alocked
    async def aflush(self) -> None:
        """See flush()."""
        self.clear()
        key, name = self._key_to_flush(), self._stored_name()
        was_there = key is not None and await self.get_store().adestroy(key)
        if not was_there:
            was_there = await arun(self._end_moved())
        await signals.asend_ended(type(self), Reason.LOGOUT, **name, count=self._flushed(was_there))

    def end_left_behind(self) -> None:
        """End another user's session that a login leaves with nobody to hold it."""
        name = run(self._left_behind())
        run(self._leave_trail_of_ended())
        if name is not None:
            count = int(run(self._end_named(name)))
            signals.send_ended(
                type(self), Reason.LOGOUT, user_id=name.user_id, id=name.id, count=count
            )

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

        For a visitor's session whose request came with a session key that no store knows.
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

        For a request whose session key no store knows. `form` has to be set.
        """
        return run(self._follow_form())

    @locked
    def touch(self) -> None:
        """Note that the session is in use, once in SESSION_TOUCH_INTERVAL. Needs it loaded."""
        self._touch_if_due(self._seen_now())

    @alocked
    async def atouch(self) -> None:
        """See touch()."""
        await self._atouch_if_due(self._seen_now())

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

    def _insert(self, draft: Draft) -> bool:
        if draft.ends_session:
            return True
        limit = self._limit_for(draft.record)
        if limit is None:
            is_free = self.get_store().create(draft.record)
        else:
            is_free = self._admit(None, draft, limit) is Outcome.DONE
        if is_free:
            signals.send_created(type(self), draft.record)
        return is_free

    def _replace(self, old_key: str, draft: Draft) -> Outcome:
        store = self.get_store()
        for delay in backoff():
            Pause(delay).take()
            limit = self._limit_for(draft.record)
            if limit is None:
                return self._write_over(old_key, draft)
            # A session that wasn't loaded may have this user already.
            if draft.record.version is not None:
                outcome = self._admit(old_key, draft, limit)
                if outcome is not Outcome.CONFLICT:
                    return outcome
            stored = store.reread(old_key)
            if stored is None:
                return Outcome.GONE
            self._redrafting(draft)(stored)
        raise store.gave_up("other requests saved the session while its user logged in")

    def _rotate(self, old_key: str, draft: Draft) -> Outcome:
        if self.is_elsewhere:
            # To write takes no session key; who gets a new one has escaped from the rotation.
            return Outcome.GONE
        run(self._leave_trail())
        return self._replace(old_key, draft)

    def _write_over(self, old_key: str, draft: Draft) -> Outcome:
        store = self.get_store()
        if draft.secret is None:
            outcome = store.update(draft.record)
        else:
            outcome = store.rotate(old_key, draft.record)
        if outcome is not Outcome.CONFLICT:
            return outcome
        return store.modify(old_key, self._redrafting(draft))

    def _all_taken(self) -> StoreUnavailable:
        why = "each fresh session key was taken, which can't be: it stores nothing"
        return self.get_store().gave_up(why, FRESH_KEYS)

    def _admit(self, old_key: str | None, draft: Draft, limit: Limit) -> Outcome:
        store = self.get_store()
        admission = store.admit(old_key, draft.record, limit)
        if admission.outcome is Outcome.FULL:
            widened = openable.make_room(self, store, draft.record, limit)
            if widened is not None:
                admission = store.admit(old_key, draft.record, widened)
        for record in admission.evicted:
            signals.send_ended(type(self), Reason.EVICTED, user_id=record.user_id, id=record.id)
        return self._admitted(admission)

    def _end(self, key: str) -> None:
        name, moved = self._stored_name(), self._name()
        was_there = self.get_store().destroy(key)
        if not was_there and moved is not None:
            was_there = run(self._end_named(moved))
        signals.send_ended(type(self), Reason.EXPIRED, **name, count=self._ended(was_there))

    def _touch_if_due(self, moved: SessionRecord | None) -> None:
        touched = self._due_touch(moved)
        if touched is None:
            return
        try:
            self._touched(touched, self.get_store().touch(touched))
        except StoreUnavailable as outage:
            self._touch_failed(outage)

    async def _ainsert(self, draft: Draft) -> bool:
        if draft.ends_session:
            return True
        limit = self._limit_for(draft.record)
        if limit is None:
            is_free = await self.get_store().acreate(draft.record)
        else:
            is_free = await self._aadmit(None, draft, limit) is Outcome.DONE
        if is_free:
            await signals.asend_created(type(self), draft.record)
        return is_free

    async def _areplace(self, old_key: str, draft: Draft) -> Outcome:
        store = self.get_store()
        for delay in backoff():
            await Pause(delay).atake()
            limit = self._limit_for(draft.record)
            if limit is None:
                return await self._awrite_over(old_key, draft)
            # A session that wasn't loaded may have this user already.
            if draft.record.version is not None:
                outcome = await self._aadmit(old_key, draft, limit)
                if outcome is not Outcome.CONFLICT:
                    return outcome
            stored = await store.areread(old_key)
            if stored is None:
                return Outcome.GONE
            self._redrafting(draft)(stored)
        raise store.gave_up("other requests saved the session while its user logged in")

    async def _arotate(self, old_key: str, draft: Draft) -> Outcome:
        if self.is_elsewhere:
            # To write takes no session key; who gets a new one has escaped from the rotation.
            return Outcome.GONE
        await arun(self._leave_trail())
        return await self._areplace(old_key, draft)

    async def _awrite_over(self, old_key: str, draft: Draft) -> Outcome:
        store = self.get_store()
        if draft.secret is None:
            outcome = await store.aupdate(draft.record)
        else:
            outcome = await store.arotate(old_key, draft.record)
        if outcome is not Outcome.CONFLICT:
            return outcome
        return await store.amodify(old_key, self._redrafting(draft))

    async def _aadmit(self, old_key: str | None, draft: Draft, limit: Limit) -> Outcome:
        store = self.get_store()
        admission = await store.aadmit(old_key, draft.record, limit)
        if admission.outcome is Outcome.FULL:
            widened = await openable.amake_room(self, store, draft.record, limit)
            if widened is not None:
                admission = await store.aadmit(old_key, draft.record, widened)
        for record in admission.evicted:
            await signals.asend_ended(
                type(self), Reason.EVICTED, user_id=record.user_id, id=record.id
            )
        return self._admitted(admission)

    async def _aend(self, key: str) -> None:
        name, moved = self._stored_name(), self._name()
        was_there = await self.get_store().adestroy(key)
        if not was_there and moved is not None:
            was_there = await arun(self._end_named(moved))
        await signals.asend_ended(type(self), Reason.EXPIRED, **name, count=self._ended(was_there))

    async def _atouch_if_due(self, moved: SessionRecord | None) -> None:
        touched = self._due_touch(moved)
        if touched is None:
            return
        try:
            self._touched(touched, await self.get_store().atouch(touched))
        except StoreUnavailable as outage:
            self._touch_failed(outage)
