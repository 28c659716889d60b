"""`manage.py sessions explain`: what a check means, where only the package is installed."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from django.core.checks.registry import registry
from django.core.management import CommandError, call_command
from django.test import SimpleTestCase, override_settings

import django_multistore
from django_multistore.system_checks.explanations import read_explanations
from tests.support.paths import CHECKOUT

PACKAGE = Path(django_multistore.__path__[0])


def explain(*checks: str) -> str:
    out = io.StringIO()
    call_command("sessions", "explain", *checks, stdout=out)
    return out.getvalue()


class ExplainTests(SimpleTestCase):
    def test_an_id_in_any_spelling(self) -> None:
        text = explain("W007")
        assert text.startswith("django_multistore.W007: a cache that something else uses\n\n")
        assert '\n    CACHES["sessions"] = {\n        "BACKEND"' in text
        for other in ("w007", "django_multistore.W007", "Django_Multistore.w007"):
            assert explain(other) == text

    def test_a_link_names_its_page(self) -> None:
        assert "two recipes (docs/takeovers.md)." in explain("W027")
        assert "see W012." in explain("E006")

    def test_no_markup_but_that_of_plain_text(self) -> None:
        for text in read_explanations().values():
            prose = re.sub("(?m)^    .*", "", text)
            assert not re.search(r"(?m)```|^\(\w+\)=|^#|\]\(", prose)

    def test_several_and_all(self) -> None:
        assert explain("W007", "E001") == f"{explain('W007').rstrip()}\n\n{explain('E001')}"
        lines = explain().splitlines()
        assert len(lines) == len(read_explanations())
        assert "django_multistore.E001: a store that can't be built" in lines

    def test_what_is_no_check(self) -> None:
        for asked, guess in (
            ("W7", "Did you mean E007 or W007?"),
            ("W0007", "Did you mean E007 or W007?"),
            ("security.W012", "Did you mean E012 or W012?"),
            ("", "has no check ''. 'manage.py"),
            ("outage", "has no check 'outage'. 'manage.py"),
        ):
            with self.subTest(asked), pytest.raises(CommandError) as caught:
                explain(asked)
            assert guess in str(caught.value)

    @override_settings(SESSION_ENGINE="nowhere", SESSION_STORES="nothing")
    def test_it_needs_no_setting(self) -> None:
        assert explain("E001")


def test_each_id_has_an_entry() -> None:
    sources = "".join(path.read_text("utf-8") for path in PACKAGE.rglob("*.py"))
    used = set(re.findall(r"\"django_multistore\.([EW]\d{3})\"", sources))
    assert used == set(read_explanations())


def test_each_check_is_registered_with_its_command() -> None:
    """Django's register() alone would leave the command out of the hints."""
    ours = [
        check
        for check in registry.get_checks(include_deployment_checks=True)
        if check.__module__.startswith("django_multistore.")
    ]
    assert len(ours) > 5
    assert [check for check in ours if not hasattr(check, "__wrapped__")] == []


def test_no_hint_names_a_file_of_the_docs() -> None:
    found = [
        path.name
        for path in PACKAGE.rglob("*.py")
        for text in re.findall(r"(?s)hint=.*?\bid=", path.read_text("utf-8"))
        if "docs/" in text
    ]
    assert found == []


def test_the_documentation_shows_the_same_text() -> None:
    assert "django_multistore/system_checks/checks.md" in (
        CHECKOUT / "docs" / "checks.md"
    ).read_text("utf-8")
