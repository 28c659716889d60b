"""The protocol on a cluster, where a session and the index of its user are on different servers."""

from __future__ import annotations

from dataclasses import replace

from ...exceptions import StoreUnavailable
from ...records import Outcome, SessionRecord
from ..steps import Steps, to_its_end
from . import layout, scripts
from .cluster_users import TOMBSTONE_LIFE, ClusterUsers
from .scripts import DONE, GONE, OUTCOMES, UNLISTED, Command

# A create gives up long before the tombstone goes that would have forbidden it.
DEADLINE = 60_000  # milliseconds, by the clock of the server that has the index
# The index has a session for longer than it lives: few saves have to raise it, and the servers'
# clocks may differ by as much.
LEAST_SLACK = 60_000  # milliseconds
SLACK = 10  # The index has a session for a tenth of its life more.
JUST_NOW = 1  # second
LISTING_ATTEMPTS = 3


class ClusterProtocol(ClusterUsers):
    """
    Each step changes one server, and each order in which steps of others come between is safe.

    The index is written first when a session gets its user, and the session first when it ends. A
    session that was ended leaves a tombstone, so that a create in flight finds the key taken. A
    rotation leaves one that says where the session went, so that whoever would end it can follow.
    docs/redis-store.md has the reasons.
    """

    def create(self, record: SessionRecord) -> Steps[bool]:
        name, value = self.session_name(record.key), layout.pack(self.alias, record)
        life = layout.milliseconds_left(record)
        if not life:
            taken: int = yield from self.call("EXISTS", name)
            return not taken
        deadline: int | bytes = b""
        if record.user_id is not None:
            now, until = yield from self.call(*self._list_command(record.user_id, record.key, life))
            value, deadline = layout.set_listed_until(value, until), now + DEADLINE
        outcome: int = yield from self.call(*scripts.CLUSTER_CREATE((name,), value, life, deadline))
        if outcome == UNLISTED:
            raise self._too_late()
        return outcome == DONE

    def update(self, record: SessionRecord) -> Steps[Outcome]:
        value, life = layout.pack(self.alias, record), layout.milliseconds_left(record)
        at_most = life or layout.whole_life(record)
        is_login = (
            record.authenticated_at is not None
            and (record.last_seen_at - record.authenticated_at).total_seconds() < JUST_NOW
        )
        user_id, until = record.user_id, b""
        if user_id is not None and life and is_login:
            until = yield from self._raise_index(user_id, record.key, life)
        name, version = self.session_name(record.key), layout.pack_version(record.version)
        for _ in range(LISTING_ATTEMPTS):
            command = scripts.CLUSTER_UPDATE((name,), value, version, life, until, TOMBSTONE_LIFE)
            outcome, *old_users = yield from self.call(*command)
            if outcome == UNLISTED and user_id is not None:
                until = yield from self._raise_index(user_id, record.key, at_most)
                continue
            for old_user in old_users:
                yield from self._unlist(self.indexes + old_user, [record.key])
            # The index of a user whose it was until now keeps it: another save may be about to
            # make it that user's again.
            if outcome == GONE and until and user_id is not None:
                yield from self.call(*self._retire_command(self.index_name(user_id), record.key))
            return OUTCOMES[outcome]
        raise self._too_late()

    def rotate(self, old_key: str, record: SessionRecord) -> Steps[Outcome]:
        # Between its steps the session is under no key.
        return to_its_end(self._rotate(old_key, record))

    def _rotate(self, old_key: str, record: SessionRecord) -> Steps[Outcome]:
        value, life = layout.pack(self.alias, record), layout.milliseconds_left(record)
        if life == 0:
            return (yield from self.update(replace(record, key=old_key)))
        at_most = life or layout.whole_life(record)
        name, version = self.session_name(old_key), layout.pack_version(record.version)
        claim = scripts.CLUSTER_CLAIM(
            (name,), value[layout.NONCE], version, bytes.fromhex(record.key), TOMBSTONE_LIFE
        )
        deadline: int | bytes = b""
        if record.user_id is None:
            outcome, *stored = yield from self.call(*claim)
        else:
            listing = self._list_command(record.user_id, record.key, at_most)
            (outcome, *stored), (now, until) = yield from self.call_many([claim, listing])
            value, deadline = layout.set_listed_until(value, until), now + DEADLINE
        if outcome != DONE:
            if record.user_id is not None:
                yield from self._unlist(self.index_name(record.user_id), [record.key])
            return OUTCOMES[outcome]
        head, *lives = stored
        value = layout.succeed(head, value)
        old_user = layout.user_of(head)
        if not life:  # It lives as long as it had to live, unless a first reply was lost.
            life = max(1, lives[0]) if lives else at_most
        commands = [scripts.CLUSTER_CREATE((self.session_name(record.key),), value, life, deadline)]
        if old_user is not None:
            commands.append(self._retire_command(self.indexes + old_user, old_key))
        created, *_ = yield from self.call_many(commands)
        if created == UNLISTED:
            raise self._too_late()
        # It is gone if destroy_for_user() has followed the tombstone, or found the new key listed.
        return Outcome.DONE if created == DONE else Outcome.GONE

    def touch(self, record: SessionRecord) -> Steps[bool]:
        name, version = self.session_name(record.key), layout.pack_version(record.version)
        device = layout.pack_device(self.alias, record.device)
        life, times = layout.milliseconds_left(record), layout.pack_timestamps(record)
        until = b""
        for _ in range(LISTING_ATTEMPTS):
            command = scripts.CLUSTER_TOUCH((name,), version, times, life, *device, until)
            outcome: int = yield from self.call(*command)
            if outcome != UNLISTED or record.user_id is None or not life:
                return outcome == DONE
            until = yield from self._raise_index(record.user_id, record.key, life)
        raise self._too_late()

    def destroy(self, key: str) -> Steps[bool]:
        name, nonce = self.session_name(key), layout.make_nonce()
        command = scripts.CLUSTER_DESTROY((name,), nonce, TOMBSTONE_LIFE)
        was_alive, *users = yield from self.call(*command)
        for user in users:
            yield from self._unlist(self.indexes + user, [key])
        return bool(was_alive)

    # What these are made of.

    def _list_command(self, user_id: str, key: str, life: int) -> Command:
        index, listed_for = self.index_name(user_id), life + max(LEAST_SLACK, life // SLACK)
        return scripts.CLUSTER_LIST((index,), bytes.fromhex(key), listed_for)

    def _retire_command(self, index: bytes, key: str) -> Command:
        return scripts.CLUSTER_RETIRE((index,), bytes.fromhex(key), TOMBSTONE_LIFE)

    def _raise_index(self, user_id: str, key: str, life: int) -> Steps[bytes]:
        """Have the index say that the session lives so long, and return until when it says so."""
        _, until = yield from self.call(*self._list_command(user_id, key, life))
        return layout.pack_until(until)

    def _too_late(self) -> StoreUnavailable:
        return StoreUnavailable(
            f"Session store {self.alias!r}: between two steps of one save more than "
            f"{DEADLINE // 1000} seconds went by, or the clocks of the cluster's servers differ by "
            "as much. Nothing is known about the session. Have their clocks set by NTP."
        )
