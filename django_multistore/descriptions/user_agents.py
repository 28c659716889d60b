"""
User agents in words: "Firefox on Linux".

ua-parser recognises them, if it is installed, and tables of our own say what it doesn't. A browser
may send what it likes, so nothing here is more than a hint, and it is text that anybody may have
written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from importlib import import_module
from typing import Any

from django.utils.translation import gettext as _

from ..records import USER_AGENT_MAX_LENGTH
from ..session import client_hints
from . import hinted
from .kinds import Kind
from .names import (
    APPS,
    BROWSERS,
    BROWSERS_OF_TWO_WORDS,
    DROPPED,
    FACEBOOK_APPS,
    FAMILIES,
    GENERIC,
    LATER,
    LATER_PROGRAMS,
    PROGRAMS,
    WINDOWS_OF_APPS,
    WITHOUT_BROWSERS,
)
from .products import BOILERPLATE, Products, clean_name, cut, take_apart
from .systems import System, find_system

MAX_LENGTH = 60  # characters of what is shown in one piece
ROBOTS = ("bot", "crawler", "spider")
# Endings that say for which system a program was made, which is shown beside its name.
FOR_A_SYSTEM = (" for ios", " for iphone", " for ipad", " for android", "-ios", "-android")
UNNAMED_APPS = {"Dalvik", "CFNetwork"}
ELECTRONS_OWN = BOILERPLATE | {"electron", "atomshell", "macappstore"}


@dataclass(frozen=True, slots=True, kw_only=True)
class UserAgent:
    """What a user agent says that it is, without versions."""

    browser: str = ""  # Or the program, the app, the robot. Empty: not known.
    systems: tuple[str, ...] = ()  # Two where it can't be told which of them it is.
    model: str = ""  # Empty: not known.
    kind: Kind = Kind.UNKNOWN
    is_app: bool = False  # Whether it is an app, of which nothing else is known.
    is_browser: bool = False  # Whether it is a browser, of which nothing else is known.
    # Whether ua-parser was asked. Else only what our own tables know is known.
    is_parsed: bool = field(default=True, compare=False)
    text: str = field(default="", compare=False)  # The user agent itself.

    @property
    def system(self) -> str:
        """The system, such as "Linux" or "macOS or iPadOS", in the current language."""
        if len(self.systems) > 1:
            one, other = self.systems
            return _("%(one)s or %(other)s") % {"one": one, "other": other}
        return self.systems[0] if self.systems else ""

    @property
    def name(self) -> str:
        """
        The device in the current language, such as "Firefox on Linux".

        It is plain text, which has to be escaped like any that users enter.
        """
        name = self._name_without_model
        return f"{name} ({self.model})" if self.model else name

    @property
    def _name_without_model(self) -> str:
        words = {"browser": self.browser, "system": self.system}
        if self.browser and self.system:
            return _("%(browser)s on %(system)s") % words
        if self.system and self.is_app:
            return _("An app on %(system)s") % words
        if self.system and self.is_browser:
            return _("A browser on %(system)s") % words
        if self.browser or self.system:
            return self.browser or self.system
        if self.kind is not Kind.UNKNOWN and self.is_parsed:
            return self.kind.words
        return _shorten(cut(self.text)) or _("Unknown device")


def recognise(user_agent: str) -> UserAgent:
    """
    Find out which browser, which system and which kind of device a user agent names.

    Args:
        user_agent: as records have it, with what client hints tell. Only the first
            USER_AGENT_MAX_LENGTH characters count: what a hostile one costs grows with the square
            of their number.
    """
    text, hints = client_hints.split(user_agent[:USER_AGENT_MAX_LENGTH])
    known = _recognise(text) if text else UserAgent()
    return known if hints is None else _add_hints(known, hints)


@lru_cache(maxsize=1024)
def _recognise(text: str) -> UserAgent:
    products = take_apart(text)
    parsed = _ask_ua_parser(text)
    family, system_family = parsed or ("", "")
    system = find_system(products, system_family)
    program = _find_program(products)
    if program:
        return UserAgent(browser=program, systems=system.names[:1], kind=Kind.PROGRAM, text=text)
    robot = _find_robot(products, family)
    if robot:
        # Robots name the system of a browser as which they want to be served.
        return UserAgent(browser=robot, kind=Kind.PROGRAM, text=text)
    browser = (
        _find_own_name(products)
        or _find_native_app(products, family)
        or _find_browser(family, system)
    )
    if _says_nothing_new(browser, system):
        browser = ""
    if parsed is None and not (browser or system.is_device):
        return UserAgent(kind=system.kind, is_parsed=False, text=text)
    is_app = not browser and (family in WINDOWS_OF_APPS or products.leading in UNNAMED_APPS)
    return UserAgent(
        browser=browser,
        systems=system.names,
        kind=system.kind,
        is_app=is_app,
        is_browser=not (browser or is_app) and _is_unnamed_browser(products, system),
        text=text,
    )


def _find_own_name(products: Products) -> str:
    """Return the name that our tables have for an app or a browser; else nothing."""
    for table in (APPS, LATER):
        for name, word in zip(products.names, products.words, strict=True):
            if name in table:
                return FACEBOOK_APPS.get(word.partition("/")[2].lower(), table[name])
    if "electron" in products.names:
        return _find_electron_app(products)
    for pair in zip(products.names, products.names[1:], strict=False):
        if pair in BROWSERS_OF_TWO_WORDS:
            return BROWSERS_OF_TWO_WORDS[pair]
    if products.has_part("edition gx"):
        return "Opera GX"
    return next((BROWSERS[name] for name in BROWSERS if name in products.names), "")


def _says_nothing_new(browser: str, system: System) -> bool:
    if system.is_device and system.names:
        device = system.names[0]
        return device.startswith(WITHOUT_BROWSERS) or browser.lower().startswith(device.lower())
    # The old browser of Android is called "Android", as are apps that don't give their names.
    return browser in system.names


def _find_electron_app(products: Products) -> str:
    named = zip(products.names, products.words, strict=True)
    own = next((word for name, word in named if name not in ELECTRONS_OWN), "")
    return _shorten(clean_name(own.partition("/")[0]))


def _find_program(products: Products) -> str:
    """Return the name of a script or of a client without a page; else nothing."""
    for name in products.names:
        if name in LATER_PROGRAMS:
            return PROGRAMS[name]
    leading = products.leading.lower()
    if leading in PROGRAMS:
        return PROGRAMS[leading]
    headless = (word for word in products.words if word.startswith("Headless"))
    return _shorten(next(headless, "").partition("/")[0])


def _find_robot(products: Products, family: str) -> str:
    """Return the name of a robot; else nothing."""
    own = _find_robots_own_name(products)
    known = _translate(family) if own else ""
    return known if known and known not in GENERIC and "/" not in known else own


def _find_robots_own_name(products: Products) -> str:
    """Return what a robot calls itself. Most have the address of a page about them."""
    for comment in (products.words, *products.comments):
        called = [part.partition("/")[0] for part in comment]
        for name in called:
            if name.lower().endswith(ROBOTS) and not name.lower().endswith("cubot"):
                return _shorten(name)
        if any(part.startswith(("+http", "+mailto")) for part in comment):
            own = called if products.is_browser_like else []
            names = [each for each in own if each not in {"compatible", "KHTML, like Gecko"}]
            return _shorten(names[0] if names else products.leading)
    return ""


def _find_native_app(products: Products, family: str) -> str:
    """Return the name of an app that begins with it, as those do that show no pages."""
    lowered = products.leading.lower()
    ending = next((each for each in FOR_A_SYSTEM if lowered.endswith(each)), "")
    is_named = products.has_leading_version and products.leading not in UNNAMED_APPS
    is_app = products.comments or "cfnetwork" in products.names or ending
    if products.is_browser_like or not (is_named and is_app):
        return ""
    known = _translate(family)
    is_library = known in GENERIC or known in PROGRAMS.values() or "/" in known
    if known and not (ending or is_library or family in WINDOWS_OF_APPS):
        return known
    return _translate(products.leading[: len(products.leading) - len(ending)])


def _find_browser(family: str, system: System) -> str:
    if family in WINDOWS_OF_APPS or family in UNNAMED_APPS:
        return ""
    browser = _translate(_drop_words(family))
    # The engine's name is that of no browser there.
    return "" if system.is_device and browser in GENERIC else browser


def _is_unnamed_browser(products: Products, system: System) -> bool:
    return products.leading == "Mozilla" and (
        not system.is_device or system.names == ("HarmonyOS",)
    )


def _add_hints(known: UserAgent, hints: client_hints.Hints) -> UserAgent:
    """Add what the hints tell and the user agent doesn't, or can't."""
    if known.kind is Kind.PROGRAM:
        return known
    systems, browser = known.systems, known.browser
    system = _shorten(hinted.find_system(hints))
    if not systems and system:
        systems = (system,)
    if systems == ("Windows",) == (system,):
        systems = (hinted.find_windows(hints),)
    # An app's window with a page has the brands of the browser that it is made of.
    if browser in GENERIC or not (browser or known.is_app):
        browser = _shorten(hinted.find_browser(hints)) or browser
    return replace(
        known,
        browser=browser,
        systems=systems,
        model=_shorten(hints.model),
        kind=hinted.find_kind(hints) or known.kind,
        is_parsed=known.is_parsed or bool(browser),
    )


def _ask_ua_parser(text: str) -> tuple[str, str] | None:
    """
    Return the families of a user agent's browser and system; empty where they aren't known.

    Returns:
        None if ua-parser isn't there, or has failed.
    """
    parse = _load_parser()
    if parse is None:
        return None
    try:
        found = parse(text)
    except (LookupError, TypeError, ValueError):
        # The expressions come in a package of their own, and ua-parser takes for granted that
        # the group with the name has matched something.
        return None
    return (
        found.user_agent.family if found.user_agent else "",
        _translate(found.os.family) if found.os else "",
    )


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
    shown = _shorten(clean_name(family))
    return FAMILIES.get(shown, shown)


def _shorten(text: str) -> str:
    # What moves a terminal's cursor, or turns the direction of the text, becomes a blank.
    printable = "".join(each if each.isprintable() else " " for each in text)
    shown = " ".join(printable.split())
    return shown if len(shown) <= MAX_LENGTH else f"{shown[: MAX_LENGTH - 1]}…"
