"""What the pages of one's devices need of a site."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from django.conf.urls.i18n import i18n_patterns
from django.http import HttpRequest, HttpResponse
from django.test import TestCase, override_settings
from django.urls import include, path, reverse_lazy

from django_multistore.system_checks import pages
from tests.support.cases.device_pages import templates_with
from tests.support.checks import messages

LOCALE = "django.middleware.locale.LocaleMiddleware"
COMMON = "django.middleware.common.CommonMiddleware"


def view(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


class WithPages:
    urlpatterns = [
        path("in/", view, name="login"),
        path("my/devices/", include("django_multistore.urls")),
    ]


class Translated:
    urlpatterns = [
        *i18n_patterns(path("in/", view, name="login")),
        path("devices/", include("django_multistore.urls")),
    ]


FINE = {"LOGIN_URL": "login", "LOGIN_REDIRECT_URL": "django_multistore:devices"}


@override_settings(ROOT_URLCONF=WithPages)
class RedirectTests(TestCase):
    def test_a_fresh_project(self) -> None:
        with patch.object(pages, "REDIRECTS", ("LOGIN_URL",)):
            message = messages()["W034"]
        assert "LOGIN_URL is '/accounts/login/'" in message.msg
        assert "django.contrib.auth.urls" in message.hint
        assert "'django_multistore:devices'" in messages(LOGIN_URL="login")["W034"].hint

    def test_no_page_of_ours_no_check(self) -> None:
        assert messages(ROOT_URLCONF="tests.urls") == {}

    def test_what_leads_somewhere(self) -> None:
        assert messages(**FINE) == {}
        for fine in ("/in/", "/in/?next=/a", "//a.example/in", "https://a.example/in", "login"):
            with self.subTest(fine):
                assert messages(**FINE | {"LOGIN_URL": fine}) == {}
        assert messages(**FINE | {"LOGIN_URL": reverse_lazy("login")}) == {}
        assert messages(**FINE | {"LOGOUT_REDIRECT_URL": "/my/devices/"}) == {}
        assert messages(**FINE | {"LOGIN_URL": "/in", "MIDDLEWARE": [COMMON]}) == {}

    def test_what_leads_nowhere(self) -> None:
        for wrong in ("/out/", "/in/x", "sign-in", "other:login", reverse_lazy("nothing"), "/"):
            with self.subTest(str(type(wrong))):
                assert set(messages(**FINE | {"LOGIN_URL": wrong})) == {"W034"}
        assert set(messages(**FINE | {"LOGOUT_REDIRECT_URL": "/out/"})) == {"W034"}
        assert set(messages(**FINE | {"LOGIN_URL": "/in", "MIDDLEWARE": []})) == {"W034"}

    def test_what_cannot_be_known(self) -> None:
        unknown: list[dict[str, Any]] = [
            {"ROOT_HOSTCONF": "mysite.hosts"},
            {"MIDDLEWARE": ["django.contrib.flatpages.middleware.FlatpageFallbackMiddleware"]},
        ]
        for changed in unknown:
            assert "W034" not in messages(LOGIN_URL="/out/", **changed)

    def test_prefixes_of_languages(self) -> None:
        with override_settings(ROOT_URLCONF=Translated, MIDDLEWARE=[LOCALE]):
            for fine in ("/in/", "/de/in/", "login"):
                assert messages(**FINE | {"LOGIN_URL": fine}) == {}
            assert set(messages(**FINE | {"LOGIN_URL": "/xx/in/"})) == {"W034"}


@override_settings(ROOT_URLCONF=WithPages, **FINE)
class TemplateTests(TestCase):
    def test_a_frame_without_the_block(self) -> None:
        for frame in ("<p>The site</p>", "{% block main %}{% endblock %}"):
            with templates_with({"base.html": frame}):
                message = messages()["W035"]
                assert "{% block content %}{% endblock %}" in message.hint
                assert messages(ROOT_URLCONF="tests.urls", LOGIN_REDIRECT_URL="/") == {}

    def test_frames_that_will_do(self) -> None:
        block = "{% block content %}{% endblock %}"
        own = "{% extends 'base.html' %}{% block main %}{% block multistore %}{% endblock %}"
        own += "{% endblock %}"
        for templates in (
            {"base.html": block},
            {},
            {
                "base.html": "{% block main %}{% endblock %}",
                "django_multistore/base.html": own,
            },
        ):
            with templates_with(templates):
                assert messages() == {}

    def test_templates_that_are_not_found(self) -> None:
        engine = {"BACKEND": "django.template.backends.django.DjangoTemplates"}
        for wrong in ([], [engine]):
            assert "'APP_DIRS' is True" in messages(TEMPLATES=wrong)["W035"].hint


@override_settings(ROOT_URLCONF=WithPages, **FINE)
class ParserTests(TestCase):
    def test_it_is_missing(self) -> None:
        with patch.object(pages, "find_spec", return_value=None):
            assert "pip install 'ua-parser>=1.0'" in messages()["W036"].hint
            assert messages(SESSION_DEVICE_USER_AGENT=False) == {}
            assert messages(ROOT_URLCONF="tests.urls", LOGIN_REDIRECT_URL="/") == {}
            assert "W036" in messages(ROOT_URLCONF="tests.urls", SESSION_ADMIN=True)

    def test_it_is_too_old(self) -> None:
        for number, is_old in (("0.18.0", True), ("1.0.1", False), ("2.0", False)):
            with patch.object(pages, "version", return_value=number):
                assert ("W036" in messages()) == is_old
