"""A store for the time in which sessions move from one store to another."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar, NamedTuple

from ...exceptions import InvalidStore
from ...records import SessionRecord
from ..base import BaseStore
from ..batches import Batch
from ..spelling import suggest
from ..steps import arun, run
from ..stepwise import StepwiseStore
from .bulk import BulkMove
from .dormancy import State, state_of
from .parts import ComposedStore, FlagOfParts, classes_below
from .phases import PHASES, Phase
from .protocol import MigratingProtocol


class _Cursor(NamedTuple):
    """In which of the two stores gc is, and how far it has come there."""

    place: int
    inner: Any


class MigratingStore(ComposedStore, StepwiseStore):
    """
    Find sessions in either of two stores, and move each from the one to the other.

    What looks over the sessions of all users, as the admin does, has no index here: it looks over
    one of the two, by its own alias.

    Options:
        OLD: the alias of the store in which the sessions are.
        NEW: the alias of the store to which they shall go.
        PHASE: "follow" while processes run that know of OLD alone: both are read, and none is
            moved. "move": new sessions are made in NEW, and others are moved there as they are met.
            "return": the same back to OLD.
    """

    default_options: ClassVar[dict[str, Any]] = {"OLD": None, "NEW": None, "PHASE": None}
    PARTS: ClassVar[tuple[str, ...]] = ("OLD", "NEW")
    supports_users: ClassVar[Any] = FlagOfParts("supports_users", "OLD", "NEW")

    def __init__(self, alias: str = "default", **options: Any) -> None:
        super().__init__(alias, **options)
        chosen = self.options["PHASE"]
        if not isinstance(chosen, str) or chosen not in PHASES:
            guess = suggest([chosen], PHASES) if isinstance(chosen, str) else ""
            known = ", ".join(map(repr, PHASES))
            raise self._refuse("PHASE", f"Write one of {known}.{guess}")
        self.phase: Phase = PHASES[chosen]
        for name in self.PARTS:
            below = classes_below(self.options[name])
            if any(issubclass(each, MigratingStore) for each in below):
                raise self._refuse(
                    name,
                    "There sessions are moving already. Finish that move first, and name a store "
                    "that keeps sessions.",
                )

    @cached_property
    def home(self) -> BaseStore:
        """The store in which new sessions are made."""
        return self._part(self.phase.home)

    @cached_property
    def away(self) -> BaseStore:
        """The store in which sessions may be as well."""
        return self._part(self.phase.away)

    @cached_property
    def _protocol(self) -> MigratingProtocol:  # type: ignore[override]
        return MigratingProtocol(self.outages, self.home, self.away, moves=self.phase.moves)

    def move_all(self) -> BulkMove:
        """Return what moves all sessions, for `manage.py sessions move`."""
        return BulkMove(self._protocol, self.away, self.home)

    def read(self, key: str) -> SessionRecord | None:
        record = self.home.read(key)
        if record is not None and state_of(record) is State.LIVE:
            return record
        return run(self._protocol.read_on(key, record))

    async def aread(self, key: str) -> SessionRecord | None:
        record = await self.home.aread(key)
        if record is not None and state_of(record) is State.LIVE:
            return record
        return await arun(self._protocol.read_on(key, record))

    def reread(self, key: str) -> SessionRecord | None:
        found = run(self._protocol.find(key))
        return None if found is None else found.record

    async def areread(self, key: str) -> SessionRecord | None:
        found = await arun(self._protocol.find(key))
        return None if found is None else found.record

    def fits(self, key: str, user_id: str | None, old_key: str | None = None) -> bool:
        return all(part.fits(key, user_id, old_key) for part in self.parts)

    def remove_expired(self, cursor: _Cursor | None, size: int, *, dry_run: bool) -> Batch:
        here = cursor or _Cursor(0, None)
        part = self.parts[here.place]
        at_most = min(size, part.max_batch_size or size)
        batch = part.remove_expired(here.inner, at_most, dry_run=dry_run)
        if batch.cursor is not None:
            return Batch(batch.count, here._replace(inner=batch.cursor))
        is_last = here.place == len(self.parts) - 1
        return Batch(batch.count, None if is_last else _Cursor(here.place + 1, None))

    def _part(self, name: str) -> BaseStore:
        return self.parts[self.PARTS.index(name)]

    def _refuse(self, option: str, remedy: str) -> InvalidStore:
        return InvalidStore(
            f"SESSION_STORES[{self.alias!r}]['OPTIONS'][{option!r}] is {self.options[option]!r}. "
            f"{remedy}"
        )
