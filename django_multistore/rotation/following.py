"""
A session that another request has moved to a new key, ended, or is about to.

Requests of one browser cross. Who comes too late may follow only where the new session key grants
nothing that the old one didn't, and no thief could have it: see docs/design.md. To write into the
session, or to end it, no session key is needed.
"""

from __future__ import annotations

from functools import partial

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY

from ..auth import session_hashes
from ..auth.session_hashes import Renewal
from ..records import Outcome, SessionRecord
from ..session import clock, keys
from ..session.drafts import Draft
from ..session.keys import HASH_UPGRADE, Secret, derive_successors
from ..session.merge import AUTH_KEYS, find_changed_keys
from ..session.replies import AnsweredSession
from ..session.state import Elsewhere, KeySource
from ..stores.attempts import backoff
from ..stores.base import BaseStore
from ..stores.steps import Steps, call, pause
from . import trails
from .trails import Name

# A session that moves is under no key of some stores for a moment: so often it is looked for.
LOOKS = 10
# A save that is after a session which moves on and on tries so often.
CATCHES = 3


class MovedSession(AnsweredSession):
    """What a session does about requests that cross its own: the engine takes the steps."""

    _has_left_trail: bool = False  # Whether it has left one for a rotation of its own.
    _left: Name | None = None  # A session that a flush has found moved, and has let live.
    _ended_by_flush: tuple[Secret, Name] | None = None  # A user's session that a flush has ended.

    @property
    def store(self) -> BaseStore:
        raise NotImplementedError

    # A rotation.

    def _choose_key(self, renewal: Renewal | None) -> Secret:
        """
        Choose the session key to move to.

        Args:
            renewal: of the auth hash; None in any other rotation.
        """
        if renewal is not None and renewal.hash is not None:
            # It goes with the move: a request that follows must not find an old one to renew.
            self._session_cache[HASH_SESSION_KEY] = renewal.hash
            return self._secret.derive(HASH_UPGRADE, self._fits_own)
        if self.form is not None:
            return self._secret.derive(self.form.session_key, self._fits_own)
        return keys.draw_secret(self._fits_own)

    def _fits_own(self, key: str) -> bool:
        """Say whether the store takes a key for this session as it is now."""
        user_id = self.stored_user_id(self.__dict__.get("_session_cache", {}))
        return self.store.fits(key, user_id, self.key)

    def _leave_trail(self) -> Steps[None]:
        name = self._get_name()
        if name is not None:
            self._has_left_trail = True
            yield from trails.leave(self.store, self._secret, name)

    def _follow_rotation(self, *, renews_hash: bool) -> Steps[bool]:
        """
        Go on under the session key that another request's rotation has given the session.

        Args:
            renews_hash: whether this one would have been for a hash of SECRET_KEY_FALLBACKS.
        """
        name = self._get_name()
        if name is None or not (renews_hash or self.form):
            return False
        found = yield from self._find_successor(self._secret, name, upgraded=renews_hash)
        if found is None:
            return False
        secret, stored = found
        self._merge(stored)
        self._move_to(secret, stored)
        return True

    def _stay_where_it_is(self) -> Steps[bool]:
        """Go on without its key, where it was moved while only its hash was renewed here."""
        store = self.store
        for _ in range(CATCHES):
            found = yield from self._find_moved()
            if found is None:
                break
            stored = yield from call(store.read, store.aread, found.key)
            if stored is not None and self._open_record(stored):
                self._restore_login()
                self._merge(stored)
                self._write_to(stored.key)
                return True
        return False

    def _log_in_apart(self) -> Steps[bool]:
        if (yield from self._find_moved()) is None:
            return False  # It has ended. That this rotation has left a trail says nothing.
        login = {key: self._session_cache[key] for key in AUTH_KEYS & self._session_cache.keys()}
        self._start_anew()
        self._session_cache.update(login)
        self.restart_authentication()
        return True

    # A session key that no store knows.

    def _follow_upgrade(self) -> Steps[SessionRecord | None]:
        """Load the session that a request beside this one has moved for its renewed hash."""
        found = yield from self._follow_trail(self._secret, upgraded=True)
        if found is None:
            return None
        secret, stored = found
        self._move_to(secret, stored)
        return stored

    def _follow_form(self) -> Steps[bool]:
        """Go on with the session that the first POST of a form has moved."""
        if self._lost is None or self.form is None:
            return False
        has_fallbacks = bool(settings.SECRET_KEY_FALLBACKS)
        found = yield from self._follow_trail(self._lost, upgraded=has_fallbacks)
        if found is None:
            return False
        secret, stored = found
        opened = self._open_record(stored)
        if opened is None:
            return False
        self._state.record, (self._state.base, data) = stored, opened
        self._session_cache = data | self._session_cache
        self._move_to(secret, stored)
        return True

    def _follow_trail(
        self, old: Secret, *, upgraded: bool
    ) -> Steps[tuple[Secret, SessionRecord] | None]:
        """Find the session that was moved from this session key a moment ago."""
        name = yield from trails.find(self.store, old)
        if name is None:
            return None
        return (yield from self._find_successor(old, name, upgraded=upgraded))

    def _find_successor(
        self, old: Secret, name: Name, *, upgraded: bool
    ) -> Steps[tuple[Secret, SessionRecord] | None]:
        store, form = self.store, self.form
        fits = partial(store.fits, user_id=name.user_id)
        for delay in backoff(LOOKS):
            yield from pause(delay)
            for secret in derive_successors(old, upgraded=upgraded, form=form, fits=fits):
                stored = yield from call(store.read, store.aread, secret.key)
                if stored is not None and self._build_name(stored) == name:
                    return secret, stored
        return None

    def _move_to(self, secret: Secret, stored: SessionRecord) -> None:
        # Whoever has the old session key can come to this one, by the same way.
        fits = partial(self.store.fits, user_id=stored.user_id)
        is_followable = secret == self._secret.derive(HASH_UPGRADE, fits)
        self._session_key, self._lost = secret.session_key, None
        self._history.clear()
        state = self._state
        state.elsewhere = None
        state.was_stored = state.is_key_certain = True
        state.key_source = KeySource.OTHER_RENEWAL if is_followable else KeySource.FORM
        self.modified = True

    def _look_for_trail(self) -> Steps[None]:
        """Find out whether it is anonymous only because another request has moved the user's."""
        lost, self._lost = self._lost, None
        if lost is not None:
            self.is_overtaken = True  # It counts as such also if the store can't be asked.
            self.is_overtaken = (yield from trails.find(self.store, lost)) is not None

    def _look_for_key(self) -> Steps[None]:
        self._is_key_seen = True
        store = self.store
        if self.key is None:
            return  # It was ended meanwhile.
        # If the store can't be asked: who has moved it sends the cookie, not who has followed.
        self.is_overtaken = self._state.key_source.is_followed
        stored = yield from call(store.read, store.aread, self.key)
        self.is_overtaken: bool = stored is None

    # A save that finds nothing.

    def _catch_up(self, draft: Draft) -> Steps[Outcome]:
        """Write to where the session was moved: a request that came before that may."""
        if self._changes_login():
            return Outcome.GONE
        store = self.store
        for _ in range(CATCHES):
            found = yield from self._find_moved()
            if found is None:
                break
            change = self._redrafting(draft, found.key)
            outcome = yield from call(store.modify, store.amodify, found.key, change)
            if outcome is Outcome.DONE:
                self._write_to(found.key)
                return Outcome.DONE
        return Outcome.GONE

    def _write_to(self, key: str) -> None:
        """Go on under a key whose session key isn't known, for as long as a trail may be there."""
        # Who has stolen the cookie may have a socket open, and must not stay for as long as that.
        before = self._state.elsewhere
        until = clock.now() + trails.LIFE if before is None else before.until
        self._state.elsewhere = Elsewhere(key, until)

    def _find_moved(self) -> Steps[SessionRecord | None]:
        """Find the session, without its payload, if it was moved since it was loaded."""
        name, store = self._get_name(), self.store
        if name is None:
            return None
        if (yield from trails.find(store, self._secret)) != name:
            return None
        for delay in backoff(LOOKS):
            yield from pause(delay)
            found = yield from trails.find_record(store, name, self.spellings_of(name.user_id))
            if found is not None:
                return found
        return None

    def _changes_login(self) -> bool:
        state = self._state
        if state.base is None or state.is_cleared or state.login_at is not None:
            return True
        changed = find_changed_keys(self._read_base(), self._session_cache, self.serializer())
        return bool(changed & AUTH_KEYS)

    def _keep_login_if_elsewhere(self) -> None:
        # Who was overtaken by a rotation writes no login over what it has brought: get_user()
        # renews a hash, which by now may be that of a password of before.
        if self.is_elsewhere and not self.needs_new_key:
            self._restore_login()

    def _restore_login(self) -> None:
        base = self._read_base()
        for key in AUTH_KEYS:
            self._session_cache.pop(key, None)
            if key in base:
                self._session_cache[key] = base[key]

    def _has_ended_itself(self) -> bool:
        """Say whether this request has ended the session by ending its user's."""
        stored = self._state.record
        name = None if stored is None else self._build_name(stored)
        if stored is None or name is None:
            return False
        # Whoever ends sessions names their user as the database does, or as they were stored.
        ids = {name.user_id, stored.user_id}
        return bool(self.own_endings & {(each, id) for each in ids for id in (None, name.id)})

    def _keep_own_changes(self) -> bool:
        """Start anew with what was set here since it was loaded, and say whether there is any."""
        data = self._session_cache
        base = {} if self._state.is_cleared else self._read_base()
        kept = find_changed_keys(base, data, self.serializer()) - AUTH_KEYS
        self._lost = None if self._has_left_trail else self._secret
        self._start_anew()
        self._session_cache = {key: value for key, value in data.items() if key in kept}
        self.was_flushed = True
        return bool(self._session_cache)

    # The end of a session that was moved.

    def _find_key_to_flush(self) -> str | None:
        key = self._find_key_to_delete(None)
        return None if self.is_elsewhere else key

    def _end_moved(self) -> Steps[bool]:
        """End the session that a flush was meant for, under whichever key it is by now."""
        name = yield from self._name_moved()
        if name is None:
            return False
        # Where it was overtaken, its hash here may be one that get_user() has renewed too late.
        is_meant = not self.is_elsewhere and (yield from self._is_hash_valid())
        if not (self.is_logging_out or is_meant):
            self._left = name
            return False
        return (yield from self._end_named(name))

    def _leave_trail_of_ended(self) -> Steps[None]:
        # The browser has another cookie from now on, which no request with the old one may replace.
        if self._ended_by_flush is not None:
            yield from trails.leave(self.store, *self._ended_by_flush)

    def _end_named(self, name: Name) -> Steps[bool]:
        return (yield from trails.end(self.store, name, self.spellings_of(name.user_id)))

    def _name_left_behind(self) -> Steps[Name | None]:
        """Name the session that was the browser's until its user logged in as somebody else."""
        name, self._left = self._left, None
        if name is None and self._lost is not None:
            name = yield from trails.find(self.store, self._lost)
        user_id = self.stored_user_id(self._session_cache)
        return name if name is not None and name.user_id != user_id else None

    def _is_hash_valid(self) -> Steps[bool]:
        # Django's get_user() flushes what it finds invalid. If that is because the password was
        # changed a moment ago, in a request that went on with the session, it is not ours to end.
        if self._state.base is None:
            return True
        return (yield from session_hashes.is_valid(self._read_base()))

    def _name_moved(self) -> Steps[Name | None]:
        if self._state.record is not None:
            return self._get_name()
        if self._left is not None:
            return self._left
        old = self._lost if self.session_key is None else self._secret
        return None if old is None else (yield from trails.find(self.store, old))

    def _note_flush(self, was_there: bool) -> int:
        name, old = self._get_name(), self._secret
        count = super()._note_flush(was_there)
        if was_there:
            self._left = None
            if name is not None:
                self._ended_by_flush = old, name
        return count

    def _get_name(self) -> Name | None:
        stored = self._state.record
        return None if stored is None or not stored.version else self._build_name(stored)

    def _build_name(self, stored: SessionRecord) -> Name | None:
        user_id = stored.user_id
        return None if user_id is None else Name(stored.id, self._respell(user_id))

    @property
    def _secret(self) -> Secret:
        return Secret(self.session_key or "")
