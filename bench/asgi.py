"""Async requests: sites with each store beside sites with Django's middleware and engines."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from . import asgi_servers, timing, wrk
from .asgi_servers import Server
from .asgi_sites import BARE, NONE, SITES, chosen

CONNECTIONS = (1, 32)
MANY = max(CONNECTIONS)  # what the targets are for
SECONDS = 5  # of each view in each round
MIN_ROUNDS = 2
ROUND = 12  # of the others' rounds take as long as one here
PEER_TARGET = 1.0  # of a peer's requests

Rates = Mapping[tuple[str, int, str], list[float]]  # by site, connections and view, each round's


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One view of one site, from so many connections."""

    title: str
    connections: int
    view: str
    rates: Rates

    @property
    def rate(self) -> float:
        """Requests per second."""
        return median(self.rates[self.title, self.connections, self.view])

    @property
    def to_none(self) -> float:
        """How much of the same site's requests without a session."""
        return self._to(self.title, NONE)

    @property
    def target(self) -> float:
        """What to_none is to reach."""
        return SITES[self.title].targets.get(self.view, 0) if self.connections == MANY else 0

    @property
    def to_bare(self) -> float:
        """How much of the requests of a site without a session middleware."""
        return self._to(BARE, NONE)

    @property
    def peer_target(self) -> float:
        """What to_peers are to reach."""
        is_of_a_session = self.connections == MANY and self.view != NONE
        return SITES[self.title].peer_target if is_of_a_session else PEER_TARGET

    @property
    def to_peers(self) -> dict[str, float]:
        """How much of each peer's requests."""
        return {peer: self._to(peer, self.view) for peer in SITES[self.title].peers}

    def _to(self, title: str, view: str) -> float:
        # The median of each round's own ratio: see timing.ratio().
        ours = self.rates[self.title, self.connections, self.view]
        theirs = self.rates[title, self.connections, view]
        return median(our / their for our, their in zip(ours, theirs, strict=True))


def measure(stores: list[str], turns: int, part: int = 1) -> list[Row]:
    """
    Measure every view of all sites in turn.

    Args:
        stores: names of ours; their peers come along.
        turns: how many rounds the other measurements have.
        part: load each view for 1/part of the time.
    """
    wrk.require()
    titles = chosen(stores)
    rates: dict[tuple[str, int, str], list[float]] = {
        (title, connections, view): []
        for connections in CONNECTIONS
        for title in titles
        for view in SITES[title].views
    }
    with ExitStack() as stack:
        running = {title: stack.enter_context(asgi_servers.served(title)) for title in titles}
        _warm_up(running)
        for turn in range(max(MIN_ROUNDS, turns // ROUND)):
            _round(running, rates, turn, max(1, SECONDS // part))
    return [
        Row(title=title, connections=connections, view=view, rates=rates)
        for title, connections, view in rates
    ]


def _warm_up(running: Mapping[str, Server]) -> None:
    for title, server in running.items():
        for view in SITES[title].views:
            wrk.load(server, view, connections=MANY, seconds=1)


def _round(running: Mapping[str, Server], rates: Rates, turn: int, seconds: int) -> None:
    for connections in CONNECTIONS:
        for title in timing.in_turn(list(running), turn):
            for view in SITES[title].views:
                rate = wrk.load(running[title], view, connections=connections, seconds=seconds)
                rates[title, connections, view].append(rate)
