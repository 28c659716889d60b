"""Find sessions over all users, and end what was found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from heapq import nlargest
from ipaddress import ip_address
from itertools import chain

from django.db.models import Count, Q

from .. import signals
from ..exceptions import NotSupported
from ..models import SessionRowQuerySet
from ..records import Page, SessionRecord, last_use
from ..session import namespaces
from ..signals import Reason
from ..stores.base import BaseStore
from .filters import Network, build_condition, is_exact

AT_A_TIME = 1000  # rows that are in memory at the most


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What a search comes to."""

    sessions: int
    users: int
    anonymous: int  # How many of the sessions have no user.


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSearch:
    """
    A search for live sessions of one store, by all conditions that are not None.

    A user is found in each spelling that sessions may have; with SESSION_USER_NAMESPACE only those
    of its users are. Without a user the search asks the store's index in the database, which may
    know of some that have ended. Where that can't tell whether a session fits, all of its rows are
    read, a few at a time.

    Raises:
        NotSupported: from each method, if the store can't search so.
        StoreUnavailable: likewise, if it could not be asked.
        django.db.Error: likewise, if it is the database that could not.
    """

    store: BaseStore
    user_id: str | None = None
    ids: frozenset[int] | None = None
    network: Network | None = None
    signed_in_until: datetime | None = None
    seen_until: datetime | None = None

    @property
    def is_unfiltered(self) -> bool:
        """Whether it finds all sessions: those of a user, or simply all there are."""
        others = (self.ids, self.network, self.signed_in_until, self.seen_until)
        return all(condition is None for condition in others)

    def count(self) -> int:
        """Count the sessions."""
        if self._is_sql:
            return self._select_rows().count()
        return sum(1 for _ in self._iterate_sessions())

    def tally(self) -> Tally:
        """Count the sessions and their users."""
        if self._is_sql:
            counts = self._select_rows().aggregate(
                sessions=Count("pk"),
                users=Count("user_id", distinct=True),
                anonymous=Count("pk", filter=Q(user_id=None)),
            )
            return Tally(**counts)
        sessions = anonymous = 0
        users: set[str] = set()
        for session in self._iterate_sessions():
            sessions += 1
            if session.user_id is None:
                anonymous += 1
            else:
                users.add(session.user_id)
        return Tally(sessions=sessions, users=len(users), anonymous=anonymous)

    def find_page(self, size: int) -> Page:
        """Return those sessions, of so many at the most, that were seen last, without payloads."""
        if self._is_sql:
            rows = self._select_rows()
            records = tuple(row.record() for row in rows.latest_first()[:size])
            return Page(records=records, total=rows.count())
        total = 0

        def count_each() -> Iterator[SessionRecord]:
            nonlocal total
            for session in self._iterate_sessions():
                total += 1
                yield session

        latest = nlargest(size, count_each(), key=last_use)
        return Page(records=tuple(latest), total=total)

    def find_one(self) -> SessionRecord | None:
        """Return the first session as the store itself has it, if it has it."""
        for found in self._iterate_sessions():
            if found.user_id is None:
                session = self.store.read(found.key)
            else:
                listed = self.store.sessions_for_user(found.user_id)
                session = next((each for each in listed if each.id == found.id), None)
            if session is not None:
                return session
        return None

    def end(self, sender: type) -> Iterator[int]:
        """
        End the sessions, and send session_ended for each or for each user.

        It yields how many ended in each step.
        """
        if self.is_unfiltered and self.user_id is not None:
            for user_id in self._spellings:
                yield self._end_user(sender, user_id)
            return
        for batch in self._iterate_batches():
            one_by_one = batch
            if self.is_unfiltered:
                # To end them by user also ends a login or a rotation that is under way.
                users = {each.user_id for each in batch if each.user_id is not None}
                for user_id in users:
                    yield self._end_user(sender, user_id)
                one_by_one = [each for each in batch if each.user_id is None]
            for session in one_by_one:
                yield self._end_one(sender, session)

    @property
    def _is_sql(self) -> bool:
        """Whether the database can tell which sessions fit."""
        return self.user_id is None and (self.network is None or is_exact(self.network))

    @property
    def _spellings(self) -> tuple[str, ...]:
        given = self.user_id or ""
        return tuple(dict.fromkeys([given, *namespaces.list_spellings(namespaces.respell(given))]))

    def _iterate_sessions(self) -> Iterator[SessionRecord]:
        return chain.from_iterable(self._iterate_batches())

    def _iterate_batches(self) -> Iterator[list[SessionRecord]]:
        if self.user_id is not None:
            for user_id in self._spellings:
                listed = self.store.sessions_for_user(user_id)
                yield [session for session in listed if self._fits(session)]
            return
        # The cursor of iterator() would be open while the rows go.
        last = -1
        while batch := list(self._select_rows_after(last)[:AT_A_TIME]):
            sessions = (row.record() for row in batch)
            yield [session for session in sessions if self._fits(session)]
            last = batch[-1].pk

    def _select_rows(self) -> SessionRowQuerySet:
        """Select the rows that fit, and perhaps others of the network's neighbourhood."""
        if not self.store.has_database_index:
            raise NotSupported(
                f"Session store {self.store.alias!r} ({type(self.store).__name__}) finds sessions "
                "by their user only. Give --user or --user-id."
            )
        rows = self.store.database_index().filter(*namespaces.build_conditions())
        if self.ids is not None:
            rows = rows.filter(id__in=self.ids)
        if self.network is not None:
            rows = rows.filter(**build_condition(self.network))
        if self.signed_in_until is not None:
            rows = rows.filter(authenticated_at__lte=self.signed_in_until)
        if self.seen_until is not None:
            rows = rows.filter(last_seen_at__lte=self.seen_until)
        return rows

    def _select_rows_after(self, primary_key: int) -> SessionRowQuerySet:
        return self._select_rows().filter(pk__gt=primary_key).order_by("pk")

    def _fits(self, session: SessionRecord) -> bool:
        signed_in_at, address = session.authenticated_at, session.device.ip_address
        return (
            (self.ids is None or session.id in self.ids)
            and (self.seen_until is None or session.last_seen_at <= self.seen_until)
            and (
                self.signed_in_until is None
                or (signed_in_at is not None and signed_in_at <= self.signed_in_until)
            )
            and (
                self.network is None
                or (address is not None and ip_address(address) in self.network)
            )
        )

    def _end_user(self, sender: type, user_id: str) -> int:
        count = self.store.destroy_for_user(user_id)
        signals.send_ended(sender, Reason.REVOKED, user_id=user_id, count=count)
        return count

    def _end_one(self, sender: type, session: SessionRecord) -> int:
        user_id, id = session.user_id, session.id
        if user_id is None:
            had_it = self.store.destroy(session.key)
        else:
            had_it = self.store.destroy_session(user_id, id)
        signals.send_ended(sender, Reason.REVOKED, user_id=user_id, id=id, count=int(had_it))
        if had_it or user_id is not None:
            return int(had_it)
        # An anonymous session that isn't under its key has ended, or its visitor has logged in.
        search = replace(self, ids=frozenset([id]))
        moved = next((each for each in search._iterate_sessions() if each.key != session.key), None)
        return 0 if moved is None else self._end_one(sender, moved)
