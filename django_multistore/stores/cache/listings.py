"""The row of one session in the index of users, kept as it must be around writes to the cache."""

from __future__ import annotations

from ...conf import conf
from ...records import SessionRecord
from ..steps import Steps, call_database
from .index import UserIndex
from .values import Entry, Listing


class Listings:
    """Which statements the index needs for a session, and which it can do without."""

    def __init__(self, index: UserIndex) -> None:
        self._index = index

    def withdraw(self, record: SessionRecord) -> Steps[None]:
        """Remove the row that was entered for a session that could not be written."""
        if record.user_id is not None:
            yield from call_database(self._index.withdraw, record)

    def remove(self, record: SessionRecord) -> Steps[None]:
        """Remove the row of a session that has ended or has another user now."""
        if record.user_id is not None:
            yield from call_database(self._index.remove, record.key, record.user_id)

    def confirm(self, entry: Entry) -> Steps[Entry | None]:
        """Return a tentative session, or None if it isn't in the index and so doesn't live."""
        record, listing = entry.record, entry.listing
        if listing is None or record.user_id is None:
            return entry  # It has no row.
        listing = yield from call_database(self._index.confirm, record.key, record.user_id, listing)
        return None if listing is None else Entry(record, listing)

    def refresh(self, entry: Entry, record: SessionRecord) -> Steps[Listing | None]:
        """Have the row of a session's user as it must be before the cache is written."""
        old, listing = entry.record, entry.listing
        if record.user_id is None:
            return None
        if listing is None or old.user_id != record.user_id:
            return (yield from call_database(self._index.insert, record))
        interval = conf.get_touch_interval(record.expires_at - record.last_seen_at)
        is_due = (
            record.last_seen_at - listing.written_at >= interval
            or record.expires_at > listing.valid_until
            or record.authenticated_at != old.authenticated_at
            or record.actor_id != old.actor_id
        )
        if not is_due:
            return listing
        fresh = yield from call_database(self._index.refresh, record)
        if fresh is None:  # The row was lost, with a backup that was restored perhaps.
            fresh = yield from call_database(self._index.insert, record)
        return fresh._replace(is_tentative=fresh.is_tentative or listing.is_tentative)

    def move(self, old: SessionRecord, record: SessionRecord) -> Steps[Listing | None]:
        """Have the row under a session's new key. None: the session of that user has ended."""
        is_same_user = record.user_id == old.user_id
        if is_same_user:
            # One UPDATE, for whose commit destroy_for_user() waits.
            listing = yield from call_database(self._index.move, old.key, record)
            if listing is not None:
                return listing
        # There was no row to move, or none is left: it was destroyed, which its tombstone
        # tells, or lost, or taken along by a rotation that died on its way.
        entered = yield from call_database(self._index.insert, record)
        if is_same_user and entered.is_tentative:
            # A destroy_for_user() before the commit would neither see it nor wait for it.
            yield from self.remove(record)
            return None
        return entered
