"""RedisStore, over one server or over a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django.conf import settings
from django.core.checks import CheckMessage

from ...exceptions import InvalidStore
from ...records import Outcome, SessionRecord
from ..batches import Batch
from ..packages import explain_old_redis_py
from ..steps import Result
from ..stepwise import Operation, StepwiseStore
from .checks import check_redis
from .client.base import Client
from .client.cluster import ClusterClient
from .client.server import ServerClient
from .cluster import ClusterProtocol
from .layout import KEY_LENGTH, unpack
from .options import DEFAULT_PREFIX, read_options
from .protocol import RedisProtocol, Request
from .scripts import TRIM
from .server import ServerProtocol

PAGE = 1_000  # names that one SCAN looks at
AT_A_TIME = 1_000  # keys that one command removes


class RedisStore(StepwiseStore):
    """
    Keep records in Redis, and in a sorted set for each user whose session is whose.

    One of the first three options says where that is.

    Options:
        CACHE: the alias of a cache of django-redis or django-valkey. Default:
            SESSION_CACHE_ALIAS.
        URL: redis://, rediss:// or unix://, as redis-py takes it; or valkey://, valkeys://.
        SENTINELS, SERVICE: pairs of host and port, and the name of the master; user, password
            and database in URL.
        CLUSTER: whether URL is one of the nodes of a Redis Cluster.
        CONNECTION, SENTINEL_CONNECTION: more arguments of redis-py's connections.
        KEY_PREFIX: what all names begin with, after a cache's own prefix. Default: "ms:".
        CONNECT_TIMEOUT, TIMEOUT: seconds, for a connection and for a command.
        WAIT, WAIT_TIMEOUT: how many replicas must know of a destroy or a rotation, and how many
            seconds to wait for them.
    """

    default_options: ClassVar[dict[str, Any]] = {
        "CACHE": None,
        "URL": None,
        "SENTINELS": None,
        "SERVICE": None,
        "CLUSTER": False,
        "CONNECTION": {},
        "SENTINEL_CONNECTION": {},
        "KEY_PREFIX": DEFAULT_PREFIX,
        "CONNECT_TIMEOUT": 1,
        "TIMEOUT": 2,
        "WAIT": 0,
        "WAIT_TIMEOUT": 1,
    }

    supports_scan = True

    _protocol: RedisProtocol

    def __init__(self, alias: str = "default", **options: Any) -> None:
        super().__init__(alias, **options)
        if reason := explain_old_redis_py():
            raise InvalidStore(f"SESSION_STORES[{alias!r}] is a RedisStore: {reason}")
        self._options = read_options(alias, self.options)
        self._client: Client
        if self._options.is_cluster:
            self._client = ClusterClient(self.outages, self._options)
            self._protocol = ClusterProtocol(alias, self._client, self._options)
        else:
            self._client = ServerClient(self.outages, self._options)
            self._protocol = ServerProtocol(alias, self._client, self._options)

    @property
    def configured_by(self) -> str:
        if self.options["URL"] or self.options["SENTINELS"]:
            return super().configured_by
        return f"CACHES[{(self.options['CACHE'] or settings.SESSION_CACHE_ALIAS)!r}]"

    @property
    def place(self) -> str:
        return f"the prefix {self._options.prefix.decode()!r} in {self._options.address}"

    def read(self, key: str) -> SessionRecord | None:
        value = self._client.call("GET", self._protocol.session_name(key))
        return unpack(key, value, alias=self.alias)

    async def aread(self, key: str) -> SessionRecord | None:
        value = await self._client.acall("GET", self._protocol.session_name(key))
        return unpack(key, value, alias=self.alias)

    def remove_expired(self, cursor: IndexWalk | None, size: int, *, dry_run: bool) -> Batch:
        # Redis forgets sessions by itself. What they leave behind is their place in an index.
        walk = cursor or IndexWalk(self._client, self._protocol.indexes)
        count = walk.trim(size, dry_run=dry_run)
        return Batch(count, None if walk.is_over else walk)

    def create_many(self, records: Sequence[SessionRecord]) -> list[bool]:
        return self._send_all([self._protocol.create(record) for record in records])

    def update_many(self, records: Sequence[SessionRecord]) -> list[Outcome]:
        return self._send_all([self._protocol.update(record) for record in records])

    def scan(self, cursor: SessionWalk | None, size: int) -> tuple[list[SessionRecord], Any]:
        walk = cursor or SessionWalk(self._client, self._protocol.sessions)
        found = [unpack(key, value, alias=self.alias) for key, value in walk.read(size) if value]
        records = [record for record in found if record is not None]
        return records, None if walk.is_over else walk

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        return check_redis(self.alias, self._options, self._client) if kwargs.get("deploy") else []

    def _send_all(self, operations: list[Operation[Result]]) -> list[Result]:
        """Run operations, in one round trip if each is a request; on a cluster they have steps."""
        requests = [each for each in operations if isinstance(each, Request)]
        if len(requests) < len(operations):
            return [self._run(each) for each in operations]
        replies = iter(self._client.call_many([c for each in requests for c in each.commands]))
        return [each.read([next(replies) for _ in each.commands]) for each in requests]

    def _run(self, operation: Operation[Result]) -> Result:
        if isinstance(operation, Request):
            return operation.send()  # type: ignore[no-any-return]
        return super()._run(operation)

    async def _arun(self, operation: Operation[Result]) -> Result:
        if isinstance(operation, Request):
            return await operation.asend()  # type: ignore[no-any-return]
        return await super()._arun(operation)


class IndexWalk:
    """A walk through all indexes by their prefix, to take expired sessions out of them."""

    def __init__(self, client: Client, prefix: bytes) -> None:
        self._client = client
        self._pages = client.scan(_pattern(prefix), PAGE)
        self._waiting: list[bytes] | None = next(self._pages, None)

    @property
    def is_over(self) -> bool:
        return self._waiting is None

    def trim(self, size: int, *, dry_run: bool) -> int:
        """Trim the next indexes by no more than `size` keys, and return by how many."""
        if self._waiting is None:
            return 0
        # So many indexes that all of them together can't be more than one step may remove.
        each = min(AT_A_TIME, size)
        names, waiting = self._waiting[: size // each], self._waiting[size // each :]
        commands = [TRIM((name,), each, int(dry_run)) for name in names]
        counts: list[int] = self._client.call_many(commands)
        if not dry_run:
            waiting += [name for name, count in zip(names, counts, strict=True) if count == each]
        self._waiting = waiting or next(self._pages, None)
        return sum(counts)


class SessionWalk:
    """A walk through all sessions by their prefix."""

    def __init__(self, client: Client, prefix: bytes) -> None:
        self._client = client
        self._prefix = prefix
        self._pages = client.scan(_pattern(prefix), PAGE)
        self._waiting: list[bytes] | None = next(self._pages, None)

    @property
    def is_over(self) -> bool:
        return self._waiting is None

    def read(self, size: int) -> list[tuple[str, bytes | None]]:
        """Return what is under the next names, by the keys."""
        if self._waiting is None:
            return []
        names, self._waiting = self._waiting[:size], self._waiting[size:]
        self._waiting = self._waiting or next(self._pages, None)
        if not names:
            return []
        values = self._client.call_many([("GET", name) for name in names])
        keys = [name.removeprefix(self._prefix) for name in names]
        # What is no session's name was written by something else.
        found = zip(keys, values, strict=True)
        return [(key.hex(), value) for key, value in found if len(key) == KEY_LENGTH]


def _pattern(prefix: bytes) -> bytes:
    special = b"\\*?[]^-"
    return b"".join(b"\\%c" % byte if byte in special else b"%c" % byte for byte in prefix) + b"*"
