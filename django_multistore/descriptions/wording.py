"""How long ago something was, and who acts, in words."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils.translation import gettext as _
from django.utils.translation import ngettext_lazy

from ..session import clock

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


def name_actor(username: str | None) -> str:
    """
    Say who acts in a session in place of its user, in the current language.

    Args:
        username: of that user; None if there is no such user any more.
    """
    return _("Support") if username is None else _("Support (%(name)s)") % {"name": username}


def say_time_ago(timestamp: datetime, now: datetime | None = None) -> str:
    """
    Say how long ago a time was, in the current language and its largest unit.

    Args:
        timestamp: without a time zone it is the wall clock of the current one.
        now: what to count from; None for the present.
    """
    elapsed = clock.to_utc(clock.now() if now is None else now) - clock.to_utc(timestamp)
    for unit, said in UNITS:
        if elapsed >= unit:
            return said % {"count": elapsed // unit}
    # A time in the future is said so too: the clocks of two machines differ.
    return _("just now")
