"""A page in a language that the package has no translation into, and the zone of its times."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

from django.test import Client, modify_settings, override_settings
from django.utils import translation
from django.utils.timezone import override as override_zone
from django.utils.translation import gettext, trans_real

from django_multistore.exceptions import StoreUnavailable
from django_multistore.http.languages import PROBE, find_language
from django_multistore.models import StoredSession
from django_multistore.stores import stores
from tests import servers
from tests.support.cases.device_pages import JSON, PASSWORD, PagesTestCase, templates_with

FRAME = (
    '{% load i18n %}{% get_current_language as language %}<html lang="{{ language }}">'
    "<title>{% block title %}{% endblock %}</title>{% block content %}{% endblock %}</html>"
)
HEADINGS = {"en": "Your devices", "de": "Ihre Geräte", "es": "Sus dispositivos"}
LOG_OUT = {"en": "Log out", "de": "Abmelden", "es": "Cerrar sesión"}
SPRING = datetime(2026, 4, 3, 14, 5, tzinfo=UTC)


@contextmanager
def default_language(code: str) -> Iterator[None]:
    """Have the site's LANGUAGE_CODE be this one, and what Django has loaded go by it."""
    try:
        with override_settings(LANGUAGE_CODE=code):
            trans_real._translations.clear()
            yield
    finally:
        trans_real._translations.clear()


