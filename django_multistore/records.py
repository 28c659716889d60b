"""What travels between the engine and a store."""

from __future__ import annotations

import enum
import hashlib
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from .session import user_ids

__all__ = [
    "Device",
    "Outcome",
    "Page",
    "SessionRecord",
    "key_of",
    "successor",
    "touched",
    "user_id_of",
]

KEY_LENGTH = 40
ID_BITS = 63
FIRST_VERSIONS = 2**30
USER_ID_MAX_LENGTH = 255
USER_AGENT_MAX_LENGTH = 512
ACTOR_SESSION_KEY = "_multistore_actor"  # Under it a session's data say who acts; see takeovers.py.


def key_of(session_key: str) -> str:
    """
    Return the key under which stores keep the session of this cookie.

    A store that leaks opens no session, since the cookie can't be had from its digest.

    Args:
        session_key: the secret in the cookie.

    Returns:
        The first 160 bits of its SHA-256 in 40 hexadecimal digits.
    """
    return hashlib.sha256(session_key.encode()).hexdigest()[:KEY_LENGTH]


def user_id_of(primary_key: object) -> str:
    """
    Return a user's primary key as records have it; text is taken as it is.

    Raises:
        TypeError: it is a user and not a user's primary key.
    """
    if isinstance(primary_key, str):
        return primary_key
    if hasattr(primary_key, "pk"):
        raise TypeError("Expected a user's primary key, not the user: pass user.pk.")
    return user_ids.to_text(primary_key)


def new_id() -> int:
    """Draw a public name for a session: 63 random bits, which fit a signed 64-bit column."""
    return secrets.randbits(ID_BITS)


def new_first_version() -> int:
    """
    Draw the version of a record under a key that may have had another record before.

    Who has read that one doesn't take this one for it in a compare-and-set.
    """
    return secrets.randbelow(FIRST_VERSIONS) + 1


def is_id(number: int) -> bool:
    """Say whether a number may be a session's public name, and fits a column."""
    return number >= 0 and number.bit_length() <= ID_BITS


def parse_id(text: str | int) -> int:
    """Parse a session's public name. ValueError: it is none."""
    if re.fullmatch("[0-9]{1,19}", str(text)) and is_id(int(text)):
        return int(text)
    raise ValueError(f"{text!r} is no session's id, which is a number.")


class Outcome(enum.Enum):
    """How a compare-and-set ended."""

    DONE = "done"  # Written; the record's version is now one higher.
    GONE = "gone"  # No live session has this key. Nothing was written.
    CONFLICT = "conflict"  # Another version is there. Nothing was written.
    FULL = "full"  # The user has as many sessions as may be. Nothing was written.


