"""The tutorial holds: each command, each file and each page that it shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import tutorial
from tests.support.paths import CHECKOUT

pytestmark = pytest.mark.elsewhere

PAGE = (CHECKOUT / "docs" / "tutorial.md").read_text("utf-8")


def test_a_newcomer_can_follow_it(tmp_path: Path) -> None:
    tutorial.Newcomer(PAGE, tmp_path).follow()


@pytest.mark.parametrize(
    ("line", "stumble"),
    [
        ('    path("accounts/", include("django.contrib.auth.urls")),', "check|500"),
        ('    "django_multistore",  # new\n', "check"),
        ("1 other device was logged out.", "no page says"),
    ],
)
def test_a_page_that_lacks_a_line_is_found_out(line: str, stumble: str, tmp_path: Path) -> None:
    assert PAGE.count(line) == 1
    changed = PAGE.replace(line, "2 devices went." if line.endswith(".") else "")
    with pytest.raises(tutorial.Stumble, match=stumble):
        tutorial.Newcomer(changed, tmp_path).follow()
