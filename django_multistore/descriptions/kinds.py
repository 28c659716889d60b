"""What kinds of devices there are, and what each is called."""

from __future__ import annotations

from enum import StrEnum

from django.utils.translation import gettext_lazy, pgettext_lazy


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


# With a context, for an app's translations are those of all apps of the site.
WORDS = {
    Kind.PHONE: pgettext_lazy("kind of device", "Phone"),
    Kind.TABLET: pgettext_lazy("kind of device", "Tablet"),
    Kind.COMPUTER: pgettext_lazy("kind of device", "Computer"),
    Kind.TELEVISION: pgettext_lazy("kind of device", "Television"),
    Kind.CONSOLE: pgettext_lazy("kind of device", "Game console"),
    Kind.CAR: pgettext_lazy("kind of device", "Car"),
    Kind.GLASSES: pgettext_lazy("kind of device", "Headset"),
    Kind.PROGRAM: pgettext_lazy("kind of device", "Program"),
    Kind.UNKNOWN: gettext_lazy("Unknown device"),
}
