"""A Redis Cluster: redis-py's own clients, which know who has which slot and follow redirects."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import redis.asyncio
from redis import exceptions
from redis.exceptions import NoScriptError, RedisClusterException, RedisError, ResponseError

from ....exceptions import InvalidStore
from ...attempts import Outages
from ...event_loops import PerLoop
from ..options import RedisOptions
from ..scripts import WRONG_TYPE, Command, Script
from . import pools
from .base import Client, is_of_wrong_type, most_pages

# That no node answers is no RedisError.
ERRORS = (RedisError, RedisClusterException, OSError, TypeError)
# What may pass while slots move or a master is replaced. TypeError: from redis-py 8.1, for a
# connection that another task has closed.
PASSING = (exceptions.ClusterError, exceptions.ConnectionError, TypeError)
# Seconds before each attempt. The nonce of each write tells Redis that it was done, so that none is
# done twice.
PAUSES = (0, 0.05, 0.2)


class ClusterClient(Client):
    """Send each command to the server that has its slot, by redis-py's clients."""

    def __init__(self, outages: Outages, options: RedisOptions) -> None:
        super().__init__(outages, options)
        self._client: Any = None  # redis-py's clusters have few types.
        self._lock = threading.Lock()
        self._loops: PerLoop[Any] = PerLoop(
            partial(pools.make_async_cluster, options),
            redis.asyncio.RedisCluster.aclose,
            pools.abandon_cluster,
        )
        if unknown := pools.unknown_to_clusters(options):
            names = ", ".join(map(repr, sorted(unknown)))
            raise InvalidStore(
                f"SESSION_STORES[{outages.alias!r}]['OPTIONS']: redis-py's clusters know no "
                f"argument {names}, which URL or CONNECTION has. Leave it out."
            )

    def call_many(self, commands: list[Command]) -> list[Any]:
        """Send commands to all servers at once. In which order they are done isn't known."""
        pending = Pending(commands)
        for pause in PAUSES:
            if pause:
                time.sleep(pause)
            try:
                client = self._connected()
                for text in pending.forgotten_texts():
                    client.script_load(text)
                if command := pending.single():
                    pending.take([client.execute_command(*command)])
                else:
                    pipeline = pending.fill(client.pipeline())
                    pending.take(pipeline.execute(raise_on_error=False))
            except ERRORS as error:
                pending.fail(error)
            if pending.is_settled:
                break
        if failure := pending.failure:
            raise self._unavailable(failure) from failure
        return pending.replies

    async def acall_many(self, commands: list[Command]) -> list[Any]:
        pending = Pending(commands)
        for pause in PAUSES:
            if pause:
                await asyncio.sleep(pause)
            try:
                client = await self._loops.get()
                for text in pending.forgotten_texts():
                    await client.script_load(text)
                if command := pending.single():
                    pending.take([await client.execute_command(*command)])
                else:
                    pipeline = pending.fill(client.pipeline())
                    pending.take(await pipeline.execute(raise_on_error=False))
            except ERRORS as error:
                pending.fail(error)
            if pending.is_settled:
                break
        if failure := pending.failure:
            raise self._unavailable(failure) from failure
        return pending.replies

    def scan(self, pattern: bytes, count: int) -> Iterator[list[bytes]]:
        try:
            client = self._connected()
            for node in client.get_primaries():
                cursor = 0
                for _ in range(most_pages(client.dbsize(target_nodes=node), count)):
                    cursors, page = client.scan(cursor, pattern, count, target_nodes=node)
                    yield page
                    cursor = cursors[node.name]
                    if not cursor:
                        break
                else:
                    raise self._endless_scan()
        except ERRORS as error:
            raise self._unavailable(error) from error

    def facts(self) -> list[dict[str, Any]]:
        try:
            client = self._connected()
            return [client.info(target_nodes=node) for node in client.get_primaries()]
        except ERRORS as error:
            raise self._unavailable(error) from error

    def _connected(self) -> Any:
        # Only when it is first needed: it asks the cluster at once.
        if self._client is None:
            with self._lock:
                if self._client is None:
                    self._client = pools.make_cluster(self._options)
        return self._client


class Pending:
    """Commands, and the replies that there are so far."""

    def __init__(self, commands: list[Command]) -> None:
        self._commands = commands
        self._unanswered = [*range(len(commands))]
        self.replies: list[Any] = [None] * len(commands)

    @property
    def is_settled(self) -> bool:
        """Whether to send the rest again is useless, or there is none."""
        errors = [self.replies[place] for place in self._unanswered]
        return all(not isinstance(error, (NoScriptError, *PASSING)) for error in errors)

    @property
    def failure(self) -> Exception | None:
        """What the first command has met that has no reply."""
        return self.replies[self._unanswered[0]] if self._unanswered else None

    def forgotten_texts(self) -> set[str]:
        """Return the scripts that a server did not know."""
        return {
            Script.text_of(self._commands[place])
            for place in self._unanswered
            if isinstance(self.replies[place], NoScriptError)
        }

    def single(self) -> Command | None:
        """Return the command that has no reply yet, if it is the only one."""
        return self._commands[self._unanswered[0]] if len(self._unanswered) == 1 else None

    def fill(self, pipeline: Any) -> Any:
        """Put what has no reply yet into a pipeline."""
        for place in self._unanswered:
            pipeline.execute_command(*self._commands[place])
        return pipeline

    def take(self, replies: list[Any]) -> None:
        """Note the replies to what has none yet."""
        for place, reply in zip(self._unanswered, replies, strict=True):
            is_error = isinstance(reply, ResponseError)
            is_damage = is_error and is_of_wrong_type(self._commands[place], reply)
            self.replies[place] = WRONG_TYPE if is_damage else reply
        self._unanswered = [
            place for place in self._unanswered if isinstance(self.replies[place], Exception)
        ]

    def fail(self, error: Exception) -> None:
        """Note that all of it has failed."""
        self.take([error] * len(self._unanswered))
