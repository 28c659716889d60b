"""One session of the engine that a site comes from, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..records import Device


@dataclass(frozen=True, slots=True, kw_only=True)
class OldSession:
    """What an old engine knows of a session; all times are in UTC."""

    data: dict[str, Any] = field(repr=False)
    expires_at: datetime  # The very expiry, and not a fresh one.
    created_at: datetime  # The earliest time that is known; each engine says which.
    last_seen_at: datetime | None  # None: unknown.
    device: Device = field(default_factory=Device)
    is_expiry_known: bool = True  # False: the engine can't tell, and the settings say what it is.
