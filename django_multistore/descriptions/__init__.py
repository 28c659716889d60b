"""What pages, JSON, the admin and commands show of a session."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from .. import clock
from .places import place_of
from .user_agents import device_name, recognised
from .wording import time_ago

if TYPE_CHECKING:
    from ..records import SessionRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceDescription:
    """One session in words, in the language that was current when it was described."""

    id: int  # The session's public name.
    name: str  # "Firefox on Linux"; see device_name().
    browser: str  # Empty: not known.
    system: str  # Empty: not known.
    user_agent: str  # As the browser sent it.
    ip_address: str | None
    place: str | None  # "Graz, Austria"; None: not known.
    # With a time zone: UTC; with USE_TZ = False that of TIME_ZONE, as templates don't convert then.
    signed_in_at: datetime  # Last login; without a user when the session began.
    seen_at: datetime  # Last use, to the precision of SESSION_TOUCH_INTERVAL.
    expires_at: datetime  # Dead from this moment on.
    is_current: bool  # Whether it is the session of who asks.

    @property
    def last_seen(self) -> str:
        """How long ago it was used, in words."""
        return time_ago(self.seen_at)


def described(session: SessionRecord, *, current_id: int | None = None) -> DeviceDescription:
    """
    Describe a session, without anything that opens it.

    Args:
        session: which; its payload isn't needed.
        current_id: the id of the session of who asks.
    """
    user_agent, ip_address = session.device.user_agent, session.device.ip_address
    known = recognised(user_agent)
    return DeviceDescription(
        id=session.id,
        name=device_name(user_agent),
        browser=known.browser,
        system=known.system,
        user_agent=user_agent,
        ip_address=ip_address,
        place=place_of(ip_address),
        signed_in_at=clock.shown(session.authenticated_at or session.created_at),
        seen_at=clock.shown(session.seen_at),
        expires_at=clock.shown(session.expires_at),
        is_current=session.id == current_id,
    )
