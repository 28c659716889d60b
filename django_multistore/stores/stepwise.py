"""A store whose operations are protocols of several steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, TypeVar

from ..records import Admission, Limit, Outcome, Page, SessionRecord, user_id_of
from .base import BaseStore
from .steps import Result, Steps, arun, run

Result_co = TypeVar("Result_co", covariant=True)


class Operation(Protocol[Result_co]):
    """The steps of an operation, or what is sent by itself as well, and as one of them."""

    def __iter__(self) -> Steps[Result_co]: ...


class Operations(ABC):
    """The steps of each operation. See BaseStore for what they come to."""

    @abstractmethod
    def create(self, record: SessionRecord) -> Operation[bool]: ...

    @abstractmethod
    def update(self, record: SessionRecord) -> Operation[Outcome]: ...

    @abstractmethod
    def touch(self, record: SessionRecord) -> Operation[bool]: ...

    @abstractmethod
    def rotate(self, old_key: str, record: SessionRecord) -> Operation[Outcome]: ...

    @abstractmethod
    def modify(
        self, key: str, change: Callable[[SessionRecord], SessionRecord]
    ) -> Operation[Outcome]: ...

    @abstractmethod
    def destroy(self, key: str) -> Operation[bool]: ...

    @abstractmethod
    def sessions_for_user(self, user_id: str) -> Operation[list[SessionRecord]]: ...

    @abstractmethod
    def page_for_user(self, user_id: str, *, start: int, size: int) -> Operation[Page]: ...

    @abstractmethod
    def destroy_for_user(
        self, user_id: str, *, except_key: str | None = None
    ) -> Operation[int]: ...

    @abstractmethod
    def destroy_session(self, user_id: str, id: int) -> Operation[bool]: ...

    def admit(self, old_key: str | None, record: SessionRecord, limit: Limit) -> Steps[Admission]:
        outcome = yield from self._admitted(old_key, record, limit)
        evicted: list[SessionRecord] = []
        if outcome is Outcome.DONE and limit.evicts and record.actor_id is None:
            evicted = yield from self._evict(record, limit)
        return Admission(outcome=outcome, evicted=tuple(evicted))

    def _evict(self, record: SessionRecord, limit: Limit) -> Steps[list[SessionRecord]]:
        user_id, evicted = user_id_of(record.user_id), []
        listed = yield from self.sessions_for_user(user_id)
        for surplus in limit.surplus(record, listed, serialized=False):
            if (yield from self.destroy_session(user_id, surplus.id)):
                evicted.append(surplus)  # noqa: PERF401 - no comprehension can take a step
        return evicted

    def _admitted(self, old_key: str | None, record: SessionRecord, limit: Limit) -> Steps[Outcome]:
        if not limit.evicts and record.actor_id is None:
            listed = yield from self.sessions_for_user(user_id_of(record.user_id))
            if limit.refuses(record, listed):
                return Outcome.FULL
        if old_key is None:
            return Outcome.DONE if (yield from self.create(record)) else Outcome.CONFLICT
        if old_key == record.key:
            return (yield from self.update(record))
        return (yield from self.rotate(old_key, record))


class StepwiseStore(BaseStore):
    """
    Run the steps of a protocol, in sync code and in async code.

    A subclass sets `_protocol`, and adds read() and remove_expired().
    """

    supports_users = True

    _protocol: Operations

    def create(self, record: SessionRecord) -> bool:
        return self._run(self._protocol.create(record))

    async def acreate(self, record: SessionRecord) -> bool:
        return await self._arun(self._protocol.create(record))

    def update(self, record: SessionRecord) -> Outcome:
        return self._run(self._protocol.update(record))

    async def aupdate(self, record: SessionRecord) -> Outcome:
        return await self._arun(self._protocol.update(record))

    def write(self, record: SessionRecord) -> None:
        self._run(self._write(record))

    async def awrite(self, record: SessionRecord) -> None:
        await self._arun(self._write(record))

    def touch(self, record: SessionRecord) -> bool:
        return self._run(self._protocol.touch(record))

    async def atouch(self, record: SessionRecord) -> bool:
        return await self._arun(self._protocol.touch(record))

    def rotate(self, old_key: str, record: SessionRecord) -> Outcome:
        return self._run(self._protocol.rotate(old_key, record))

    async def arotate(self, old_key: str, record: SessionRecord) -> Outcome:
        return await self._arun(self._protocol.rotate(old_key, record))

    def modify(self, key: str, change: Callable[[SessionRecord], SessionRecord]) -> Outcome:
        return self._run(self._protocol.modify(key, change))

    async def amodify(self, key: str, change: Callable[[SessionRecord], SessionRecord]) -> Outcome:
        return await self._arun(self._protocol.modify(key, change))

    def destroy(self, key: str) -> bool:
        return self._run(self._protocol.destroy(key))

    async def adestroy(self, key: str) -> bool:
        return await self._arun(self._protocol.destroy(key))

    def sessions_for_user(self, user_id: object) -> list[SessionRecord]:
        return self._run(self._protocol.sessions_for_user(user_id_of(user_id)))

    async def asessions_for_user(self, user_id: object) -> list[SessionRecord]:
        return await self._arun(self._protocol.sessions_for_user(user_id_of(user_id)))

    def page_for_user(self, user_id: object, *, start: int, size: int) -> Page:
        steps = self._protocol.page_for_user(user_id_of(user_id), start=start, size=size)
        return self._run(steps)

    async def apage_for_user(self, user_id: object, *, start: int, size: int) -> Page:
        steps = self._protocol.page_for_user(user_id_of(user_id), start=start, size=size)
        return await self._arun(steps)

    def destroy_for_user(self, user_id: object, *, except_key: str | None = None) -> int:
        steps = self._protocol.destroy_for_user(user_id_of(user_id), except_key=except_key)
        return self._run(steps)

    async def adestroy_for_user(self, user_id: object, *, except_key: str | None = None) -> int:
        steps = self._protocol.destroy_for_user(user_id_of(user_id), except_key=except_key)
        return await self._arun(steps)

    def destroy_session(self, user_id: object, id: int) -> bool:
        return self._run(self._protocol.destroy_session(user_id_of(user_id), id))

    async def adestroy_session(self, user_id: object, id: int) -> bool:
        return await self._arun(self._protocol.destroy_session(user_id_of(user_id), id))

    def admit(self, old_key: str | None, record: SessionRecord, limit: Limit) -> Admission:
        return self._run(self._protocol.admit(old_key, record, limit))

    async def aadmit(self, old_key: str | None, record: SessionRecord, limit: Limit) -> Admission:
        return await self._arun(self._protocol.admit(old_key, record, limit))

    def _run(self, operation: Operation[Result]) -> Result:
        return run(iter(operation))

    async def _arun(self, operation: Operation[Result]) -> Result:
        return await arun(iter(operation))

    def _write(self, record: SessionRecord) -> Steps[None]:
        if not (yield from self._protocol.create(record)):
            yield from self._protocol.update(replace(record, version=None))