@modify_settings(MIDDLEWARE={"append": "django.middleware.locale.LocaleMiddleware"})
class LanguageTests(PagesTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.enterContext(translation.override("en"))  # and what the requests choose ends with it
        StoredSession.objects.filter(id=self.id_of(self.phone)).update(authenticated_at=SPRING)

    def look(self, asked: str, language: str, direction: str = "ltr") -> str:
        """Check that the page is all in one language, and says so; return it."""
        page = self.here.get("/devices/", headers={"Accept-Language": asked}).content.decode()
        base = language[:2]
        self.assertIn(f'<div class="multistore" lang="{language}" dir="{direction}">', page)
        self.assertIn(f"<h1>{HEADINGS[base]}</h1>", page)
        self.assertIn(f"<title>{HEADINGS[base]}</title>", page)
        (button,) = re.findall(r'aria-label="([^:"]*): Firefox', page)
        self.assertEqual(button, LOG_OUT[base])
        with translation.override(language):
            month = gettext("April")
        self.assertIn(month[:3], page)
        return page

    def test_without_a_catalogue_all_is_english(self) -> None:
        for asked in ("pt", "ja", "he", "pt-br", "zh-hans"):
            with self.subTest(asked):
                page = self.look(asked, "en-us")
                self.assertIn('<html lang="en-us">', page)
                with templates_with({"base.html": FRAME}):
                    self.assertIn(f'<html lang="{asked}">', self.look(asked, "en-us"))

    def test_or_in_the_site_s_own_language(self) -> None:
        for asked in ("pt", "ja", "he", "pt-br"):
            with self.subTest(asked), default_language("de"):
                self.assertIn('<html lang="de">', self.look(asked, "de"))
        with default_language("ja"):
            self.look("he", "en")

    def test_a_variant_is_its_language(self) -> None:
        austrian = self.modify_settings(LANGUAGES={"append": [("de-at", "Austrian")]})
        for asked, default in (
            ("de-at", "en-us"),
            ("es-mx", "de"),
            ("de-at", "de"),
            ("en-gb", "de"),
        ):
            with self.subTest(asked, default=default), default_language(default), austrian:
                self.look(asked, asked)

    def test_the_form_its_error_and_the_message_too(self) -> None:
        asked = {"Accept-Language": "pt"}
        form = self.here.post("/devices/end-others/", {"password": "x"}, headers=asked)
        self.assertContains(form, "Wrong password.")
        self.assertContains(form, "Password:")
        empty = self.here.post("/devices/end-others/", {"password": ""}, headers=asked)
        self.assertContains(empty, "This field is required.")
        sent = {"password": PASSWORD}
        done = self.here.post("/devices/end-others/", sent, headers=asked, follow=True)
        self.assertContains(done, "<li>1 other device was logged out.</li>")

    def test_what_programs_are_told(self) -> None:
        with default_language("de"):
            for asked, said in (("ja", "nimmt diese Methode"), ("es", "no admite este")):
                headers = JSON | {"Accept-Language": asked}
                error = self.here.put("/devices/", headers=headers).json()["error"]
                self.assertIn(said, error["message"])

    @override_settings(ROOT_URLCONF="tests.support.language_urls", LOGIN_URL="log_in")
    def test_urls_stay_in_the_user_s_language(self) -> None:
        page = self.here.get("/pt/devices/")
        self.assertContains(page, "<h1>Your devices</h1>")
        actions = re.findall(r'action="([^"]*)"', page.content.decode())
        self.assertEqual({action[:12] for action in actions}, {"/pt/devices/"})
        form = self.here.get("/pt/devices/end-others/")
        self.assertContains(form, 'href="/pt/devices/"')
        done = self.here.post("/pt/devices/end-others/", {"password": PASSWORD})
        self.assertEqual(done.url, "/pt/devices/")
        self.assertEqual(Client().get("/pt/devices/").url, "/pt/log-in/?next=/pt/devices/")

    def test_the_page_of_an_outage(self) -> None:
        def be_out(*args: Any, **kwargs: Any) -> Any:
            raise StoreUnavailable("out")

        with patch.object(stores["default"], "page_for_user", be_out):
            page = self.here.get("/devices/", headers={"Accept-Language": "he"})
        self.assertContains(page, '<html lang="en-us">', status_code=503)
        self.assertContains(page, "Not available just now", status_code=503)

    def test_a_catalogue_of_the_site_s_counts(self) -> None:
        servers.require_gettext()
        with tempfile.TemporaryDirectory() as directory:
            place = Path(directory, "pt", "LC_MESSAGES")
            place.mkdir(parents=True)
            said = {PROBE: "Só neste dispositivo.", "Your devices": "Os seus dispositivos"}
            entries = {"": "Content-Type: text/plain; charset=UTF-8\\n"} | said
            text = "\n\n".join(f'msgid "{id}"\nmsgstr "{text}"' for id, text in entries.items())
            Path(place, "django.po").write_text(text, "utf-8")
            subprocess.run(["msgfmt", "-o", place / "django.mo", place / "django.po"], check=True)
            with self.settings(LOCALE_PATHS=[directory]), translation.override("pt"):
                self.assertEqual(find_language(), "pt")
        with translation.override("pt"):
            self.assertEqual(find_language(), "en-us")


class TimeTests(PagesTestCase):
    def show(self, **more: Any) -> str:
        StoredSession.objects.filter(id=self.id_of(self.phone)).update(authenticated_at=SPRING)
        page = self.here.get("/devices/", **more).content.decode()
        # The space between a time and "p.m." is one that doesn't break in newer versions.
        return page.replace("\u202f", " ").replace("\u00a0", " ")

    def test_a_time_says_its_zone(self) -> None:
        for zone, text, offset in (
            ("UTC", "2:05 p.m. <bdi>UTC</bdi>", "14:05:00+00:00"),
            ("Europe/Vienna", "4:05 p.m. <bdi>CEST</bdi>", "16:05:00+02:00"),
            ("Asia/Tehran", "5:35 p.m. <bdi>UTC+0330</bdi>", "17:35:00+03:30"),
            ("America/Sao_Paulo", "11:05 a.m. <bdi>UTC-03</bdi>", "11:05:00-03:00"),
        ):
            for settings in ({"USE_TZ": True}, {"USE_TZ": False}):
                with self.subTest(zone, **settings), self.settings(TIME_ZONE=zone, **settings):
                    page = self.show()
                    self.assertIn(
                        f'<time datetime="2026-04-03T{offset}">April 3, 2026, {text}', page
                    )

    def test_it_is_the_zone_that_the_site_has_chosen_for_the_user(self) -> None:
        with self.settings(TIME_ZONE="UTC"), override_zone("Asia/Tokyo"):
            self.assertIn("April 3, 2026, 11:05 p.m. <bdi>JST</bdi>", self.show())
