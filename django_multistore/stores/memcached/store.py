"""Sessions in memcached, with an index of their users in the database."""

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
from ..steps import Result, run
from ..stepwise import Operation
from .cells import MemcachedCells
from .checks import check_memcached
from .client import MemcachedClient
from .options import DEFAULT_PREFIX, read_options


class MemcachedStore(IndexedStore):
    """
    Keep records in memcached, and in a table whose session is whose.

    Options:
        SERVERS: a server or a list of servers, each as "192.0.2.1:11211" or
            "unix:/run/memcached.sock".
        CACHE: instead, the alias of a PyMemcacheCache, whose servers they are. Default:
            SESSION_CACHE_ALIAS.
        DATABASE: the alias of the database of the index, models.UserSession. By default the
            site's database routers say where it is written.
        KEY_PREFIX: what all names begin with, after a cache's own prefix. Default: "ms:".
        CONNECT_TIMEOUT, TIMEOUT: seconds, for a connection and for an answer. Default: those of
            the cache, or 1 and 2.
        MAX_AGE: the most seconds that a session lives, whatever set_expiry() says, and for
            how long, and a day, it is remembered which have ended. Default: 30 days, or
            SESSION_COOKIE_AGE if that is more.
    """

    default_options: ClassVar[dict[str, Any]] = {
        "SERVERS": None,
        "CACHE": None,
        "DATABASE": None,
        "KEY_PREFIX": DEFAULT_PREFIX,
        "CONNECT_TIMEOUT": None,
        "TIMEOUT": None,
        "MAX_AGE": None,
    }

    def __init__(self, alias: str = "default", **options: Any) -> None:
        super().__init__(alias, **options)
        self._options = read_options(alias, self.options)
        failures = Failures(alias, self._options.place, self.outages.unavailable)
        self._index = UserIndex(self.outages, self.options["DATABASE"], self._options.namespace)
        self._client = MemcachedClient(self._options, failures)
        self._cells = MemcachedCells(self._options, self._client, failures)
        self._protocol = IndexedProtocol(self._cells, self._index, failures, self._options.max_age)

    @property
    def configured_by(self) -> str:
        cache = self._options.cache
        return super().configured_by if cache is None else f"CACHES[{cache!r}]"

    @property
    def place(self) -> str:
        return f"the prefix {self._options.prefix!r} in {self._options.place}"

    # read() is no protocol for run(): each request does it, and it is one command but for tentative
    # sessions.

    def read(self, key: str) -> SessionRecord | None:
        cell = self._cells.read(key)
        if cell.entry is not None and cell.entry.is_tentative:
            cell.entry = run(self._protocol.confirm_live(cell.entry))
        entry = cell.entry
        if entry is None or entry.is_expired:
            return None
        return self._cells.give_token(cell, entry.record)

    # pymemcache has no client for async code, and none that has is kept well. A thread for each of
    # an operation's commands would cost more than the commands.

    async def aread(self, key: str) -> SessionRecord | None:
        return await sync_to_async(self.read)(key)

    async def _arun(self, operation: Operation[Result]) -> Result:
        return await sync_to_async(run)(iter(operation))

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        if not kwargs.get("deploy"):
            return []
        return [
            *check_memcached(self.alias, self._options, self._client),
            *check_database(self.alias, self.database),
        ]
