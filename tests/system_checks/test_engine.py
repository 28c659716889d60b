"""SESSION_ENGINE that was forgotten, or misspelt."""

from __future__ import annotations

import io

from django.conf import settings
from django.core.management import call_command
from django.test import TestCase, override_settings

from django_multistore import engine
from tests.support.checks import messages

DJANGOS = "django.contrib.sessions.backends.db"
WITHOUT = [path for path in settings.MIDDLEWARE if "multistore" not in path]


class SessionStore(engine.SessionStore):
    """An engine of a site's own: this module is one."""


class EngineTests(TestCase):
    def test_it_was_forgotten(self) -> None:
        message = messages(SESSION_ENGINE=DJANGOS)["E020"]
        assert f"is still {DJANGOS!r}" in message.msg
        assert "its middleware is in MIDDLEWARE" in message.msg
        assert "SESSION_ENGINE = 'django_multistore.engine'" in message.hint
        assert message.is_serious()

    def test_with_the_app_alone(self) -> None:
        djangos = "django.contrib.sessions.middleware.SessionMiddleware"
        found = messages(SESSION_ENGINE=DJANGOS, MIDDLEWARE=[djangos, *WITHOUT])
        assert set(found) == {"E020"}
        assert "its app is in INSTALLED_APPS" in found["E020"].msg

    def test_another_of_djangos(self) -> None:
        cookies = "django.contrib.sessions.backends.signed_cookies"
        assert f"SESSION_ENGINE is {cookies!r}" in messages(SESSION_ENGINE=cookies)["E020"].msg

    def test_a_subclass_is_fine(self) -> None:
        assert messages(SESSION_ENGINE=__name__) == {}

    def test_what_is_no_engine(self) -> None:
        for wrong, said in (
            ("django_multistore.engines", "No module named 'django_multistore.engines'"),
            ("django_multistore", "has no attribute 'SessionStore'"),
            ("django_multistore.engine.SessionStore", "is not a package"),
            ("multistore.engine", "No module named 'multistore'"),
            ("", "Empty module name"),
            (None, "SESSION_ENGINE is None"),
            (SessionStore, "SESSION_ENGINE is <class"),
        ):
            with self.subTest(wrong):
                found = messages(SESSION_ENGINE=wrong, deploy=True)
                assert set(found) == {"E021"}
                assert said in found["E021"].msg
                assert "'django_multistore.engine'" in found["E021"].hint

    def test_gc_says_that_sessions_are_elsewhere(self) -> None:
        out, err = io.StringIO(), io.StringIO()
        with override_settings(SESSION_ENGINE=DJANGOS):
            assert call_command("gc", stdout=out, stderr=err) == 0
        assert out.getvalue() == ""
        assert f"SESSION_ENGINE is {DJANGOS!r}" in err.getvalue()
        assert "'manage.py clearsessions'" in err.getvalue()
