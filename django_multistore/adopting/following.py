"""
PHASE "follow": old processes run beside new ones, and the old engine has the truth.

It stays complete, so that who goes back logs nobody out. What is absent there has ended. A write is
a compare-and-set of the record first, the gate that nothing dead passes, and then the old engine's.
In between the record is ahead, and whoever meets it so finishes the write: else a save that loaded
the old engine's data meanwhile would undo it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial

from ..conf import conf
from ..records import Outcome, SessionRecord, touched
from ..session.keys import Secret
from ..stores.attempts import backoff
from ..stores.steps import Steps, call, pause
from . import envelopes
from .protocol import AdoptingProtocol, Met


class FollowingProtocol(AdoptingProtocol):
    """The steps of each operation while the old engine has the truth."""

    def _meet(self, met: Met) -> Steps[tuple[SessionRecord | None, bool]]:
        if met.is_ahead:
            yield from self._finish(met.secret, met.record)
            return None, False
        record = self._translator.update_record(met.record, met.old)
        if record is None:
            return None, True
        if record.user_id != met.record.user_id:
            outcome = yield from self._update(envelopes.seal(record, met.secret))
            if outcome is not Outcome.DONE:
                return None, False
            return replace(record, version=(record.version or 0) + 1), True
        if record.expires_at - met.record.expires_at > _tolerance(record):
            # An old process has renewed it.
            later = touched(met.record, record)
            yield from call(self._store.touch, self._store.atouch, later)
        return record, True

    def create(self, record: SessionRecord) -> Steps[bool]:
        secret = self._known.find(record.key)
        if secret is None:
            return (yield from self._create(record))  # No session: a trail.
        # The old engine first: a record that follows nothing has ended.
        data = self._translator.read_data(record)
        if not (yield from self._old.create(secret, data, record.device)):
            return False
        if (yield from self._create(envelopes.seal(record, secret))):
            return True
        yield from self._old.delete(secret)
        return False

    def update(self, record: SessionRecord) -> Steps[Outcome]:
        stored = yield from self._reread(record.key)
        if stored is None or not envelopes.is_following(stored):
            return Outcome.GONE if stored is None else (yield from self._update(record))
        opened = envelopes.open_(stored)
        if opened is None:
            return Outcome.GONE
        if record.version not in (None, stored.version):
            return Outcome.CONFLICT
        record = replace(record, version=stored.version)
        ahead = envelopes.seal(record, opened.secret, envelopes.AHEAD)
        outcome = yield from self._update(ahead)
        if outcome is not Outcome.DONE:
            return outcome
        written = replace(record, version=(record.version or 0) + 1)
        return (yield from self._finish(opened.secret, written))

    def touch(self, record: SessionRecord) -> Steps[bool]:
        stored = yield from self._reread(record.key)
        if stored is None or stored.version != record.version:
            return False
        if envelopes.is_following(stored) and record.expires_at > stored.expires_at:
            # The old engine knows no other way to renew a session than to save it.
            newest = yield from self.settle(record.key, stored)
            if newest is None or newest.version != record.version:
                return False
            return (yield from self.update(touched(newest, record))) is Outcome.DONE
        return (yield from call(self._store.touch, self._store.atouch, record))

    def rotate(self, old_key: str, record: SessionRecord) -> Steps[Outcome]:
        stored = yield from self._reread(old_key)
        secret = self._known.find(record.key)
        if stored is None:
            return Outcome.GONE
        if secret is None or not envelopes.is_following(stored):
            return (yield from self._rotate_own(old_key, record))
        opened = envelopes.open_(stored)
        if opened is None:
            return Outcome.GONE
        if record.version not in (None, stored.version):
            return Outcome.CONFLICT
        return (
            yield from self._move(opened.secret, secret, replace(record, version=stored.version))
        )

    def _move(self, old: Secret, new: Secret, record: SessionRecord) -> Steps[Outcome]:
        """Move a session in the old engine and here."""
        data = yield from self._restore_losses(old, record)
        # Another request may be at the same move, to a key that both have derived.
        is_free = yield from self._old.create(new, data, record.device)
        outcome = yield from self._rotate(old.key, envelopes.seal(record, new))
        if outcome is not Outcome.DONE:
            if is_free and (yield from self._reread(new.key)) is None:
                yield from self._old.delete(new)
            return outcome
        if not is_free:
            yield from self._old.save(new, data, record.device)
        if (yield from self._await_commit(partial(self._leave, old, new))):
            return Outcome.DONE
        return (yield from self._leave(old, new))

    def _leave(self, old: Secret, new: Secret) -> Steps[Outcome]:
        """End the old engine's session under the session key that it has moved from."""
        was_there = yield from self._old.delete(old)
        if was_there and (yield from self._reread(new.key)) is not None:
            return Outcome.DONE
        # It was ended in the old engine, or here by one who may not have seen its copy there.
        yield from self._end(new.key, new)
        return Outcome.GONE

    def _finish(self, secret: Secret, record: SessionRecord) -> Steps[Outcome]:
        """
        Have the old engine write what a record has, and whatever is newer in it by then.

        Args:
            secret: the session key.
            record: what was written here, with the version that it has since.

        Returns:
            CONFLICT where the session was taken over meanwhile: its newest data may lack these.
        """
        for delay in backoff():
            yield from pause(delay)
            data = yield from self._restore_losses(secret, record)
            is_there = yield from self._old.save(secret, data, record.device)
            if is_there:
                # The look at the record, and its mark that nothing is left to do, are one command.
                outcome = yield from self._update(envelopes.seal(record, secret))
                if outcome is Outcome.DONE:
                    return outcome
            latest = yield from self._reread(record.key)
            opened = None if latest is None else envelopes.open_(latest)
            if latest is None or opened is None:
                # It has ended, or the record is the session by now: no copy may stay.
                yield from self._old.delete(secret)
                return Outcome.GONE if latest is None else Outcome.CONFLICT
            if not is_there and (yield from self._expire(latest)) is not Outcome.CONFLICT:
                return Outcome.GONE  # An old process has ended it.
            record = opened.record
        raise self._store.gave_up("other requests saved the session each time")

    def _restore_losses(self, secret: Secret, record: SessionRecord) -> Steps[dict[str, object]]:
        data = self._translator.read_data(record)
        if not self._keeps_any_type:
            return data
        old = yield from self._old.load(secret)
        return data if old is None else self._translator.restore_losses(data, old.data)


def _tolerance(record: SessionRecord) -> timedelta:
    return conf.get_touch_interval(record.expires_at - record.last_seen_at)
