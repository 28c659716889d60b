"""The measurements as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

from . import asgi, asgi_sites, caches, expiry, formats, redis_memory, rows, users


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
    is_native = measured[0].native_to_exact is not None
    titles = [
        "operation", "session", f"{caches.DJANGO}, µs", "target, x Django's",
        *(f"{column}, x Django's" for column in measured[0].columns),
        *([f"{caches.NATIVE} / {caches.EXACT}"] if is_native else []),
    ]  # fmt: skip
    return _markdown(titles, [_cache_row(row) for row in measured])


def _cache_row(row: caches.Row) -> list[str]:
    targets = {
        column: target
        for column, target in caches.TARGETS.get(row.operation, {}).items()
        if column in row.columns
    }
    to_exact = row.native_to_exact
    least = caches.NATIVE_TARGETS.get(row.operation, inf)
    return [
        caches.OPERATIONS[row.operation],
        row.payload,
        f"{row.django_microseconds:.0f}",
        ", ".join(f"{target:.1f}" for target in sorted(set(targets.values()))) or "–",
        *(
            _marked(row.to_django(column), is_met=row.to_django(column) <= targets.get(column, inf))
            for column in row.columns
        ),
        *([] if to_exact is None else [_marked(to_exact, is_met=to_exact <= least)]),
    ]


def of_formats(measured: list[formats.Row]) -> str:
    """Return the table of formats."""
    titles = [
        "a request", "session", f"{formats.PEER}, µs", f"target of {formats.MEANT!r}",
        *formats.WAYS,
    ]  # fmt: skip
    return _markdown(
        titles,
        [
            [
                formats.OPERATIONS[row.operation],
                row.size,
                f"{row.peer_microseconds:.0f}",
                f"{row.target}",
                *(
                    _marked(ratio, is_met=way != formats.MEANT or ratio <= row.target)
                    for way, ratio in ((way, row.to_peer(way)) for way in formats.WAYS)
                ),
            ]
            for row in measured
        ],
    )


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


def of_expiry(measured: list[expiry.Row], kind: str) -> str:
    """Return the table of what removes expired sessions, on a kind of database."""
    first = measured[0]
    one_delete = next(row.seconds for row in measured if row.way == expiry.ONE_DELETE)
    targets = (
        (inf, inf, inf, expiry.SQLITE_SAVE_TARGET)
        if kind == "sqlite"
        else (expiry.TARGET, expiry.STATEMENT_TARGET, expiry.SAVE_TARGET, inf)
    )
    target, statement, save, longest_save = targets
    titles = [
        f"{first.removed:,} expired among {first.live:,} live", "seconds",
        f"x one DELETE (target {target:g})",
        f"longest statement, ms (target {statement * 1000:.0f})",
        "99 of 100 saves of another process, ms", f"x alone (target {save:g})",
        f"longest save, ms (target {longest_save * 1000:.0f})", "its saves", "of them lost",
    ]  # fmt: skip

    def marked(row: expiry.Row, value: float, text: str, target: float) -> str:
        return f"**{text} !**" if row.way == expiry.OURS and value > target else text

    return _markdown(
        titles,
        [
            [
                row.way,
                f"{row.seconds:.1f}",
                marked(row, ratio := row.seconds / one_delete, f"{ratio:.2f}", target),
                marked(row, row.longest, f"{row.longest * 1000:.0f}", statement),
                f"{row.writer.usual * 1000:.1f}",
                marked(row, row.save_ratio, f"{row.save_ratio:.2f}", save),
                marked(row, row.writer.longest, f"{row.writer.longest * 1000:.0f}", longest_save),
                f"{row.writer.saves:,}",
                marked(row, row.writer.lost, f"{row.writer.lost:,}", 0),
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
