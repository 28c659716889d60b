"""
What each check means and what to do: the texts of checks.md, which the documentation shows as well.

They are in the package, so that `manage.py sessions explain` has them where nothing else is there.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import cache
from importlib.resources import files

PREFIX = "django_multistore."
TEXTS = "checks.md"

ENTRY = re.compile(r"^### ([EW]\d{3}): (.+)$")
SECTION = re.compile(r"^#{1,2} ")
ANCHOR = re.compile(r"^\([\w-]+\)=$")
FENCE = re.compile(r"^\s*```")
LINK = re.compile(r"\[([^\]]+)\]\(([^)]*)\)")


@cache
def read_explanations() -> dict[str, str]:
    """Return the explanation of each check by its id, as W007, in the order of the docs."""
    entries: dict[str, list[str]] = {}
    lines: list[str] = []
    is_code = False
    for line in files(__package__).joinpath(TEXTS).read_text("utf-8").splitlines():
        is_code ^= bool(FENCE.match(line))
        if not is_code and (entry := ENTRY.match(line)):
            lines = entries.setdefault(entry[1], [])
            lines.append(f"{PREFIX}{entry[1]}: {entry[2]}")
        elif not is_code and SECTION.match(line):
            lines = []  # What introduces a section belongs to no check.
        elif not ANCHOR.match(line):
            lines.append(line)
    return {id: _render(lines) for id, lines in entries.items()}


def find_id(asked: str) -> str | None:
    """Return the id of a check as W007, of whatever spelling; None if there is no such check."""
    prefix, _, id = asked.strip().upper().rpartition(".")
    is_ours = prefix in ("", PREFIX.rstrip(".").upper())
    return id if is_ours and id in read_explanations() else None


def find_similar(asked: str) -> list[str]:
    """Return the ids that may be meant by one that there isn't."""
    id = asked.strip().upper().rpartition(".")[2]
    number = re.sub(r"\D", "", id)
    same = [each for each in read_explanations() if number and int(each[1:]) == int(number)]
    return same or get_close_matches(id, read_explanations(), cutoff=0.7)


def _render(lines: list[str]) -> str:
    """Make plain text of an entry: code is indented, and a link names its page."""
    rendered: list[str] = []
    is_code = False
    for line in lines:
        if FENCE.match(line):
            is_code = not is_code
        elif is_code:
            rendered.append(f"    {line}".rstrip())
        else:
            rendered.append(LINK.sub(_name_page, line))
    return "\n".join(rendered).strip()


def _name_page(link: re.Match[str]) -> str:
    text, target = link.groups()
    page = target.partition("#")[0]
    return f"{text} (docs/{page})" if page.endswith(".md") else text
