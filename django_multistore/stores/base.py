"""
The interface of a store: what it must do, and what it says of itself.

What follows from that is in fallbacks.py. django_multistore.testing.StoreContract tests it all.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from django.core.checks import CheckMessage

from ..exceptions import InvalidStore
from ..records import Outcome, SessionRecord
from .async_fallbacks import AsyncFallbacks
from .attempts import Outages
from .batches import Batch
from .spelling import suggest

__all__ = ["BaseStore"]


class BaseStore(AsyncFallbacks):
    """
    Keep records, for all threads of a process.

    A store sees keys, which are digests, and payloads, which are opaque bytes; never a session
    key. Each method may raise StoreUnavailable, and must where the backend can't be asked: an
    outage is never taken for a session that isn't there.
    """

    default_options: ClassVar[dict[str, Any]] = {}
    # Whether sessions_for_user() finds them. If not, it and what calls it raise NotSupported.
    supports_users: ClassVar[bool] = False
    # Whether admit() runs for one login of a user after the other.
    serializes_logins: ClassVar[bool] = False
    # Whether database_index() has rows of the sessions. If not, it raises NotSupported.
    has_database_index: ClassVar[bool] = False
    # Whether scan() goes through the sessions. If not, it raises NotSupported.
    supports_scan: ClassVar[bool] = False
    # Whether scan() finds the sessions that have no user as well.
    scans_anonymous: ClassVar[bool] = True
    # The most that one step of gc() may do, whatever batch_size says. None: no limit.
    max_batch_size: ClassVar[int | None] = None

    def __init__(self, alias: str = "default", **options: Any) -> None:
        """
        Take the store's alias in SESSION_STORES, and its OPTIONS there.

        Raises:
            InvalidStore: an option isn't one of default_options.
        """
        if unknown := options.keys() - self.default_options.keys():
            known = ", ".join(map(repr, sorted(self.default_options))) or "none"
            raise InvalidStore(
                f"SESSION_STORES[{alias!r}]['OPTIONS'] has "
                f"{', '.join(map(repr, sorted(unknown)))}, which {type(self).__name__} doesn't "
                f"know. Its options: {known}.{suggest(unknown, self.default_options)}"
            )
        self.alias = alias
        self.outages: Outages = Outages(alias, type(self).__name__)
        self.options: dict[str, Any] = {**self.default_options, **options}

    @property
    def place(self) -> str | None:
        """Where the records are, in words, if no other store may keep its own there."""
        return None

    @property
    def configured_by(self) -> str:
        """The setting that says where the backend is, in words for messages."""
        return f"SESSION_STORES[{self.alias!r}]['OPTIONS']"

    @abstractmethod
    def read(self, key: str) -> SessionRecord | None:
        """Return the live record under this key; None if it is unknown or has expired."""

    @abstractmethod
    def create(self, record: SessionRecord) -> bool:
        """
        Store a new record.

        Returns:
            False, and nothing is stored, if its key is taken. A store may remember the keys
            of sessions that were ended, and take them for taken.

        Raises:
            ValueError: the user id doesn't fit the store.
        """

    @abstractmethod
    def update(self, record: SessionRecord) -> Outcome:
        """
        Write the record if the version that is stored is still record.version.

        With version None, whichever version is there is overwritten. The stored version
        becomes one higher; id and created_at stay. Never creates a record, and never
        brings back one that has expired.
        """

    @abstractmethod
    def destroy(self, key: str) -> bool:
        """End the session under this key and say whether it was there. Missing is no error."""

    @abstractmethod
    def remove_expired(self, cursor: Any, size: int, *, dry_run: bool) -> Batch:
        """
        Take one step of gc().

        Args:
            cursor: what the step before returned with its Batch; None in the first step.
            size: the most records to remove.
            dry_run: only count them; one step may then count them all.
        """

    def is_in_transaction(self) -> bool:
        """Say whether the caller's transaction may undo what is written here now."""
        return False

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        """Check the store's configuration; with deploy=True also what only production needs."""
        return []

    def try_more(self, record: SessionRecord) -> None:
        """
        Try what the session of `check --deploy` does not need, and what a user's does.

        Whatever is raised is told. Nothing of it may be seen by others, nor stay.

        Args:
            record: the session that was created, read, updated and destroyed before.
        """
