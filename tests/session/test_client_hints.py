"""What client hints are read as, kept as, and for how long they hold."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from django_multistore.descriptions.kinds import Kind
from django_multistore.descriptions.user_agents import recognise
from django_multistore.records import USER_AGENT_MAX_LENGTH
from django_multistore.session.client_hints import (
    LONGEST_FACT,
    Hints,
    is_grease,
    join,
    keep,
    parse_list,
    parse_string,
    read,
    split,
)

ON_WINDOWS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/146.0.0.0 Safari/537.36"
)
ON_ANDROID = (
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/146.0.0.0 Mobile Safari/537.36"
)
IN_AN_APP = (
    "Mozilla/5.0 (Linux; Android 15; NLA-LX1; wv) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Version/4.0 Chrome/144.0.7559.107 Mobile Safari/537.36"
)
CHROME = '"Chromium";v="146", "Not-A.Brand";v="24", "Google Chrome";v="146"'
BRAVE = '"Chromium";v="146", "Not-A.Brand";v="24", "Brave";v="146"'
WEBVIEW = '"Android WebView";v="144", "Not(A:Brand";v="8", "Chromium";v="144"'


def hinted(user_agent: str, **hints: str) -> str:
    headers = {f"HTTP_SEC_CH_UA{name and '_'}{name.upper()}": text for name, text in hints.items()}
    return join(user_agent, read(headers))


def windows(version: str, brands: str = CHROME) -> dict[str, str]:
    return {"": brands, "platform": '"Windows"', "platform_version": f'"{version}"'}


SAID = {
    "Windows 11": (ON_WINDOWS, windows("13.0.0"), "Chrome on Windows 11"),
    "a later one": (ON_WINDOWS, windows("19.0.0"), "Chrome on Windows 11"),
    "Windows 10": (ON_WINDOWS, windows("10.0.0"), "Chrome on Windows 10"),
    "an older one": (ON_WINDOWS, windows("0.3.0"), "Chrome on Windows"),
    "no version": (ON_WINDOWS, windows(""), "Chrome on Windows"),
    "no number": (ON_WINDOWS, windows("²"), "Chrome on Windows"),
    "Brave": (ON_WINDOWS, windows("15.0.0", BRAVE), "Brave on Windows 11"),
    "what was made up beside a brand": (
        ON_WINDOWS,
        windows("", '"Placeholder;Browser";v="99", "Chromium";v="146", "Edge";v="146"'),
        "Edge on Windows",
    ),
    "what was made up beside Chrome": (
        ON_WINDOWS,
        windows("", '"Some Other";v="99", "Google Chrome";v="146"'),
        "Chrome on Windows",
    ),
    "a version without its system": (
        ON_WINDOWS,
        {"platform_version": '"15.0.0"'},
        "Chrome on Windows",
    ),
    "a phone": (
        ON_ANDROID,
        {"": CHROME, "platform": '"Android"', "model": '"Pixel 8"', "form_factors": '"Mobile"'},
        "Chrome on Android (Pixel 8)",
    ),
    "another system than the user agent's": (
        ON_ANDROID,
        windows("15.0.0"),
        "Chrome on Android",
    ),
    "an app": (IN_AN_APP, {"": WEBVIEW, "platform": '"Android"'}, "An app on Android"),
    "an unknown user agent": ("x", {"": BRAVE, "platform": '"Chrome OS"'}, "Brave on ChromeOS"),
    "a program": ("curl/8.14.1", {"": BRAVE}, "curl"),
    "nothing": (ON_WINDOWS, {}, "Chrome on Windows"),
    "hostile text": (ON_ANDROID, {"model": '"<b>"', "": "\x1b[2J"}, "Chrome on Android (<b>)"),
}


@pytest.mark.parametrize("case", SAID)
def test_what_they_add(case: str) -> None:
    user_agent, hints, name = SAID[case]
    known = recognise(hinted(user_agent, **hints))
    assert known.name == name
    assert known.text == user_agent


@pytest.mark.parametrize(
    ("form_factors", "kind"),
    [
        ('"Tablet"', Kind.TABLET),
        ('"XR"', Kind.GLASSES),
        ('"Automotive", "Mobile"', Kind.CAR),
        ('"Desktop"', Kind.COMPUTER),
        ('"Watch"', Kind.PHONE),  # As the user agent has it.
        ("Tablet", Kind.PHONE),  # No string.
    ],
)
def test_the_kind(form_factors: str, kind: Kind) -> None:
    assert recognise(hinted(ON_ANDROID, form_factors=form_factors)).kind is kind


# RFC 9651, section 4.2: a field that fails in one item is void.
LISTS: dict[str, list[str]] = {
    "": [],
    '"a"': ["a"],
    ' "a" ': ["a"],
    '"a","b"': ["a", "b"],
    '"a"\t,\t"b"': ["a", "b"],
    r'"a\"b\\c"': ['a"b\\c'],
    '"a";v="1;,2", "b"; c;d=?1': ["a", "b"],
    '"a";v=1.5': ["a"],
    '"a",': [],
    ',"a"': [],
    '"a" "b"': [],
    '"a", b': [],
    '"a", 1': [],
    '"a': [],
    r'"a\b"': [],
    '"é"': [],
    '"a\x7f"': [],
    '"a";V=1': [],
    '"a";': [],
}


@pytest.mark.parametrize("header", LISTS, ids=ascii)
def test_lists_of_strings(header: str) -> None:
    assert parse_list(header) == LISTS[header]


def test_one_string() -> None:
    assert parse_string('"Windows";x') == "Windows"
    assert parse_string('"Windows", "Linux"') == ""
    assert parse_string("?1") == ""


@pytest.mark.parametrize(
    "brand",
    ["Not-A.Brand", "Not A;Brand", " Not A;Brand", "Not/A)Brand", "(Not(A:Brand", "Not?A_Brand"],
)
def test_a_brand_that_is_none(brand: str) -> None:
    assert is_grease(brand)
    assert not is_grease("Nota Brand Browser")


class TestKept:
    def test_with_a_user_agent(self) -> None:
        stored = hinted(ON_WINDOWS, **windows("15.0.0", BRAVE))
        hints = Hints(brand="Brave", platform="Windows", platform_version="15.0.0")
        assert split(stored) == (ON_WINDOWS, hints)
        assert split(ON_WINDOWS) == (ON_WINDOWS, None)
        assert split("a\nb") == ("a\nb", None)

    def test_a_long_user_agent_is_cut_and_not_the_hints(self) -> None:
        stored = hinted("x" * 600, model=f'"{"m" * 300}"')
        assert len(stored) == USER_AGENT_MAX_LENGTH
        text, hints = split(stored)
        assert hints == Hints(model="m" * LONGEST_FACT)
        assert text == "x" * len(text)

    def test_they_stay_where_the_same_browser_sends_none(self) -> None:
        stored = hinted(ON_WINDOWS, **windows("15.0.0", BRAVE))
        assert keep(stored, ON_WINDOWS) == stored
        newer = ON_WINDOWS.replace("146", "147")
        assert split(keep(stored, newer)) == (newer, split(stored)[1])
        without_version = hinted(ON_WINDOWS, **{"": BRAVE, "platform": '"Windows"'})
        assert keep(stored, without_version) == stored

    def test_they_go_where_another_browser_comes(self) -> None:
        stored = hinted(ON_WINDOWS, **windows("15.0.0", BRAVE))
        assert keep(stored, ON_ANDROID) == ON_ANDROID
        other = hinted(ON_WINDOWS, **windows("10.0.0"))
        assert keep(stored, other) == other
        assert keep(ON_WINDOWS, stored) == stored
        assert keep("a\nb", "a") == "a"


class TestHostile:
    @pytest.mark.parametrize("text", ['"', '"a";', "\\", '"a";b=', ";a", " ", '"a",', "a=", '\\"'])
    def test_it_takes_little_time(self, text: str) -> None:
        before = time.thread_time()
        parse_list('"a' + text * 20_000)
        parse_list('"a"' + text * 20_000)
        assert time.thread_time() - before < 1  # second; 0.03 where this was written

    def test_whatever_comes_is_kept_in_bounds_and_read_again(self) -> None:
        chance = random.Random(11)
        for _ in range(300):
            some: dict[str, Any] = {
                name: "".join(chance.choices('"\\;=, \t\n\x00aé', k=chance.randrange(600)))
                for name in ("", "platform", "platform_version", "model", "form_factors")
            }
            stored = hinted("Firefox", **some)
            assert len(stored) <= USER_AGENT_MAX_LENGTH
            assert split(stored)[0] == "Firefox"
            assert "\0" not in stored
            assert recognise(stored).name.isprintable()
