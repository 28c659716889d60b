"""What pages, JSON, the admin and commands show of a session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _
from django.utils.translation import ngettext_lazy

from ..session import clock
from .kinds import Kind
from .places import find_place
from .user_agents import recognise

if TYPE_CHECKING:
    from ..records import SessionRecord

# These are whole phrases, for in many languages the lengths of Django's timesince() have another
# case before "ago".
UNITS = (
    (timedelta(days=365), ngettext_lazy("%(count)d year ago", "%(count)d years ago", "count")),
    (
        timedelta(days=365) / 12,
        ngettext_lazy("%(count)d month ago", "%(count)d months ago", "count"),
    ),
    (timedelta(days=1), ngettext_lazy("%(count)d day ago", "%(count)d days ago", "count")),
    (timedelta(hours=1), ngettext_lazy("%(count)d hour ago", "%(count)d hours ago", "count")),
    (timedelta(minutes=1), ngettext_lazy("%(count)d minute ago", "%(count)d minutes ago", "count")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceDescription:
    """One session in words, in the language that was current when it was described."""

    id: int  # The session's public name.
    name: str  # Such as "Firefox on Linux"; see UserAgent.name.
    browser: str  # Empty: not known.
    system: str  # Empty: not known.
    kind: Kind  # Such as "phone"; "unknown" where it can't be told.
    model: str  # Such as "Pixel 8", where a client hint has told it; else empty.
    user_agent: str  # As the browser sent it.
    ip_address: str | None
    place: str | None  # Such as "Graz, Austria"; None: not known.
    # With a time zone: UTC; with USE_TZ = False that of TIME_ZONE, as templates don't convert then.
    signed_in_at: datetime  # Last login; without a user when the session began.
    last_seen_at: datetime  # Last use, to the precision of SESSION_TOUCH_INTERVAL.
    expires_at: datetime  # The session is dead from this moment on.
    is_current: bool  # Whether it is the session of who asks.
    is_takeover: bool = False  # Whether another user acts in it; see takeovers.py.
    actor: str | None = None  # That user's username; None: not known, or no takeover.

    @property
    def last_seen(self) -> str:
        """How long ago it was used, in words."""
        return say_time_ago(self.last_seen_at)

    @property
    def kind_words(self) -> str:
        """The kind of device in words, where these add something to its name; else empty."""
        adds = self.kind is not Kind.UNKNOWN and self.kind.words != self.name
        return self.kind.words if adds else ""

    @property
    def acted_by(self) -> str:
        """Who acts in it, in words; empty for the user's own."""
        if not self.is_takeover:
            return ""
        return (
            _("Support") if self.actor is None else _("Support (%(name)s)") % {"name": self.actor}
        )


def describe(
    session: SessionRecord,
    *,
    current_id: int | None = None,
    usernames: Mapping[str, str] | None = None,
) -> DeviceDescription:
    """
    Describe a session, without anything that opens it.

    Args:
        session: which; its payload isn't needed.
        current_id: the id of the session of who asks.
        usernames: of those who act in others' sessions, by their ids.
    """
    known, ip_address = recognise(session.device.user_agent), session.device.ip_address
    actor_id = session.actor_id
    return DeviceDescription(
        id=session.id,
        name=known.name,
        browser=known.browser,
        system=known.system,
        kind=known.kind,
        model=known.model,
        user_agent=known.text,
        ip_address=ip_address,
        place=find_place(ip_address),
        signed_in_at=clock.to_display(session.authenticated_at or session.created_at),
        last_seen_at=clock.to_display(session.last_seen_at),
        expires_at=clock.to_display(session.expires_at),
        is_current=session.id == current_id,
        is_takeover=actor_id is not None,
        actor=None if actor_id is None or usernames is None else usernames.get(actor_id),
    )


def say_time_ago(timestamp: datetime, now: datetime | None = None) -> str:
    """Say how long ago a time was; without a time zone it is the wall clock of the current one."""
    elapsed = clock.to_utc(clock.now() if now is None else now) - clock.to_utc(timestamp)
    for unit, said in UNITS:
        if elapsed >= unit:
            return said % {"count": elapsed // unit}
    # A time in the future is said so too: the clocks of two machines differ.
    return _("just now")
