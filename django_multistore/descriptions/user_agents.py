"""
User agents in words: "Firefox on Linux".

By ua-parser, if it is installed. A browser may send what it likes, so nothing here is more than
a hint, and it is text that anybody may have written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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


def recognised(user_agent: str) -> UserAgent:
    """
    Return the browser and the system that a user agent names.

    Args:
        user_agent: as the browser sent it, at most USER_AGENT_MAX_LENGTH characters: what a
            hostile one costs grows with the square of its length.
    """
    parse = _parser() if user_agent else None
    if parse is None:
        return UserAgent()
    try:
        found = parse(user_agent)
    except (LookupError, TypeError, ValueError):
        # The expressions come in a package of their own, and ua-parser takes for granted that
        # the group with the name has matched something.
        return UserAgent()
    system = _word(found.os.family) if found.os else ""
    browser = _word(_without_dropped(found.user_agent.family)) if found.user_agent else ""
    # The old browser of Android is called "Android", as are apps that don't give their names.
    return UserAgent(browser="" if browser == system else browser, system=system)


def device_name(user_agent: str) -> str:
    """
    Name a device by its user agent, in the current language.

    Args:
        user_agent: see recognised().

    Returns:
        Plain text, which has to be escaped like any that users enter.
    """
    known = recognised(user_agent)
    if known.browser and known.system:
        words = {"browser": known.browser, "system": known.system}
        return _("%(browser)s on %(system)s") % words
    return known.browser or known.system or _shown(user_agent) or _("Unknown device")


@cache
def _parser() -> Callable[[str], Any] | None:
    # Only once there is something to parse: to import it takes 50 ms.
    try:
        ua_parser = import_module("ua_parser")
        # Its own default parser compiles all expressions, those for devices too.
        parser = ua_parser.Parser.from_matchers(ua_parser.load_lazy_builtins())
        wanted = ua_parser.Domain.USER_AGENT | ua_parser.Domain.OS
    except (ImportError, AttributeError):
        return None  # Not installed, or older than 1.0.
    return lambda user_agent: parser(user_agent, wanted)


def _without_dropped(family: str) -> str:
    return " ".join(word for word in family.split() if word not in DROPPED) or family


def _word(family: str) -> str:
    shown = _shown(family)
    return KNOWN_AS.get(shown, shown)


def _shown(text: str) -> str:
    # Nothing that moves a terminal's cursor, or turns the direction of what is written.
    printable = "".join(each if each.isprintable() else " " for each in text)
    shown = " ".join(printable.split())
    return shown if len(shown) <= MAX_LENGTH else f"{shown[: MAX_LENGTH - 1]}…"
