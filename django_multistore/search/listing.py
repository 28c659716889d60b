"""Sessions as an operator sees them: in a table, or as data for a program."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ..descriptions import describe
from ..records import SessionRecord
from .usernames import find_usernames

HEADINGS = ("id", "user", "ip address", "device", "signed in", "last seen", "expires")
NOTHING = "-"
WIDEST_CELL = 40
# These shape the letters of Persian and other languages, and move no cursor.
JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"


def describe_sessions(sessions: Iterable[SessionRecord]) -> list[dict[str, Any]]:
    """
    Return what may be shown of sessions, without keys and payloads.

    The names are those of the JSON of the device pages. Ids are text, for 63 bits don't fit a
    number of JavaScript's. Times are in UTC.
    """
    sessions = list(sessions)
    users = (session.user_id for session in sessions)
    names = find_usernames([*users, *(session.actor_id for session in sessions)])
    return [_describe(session, names) for session in sessions]


def format_table(shown: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Lay out in lines the sessions that describe_sessions() returns."""
    rows = [HEADINGS, *map(_build_cells, shown)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def format_details(shown: dict[str, Any]) -> Iterator[str]:
    """Lay out one session of describe_sessions(), a line for each of its fields."""
    width = max(map(len, shown))
    for name, value in shown.items():
        yield f"{name:{width}}  {_make_printable(value)}"


def _make_printable(value: object) -> str:
    """Return text that can't move a terminal's cursor, for browsers send what they like."""
    text = NOTHING if value in (None, "") else str(value)
    return "".join(
        each if each.isprintable() or each in JOINERS else "\N{REPLACEMENT CHARACTER}"
        for each in text
    )


def _describe(session: SessionRecord, names: Mapping[str, str]) -> dict[str, Any]:
    description = describe(session, usernames=names)
    return {
        "id": str(session.id),
        "user_id": session.user_id,
        "username": names.get(session.user_id or ""),
        "actor_id": session.actor_id,
        "actor": description.actor,
        "name": str(description.name),
        "user_agent": description.user_agent,
        "ip_address": session.device.ip_address,
        "place": description.place,
        "created_at": _format_utc(session.created_at),
        "signed_in_at": _format_utc(session.authenticated_at),
        "last_seen_at": _format_utc(session.last_seen_at),
        "expires_at": _format_utc(session.expires_at),
    }


def _build_cells(shown: dict[str, Any]) -> Sequence[str]:
    user = shown["user_id"] if shown["username"] is None else shown["username"]
    if shown["actor_id"] is not None:
        actor = shown["actor_id"] if shown["actor"] is None else shown["actor"]
        user = f"{user} (by {actor})"
    times = (shown["signed_in_at"], shown["last_seen_at"], shown["expires_at"])
    texts = map(_make_printable, (user, shown["ip_address"], shown["name"]))
    return (shown["id"], *map(_shorten, texts), *map(_make_printable, times))


def _shorten(text: str) -> str:
    return text if len(text) <= WIDEST_CELL else f"{text[: WIDEST_CELL - 1]}…"


def _format_utc(timestamp: datetime | None) -> str | None:
    return None if timestamp is None else timestamp.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
