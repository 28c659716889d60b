"""The frame of the pages: the site's base.html, unless it has no place for them."""

from __future__ import annotations

import re
from typing import Any

from django.conf import settings
from django.template import Engine
from django.utils import translation

from django_multistore.pages.frames import find_frame, has_block
from tests.support.cases.device_pages import PagesTestCase, templates_with
from tests.support.paths import CHECKOUT

PLACE = "{% block content %}{% endblock %}"
# Frames without a place for a page, though the block may be written in them.
WITHOUT = {
    "without any block": {"base.html": "<p>The site</p>"},
    "with other blocks": {
        "base.html": "{% block title %}{% endblock %}{% block main %}{% endblock %}"
    },
    "beside what its own frame shows": {
        "base.html": '{% extends "layout.html" %}' + PLACE,
        "layout.html": "{% block main %}{% endblock %}",
    },
    "in what is included": {"base.html": '{% include "part.html" %}', "part.html": PLACE},
}
WITH = {
    "of its own": {"base.html": f"<b>The site</b>{PLACE}"},
    "in a condition": {"base.html": "<b>The site</b>{% if 1 %}" + PLACE + "{% endif %}"},
    "in another block": {
        "base.html": '{% extends "layout.html" %}{% block main %}' + PLACE + "{% endblock %}",
        "layout.html": "<b>The site</b>{% block main %}{% endblock %}",
    },
    "above": {"base.html": '{% extends "layout.html" %}', "layout.html": f"<b>The site</b>{PLACE}"},
    "by block.super": {
        "base.html": '{% extends "layout.html" %}{% block main %}{{ block.super }}{% endblock %}',
        "layout.html": "<b>The site</b>{% block main %}" + PLACE + "{% endblock %}",
    },
}


def give_nonce(request: Any) -> dict[str, str]:
    return {"csp_nonce": "bm9uY2U="}


class FrameTests(PagesTestCase):
    def test_a_page_is_never_blank(self) -> None:
        for name, templates in WITHOUT.items():
            with self.subTest(name), templates_with(templates):
                page = self.here.get("/devices/")
                self.assertContains(page, "Firefox on Linux")
                self.assertContains(page, "<title>Your devices</title>")

    def test_where_there_is_a_place_the_frame_is_the_site_s(self) -> None:
        for name, templates in WITH.items():
            with self.subTest(name), templates_with(templates):
                page = self.here.get("/devices/")
                self.assertContains(page, "<b>The site</b>")
                self.assertContains(page, "Firefox on Linux")

    def test_a_parent_that_a_variable_names_is_trusted(self) -> None:
        with templates_with({"base.html": "{% extends layout %}"}):
            self.assertTrue(has_block(Engine.get_default().get_template("base.html"), "content"))
            self.assertEqual(find_frame().name, "base.html")

    def test_the_docs_frame_can_be_pasted(self) -> None:
        docs = CHECKOUT.joinpath("docs", "devices.md").read_text("utf-8")
        (frame,) = re.findall(
            r"```html\+django\n(\{% extends \"layout.html\".*?)```", docs, re.DOTALL
        )
        layout = "<i>{% block page_title %}{% endblock %}</i>{% block main %}{% endblock %}"
        templates = {"layout.html": layout, "django_multistore/base.html": frame}
        with templates_with(templates), translation.override("ja"):
            page = self.here.get("/devices/")
            form = self.here.post("/devices/end-others/", {"password": "x"})
        self.assertContains(page, "<i>Your devices</i>")
        self.assertContains(page, '<div class="multistore" lang="en-us" dir="ltr">')
        self.assertContains(page, ">Log out</button>")
        self.assertContains(form, "Wrong password.")

    def test_files_have_the_nonce_of_a_strict_policy(self) -> None:
        (engine,) = settings.TEMPLATES
        options = engine["OPTIONS"]
        processors = [*options["context_processors"], f"{__name__}.give_nonce"]
        with_nonce = engine | {"OPTIONS": options | {"context_processors": processors}}
        self.assertNotContains(self.here.get("/devices/"), "nonce")
        with self.settings(TEMPLATES=[with_nonce]):
            page = self.here.get("/devices/")
        for name in ("devices.css", "once.js"):
            self.assertRegex(page.content.decode(), f'{name}"[^>]* nonce="bm9uY2U="')
