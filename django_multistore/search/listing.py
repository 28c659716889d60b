"""Sessions as an operator sees them: in a table, or as data for a program."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ..descriptions import described
from ..records import SessionRecord
from .usernames import usernames

HEADINGS = ("id", "user", "ip address", "device", "signed in", "last seen", "expires")
NOTHING = "-"
WIDEST_CELL = 40
# They shape the letters of Persian and others, and move nothing.
JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"


def listed(sessions: Iterable[SessionRecord]) -> list[dict[str, Any]]:
    """
    Return what may be shown of sessions, without keys and payloads.

    By the names that the views of devices have. Ids are text, for 63 bits don't fit a number of
    JavaScript's. Times are in UTC.
    """
    sessions = list(sessions)
    users = (session.user_id for session in sessions)
    names = usernames([*users, *(session.actor_id for session in sessions)])
    return [_shown(session, names) for session in sessions]


def table(shown: Iterable[dict[str, Any]]) -> Iterator[str]:
    """
    Lay sessions out in lines.

    Args:
        shown: as listed() returns them.
    """
    rows = [HEADINGS, *map(_cells, shown)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def details(shown: dict[str, Any]) -> Iterator[str]:
    """
    Lay one session out, a line for each of its fields.

    Args:
        shown: one of those that listed() returns.
    """
    width = max(map(len, shown))
    for name, value in shown.items():
        yield f"{name:{width}}  {_printable(value)}"


def _printable(value: object) -> str:
    """Return text that can't move a terminal's cursor: browsers send what they like."""
    text = NOTHING if value in (None, "") else str(value)
    return "".join(
        each if each.isprintable() or each in JOINERS else "\N{REPLACEMENT CHARACTER}"
        for each in text
    )


def _shown(session: SessionRecord, names: Mapping[str, str]) -> dict[str, Any]:
    description = described(session, usernames=names)
    return {
        "id": str(session.id),
        "user_id": session.user_id,
        "username": names.get(session.user_id or ""),
        "actor_id": session.actor_id,
        "actor": description.actor,
        "name": str(description.name),
        "user_agent": session.device.user_agent,
        "ip_address": session.device.ip_address,
        "place": description.place,
        "created_at": _utc(session.created_at),
        "signed_in_at": _utc(session.authenticated_at),
        "last_seen_at": _utc(session.last_seen_at),
        "expires_at": _utc(session.expires_at),
    }


def _cells(shown: dict[str, Any]) -> Sequence[str]:
    user = shown["user_id"] if shown["username"] is None else shown["username"]
    if shown["actor_id"] is not None:
        actor = shown["actor_id"] if shown["actor"] is None else shown["actor"]
        user = f"{user} (by {actor})"
    times = (shown["signed_in_at"], shown["last_seen_at"], shown["expires_at"])
    texts = map(_printable, (user, shown["ip_address"], shown["name"]))
    return (shown["id"], *map(_shortened, texts), *map(_printable, times))


def _shortened(text: str) -> str:
    return text if len(text) <= WIDEST_CELL else f"{text[: WIDEST_CELL - 1]}…"


def _utc(timestamp: datetime | None) -> str | None:
    return None if timestamp is None else timestamp.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
