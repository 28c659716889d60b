"""A Redis Cluster: redis-py's own clients, which know who has which slot and follow redirects."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import redis.asyncio
from redis.exceptions import NoScriptError, RedisClusterException, RedisError

from ..base import BaseStore
from . import pools
from .errors import unavailable
from .places import Place
from .scripts import Command, Script, Word

# That no node answers is no RedisError.
ERRORS = (RedisError, RedisClusterException, OSError)


class LoopClient(NamedTuple):
    """The client of one event loop."""

    client: redis.asyncio.RedisCluster
    keeper: AsyncGenerator[None]  # See client.LoopPool.


class ClusterClient:
    """Twins that send each command to the server that has its slot."""

    def __init__(self, store: BaseStore, place: Place) -> None:
        self._store = store
        self._place = place
        self._client: Any = None  # redis-py's clusters have few types.
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopClient] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def call(self, *command: Word) -> Any:
        """
        Send a command and return its reply.

        Raises:
            StoreUnavailable: there was none, or it is an error.
        """
        try:
            client = self._connected()
            try:
                return client.execute_command(*command)
            except NoScriptError:
                return client.execute_command(*Script.spelt_out(command))
        except ERRORS as error:
            raise unavailable(self._store, error) from error

    async def acall(self, *command: Word) -> Any:
        """See call()."""
        try:
            client = await self._aconnected()
            try:
                return await client.execute_command(*command)
            except NoScriptError:
                return await client.execute_command(*Script.spelt_out(command))
        except ERRORS as error:
            raise unavailable(self._store, error) from error

    def call_many(self, commands: list[Command]) -> list[Any]:
        """Send commands to all servers at once. In which order they are done isn't known."""
        try:
            client = self._connected()
            replies = _filled(client.pipeline(), commands).execute(raise_on_error=False)
            if again := _forgotten(replies):
                for text in {Script.text_of(commands[place]) for place in again}:
                    client.script_load(text)
                pipeline = _filled(client.pipeline(), [commands[place] for place in again])
                _put(replies, again, pipeline.execute(raise_on_error=False))
        except ERRORS as error:
            raise unavailable(self._store, error) from error
        return self._all(replies)

    async def acall_many(self, commands: list[Command]) -> list[Any]:
        """See call_many()."""
        try:
            client: Any = await self._aconnected()
            replies = await _filled(client.pipeline(), commands).execute(raise_on_error=False)
            if again := _forgotten(replies):
                for text in {Script.text_of(commands[place]) for place in again}:
                    await client.script_load(text)
                pipeline = _filled(client.pipeline(), [commands[place] for place in again])
                _put(replies, again, await pipeline.execute(raise_on_error=False))
        except ERRORS as error:
            raise unavailable(self._store, error) from error
        return self._all(replies)

    def scan(self, pattern: bytes, count: int) -> Iterator[list[bytes]]:
        """
        Yield the names that match, page by page, from each server that has slots.

        Args:
            pattern: as Redis takes it.
            count: how many names one command looks at.
        """
        try:
            client = self._connected()
            for node in client.get_primaries():
                cursor = 0
                while True:
                    cursors, page = client.scan(cursor, pattern, count, target_nodes=node)
                    yield page
                    cursor = cursors[node.name]
                    if not cursor:
                        break
        except ERRORS as error:
            raise unavailable(self._store, error) from error

    def facts(self) -> list[dict[str, Any]]:
        """Return what INFO says, of each server that has slots."""
        try:
            client = self._connected()
            return [client.info(target_nodes=node) for node in client.get_primaries()]
        except ERRORS as error:
            raise unavailable(self._store, error) from error

    def _all(self, replies: list[Any]) -> list[Any]:
        for reply in replies:
            if isinstance(reply, Exception):
                raise unavailable(self._store, reply) from reply
        return replies

    def _connected(self) -> Any:
        # Only when it is first needed: it asks the cluster at once.
        if self._client is None:
            with self._lock:
                if self._client is None:
                    self._client = pools.cluster(self._place)
        return self._client

    async def _aconnected(self) -> redis.asyncio.RedisCluster:
        loop = asyncio.get_running_loop()
        if (found := self._loops.get(loop)) is None:
            client = pools.async_cluster(self._place)
            keeper = _keep(client)
            with self._lock:
                found = self._loops[loop] = LoopClient(client, keeper)
            await anext(keeper)
        return found.client


def _filled(pipeline: Any, commands: list[Command]) -> Any:
    for command in commands:
        pipeline.execute_command(*command)
    return pipeline


def _forgotten(replies: list[Any]) -> list[int]:
    return [place for place, reply in enumerate(replies) if isinstance(reply, NoScriptError)]


def _put(replies: list[Any], places: list[int], those: list[Any]) -> None:
    for place, reply in zip(places, those, strict=True):
        replies[place] = reply


async def _keep(client: redis.asyncio.RedisCluster) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        await client.aclose()
