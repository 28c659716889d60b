"""
A user agent taken apart: products, and comments in parentheses.

It takes one walk through the text, so that no text takes long.

Source: RFC 9110, sections 5.6.5 and 10.1.5. What browsers send keeps to it more or less.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote

# What stands in the user agents of most browsers and tells none of them apart.
BOILERPLATE = frozenset(
    [
        "mozilla",
        "applewebkit",
        "webkit",
        "gecko",
        "khtml",
        "version",
        "mobile",
        "safari",
        "like",
        "chrome",
    ]
)
VERSION_DIGITS = "0123456789._"


@dataclass(frozen=True)
class Products:
    """The parts of one user agent."""

    words: tuple[str, ...]  # Such as "Firefox/140.0", in their order.
    comments: tuple[tuple[str, ...], ...]  # Each split at its semicolons.
    leading: str  # All that comes before the first slash or parenthesis: a program's name.
    has_leading_version: bool  # Whether a slash follows that.

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The words' names in lower case, without versions, however these are attached."""
        return tuple(_name_of(word) for word in self.words)

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """All parts of all comments, in lower case."""
        return tuple(part.lower() for comment in self.comments for part in comment)

    @property
    def is_browser_like(self) -> bool:
        """Whether it begins as browsers' do, and not with the name of a program."""
        return self.leading in {"Mozilla", "Opera", "Dalvik", ""}

    def has_part(self, *prefixes: str) -> bool:
        """Say whether a comment has a part that begins so, in lower case."""
        return any(part.startswith(prefixes) for part in self.parts)


def take_apart(user_agent: str) -> Products:
    """Take a user agent apart; parentheses that don't match end with the text."""
    outside: list[str] = []
    comments: list[str] = []
    depth = start = 0
    for index, character in enumerate(user_agent):
        if character == "(":
            if depth == 0:
                outside.append(user_agent[start:index])
                start = index + 1
            depth += 1
        elif character == ")" and depth:
            depth -= 1
            if depth == 0:
                comments.append(user_agent[start:index])
                start = index + 1
    (comments if depth else outside).append(user_agent[start:])
    # Some apps list themselves in brackets: "[LinkedInApp]/9.24", "[FBAN/FBIOS;FBAV/335.0]".
    words = " ".join(outside).replace("[", " ").replace("]/", "/").replace("]", " ")
    return Products(
        words=tuple(words.replace(";", " ").split()),
        comments=tuple(
            tuple(part.strip() for part in comment.split(";") if part.strip())
            for comment in comments
        ),
        leading=clean_name(outside[0].partition("/")[0]),
        has_leading_version="/" in outside[0],
    )


def clean_name(text: str) -> str:
    """Return a program's name as its users know it: "ChatGPT Atlas" for "ChatGPT%20Atlas"."""
    return " ".join(unquote(text, errors="replace").split())


def cut(user_agent: str) -> str:
    """Return what tells a user agent apart, without what those of all browsers have."""
    products = take_apart(user_agent)
    if products.leading != "Mozilla" or not products.has_leading_version:
        return user_agent
    named = list(zip(products.names, products.words, strict=True))
    telling = [word for name, word in named if name not in BOILERPLATE]
    if not telling:
        telling = [word for name, word in named if name in {"chrome", "safari"}][:1]
    comments = [each for each in products.comments if each[:1] != ("KHTML, like Gecko",)]
    about = [each for each in (comments or [()])[0] if each not in {"compatible", "U", "K", "wv"}]
    said = [*telling, f"({'; '.join(about)})"] if about else telling
    return " ".join(said) or user_agent


def _name_of(word: str) -> str:
    name = word.partition("/")[0].lower()
    # "trill_43.0.0" has its version in its name.
    return name.rstrip(VERSION_DIGITS) or name
