"""
A site's requests while all sessions move, and a move that is killed in the middle.

Each request loads a session, changes it and saves it. They come at a steady pace, so that one which
waits makes the next ones late, as a site's visitors would see it.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

from django.test import override_settings

from django_multistore.engine import SessionStore

from .databases import Process

VISITORS, PER_SECOND, ALONE_SECONDS = 200, 100, 10
KILLED_AFTER = 3.0  # seconds
TARGET = 1.5

Adopt = dict[str, str] | None  # SESSION_ADOPT


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What a site's requests took without a move and beside one, in seconds, and what was lost."""

    alone: float
    beside: float
    requests: int
    lost: int

    def describe(self) -> str:
        """Return the measure in words."""
        ratio = self.beside / self.alone
        mark = "" if ratio <= TARGET and not self.lost else " !"
        return (
            f"p99 of {self.requests:,} requests beside it, killed once: {self.beside * 1000:.1f} ms"
            f", {self.alone * 1000:.1f} ms without: {ratio:.1f} times. Changes lost: {self.lost}"
            f"{mark}."
        )


def measure(
    process: Process, alias: str, adopt: Adopt, move: Callable[[], object], visitors: list[str]
) -> Beside:
    """
    Measure requests before a move and beside it.

    Args:
        process: where the databases are.
        alias: of the store that serves the site.
        adopt: the site's SESSION_ADOPT, or None.
        move: moves all sessions, in a process of its own, which is killed and started again.
        visitors: their session keys.
    """
    with (
        tempfile.TemporaryDirectory() as directory,
        process.sibling() as site,
        process.sibling() as killed,
    ):
        over = Path(directory, "over")
        site.call(request, alias, adopt, visitors, over, 1)  # All is warm then.
        alone = site.call(request, alias, adopt, visitors, over, ALONE_SECONDS)
        killed.call(time.time)  # It has started.
        going = site.start(request, alias, adopt, visitors, over)
        killed.start(move)
        time.sleep(KILLED_AFTER)
        killed.kill()
        with process.sibling() as again:
            again.call(move)
        over.touch()
        beside = going.result()
        counts = site.call(count, alias, adopt, visitors)
    done = PER_SECOND + len(alone) + len(beside)
    return Beside(
        alone=_p99(alone), beside=_p99(beside), requests=len(beside), lost=done - sum(counts)
    )


def request(
    alias: str, adopt: Adopt, visitors: list[str], over: Path, seconds: int | None = None
) -> list[float]:
    """Make requests at a steady pace, and return the seconds from when each was due to its end."""
    engine, took = _engine(alias), list[float]()
    with override_settings(SESSION_ADOPT=adopt):
        began = time.perf_counter()
        while len(took) != (seconds and seconds * PER_SECOND) and not over.exists():
            due = began + len(took) / PER_SECOND
            time.sleep(max(0.0, due - time.perf_counter()))
            session = engine(random.choice(visitors))
            session["count"] = session.get("count", 0) + 1
            session.save()
            took.append(time.perf_counter() - due)
    return took


def count(alias: str, adopt: Adopt, visitors: list[str]) -> list[int]:
    """Return how many changes each visitor's session has."""
    with override_settings(SESSION_ADOPT=adopt):
        return [_engine(alias)(each).get("count", 0) for each in visitors]


def _engine(alias: str) -> type[SessionStore]:
    return type("BenchSession", (SessionStore,), {"store_alias": alias})


def _p99(took: list[float]) -> float:
    return quantiles(took, n=100)[98]
