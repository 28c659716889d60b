"""Sessions in any cache of Django's, with an index of their users in the database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from asgiref.sync import sync_to_async
from django.core.checks import CheckMessage

from ...models import SessionRowQuerySet, UserSession
from ...records import SessionRecord
from ..base import GC_BATCH_SIZE
from ..batches import batch_sizes
from ..sql.checks import check_database
from ..sql.isolation_checks import check_isolation
from ..sql.table import Table
from ..steps import Result, Steps, arun, run
from ..stepwise import StepwiseStore
from .cells import Cells
from .checks import check_cache, check_cache_always
from .client import CacheClient
from .failures import Failures
from .index import AT_A_TIME, UserIndex, write_index_statements
from .locks import Locks
from .options import read_options
from .protocol import CacheProtocol


class CacheStore(StepwiseStore):
    """
    Keep records in a cache of CACHES, and in a table whose session is whose.

    Options:
        CACHE: the alias of the cache. Default: SESSION_CACHE_ALIAS.
        DATABASE: the alias of the database of the index, models.UserSession. By default the
            site's database routers say where it is written.
        KEY_PREFIX: what the names of all entries in the cache begin with.
        EXACT: take a lock for each save, so that no update is ever lost. Without it two
            saves that meet within one round trip may lose one.
        LOCK_SECONDS: how long a process that died keeps others from saving its session.
        MAX_AGE: the most seconds that a session lives, whatever set_expiry() says, and for
            how long, and a day, the cache remembers which have ended. Default: 30 days, or
            SESSION_COOKIE_AGE if that is more.
    """

    default_options: ClassVar[dict[str, Any]] = {
        "CACHE": None,
        "DATABASE": None,
        "KEY_PREFIX": "",
        "EXACT": True,
        "LOCK_SECONDS": 5,
        "MAX_AGE": None,
    }

    _protocol: CacheProtocol

    def __init__(self, alias: str = "default", **options: Any) -> None:
        super().__init__(alias, **options)
        self._options = read_options(alias, self.options)
        failures = Failures(alias, self._options.cache, self.unavailable)
        table = Table(self, UserSession, write_index_statements)
        self._index = UserIndex(alias, table, self._options.namespace)
        self._client = CacheClient(self._options, failures)
        self._cells = Cells(alias, self._options, self._client, failures)
        locks = Locks(self._options, self._client, failures)
        self._protocol = CacheProtocol(self._options, self._cells, locks, self._index, failures)

    @property
    def database(self) -> str:
        """The alias of the database that holds the index of users."""
        return self._index.database

    @property
    def place(self) -> str:
        return f"the prefix {self._options.prefix!r} in the cache {self._options.cache!r}"

    # read() is no protocol for run(): each request does it, and it is one command but for tentative
    # sessions.

    def read(self, key: str) -> SessionRecord | None:
        entry = self._cells.find(key, self._client.get_many(self._cells.names(key)))
        if entry is not None and entry.is_tentative:
            entry = run(self._protocol.confirm_live(entry))
        return None if entry is None or entry.is_expired else entry.record

    async def aread(self, key: str) -> SessionRecord | None:
        if not self._client.is_async:
            return await sync_to_async(self.read)(key)
        entry = self._cells.find(key, await self._client.aget_many(self._cells.names(key)))
        if entry is not None and entry.is_tentative:
            entry = await arun(self._protocol.confirm_live(entry))
        return None if entry is None or entry.is_expired else entry.record

    async def _arun(self, steps: Steps[Result]) -> Result:
        # A thread for each of an operation's commands would cost more than the commands.
        return await (arun(steps) if self._client.is_async else sync_to_async(run)(steps))

    def database_index(self) -> SessionRowQuerySet:
        return self._index.live()

    def gc(
        self,
        *,
        batch_size: int = GC_BATCH_SIZE,
        max_seconds: float | None = None,
        dry_run: bool = False,
        progress: Callable[[int], object] | None = None,
    ) -> int:
        # The cache forgets sessions by itself. What they leave behind is their rows.
        removed = last = 0
        # Logins may come in faster than rows are looked at, which would have no end.
        newest, now = self._index.newest(), self._index.now()
        for size in batch_sizes(min(batch_size, AT_A_TIME), max_seconds):
            rows = self._index.rows_after(last, size)
            step = run(self._protocol.gc(rows, dry_run=dry_run, now=now)) if rows else 0
            removed += step
            if progress is not None:
                progress(step)
            if len(rows) < size or rows[-1].row_id >= newest:
                break
            last = rows[-1].row_id
        return removed

    async def agc(
        self,
        *,
        batch_size: int = GC_BATCH_SIZE,
        max_seconds: float | None = None,
        dry_run: bool = False,
        progress: Callable[[int], object] | None = None,
    ) -> int:
        # A command's work, which rests between its steps: in a thread as a whole.
        return await sync_to_async(self.gc)(
            batch_size=batch_size, max_seconds=max_seconds, dry_run=dry_run, progress=progress
        )

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        options = self._options
        if not kwargs.get("deploy"):
            return check_cache_always(self.alias, options.cache)
        using = self.database
        return [
            *check_cache(
                self.alias,
                options.cache,
                key_prefix=options.prefix,
                max_age=int(options.max_age.total_seconds()),
            ),
            *check_database(self.alias, using),
            *check_isolation(self.alias, using),
        ]
