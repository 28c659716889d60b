"""
User agents in words: "Firefox on Linux".

ua-parser recognises them, if it is installed. A browser may send what it likes, so nothing here is
more than a hint, and it is text that anybody may have written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any

from django.utils.translation import gettext as _

MAX_LENGTH = 60  # characters of what is shown in one piece

# Parts of a browser's name that say what the system does, or nothing to its user.
DROPPED = {"Mobile", "iOS", "WebView", "UI/WKWebView"}
KNOWN_AS = {
    "ATV OS X": "tvOS",
    "Chrome OS": "ChromeOS",
    "IE": "Internet Explorer",
    "Mac OS X": "macOS",
    "Other": "",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class UserAgent:
    """What a user agent says that it is, without versions."""

    browser: str = ""  # Or the program, the app, the robot. Empty: not known.
    system: str = ""  # Empty: not known.
    text: str = field(default="", compare=False)  # The user agent itself.

    @property
    def name(self) -> str:
        """
        The device in the current language, such as "Firefox on Linux".

        It is plain text, which has to be escaped like any that users enter.
        """
        if self.browser and self.system:
            words = {"browser": self.browser, "system": self.system}
            return _("%(browser)s on %(system)s") % words
        return self.browser or self.system or _shorten(self.text) or _("Unknown device")


def recognise(user_agent: str) -> UserAgent:
    """
    Find out which browser and which system a user agent names.

    It has at most USER_AGENT_MAX_LENGTH characters: what a hostile one costs grows with the square
    of its length.
    """
    parse = _load_parser() if user_agent else None
    if parse is None:
        return UserAgent(text=user_agent)
    try:
        found = parse(user_agent)
    except (LookupError, TypeError, ValueError):
        # The expressions come in a package of their own, and ua-parser takes for granted that
        # the group with the name has matched something.
        return UserAgent(text=user_agent)
    system = _translate(found.os.family) if found.os else ""
    browser = _translate(_drop_words(found.user_agent.family)) if found.user_agent else ""
    # The old browser of Android is called "Android", as are apps that don't give their names.
    return UserAgent(browser="" if browser == system else browser, system=system, text=user_agent)


@cache
def _load_parser() -> Callable[[str], Any] | None:
    # The import waits until there is something to parse, since it takes 50 ms.
    try:
        ua_parser = import_module("ua_parser")
        # Its own default parser compiles all expressions, those for devices too.
        parser = ua_parser.Parser.from_matchers(ua_parser.load_lazy_builtins())
        wanted = ua_parser.Domain.USER_AGENT | ua_parser.Domain.OS
    except (ImportError, AttributeError):
        return None  # Not installed, or older than 1.0.
    return lambda user_agent: parser(user_agent, wanted)


def _drop_words(family: str) -> str:
    return " ".join(word for word in family.split() if word not in DROPPED) or family


def _translate(family: str) -> str:
    shown = _shorten(family)
    return KNOWN_AS.get(shown, shown)


def _shorten(text: str) -> str:
    # What moves a terminal's cursor, or turns the direction of the text, becomes a blank.
    printable = "".join(each if each.isprintable() else " " for each in text)
    shown = " ".join(printable.split())
    return shown if len(shown) <= MAX_LENGTH else f"{shown[: MAX_LENGTH - 1]}…"
