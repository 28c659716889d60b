"""What kinds of devices there are, and what each is called."""

from __future__ import annotations

from enum import StrEnum

from django.utils.translation import gettext_lazy as _


class Kind(StrEnum):
    """A kind of device. Its value is the word in JSON, and names its icon."""

    PHONE = "phone"
    TABLET = "tablet"
    COMPUTER = "computer"
    TELEVISION = "television"
    CONSOLE = "console"
    CAR = "car"
    GLASSES = "glasses"  # Or a headset.
    PROGRAM = "program"  # A script, a robot, a command-line client.
    UNKNOWN = "unknown"

    @property
    def words(self) -> str:
        """The kind in the current language."""
        return str(WORDS[self])


WORDS = {
    Kind.PHONE: _("Phone"),
    Kind.TABLET: _("Tablet"),
    Kind.COMPUTER: _("Computer"),
    Kind.TELEVISION: _("Television"),
    Kind.CONSOLE: _("Game console"),
    Kind.CAR: _("Car"),
    Kind.GLASSES: _("Headset"),
    Kind.PROGRAM: _("Program"),
    Kind.UNKNOWN: _("Unknown device"),
}
