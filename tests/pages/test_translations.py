"""The translations: complete, compiled, and on the pages. `make messages` updates them."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from contextlib import chdir
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from gettext import GNUTranslations
from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import modify_settings
from django.utils import timezone, translation

import django_multistore
from django_multistore.descriptions.devices import say_time_ago
from django_multistore.models import StoredSession
from tests import servers
from tests.support.cases.device_pages import PagesTestCase

PACKAGE = Path(django_multistore.__file__).parent
LANGUAGES = ("de", "es", "fa", "fr")
PLACEHOLDER = re.compile(r"%(?:\(\w+\))?[a-z%]|{\w*}")
NOW = datetime(2025, 3, 1, tzinfo=UTC)

in_each_language = pytest.mark.parametrize("language", LANGUAGES)


@dataclass
class Entry:
    """One string of a catalogue: msgid and msgid_plural, msgstr or msgstr[0] and on."""

    flags: str = ""
    texts: dict[str, str] = field(default_factory=dict)

    @property
    def source(self) -> tuple[str | None, ...]:
        return tuple(map(self.texts.get, ("msgctxt", "msgid", "msgid_plural")))

    @property
    def translations(self) -> dict[str, str]:
        return {name: text for name, text in self.texts.items() if name.startswith("msgstr")}


def entries(path: Path) -> tuple[str, list[Entry]]:
    """Return a catalogue's header, and its strings."""
    found = []
    for block in path.read_text("utf-8").strip().split("\n\n"):
        entry, name = Entry(), ""
        for line in block.splitlines():
            if line.startswith("#,"):
                entry.flags += line
            # What is obsolete is taken for one of the strings.
            elif text := re.fullmatch(r'(?:#~ )?(?:(msg[a-z_]+(?:\[\d\])?) )?(".*")', line):
                name = text[1] or name
                entry.texts[name] = entry.texts.get(name, "") + ast.literal_eval(text[2])
        found.append(entry)
    header, *strings = found
    return header.texts["msgstr"], strings


def catalogue(language: str) -> Path:
    return PACKAGE / "locale" / language / "LC_MESSAGES" / "django.po"


def compiled(path: Path) -> GNUTranslations:
    with path.open("rb") as file:
        return GNUTranslations(file)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what makemessages finds in the package now."""
    servers.require_gettext()
    copy = tmp_path_factory.mktemp("package") / PACKAGE.name
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("locale", "__pycache__"))
    (copy / "locale").mkdir()
    with chdir(copy):
        call_command("makemessages", locale=["de"], keep_pot=True, verbosity=0)
    return copy / "locale" / "django.pot"


def test_these_are_the_languages() -> None:
    assert {path.name for path in (PACKAGE / "locale").iterdir()} == set(LANGUAGES)


@in_each_language
def test_no_string_is_missing_or_left_over(template: Path, language: str) -> None:
    wanted, found = (
        {entry.source for entry in entries(path)[1]} for path in (template, catalogue(language))
    )
    assert len(wanted) > 50
    assert found == wanted


@in_each_language
def test_every_string_is_translated(language: str) -> None:
    header, strings = entries(catalogue(language))
    forms = re.search(r"nplurals=(\d)", header)
    assert forms
    plural = {f"msgstr[{number}]" for number in range(int(forms[1]))}
    for entry in strings:
        assert "fuzzy" not in entry.flags, entry
        assert all(map(str.strip, entry.translations.values())), entry
        assert entry.translations.keys() == (plural if entry.source[2] else {"msgstr"}), entry


@in_each_language
def test_placeholders_are_kept(language: str) -> None:
    _, strings = entries(catalogue(language))
    for entry in strings:
        wanted = sorted(PLACEHOLDER.findall(entry.texts["msgid"]))
        for translated in entry.translations.values():
            assert sorted(PLACEHOLDER.findall(translated)) == wanted, entry
    assert any("%(browser)s" in entry.texts["msgid"] for entry in strings)


@in_each_language
def test_they_are_compiled(language: str, tmp_path: Path) -> None:
    servers.require_gettext()
    source, now = catalogue(language), tmp_path / "django.mo"
    subprocess.run(["msgfmt", "--check-format", "-o", now, source], check=True)
    # Not the bytes, which may be others with another msgfmt.
    assert compiled(source.with_suffix(".mo"))._catalog == compiled(now)._catalog


AGO = {
    "de": ("gerade eben", "vor 1 Tag", "vor 5 Tagen"),
    "es": ("ahora mismo", "hace 1 día", "hace 5 días"),
    "fa": ("همین حالا", "1 روز پیش", "5 روز پیش"),
    "fr": ("à l’instant", "il y a 1 jour", "il y a 5 jours"),
}


@in_each_language
def test_how_long_ago(language: str) -> None:
    with translation.override(language):
        assert (
            tuple(say_time_ago(NOW - timedelta(days=days), NOW) for days in (0, 1, 5))
            == AGO[language]
        )


PAGE = {
    "de": ("Ihre Geräte", "auf 2 Geräten angemeldet", "Firefox unter Linux", "vor 2 Tagen"),
    "es": ("Sus dispositivos", "en 2 dispositivos.", "Firefox en Linux", "hace 2 días"),
    "fa": ("دستگاه‌های شما", "در 2 دستگاه", "Firefox در Linux", "2 روز پیش"),
    "fr": ("Vos appareils", "sur 2 appareils.", "Firefox sous Linux", "il y a 2 jours"),
}


@modify_settings(MIDDLEWARE={"append": "django.middleware.locale.LocaleMiddleware"})
class PageTests(PagesTestCase):
    def test_it_is_in_the_language_of_the_browser(self) -> None:
        two_days_ago = timezone.now() - timedelta(days=2, hours=1)
        StoredSession.objects.filter(id=self.id_of(self.phone)).update(last_seen_at=two_days_ago)
        self.enterContext(translation.override("en"))  # and what the requests choose ends with it
        for language, (heading, count, name, seen) in PAGE.items():
            with self.subTest(language=language):
                page = self.here.get("/devices/", headers={"Accept-Language": language})
                frame = f'<html lang="{language}"' + (' dir="rtl">' if language == "fa" else ">")
                for wanted in (
                    frame,
                    f"<h1>{heading}</h1>",
                    count,
                    f">{name}</h2>",
                    f">{seen}</time>",
                ):
                    self.assertContains(page, wanted)
