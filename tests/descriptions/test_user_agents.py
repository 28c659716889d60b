"""What a device is called, and that no user agent, however hostile, is more than a name."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import ua_parser
from ua_parser.lazy import OSMatcher, UserAgentMatcher

from django_multistore.descriptions import user_agents
from django_multistore.descriptions.kinds import Kind
from django_multistore.descriptions.products import take_apart
from django_multistore.descriptions.user_agents import MAX_LENGTH, UserAgent, recognise
from django_multistore.records import USER_AGENT_MAX_LENGTH
from tests.support.descriptions import FIREFOX
from tests.support.helpers import environment
from tests.support.user_agents import read_real_user_agents

SOURCE = re.compile(r"[\w-]+ \d{4}-\d{2}-\d{2}, [\w./-]+")
ON_WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
ON_ANDROID = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko)"
ON_A_PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko)"
)
ON_A_MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15"

KNOWN = {
    FIREFOX: "Firefox on Linux",
    "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0": (
        "Firefox on Ubuntu"
    ),
    "Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0": "Firefox on Android",
    f"{ON_A_PHONE} FxiOS/140.0 Mobile/15E148 Safari/605.1.15": "Firefox on iOS",
    f"{ON_WINDOWS} Chrome/138.0.0.0 Safari/537.36": "Chrome on Windows",
    f"{ON_ANDROID} Chrome/138.0.0.0 Mobile Safari/537.36": "Chrome on Android",
    f"{ON_A_PHONE} CriOS/138.0.7204.119 Mobile/15E148 Safari/604.1": "Chrome on iOS",
    "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/138.0.0.0 Safari/537.36": "Chrome on ChromeOS",
    "Mozilla/5.0 (Linux; Android 14; Pixel 8; wv) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Version/4.0 Chrome/138.0.0.0 Mobile Safari/537.36": "An app on Android",
    f"{ON_WINDOWS} Chrome/138.0.0.0 Safari/537.36 Edg/138.0.3351.55": "Edge on Windows",
    f"{ON_ANDROID} Chrome/138.0.0.0 Mobile Safari/537.36 EdgA/138.0.0.0": "Edge on Android",
    f"{ON_A_MAC} (KHTML, like Gecko) Version/18.5 Safari/605.1.15": "Safari on macOS or iPadOS",
    f"{ON_A_PHONE} Version/18.5 Mobile/15E148 Safari/604.1": "Safari on iOS",
    f"{ON_A_PHONE} Mobile/15E148": "An app on iOS",  # Its window with a page.
    f"{ON_ANDROID} SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36": (
        "Samsung Internet on Android"
    ),
    f"{ON_WINDOWS} Chrome/137.0.0.0 Safari/537.36 OPR/120.0.0.0": "Opera on Windows",
    "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko": (
        "Internet Explorer on Windows"
    ),
    "MyApp/3.2 CFNetwork/1568.200.51 Darwin/24.1.0": "MyApp on iOS or macOS",
    "Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8 Build/UD1A)": "An app on Android",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)": "Googlebot",
    "okhttp/4.12.0": "okhttp",
    "curl/8.14.1": "curl",
    "python-requests/2.32.4": "Python Requests",
    "(X11; Linux x86_64)": "Linux",
}
UNKNOWN = {
    "": "Unknown device",
    "   \t": "Unknown device",
    "\u202e\x1b": "Unknown device",
    "garbage": "garbage",
    "x" * MAX_LENGTH: "x" * MAX_LENGTH,
    "x" * (MAX_LENGTH + 1): "x" * (MAX_LENGTH - 1) + "…",
    "<script>alert(1)</script>": "<script>alert(1)</script>",  # Templates escape it.
    "%(browser)s %s {}": "%(browser)s %s {}",
    "a\x1b[2Jb\r\nc\u202ed\ud800": "a [2Jb c d",
    "F\xfcchslein": "F\xfcchslein",
}
# What tells them apart is shown.
WITHOUT_LIBRARY = {
    FIREFOX: "Firefox/140.0 (X11; Linux x86_64; rv:140.0)",
    f"{ON_WINDOWS} Chrome/138.0.0.0 Safari/537.36": (
        "Chrome/138.0.0.0 (Windows NT 10.0; Win64; x64)"
    ),
    f"{ON_WINDOWS} Chrome/138.0.0.0 Safari/537.36 Edg/138.0.3351.55": (
        "Edg/138.0.3351.55 (Windows NT 10.0; Win64; x64)"
    ),
    f"{ON_ANDROID} Chrome/138.0.0.0 Mobile Safari/537.36": "Chrome/138.0.0.0 (Linux; Android 10)",
    f"{ON_A_PHONE} Version/18.5 Mobile/15E148 Safari/604.1": (
        "Safari/604.1 (iPhone; CPU iPhone OS 18_5 like Mac OS X)"
    ),
    "Mozilla/5.0": "Mozilla/5.0",
    "Mozilla/5.0 (PlayStation 4 3.00) AppleWebKit/537.73 (KHTML, like Gecko)": "PlayStation 4",
    "curl/8.14.1": "curl",
    "": "Unknown device",
}
# Each is repeated to the length that is stored.
HOSTILE = [
    "Mozilla",
    "Mozilla/5.0 (",
    "LikeWise",
    "Teams/1",
    ". Teams1",
    "AppleWebKit/1.1 Safari ",
    "crape",
    ": rchivera ",
    ":-/1",
    "1.",
    "-",
    " ",
    "\n",
    "(",
    "Opera/9.80 (a;",
    "Windows NT 10.0; ",
    "\ud800",
    "\U0010ffff",
]


@pytest.fixture(autouse=True)
def _new_parser() -> Iterator[None]:
    _forget()
    yield
    _forget()


def _forget() -> None:
    user_agents._load_parser.cache_clear()
    user_agents._recognise.cache_clear()


class TestRecognised:
    @pytest.mark.parametrize("user_agent", KNOWN)
    def test_it_has_the_words_of_the_name(self, user_agent: str) -> None:
        known = recognise(user_agent)
        unnamed = "An app" if known.is_app else ""
        words = filter(None, [known.browser or unnamed, known.system])
        assert known.name == " on ".join(words)

    def test_each_alone(self) -> None:
        assert recognise(FIREFOX) == UserAgent(
            browser="Firefox", systems=("Linux",), kind=Kind.COMPUTER
        )
        assert recognise("curl/8.14.1") == UserAgent(browser="curl", kind=Kind.PROGRAM)
        assert recognise("(X11; Linux x86_64)") == UserAgent(systems=("Linux",), kind=Kind.COMPUTER)

    @pytest.mark.parametrize("user_agent", UNKNOWN)
    def test_nothing(self, user_agent: str) -> None:
        assert recognise(user_agent) == UserAgent()

    @pytest.mark.parametrize(
        "wrong",
        [UserAgentMatcher("y"), UserAgentMatcher("(x)?y"), OSMatcher("(x?)y")],
        ids=["no group", "a group that need not match", "a group that may be empty"],
    )
    def test_a_wrong_expression_recognises_nothing(
        self, wrong: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        matchers = ([wrong], [], []) if isinstance(wrong, UserAgentMatcher) else ([], [wrong], [])
        monkeypatch.setattr(ua_parser, "load_lazy_builtins", lambda: matchers)
        _forget()
        with pytest.raises((LookupError, TypeError, ValueError)):
            ua_parser.Parser.from_matchers(matchers).parse("y")
        assert recognise("y") == UserAgent()
        assert recognise("xy") != UserAgent() or wrong.regex == "y"


class TestDeviceName:
    @pytest.mark.parametrize("user_agent", KNOWN)
    def test_words_that_people_know(self, user_agent: str) -> None:
        assert recognise(user_agent).name == KNOWN[user_agent]

    @pytest.mark.parametrize("user_agent", UNKNOWN)
    def test_what_is_not_known_is_shown_as_it_is(self, user_agent: str) -> None:
        assert recognise(user_agent).name == UNKNOWN[user_agent]

    def test_a_name_that_was_made_up_is_short_and_printable(self) -> None:
        app = "You have won!\x1b[31m\u202e " * 9
        name = recognise(f"{app}/1 CFNetwork/1 Darwin/24.1.0").name
        assert name.startswith("You have won! [31m You have won!")
        assert name.endswith("… on iOS or macOS")
        assert name.isprintable()
        assert len(name) == MAX_LENGTH + len(" on iOS or macOS")

    @pytest.mark.parametrize("installed", [None, ModuleType("ua_parser")], ids=["no", "below 1.0"])
    def test_without_the_library(self, installed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "ua_parser", installed)
        _forget()
        assert recognise(FIREFOX) == UserAgent(kind=Kind.COMPUTER)
        assert {agent: recognise(agent).name for agent in WITHOUT_LIBRARY} == WITHOUT_LIBRARY
        assert len({recognise(agent).name for agent in KNOWN}) == len(KNOWN)

    def test_a_library_that_fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def parse(text: str) -> Any:
            raise LookupError(text)

        with monkeypatch.context() as patched:
            patched.setattr(user_agents, "_load_parser", lambda: parse)
            names = {agent: recognise(agent).name for agent in WITHOUT_LIBRARY}
        assert names == WITHOUT_LIBRARY

    def test_the_library_is_loaded_once_there_is_something_to_parse(self) -> None:
        code = (
            "import sys; from django_multistore.descriptions.user_agents import recognise\n"
            "import django.conf; django.conf.settings.USE_I18N = False\n"
            "assert recognise('').name == 'Unknown device' and 'ua_parser' not in sys.modules\n"
            "assert recognise('curl/8').name == 'curl' and 'ua_parser' in sys.modules\n"
            "assert 'ua_parser_builtins.matchers' not in sys.modules\n"
        )
        subprocess.run([sys.executable, "-c", code], env=environment(), check=True)


class TestHostileUserAgents:
    @pytest.mark.parametrize("text", HOSTILE, ids=ascii)
    def test_they_take_little_time(self, text: str) -> None:
        recognise("compile the expressions")
        user_agent = (text * USER_AGENT_MAX_LENGTH)[:USER_AGENT_MAX_LENGTH]
        before = time.thread_time()
        assert recognise(user_agent).name
        assert time.thread_time() - before < 0.5  # seconds; 0.02 where this was written

    @pytest.mark.parametrize("text", [*HOSTILE, "()", "[", ";", "%", "a/(b;", "\t"], ids=ascii)
    def test_a_walk_takes_little_time_for_any_length(self, text: str) -> None:
        before = time.thread_time()
        take_apart(text * (200_000 // len(text)))
        assert time.thread_time() - before < 1  # second; 0.1 where this was written

    def test_whatever_comes_has_a_name(self) -> None:
        chance = random.Random(7)
        words = [*" ".join(KNOWN).split(), *HOSTILE, "\x00", "é", "\u2028", "%s"]
        for _ in range(300):
            chosen = chance.choices(words, k=chance.randrange(1, 40))
            name = recognise(chance.choice(("", " ")).join(chosen)[:USER_AGENT_MAX_LENGTH]).name
            assert name.strip()
            assert name.isprintable()
            assert len(name) <= 2 * MAX_LENGTH + len(" on ")
            name.encode()
            assert recognise(name).kind in Kind


class TestRealUserAgents:
    """What browsers, apps and programs send, from public test data: see user_agents.tsv."""

    def test_each_is_said_in_words(self) -> None:
        rows = read_real_user_agents()
        assert len(rows) >= 120
        said = {row.string: recognise(row.string) for row in rows}
        wrong = [
            (row.text, known.name, row.kind, known.kind.value, row.string)
            for row in rows
            if ((known := said[row.string]).name, known.kind) != (row.text, row.kind)
        ]
        assert wrong == []

    def test_there_are_some_of_each_kind(self) -> None:
        assert {row.kind for row in read_real_user_agents()} == set(Kind)

    def test_each_has_a_source_and_is_there_once(self) -> None:
        rows = read_real_user_agents()
        assert all(SOURCE.fullmatch(row.source) for row in rows)
        assert len({row.string for row in rows}) == len(rows)
