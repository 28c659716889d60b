"""The phases of a move, and what each of the two stores is in them."""

from __future__ import annotations

from typing import NamedTuple


class Phase(NamedTuple):
    """What a phase makes of the options OLD and NEW."""

    home: str  # Where new sessions are made, and where each is looked for first.
    away: str  # Where a session may be as well.
    moves: bool  # Whether a session that is met away is moved home.


PHASES = {
    "follow": Phase("OLD", "NEW", moves=False),
    "move": Phase("NEW", "OLD", moves=True),
    "return": Phase("OLD", "NEW", moves=True),
}
