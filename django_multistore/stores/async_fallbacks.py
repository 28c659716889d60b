"""The async variants of a store's methods, for a backend that has no async client."""

from __future__ import annotations

from collections.abc import Callable

from asgiref.sync import sync_to_async

from ..records import Admission, Limit, Outcome, Page, SessionRecord
from .batches import GC_BATCH_SIZE
from .fallbacks import Fallbacks


class AsyncFallbacks(Fallbacks):
    """
    Run the sync methods in a thread; each variant takes and returns what its method does.

    A store whose backend has an async client overrides the variants of all that it overrides. gc
    may stay in a thread as a whole: it is a command's work, and rests between its steps.
    """

    async def aread(self, key: str) -> SessionRecord | None:
        return await sync_to_async(self.read)(key)

    async def acreate(self, record: SessionRecord) -> bool:
        return await sync_to_async(self.create)(record)

    async def aupdate(self, record: SessionRecord) -> Outcome:
        return await sync_to_async(self.update)(record)

    async def adestroy(self, key: str) -> bool:
        return await sync_to_async(self.destroy)(key)

    async def awrite(self, record: SessionRecord) -> None:
        await sync_to_async(self.write)(record)

    async def areread(self, key: str) -> SessionRecord | None:
        return await sync_to_async(self.reread)(key)

    async def amake_way(self, record: SessionRecord) -> bool:
        return await sync_to_async(self.make_way)(record)

    async def atouch(self, record: SessionRecord) -> bool:
        return await sync_to_async(self.touch)(record)

    async def arotate(self, old_key: str, record: SessionRecord) -> Outcome:
        return await sync_to_async(self.rotate)(old_key, record)

    async def amodify(self, key: str, change: Callable[[SessionRecord], SessionRecord]) -> Outcome:
        return await sync_to_async(self.modify)(key, change)

    async def aadmit(self, old_key: str | None, record: SessionRecord, limit: Limit) -> Admission:
        return await sync_to_async(self.admit)(old_key, record, limit)

    async def asessions_for_user(self, user_id: object) -> list[SessionRecord]:
        return await sync_to_async(self.sessions_for_user)(user_id)

    async def apage_for_user(self, user_id: object, *, start: int, size: int) -> Page:
        return await sync_to_async(self.page_for_user)(user_id, start=start, size=size)

    async def adestroy_for_user(self, user_id: object, *, except_key: str | None = None) -> int:
        return await sync_to_async(self.destroy_for_user)(user_id, except_key=except_key)

    async def adestroy_session(self, user_id: object, id: int) -> bool:
        return await sync_to_async(self.destroy_session)(user_id, id)

    async def agc(
        self,
        *,
        batch_size: int = GC_BATCH_SIZE,
        max_seconds: float | None = None,
        dry_run: bool = False,
        progress: Callable[[int], object] | None = None,
    ) -> int:
        return await sync_to_async(self.gc)(
            batch_size=batch_size, max_seconds=max_seconds, dry_run=dry_run, progress=progress
        )
