"""The measurements as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

from . import asgi, asgi_sites, caches, expiry, redis_memory, rows, users


def of_rows(measured: Sequence[rows.Row], targets: Mapping[str, float], peer_target: float) -> str:
    """
    Return the table of single operations.

    Args:
        measured: its rows.
        targets: of each operation, in times of the raw driver.
        peer_target: of the best peer, in times of ours.
    """
    first = measured[0]
    titles = [
        "operation", "session", f"{first.raw}, µs", "target, x raw",
        *(f"{column}, x raw" for column in first.columns),
        f"best peer / {first.ours} (target {peer_target})",
    ]  # fmt: skip
    return _markdown(titles, [_row(row, targets[row.operation], peer_target) for row in measured])


def _row(row: rows.Row, target: float, peer_target: float) -> list[str]:
    return [
        rows.OPERATIONS[row.operation],
        row.payload,
        f"{row.raw_microseconds:.0f}",
        f"{target}",
        *(
            _marked(row.to_raw(column), is_met=column in row.peers or row.to_raw(column) <= target)
            for column in row.columns
        ),
        _marked(row.best_peer, is_met=row.best_peer >= peer_target),
    ]


def of_caches(measured: list[caches.Row]) -> str:
    """Return the table of single operations in one cache."""
    titles = [
        "operation", "session", f"{caches.DJANGO}, µs", "target, x Django's",
        *(f"{column}, x Django's" for column in caches.STORES),
    ]  # fmt: skip
    return _markdown(titles, [_cache_row(row) for row in measured])


def _cache_row(row: caches.Row) -> list[str]:
    targets = caches.TARGETS.get(row.operation, {})
    return [
        caches.OPERATIONS[row.operation],
        row.payload,
        f"{row.django_microseconds:.0f}",
        ", ".join(f"{target:.1f}" for target in sorted(set(targets.values()))) or "–",
        *(
            _marked(row.to_django(column), is_met=row.to_django(column) <= targets.get(column, inf))
            for column in caches.STORES
        ),
    ]


def of_users(measured: list[users.Row]) -> str:
    """Return the table of all sessions of a user."""
    counts = (f"among {count:,}, µs" for count in measured[0].counts)
    titles = [f"{users.SESSIONS} sessions of a user", *counts, f"ratio (target {users.TARGET})"]
    return _markdown(
        titles,
        [
            [
                row.operation,
                *(f"{value:.0f}" for value in row.microseconds),
                _marked(row.ratio, is_met=row.ratio <= users.TARGET),
            ]
            for row in measured
        ],
    )


def of_expiry(measured: list[expiry.Row]) -> str:
    """Return the table of what removes expired sessions."""
    first = measured[0]
    titles = [
        f"{first.removed:,} expired among {first.live:,} live",
        "seconds", "longest save of another process, ms", "its saves", "of them lost",
    ]  # fmt: skip
    return _markdown(
        titles,
        [
            [
                row.way,
                f"{row.seconds:.1f}",
                f"{row.writer.longest * 1000:.0f}",
                f"{row.writer.saves:,}",
                f"{row.writer.lost:,}",
            ]
            for row in measured
        ],
    )


def of_memory(measured: list[redis_memory.Row]) -> str:
    """Return the table of what one session takes."""
    titles = [
        "session", "RedisStore, bytes", "its index among them", "Django cache, bytes",
        "target, x Django's", "RedisStore, x Django's",
    ]  # fmt: skip
    return _markdown(
        titles,
        [
            [
                row.session,
                f"{row.ours:,.0f}",
                f"{row.index:,.0f}",
                f"{row.django:,.0f}",
                f"{row.target}",
                _marked(row.ratio, is_met=row.ratio <= row.target),
            ]
            for row in measured
        ],
    )


def of_asgi(measured: list[asgi.Row], connections: int) -> str:
    """Return the table of async requests from so many connections."""
    titles = [
        f"{connections} connections" if connections > 1 else "1 connection",
        "view", "requests/s", "x no session middleware", "x its own `none`", "target",
        "x its peer (target)",
    ]  # fmt: skip
    of_these = (row for row in measured if row.connections == connections)
    return _markdown(titles, [_asgi_row(row) for row in of_these])


def _asgi_row(row: asgi.Row) -> list[str]:
    return [
        row.title,
        row.view,
        f"{row.rate:,.0f}",
        f"{row.to_bare:.2f}",
        "–"
        if row.view == asgi_sites.NONE
        else _marked(row.to_none, is_met=row.to_none >= row.target),
        f"{row.target:.2f}" if row.target else "–",
        ", ".join(
            f"{_marked(ratio, is_met=ratio >= row.peer_target)} {peer} ({row.peer_target:g})"
            for peer, ratio in row.to_peers.items()
        )
        or "–",
    ]


def _marked(value: float, *, is_met: bool) -> str:
    return f"{value:.2f}" if is_met else f"**{value:.2f} !**"


def _markdown(titles: list[str], lines: list[list[str]]) -> str:
    separator = ["---", *("---:" for _ in titles[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in [titles, separator, *lines])
