"""
What client hints tell of a device: its brand of browser, its system's version, its model.

Browsers that are built from Chromium send them, over HTTPS, where a page has asked for them. A
session keeps what they tell behind its user agent, on a line of its own: no header has a line feed.

Sources: https://wicg.github.io/ua-client-hints/ and RFC 9651, Structured Field Values for HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from functools import lru_cache

from ..records import USER_AGENT_MAX_LENGTH

# A browser that knows hints sends the first two with each request, the others if it was asked.
BRANDS, PLATFORM = "Sec-CH-UA", "Sec-CH-UA-Platform"
ASKED_FOR = ("Sec-CH-UA-Platform-Version", "Sec-CH-UA-Model", "Sec-CH-UA-Form-Factors")
LONGEST_HEADER = 400  # characters
LONGEST_FACT = 40
SEPARATOR, BETWEEN_FACTS = "\n", "\t"
CHROME = "Google Chrome"
# Brands that say which engine it is, or that it is part of an app.
NO_BROWSERS = frozenset(("Chromium", "Android WebView", "Microsoft Edge WebView2"))
# One item of a list whose items are strings, with its parameters, and what ends it. No two of its
# parts can take the same character, so that no text takes long.
ITEM = re.compile(
    r'[ \t]*"((?:[ !#-\[\]-~]|\\["\\])*)"'
    r'(?:; *[a-z*][a-z0-9_.*-]*(?:=(?:"(?:[ !#-\[\]-~]|\\["\\])*"|[^",; \t]+))?)*'
    r"[ \t]*(,|\Z)"
)


@dataclass(frozen=True, slots=True)
class Hints:
    """What hints have told, in their own words. Nothing is known of what is empty."""

    brand: str = ""  # The browser's own, such as "Brave".
    platform: str = ""  # Such as "Windows".
    platform_version: str = ""  # Windows' is that of an interface of its own: 13 is Windows 11.
    model: str = ""
    form_factor: str = ""  # The first, such as "Tablet".


def read(headers: Mapping[str, object]) -> str:
    """
    Return what a request's client hints tell, as a session keeps it; empty if there are none.

    Args:
        headers: as request.META has them.
    """
    names = (BRANDS, PLATFORM, *ASKED_FOR)
    return _pack(tuple(str(headers.get(meta_key(each), ""))[:LONGEST_HEADER] for each in names))


def meta_key(name: str) -> str:
    """Return a header's key in request.META."""
    return "HTTP_" + name.upper().replace("-", "_")


def join(user_agent: str, packed: str) -> str:
    """Put what hints tell behind a user agent, which is cut where there is no room for both."""
    if not packed:
        return user_agent[:USER_AGENT_MAX_LENGTH]
    return user_agent[: USER_AGENT_MAX_LENGTH - len(packed) - 1] + SEPARATOR + packed


def split(user_agent: str) -> tuple[str, Hints | None]:
    """Return a user agent as it was sent, and what hints have told."""
    text, separator, packed = user_agent.rpartition(SEPARATOR)
    facts = packed.split(BETWEEN_FACTS)
    if not separator or len(facts) != len(astuple(Hints())):
        return user_agent, None
    return text, Hints(*facts)


@lru_cache(maxsize=1024)
def keep(stored: str, sent: str) -> str:
    """
    Return the user agent to store for a session that has one already.

    A browser tells the hints that it was asked for, and forgets that when it is closed. What it has
    told holds as long as it sends the same user agent, but for the numbers in it.
    """
    if SEPARATOR not in stored:
        return sent
    text, _, packed = stored.rpartition(SEPARATOR)
    new_text, new_hints = split(sent)
    if _drop_digits(text) != _drop_digits(new_text):
        return sent
    told = split(stored)[1]
    if told is None or (new_hints is not None and new_hints.platform_version):
        return sent
    return join(new_text, packed)


def parse_list(header: str) -> list[str]:
    """
    Return the strings of a list, without their parameters; none if it isn't such a list.

    All items of these hints are strings. One that isn't makes the field void, as RFC 9651 wants it
    (section 4.2).
    """
    items, place = [], 0
    while found := ITEM.match(header, place):
        items.append(re.sub(r"\\(.)", r"\1", found[1]))
        place = found.end()
        if not found[2]:
            return items
    return []


def parse_string(header: str) -> str:
    """Return the text of a field that is one string; empty if it is none."""
    items = parse_list(header)
    return items[0] if len(items) == 1 else ""


def is_grease(brand: str) -> bool:
    """Say whether a brand is there only so that nobody relies on the list: "Not/A)Brand"."""
    return "".join(filter(str.isalpha, brand)).lower() == "notabrand"


@lru_cache(maxsize=1024)
def _pack(headers: tuple[str, ...]) -> str:
    if not any(headers):
        return ""
    brands, platform, version, model, form_factors = headers
    hints = Hints(
        brand=_choose_brand(parse_list(brands)),
        platform=parse_string(platform),
        platform_version=parse_string(version),
        model=parse_string(model),
        form_factor=(*parse_list(form_factors), "")[0],
    )
    facts = [fact[:LONGEST_FACT] for fact in astuple(hints)]
    return BETWEEN_FACTS.join(facts) if any(facts) else ""


def _choose_brand(brands: list[str]) -> str:
    """Return the brand that is the browser's own; empty if there is none."""
    own = [each for each in brands if each not in NO_BROWSERS and not is_grease(each)]
    # What else a browser may have made up so that lists aren't relied on never beats a brand.
    return CHROME if CHROME in own else next((each for each in own if _is_name(each)), "")


def _is_name(brand: str) -> bool:
    return brand.replace(" ", "").isalnum()


def _drop_digits(text: str) -> str:
    return re.sub("[0-9]+", "", text)