class Fate:
    """
    What becomes of a write, so that its writer can see whether a rollback has undone it.

    Stores that take part in transactions tell it. In other stores each write is for good.
    """

    __slots__ = ("_is_pending", "is_unknown")

    def __init__(self) -> None:
        self.is_unknown: bool = False  # Whether its transaction ends without telling anybody.
        self._is_pending: Callable[[], bool] | None = None

    @property
    def is_settled(self) -> bool:
        """Whether nothing can undo the write any more."""
        return self._is_pending is None and not self.is_unknown

    @property
    def is_undone(self) -> bool:
        """Whether the write was rolled back, with its transaction or to a savepoint."""
        return self._is_pending is not None and not self._is_pending()

    def depends_on(self, is_pending: Callable[[], bool]) -> None:
        """Take a function that says whether the write may still be committed."""
        self._is_pending = is_pending

    def settle(self) -> None:
        """Note that the write was committed."""
        self._is_pending = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Where a session was last seen from."""

    ip_address: str | None = None
    user_agent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """One session as data: all that later steps need, so that none of them reads again."""

    id: int  # The session's public name, the same over every rotation.
    key: str = field(repr=False)  # Digest of the session key; see key_of().
    payload: bytes = field(repr=False)  # Sealed by the codec; empty in listings.
    version: int | None  # The number of writes. In an update None means whichever is there.
    user_id: str | None  # Primary key of the user, as text.
    # All times are in UTC, with that time zone, whatever USE_TZ and TIME_ZONE say.
    created_at: datetime
    authenticated_at: datetime | None  # Last login; None without a user.
    last_seen_at: datetime  # Last use, to the precision of SESSION_TOUCH_INTERVAL.
    expires_at: datetime  # The session is dead from this moment on.
    device: Device = Device()
    # Primary key of the user who acts as user_id, as text: staff, in a takeover. The word is that
    # of RFC 8693 (section 4.1).
    actor_id: str | None = None
    # The store tells it of a write, if the writer wants to know. It is no part of the session.
    fate: Fate | None = field(default=None, repr=False, compare=False)
    # What a store gave with a record that was read, for whoever writes it back, as HTTP has an
    # ETag: it saves that store a look at what is there. Nobody else makes anything of it.
    token: object = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How many live sessions a user may have, beside those in which somebody else acts as them."""

    most: int
    evicts: bool  # Whether a login beyond that ends the oldest session; else it is refused.

    def refuses(self, record: SessionRecord, listed: Iterable[SessionRecord]) -> bool:
        """Say whether a session may not become that of its user, who has the listed ones."""
        others = [other for other in self.counted(listed) if other.id != record.id]
        return record.actor_id is None and len(others) >= self.most

    def surplus(
        self, record: SessionRecord, listed: Iterable[SessionRecord], *, serialized: bool
    ) -> list[SessionRecord]:
        """
        Return the sessions that a new one of the same user evicts: never itself.

        Args:
            record: the new one.
            listed: all that the user has.
            serialized: whether no other login of the user is under way. If one may be, all of them
                put the sessions into the same order, so that two don't evict each other.
        """
        if record.actor_id is not None:
            return []
        by_login = sorted(
            self.counted(listed),
            key=lambda each: (
                serialized and each.id == record.id,
                each.authenticated_at or each.created_at,
                each.id,
            ),
        )
        return [each for each in by_login[: -self.most] if each.id != record.id]

    @staticmethod
    def counted(listed: Iterable[SessionRecord]) -> list[SessionRecord]:
        """Return the sessions that count: those in which the user acts."""
        return [each for each in listed if each.actor_id is None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """How a write has ended that gives a user one more session."""

    outcome: Outcome
    evicted: tuple[SessionRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some of a user's sessions, and how many there are."""

    records: tuple[SessionRecord, ...]
    total: int


def last_use(record: SessionRecord) -> tuple[datetime, int]:
    """Return what sessions are sorted by: the id tells apart those that were seen at once."""
    return record.last_seen_at, record.id


def is_over(record: SessionRecord) -> bool:
    """Say whether the record's session has ended, whatever the clock says."""
    return record.expires_at <= record.last_seen_at


def latest_first(records: Iterable[SessionRecord]) -> list[SessionRecord]:
    """Put the session that was seen last first."""
    return sorted(records, key=last_use, reverse=True)


def page_of(records: Iterable[SessionRecord], start: int, size: int) -> Page:
    """Cut a page out of all of a user's sessions, which may come in any order."""
    ordered = latest_first(records)
    return Page(records=tuple(ordered[start : start + size]), total=len(ordered))


def touched(stored: SessionRecord, record: SessionRecord) -> SessionRecord:
    """Return what is in the store once `stored` was touched; neither of its times goes back."""
    return replace(
        stored,
        last_seen_at=max(stored.last_seen_at, record.last_seen_at),
        expires_at=max(stored.expires_at, record.expires_at),
        device=record.device,
    )


def successor(stored: SessionRecord, record: SessionRecord) -> SessionRecord:
    """Return what is in the store once `record` was written over `stored`."""
    version = (stored.version or 0) + 1
    return replace(record, id=stored.id, created_at=stored.created_at, version=version)
