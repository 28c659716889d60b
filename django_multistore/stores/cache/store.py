"""Sessions in any cache of Django's, with an index of their users in the database."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, NamedTuple

from asgiref.sync import sync_to_async
from django.core.checks import CheckMessage

from ...models import SessionRowQuerySet
from ...records import SessionRecord
from ..batches import Batch
from ..sql.checks import check_database
from ..steps import Result, arun, run
from ..stepwise import Operation, StepwiseStore
from .cells import Cells, Locks
from .checks import check_cache, check_cache_always
from .client import CacheClient, Failures
from .index import AT_A_TIME, UserIndex
from .options import read_options
from .protocol import CacheProtocol


class _Cursor(NamedTuple):
    """The row up to which gc has come; at its start, the newest row, and what time it was."""

    row_id: int
    newest: int
    now: datetime


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

    supports_scan = True
    scans_anonymous = False  # It goes by the index, which has those of users.
    has_database_index = True
    max_batch_size: ClassVar[int | None] = AT_A_TIME

    _protocol: CacheProtocol

    def __init__(self, alias: str = "default", **options: Any) -> None:
        super().__init__(alias, **options)
        self._options = read_options(alias, self.options)
        failures = Failures(alias, self._options.cache, self.outages.unavailable)
        self._index = UserIndex(self.outages, self.options["DATABASE"], self._options.namespace)
        self._client = CacheClient(self._options, failures)
        self._cells = Cells(alias, self._options, self._client, failures)
        locks = Locks(self._options, self._client, failures)
        self._protocol = CacheProtocol(self._options, self._cells, locks, self._index, failures)

    @property
    def database(self) -> str:
        """The alias of the database that holds the index of users."""
        return self._index.database

    @property
    def configured_by(self) -> str:
        return f"CACHES[{self._options.cache!r}]"

    @property
    def place(self) -> str:
        return f"the prefix {self._options.prefix!r} in the cache {self._options.cache!r}"

    # read() is no protocol for run(): each request does it, and it is one command but for tentative
    # sessions.

    def read(self, key: str) -> SessionRecord | None:
        names = self._cells.names(key)
        values = self._client.read(names)
        if values is None:
            values = run(self._client.get_many(names))
        entry = self._cells.find(key, values)
        if entry is not None and entry.is_tentative:
            entry = run(self._protocol.confirm_live(entry))
        return None if entry is None or entry.is_expired else entry.record

    async def aread(self, key: str) -> SessionRecord | None:
        if not self._client.is_async:
            return await sync_to_async(self.read)(key)
        names = self._cells.names(key)
        values = await self._client.aread(names)
        if values is None:
            values = await arun(self._client.get_many(names))
        entry = self._cells.find(key, values)
        if entry is not None and entry.is_tentative:
            entry = await arun(self._protocol.confirm_live(entry))
        return None if entry is None or entry.is_expired else entry.record

    async def _arun(self, operation: Operation[Result]) -> Result:
        steps = iter(operation)
        # A thread for each of an operation's commands would cost more than the commands.
        return await (arun(steps) if self._client.is_async else sync_to_async(run)(steps))

    def database_index(self) -> SessionRowQuerySet:
        return self._index.live()

    def remove_expired(self, cursor: _Cursor | None, size: int, *, dry_run: bool) -> Batch:
        # The cache forgets sessions by itself. What they leave behind is their rows.
        here = cursor or _Cursor(0, self._index.newest(), self._index.now())
        rows = self._index.rows_after(here.row_id, size)
        count = run(self._protocol.gc(rows, dry_run=dry_run, now=here.now)) if rows else 0
        # Logins may come in faster than rows are looked at, which would have no end.
        is_last = len(rows) < size or rows[-1].row_id >= here.newest
        return Batch(count, None if is_last else here._replace(row_id=rows[-1].row_id))

    def scan(self, cursor: int | None, size: int) -> tuple[list[SessionRecord], int | None]:
        rows = self._index.rows_after(cursor or 0, min(size, AT_A_TIME))
        found = run(self._protocol.records_of(rows))
        return found, rows[-1].row_id if rows else None

    def is_in_transaction(self) -> bool:
        return self._index.is_in_transaction()

    def try_more(self, record: SessionRecord) -> None:
        self._index.try_out(record)

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        options = self._options
        if not kwargs.get("deploy"):
            return check_cache_always(self.alias, options.cache)
        max_age = int(options.max_age.total_seconds())
        return [
            *check_cache(self.alias, options.cache, key_prefix=options.prefix, max_age=max_age),
            *check_database(self.alias, self.database),
        ]
