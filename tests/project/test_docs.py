"""What the documentation says of the tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.paths import CHECKOUT

TESTS = CHECKOUT / "tests"
ASVS = TESTS.parent / "docs" / "asvs.md"
PAGES = [
    CHECKOUT / "README.md",
    CHECKOUT / "CONTRIBUTING.md",
    *sorted((CHECKOUT / "docs").rglob("*.md")),
]
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", ASVS.read_text("utf-8"))))


def test_each_requirement_has_a_test_or_none() -> None:
    rows = re.findall(r"^\| 7\.\d\.\d \|.*\| (.+) \|$", ASVS.read_text("utf-8"), re.MULTILINE)
    assert len(rows) == 19
    assert sum("::" in row for row in rows) == 14


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_the_tests_that_the_table_names_are_there(file: str, name: str) -> None:
    definition = rf"^\s*(async def|def|class) {name}\b"
    assert re.search(definition, (TESTS / file).read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_the_files_of_tests_that_are_named_are_there(page: Path) -> None:
    named = re.findall(r"\btests/[\w/]+\.\w+", page.read_text("utf-8"))
    assert [name for name in named if not (CHECKOUT / name).exists()] == []
