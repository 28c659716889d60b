"""
Sessions of the old engine in bulk, for engines that can be looked through.

In "follow" they are entered, so that they are listed and found by their user; in "adopt" they are
taken over. Each step stands by itself: several may run at once, and one that was killed goes on
where it was, for what is done is known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from ..records import SessionRecord, key_of
from ..session import codec
from ..session.keys import Secret
from ..stores.base import BaseStore
from ..stores.batches import batch_sizes
from ..stores.steps import run
from . import cutoffs, envelopes
from .asking import ask
from .batches import Found, enter, take_over
from .known_keys import KnownKeys
from .losses import Loss, find_losses
from .old_sessions import OldSession
from .store import AdoptingStore

AT_A_TIME = 1_000
STEP_SECONDS = 0.3  # for less than half of which a step locks what others write


@dataclass(slots=True)
class Status:
    """
    What is left of a move.

    Attributes:
        unknown: sessions of the old engine that have no record here.
        following: records that follow one of the old engine.
        copies: sessions of the old engine that were taken over, and stand there still.
        cut_off: users whose sessions of the old engine are refused.
        is_old_known: whether the old engine can be looked through.
        is_new_known: whether the store can be.
    """

    unknown: int = 0
    following: int = 0
    copies: int = 0
    cut_off: int = 0
    is_old_known: bool = True
    is_new_known: bool = True

    @property
    def left(self) -> int:
        """How many sessions the old engine is still needed for."""
        return self.unknown + self.following

    @property
    def is_over(self) -> bool:
        """Whether the old engine can go."""
        return self.is_old_known and self.is_new_known and not self.left and not self.copies


@dataclass(slots=True)
class Findings:
    """What would not survive, by key and type."""

    sessions: int = 0
    unreadable: int = 0
    losses: Counter[Loss] = field(default_factory=Counter)


class Mover:
    """
    Look through the old engine's sessions, and do what the phase does with each.

    Args:
        store: the engine's, as SESSION_ADOPT makes it.
    """

    def __init__(self, store: AdoptingStore) -> None:
        self._store, self._old = store, store.adoption.old
        self._follows = store.adoption.follows

    def move(
        self, *, dry_run: bool, max_seconds: float | None, progress: Callable[[int], object]
    ) -> int:
        """
        Enter or take over what is there, step by step.

        Args:
            dry_run: only count what there is to do.
            max_seconds: begin no further step after this time.
            progress: called after each step with its count.

        Returns:
            How many were entered or taken over, or would be.
        """
        total, after = 0, ""
        for size in batch_sizes(AT_A_TIME, max_seconds, target_seconds=STEP_SECONDS):
            batch = self._scan(after, size)
            count = self._count(batch) if dry_run else self._take_all(batch)
            total += count
            progress(count)
            if len(batch) < size:
                break
            after = batch[-1][0]
        else:
            return total
        if not dry_run:
            self._settle_followers()
        return total

    def take_over_followers(
        self, *, dry_run: bool, max_seconds: float | None, progress: Callable[[int], object]
    ) -> int:
        """
        Take over what is known here of an engine that can't be looked through.

        Args:
            dry_run: only count what there is to do.
            max_seconds: begin no further step after this time.
            progress: called after each step with its count.

        Returns:
            How many were taken over, or would be.
        """
        total, cursor = 0, None
        for size in batch_sizes(AT_A_TIME, max_seconds, target_seconds=STEP_SECONDS):
            records, cursor = self._store.store.scan(cursor, size)
            keys = [each.key for each in records if envelopes.is_following(each)]
            count = len(keys) if dry_run else sum(self._store.read(key) is not None for key in keys)
            total += count
            progress(count)
            if cursor is None:
                break
        return total

    def tell_status(self) -> Status:
        """Count what is left, without a change."""
        status = Status(is_old_known=self._old.can_scan)
        for session_key, session in self._iterate_old() if self._old.can_scan else ():
            if session is None:
                continue  # It can't be read, by the old engine either: nobody is waited for.
            record = self._store.store.read(key_of(session_key))
            status.unknown += record is None
            status.copies += record is not None and not envelopes.is_following(record)
        status.is_new_known = self._store.store.supports_scan
        for record in self._iterate_records():
            status.following += envelopes.is_following(record)
            status.cut_off += codec.unseal(record.payload, record.key) == cutoffs.BODY
        return status

    def find_losses(self) -> Findings:
        """Find the values that SESSION_SERIALIZER can't keep."""
        findings, serializer = Findings(), import_string(settings.SESSION_SERIALIZER)()
        for _, session in self._iterate_old():
            findings.sessions += 1
            findings.unreadable += session is None
            if session is not None:
                findings.losses.update(find_losses(session.data, serializer))
        return findings

    def _count(self, batch: list[tuple[str, OldSession | None]]) -> int:
        """Count what there is to do."""
        records = [
            self._store.store.read(key_of(session_key))
            for session_key, session in batch
            if session is not None
        ]
        done = [each for each in records if each is not None and self._is_done(each)]
        return len(records) - len(done)

    def _is_done(self, record: SessionRecord) -> bool:
        return self._follows or not envelopes.is_following(record)

    def _take_all(self, batch: list[tuple[str, OldSession | None]]) -> int:
        # What can't be read here the old engine can't read either.
        readable = [Found(Secret(each), old) for each, old in batch if old is not None]
        entered, others = enter(self._store, readable)
        taken = entered if self._follows else take_over(self._store, entered)
        done = {each.secret.key for each in taken}
        missed = [each.secret for each in entered if each.secret.key not in done]
        slow = [*(each.secret for each in others), *missed]
        return len(taken) + sum(map(self._take, slow))

    def _take(self, secret: Secret) -> int:
        """Do what the phase does with a session, and count it if that was anything."""
        record = self._store.store.read(secret.key)
        is_ours = record is not None and not envelopes.is_following(record)
        if record is not None and self._follows:
            return 0
        protocol = self._store.knowing(KnownKeys(secret)).protocol
        if not is_ours:
            return int(run(protocol.settle(secret.key, record)) is not None)
        # Its removal was still to come when its process died.
        ask(self._old, lambda: self._old.delete(secret.session_key))
        return 0

    def _settle_followers(self) -> None:
        """End the records whose old session an old process has ended."""
        for record in self._iterate_records():
            if envelopes.is_following(record):
                self._store.read(record.key)

    def _scan(self, after: str, size: int) -> list[tuple[str, OldSession | None]]:
        return ask(self._old, lambda: self._old.scan(after, size))

    def _iterate_old(self) -> Iterator[tuple[str, OldSession | None]]:
        after = ""
        while batch := self._scan(after, AT_A_TIME):
            yield from batch
            after = batch[-1][0]

    def _iterate_records(self) -> Iterator[SessionRecord]:
        store: BaseStore = self._store.store
        cursor: Any = None
        while store.supports_scan:
            records, cursor = store.scan(cursor, AT_A_TIME)
            yield from records
            if cursor is None:
                return
