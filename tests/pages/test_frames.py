"""The frame of the pages: the site's base.html, unless it has no place for them."""

from __future__ import annotations

from django.template import Engine

from django_multistore.pages.frames import find_frame, has_block
from tests.support.cases.device_pages import PagesTestCase, templates_with

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
