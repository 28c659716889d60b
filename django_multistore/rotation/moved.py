"""
A session that another request has moved to a new key, ended, or is about to.

Requests of one browser cross. Who comes too late may follow only where the new session key grants
nothing that the old one didn't, and no thief could have it: see docs/design.md. To write into the
session, or to end it, no session key is needed.
"""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY

from ..auth import hashes
from ..auth.hashes import Renewal
from ..records import Outcome, SessionRecord
from ..session import clock, keys, namespaces
from ..session.keys import HASH_UPGRADE, Secret, derive_successors
from ..session.merge import AUTH_KEYS, find_changed_keys
from ..session.tracking import Draft, TrackedSession
from ..stores.base import BaseStore, backoff
from ..stores.steps import Pause, Step, Steps
from . import trails
from .trails import Name

# While a session moves, some stores have it under no key for a moment.
LOOKS = 10
# How often a session may move on before a save that is after it gives up.
CATCHES = 3


class MovedSession(TrackedSession):
    """What a session does about requests that cross its own: the engine takes the steps."""

    @classmethod
    def get_store(cls) -> BaseStore:
        raise NotImplementedError

    # A rotation.

    def _next_key(self, renewal: Renewal | None) -> Secret:
        """
        Choose the session key to move to.

        Args:
            renewal: of the auth hash; None in any other rotation.
        """
        if renewal is not None and renewal.hash is not None:
            # It goes with the move: a request that follows must not find an old one to renew.
            self._session_cache[HASH_SESSION_KEY] = renewal.hash
            return self._old.derive(HASH_UPGRADE)
        if self.form is not None:
            return self._old.derive(self.form.session_key)
        return Secret(keys.new_session_key())

    def _leave_trail(self) -> Steps[None]:
        name = self._name()
        if name is not None:
            self._has_left_trail = True
            yield Step(self.get_store(), "create", (trails.trail_of(self._old, name),))

    def _follow_rotation(self, *, renews_hash: bool) -> Steps[bool]:
        """
        Go on under the session key that another request's rotation has given the session.

        Args:
            renews_hash: whether this one would have been for a hash of SECRET_KEY_FALLBACKS.
        """
        name = self._name()
        if name is None or not (renews_hash or self.form):
            return False
        found = yield from self._find_successor(self._old, name, upgraded=renews_hash)
        if found is None:
            return False
        secret, stored = found
        self._merge(stored)
        self._move_to(secret)
        return True

    def _stay_where_it_is(self) -> Steps[bool]:
        """Go on without its key, where it was moved while only its hash was renewed here."""
        for _ in range(CATCHES):
            found = yield from self._find_moved()
            if found is None:
                break
            stored = yield Step(self.get_store(), "read", (found.key,))
            if stored is not None and self._opened(stored):
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
        name = yield from trails.find(self.get_store(), self._old)
        if name is None:
            return None
        found = yield from self._find_successor(self._old, name, upgraded=True)
        if found is None:
            return None
        secret, stored = found
        self._move_to(secret)
        return stored

    def _follow_form(self) -> Steps[bool]:
        if self._lost is None or self.form is None:
            return False
        name = yield from trails.find(self.get_store(), self._lost)
        if name is None:
            return False
        has_fallbacks = bool(settings.SECRET_KEY_FALLBACKS)
        found = yield from self._find_successor(self._lost, name, upgraded=has_fallbacks)
        opened = None if found is None else self._opened(found[1])
        if found is None or opened is None:
            return False
        (secret, self._record), (self._base, data) = found, opened
        self._session_cache = data | self._session_cache
        self._move_to(secret)
        return True

    def _find_successor(
        self, old: Secret, name: Name, *, upgraded: bool
    ) -> Steps[tuple[Secret, SessionRecord] | None]:
        for delay in backoff(LOOKS):
            yield Pause(delay)
            for secret in derive_successors(old, upgraded=upgraded, form=self.form):
                stored = yield Step(self.get_store(), "read", (secret.key,))
                if stored is not None and self._name_of(stored) == name:
                    return secret, stored
        return None

    def _move_to(self, secret: Secret) -> None:
        # Whoever has the old session key can come to this one, by the same way.
        is_followable = secret == self._old.derive(HASH_UPGRADE)
        self._session_key, self._lost = secret.session_key, None
        self._elsewhere = self._elsewhere_until = None
        self._has_followed = True
        self._unsettled.clear()
        self._was_stored = self._is_key_certain = True
        self.has_new_key = self.modified = True
        self._has_fresh_key = not is_followable

    def _look_for_trail(self) -> Steps[None]:
        """Find out whether it is a visitor's only because another request has moved the user's."""
        lost, self._lost = self._lost, None
        if lost is not None:
            self.is_overtaken = True  # Also if the store can't be asked.
            self.is_overtaken = (yield from trails.find(self.get_store(), lost)) is not None

    def _look_for_key(self) -> Steps[None]:
        self._is_key_seen = True
        if self.key is None:
            return  # It was ended meanwhile.
        # If the store can't be asked: who has moved it sends the cookie, not who has followed.
        self.is_overtaken = self._has_followed
        stored = yield Step(self.get_store(), "read", (self.key,))
        self.is_overtaken = stored is None

    # A save that finds nothing.

    def _catch_up(self, draft: Draft) -> Steps[Outcome]:
        """Write to where the session is by now, if it was moved: a request before that may."""
        if self._changes_login():
            return Outcome.GONE
        for _ in range(CATCHES):
            found = yield from self._find_moved()
            if found is None:
                break
            change = self._redrafting(draft, found.key)
            if (yield Step(self.get_store(), "modify", (found.key, change))) is Outcome.DONE:
                self._write_to(found.key)
                return Outcome.DONE
        return Outcome.GONE

    def _write_to(self, key: str) -> None:
        """Go on under a key whose session key isn't known, for as long as a trail may be there."""
        self._elsewhere = key
        # Who has stolen the cookie may have a socket open, and must not stay for as long as that.
        self._elsewhere_until = self._elsewhere_until or clock.now() + trails.LIFE

    def _find_moved(self) -> Steps[SessionRecord | None]:
        """Find the session, without its payload, if it was moved since it was loaded."""
        name, store = self._name(), self.get_store()
        if name is None:
            return None
        if (yield from trails.find(store, self._old)) != name:
            return None
        for delay in backoff(LOOKS):
            yield Pause(delay)
            found = yield from trails.find_record(store, name, self.spellings_of(name.user_id))
            if found is not None:
                return found
        return None

    def _changes_login(self) -> bool:
        if self._base is None or self._is_cleared or self._login_at is not None:
            return True
        serializer = self.serializer()
        base = serializer.loads(self._base)
        return bool(find_changed_keys(base, self._session_cache, serializer) & AUTH_KEYS)

    def _keep_login_if_elsewhere(self) -> None:
        # Who was overtaken by a rotation writes no login over what it has brought: get_user()
        # renews a hash, which by now may be that of a password of before.
        if self.is_elsewhere and not self.needs_new_key:
            self._restore_login()

    def _restore_login(self) -> None:
        base = {} if self._base is None else self.serializer().loads(self._base)
        for key in AUTH_KEYS:
            self._session_cache.pop(key, None)
            if key in base:
                self._session_cache[key] = base[key]

    def _has_ended_itself(self) -> bool:
        stored = self._record
        name = None if stored is None else self._name_of(stored)
        if stored is None or name is None:
            return False
        # Whoever ends sessions names their user as the database does, or as they were stored.
        ids = {name.user_id, stored.user_id}
        return bool(self.own_endings & {(each, id) for each in ids for id in (None, name.id)})

    def _keep_own_changes(self) -> bool:
        """Start anew with what was set here since it was loaded, and say whether there is any."""
        data, serializer = self._session_cache, self.serializer()
        base = {} if self._base is None or self._is_cleared else serializer.loads(self._base)
        kept = find_changed_keys(base, data, serializer) - AUTH_KEYS
        self._lost = None if self._has_left_trail else self._old
        self._start_anew()
        self._session_cache = {key: value for key, value in data.items() if key in kept}
        self.was_flushed = True
        return bool(self._session_cache)

    # The end of a session that was moved.

    def _key_to_flush(self) -> str | None:
        key = self._key_to_delete(None)
        return None if self.is_elsewhere else key

    def _end_moved(self) -> Steps[bool]:
        """End the session that a flush was meant for, under whichever key it is by now."""
        name = yield from self._moved()
        if name is None:
            return False
        # Where it was overtaken, its hash here may be one that get_user() has renewed too late.
        is_meant = not self.is_elsewhere and (yield from self._holds())
        if not (self.is_logging_out or is_meant):
            self._left = name
            return False
        return (yield from self._end_named(name))

    def _leave_trail_of_ended(self) -> Steps[None]:
        # The browser has another cookie from now on, which no request with the old one may replace.
        if self._ended_by_flush is not None:
            yield Step(self.get_store(), "create", (trails.trail_of(*self._ended_by_flush),))

    def _end_named(self, name: Name) -> Steps[bool]:
        return (yield from trails.end(self.get_store(), name, self.spellings_of(name.user_id)))

    def _left_behind(self) -> Steps[Name | None]:
        """Name the session that was the browser's until its user logged in as somebody else."""
        name, self._left = self._left, None
        if name is None and self._lost is not None:
            name = yield from trails.find(self.get_store(), self._lost)
        user_id = self.stored_user_id(self._session_cache)
        return name if name is not None and name.user_id != user_id else None

    def _holds(self) -> Steps[bool]:
        # Django's get_user() flushes what it finds invalid. If that is because the password was
        # changed a moment ago, in a request that went on with the session, it is not ours to end.
        if self._base is None:
            return True
        return (yield from hashes.holds(self.serializer().loads(self._base)))

    def _moved(self) -> Steps[Name | None]:
        if self._record is not None:
            return self._name()
        if self._left is not None:
            return self._left
        old = self._lost if self.session_key is None else self._old
        return None if old is None else (yield from trails.find(self.get_store(), old))

    def _name(self) -> Name | None:
        stored = self._record
        return None if stored is None or not stored.version else self._name_of(stored)

    def _flushed(self, was_there: bool) -> int:
        name, old = self._name(), self._old
        count = super()._flushed(was_there)
        if was_there and name is not None:
            self._ended_by_flush = old, name
        return count

    def _name_of(self, stored: SessionRecord) -> Name | None:
        if stored.user_id is None:
            return None
        is_spelled = self._has_users_of_django()
        user_id = namespaces.respell(stored.user_id) if is_spelled else stored.user_id
        return Name(stored.id, user_id)

    @property
    def _old(self) -> Secret:
        return Secret(self.session_key or "")
