"""Sessions in any cache of Django's, with an index of their users in the database."""

from __future__ import annotations

from typing import Any, ClassVar

from asgiref.sync import sync_to_async
from django.core.checks import CheckMessage

from ...records import SessionRecord
from ..indexed.failures import Failures
from ..indexed.index import UserIndex
from ..indexed.protocol import IndexedProtocol
from ..indexed.store import IndexedStore
from ..sql.checks import check_database
from ..steps import Result, arun, run
from ..stepwise import Operation
from .cells import CacheCells
from .checks import check_cache, check_cache_always
from .client import CacheClient
from .options import read_options


class CacheStore(IndexedStore):
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

    def __init__(self, alias: str = "default", **options: Any) -> None:
        super().__init__(alias, **options)
        self._options = read_options(alias, self.options)
        place = f"the cache {self._options.cache!r}"
        failures = Failures(alias, place, self.outages.unavailable)
        self._index = UserIndex(self.outages, self.options["DATABASE"], self._options.namespace)
        self._client = CacheClient(self._options, failures)
        self._cells = CacheCells(self._options, self._client, failures)
        self._protocol = IndexedProtocol(self._cells, self._index, failures, self._options.max_age)

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
        entry = self._cells.parse(key, values)
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
        entry = self._cells.parse(key, values)
        if entry is not None and entry.is_tentative:
            entry = await arun(self._protocol.confirm_live(entry))
        return None if entry is None or entry.is_expired else entry.record

    async def _arun(self, operation: Operation[Result]) -> Result:
        steps = iter(operation)
        # A thread for each of an operation's commands would cost more than the commands.
        return await (arun(steps) if self._client.is_async else sync_to_async(run)(steps))

    @property
    def unfit_for_copies(self) -> str | None:
        if self._options.is_exact:
            return None
        return "which without its option EXACT may lose one of two writes that meet"

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        options = self._options
        if not kwargs.get("deploy"):
            return check_cache_always(self.alias, options.cache)
        max_age = int(options.max_age.total_seconds())
        return [
            *check_cache(self.alias, options.cache, key_prefix=options.prefix, max_age=max_age),
            *check_database(self.alias, self.database),
        ]
