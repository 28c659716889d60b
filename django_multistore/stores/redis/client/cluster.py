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
from ..options import RedisOptions
from ..scripts import WRONG_TYPE, Command, Script
from . import pools
from .base import Client
from .errors import StoreErrors, is_of_wrong_type, most_pages
from .per_loop import PerLoop

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

    def __init__(self, errors: StoreErrors, options: RedisOptions) -> None:
        self._errors = errors
        self._options = options
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
                f"SESSION_STORES[{errors.alias!r}]['OPTIONS']: redis-py's clusters know no "
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
        return pending.replies_or_error(self._errors)

    async def acall_many(self, commands: list[Command]) -> list[Any]:
        """See call_many()."""
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
        return pending.replies_or_error(self._errors)

    def scan(self, pattern: bytes, count: int) -> Iterator[list[bytes]]:
        """See Client.scan()."""
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
                    raise self._errors.endless_scan()
        except ERRORS as error:
            raise self._errors.unavailable(error) from error

    def facts(self) -> list[dict[str, Any]]:
        """See Client.facts()."""
        try:
            client = self._connected()
            return [client.info(target_nodes=node) for node in client.get_primaries()]
        except ERRORS as error:
            raise self._errors.unavailable(error) from error

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
        self._replies: list[Any] = [None] * len(commands)
        self._unanswered = [*range(len(commands))]

    @property
    def is_settled(self) -> bool:
        """Whether to send the rest again is useless, or there is none."""
        errors = [self._replies[place] for place in self._unanswered]
        return all(not isinstance(error, (NoScriptError, *PASSING)) for error in errors)

    def forgotten_texts(self) -> set[str]:
        """Return the scripts that a server did not know."""
        return {
            Script.text_of(self._commands[place])
            for place in self._unanswered
            if isinstance(self._replies[place], NoScriptError)
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
        """Note the replies to what fill() has put in."""
        for place, reply in zip(self._unanswered, replies, strict=True):
            self._note(place, reply)
        self._settle()

    def fail(self, error: Exception) -> None:
        """Note that all of it has failed."""
        for place in self._unanswered:
            self._note(place, error)
        self._settle()

    def _note(self, place: int, reply: Any) -> None:
        is_damage = isinstance(reply, ResponseError) and is_of_wrong_type(
            self._commands[place], reply
        )
        self._replies[place] = WRONG_TYPE if is_damage else reply

    def _settle(self) -> None:
        self._unanswered = [
            place for place in self._unanswered if isinstance(self._replies[place], Exception)
        ]

    def replies_or_error(self, errors: StoreErrors) -> list[Any]:
        """
        Return the reply to each command.

        Raises:
            StoreUnavailable: there is none to one of them.
        """
        for place in self._unanswered:
            error = self._replies[place]
            raise errors.unavailable(error) from error
        return self._replies
