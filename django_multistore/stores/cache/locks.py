"""Locks in a cache: who changes a session, for a while."""

from __future__ import annotations

import random
import secrets
import time
from dataclasses import dataclass

from ...exceptions import StoreUnavailable
from ..steps import Steps, call, pause
from .client import CacheClient
from .failures import Failures
from .options import CacheOptions

LOCK = "l:"
# How often a cache may say in a row that it can't add, and have nothing there: another lock's end
# may fall between the two.
REFUSALS_OF_A_LOCK = 10
LONGEST_PAUSE = 0.05  # seconds, of one who waits for a lock


@dataclass(frozen=True, slots=True)
class Lock:
    """The right to change one session for a while."""

    name: str
    until: float  # On this process's monotonic clock.

    @property
    def is_overdue(self) -> bool:
        """Whether another may have it by now."""
        return time.monotonic() >= self.until


class Locks:
    """The locks of one store, which has none without its option EXACT."""

    def __init__(self, options: CacheOptions, client: CacheClient, failures: Failures) -> None:
        self._options = options
        self._client = client
        self._failures = failures

    def take(self, key: str) -> Steps[Lock | None]:
        """Take the lock of a session, or raise StoreUnavailable when it took too long."""
        if not self._options.is_exact:
            return None
        name, token = f"{self._options.prefix}{LOCK}{key}", secrets.token_bytes(8)
        seconds = self._options.lock_seconds
        # A process that died with it leaves it for so long, and the next one gets it then.
        give_up_at = time.monotonic() + seconds + 1
        refusals = 0
        while True:
            began = time.monotonic()
            is_added = yield from call(self._client.add, self._client.aadd, name, token, seconds)
            if is_added:
                return Lock(name, until=began + seconds)
            refusals = refusals + 1 if is_added is None else 0
            if refusals == REFUSALS_OF_A_LOCK or (refusals and began >= give_up_at):
                raise self._failures.refuses_what_is_new()
            if began >= give_up_at:
                why = f"other requests were saving one session for {seconds} s"
                raise self._failures.gave_up(why)
            yield from pause(random.uniform(0, LONGEST_PAUSE))  # noqa: S311

    def release(self, lock: Lock | None) -> Steps[None]:
        """Give a lock back, if nobody else can have it by now."""
        if lock is None or lock.is_overdue:
            return
        try:
            yield from call(self._client.delete, self._client.adelete, lock.name)
        except StoreUnavailable:
            return  # What was done is done, and the lock expires.
