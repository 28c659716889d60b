"""django-debug-toolbar and Unfold."""

from __future__ import annotations

from debug_toolbar.store import get_store
from django.contrib.auth.models import User
from django.test import Client, TestCase, modify_settings, override_settings

from django_multistore import devices
from tests.beside.browsers import key_of, name_of


class ToolbarTests(TestCase):
    def panel(self, name: str) -> str:
        request_id = next(iter(get_store().request_ids()))
        asked = {"request_id": request_id, "panel_id": name}
        return self.client.get("/__debug__/render_panel/", asked).json()["content"]

    @modify_settings(
        MIDDLEWARE={"remove": "allauth.usersessions.middleware.UserSessionsMiddleware"}
    )  # Its own statements have session keys.
    def test_no_panel_has_the_session_key(self) -> None:
        toolbar = {"SHOW_TOOLBAR_CALLBACK": "tests.beside.urls.always"}
        with override_settings(DEBUG=True, DEBUG_TOOLBAR_CONFIG=toolbar):
            self.client = Client()
            self.client.force_login(User.objects.create_superuser("bob"))
            page = self.client.get("/whoami/").content.decode()
            assert "djdt" in page
            key = key_of(self.client)
            for content in (page, *map(self.panel, ("RequestPanel", "HeadersPanel", "SQLPanel"))):
                assert key not in content
            assert "sessionid" in self.panel("RequestPanel")
            assert "multistore" in self.panel("SQLPanel")


class UnfoldTests(TestCase):
    def test_the_admin_lists_and_ends_sessions(self) -> None:
        eve = User.objects.create_superuser("eve")
        bob = User.objects.create_user("bob")
        staff, own = Client(), Client()
        staff.force_login(eve)
        own.force_login(bob)
        page = staff.get(f"/admin/auth/user/{bob.pk}/change/")
        assert page.status_code == 200
        url = f"/admin/auth/user/{bob.pk}/sessions/"
        assert url in page.text or "sessions/" in page.text
        page = staff.get(url)
        assert page.status_code == 200
        assert "unfold/css" in page.text
        (record,) = devices.sessions_for_user(bob)
        assert str(record.id) in page.text
        assert key_of(own) not in page.text
        assert name_of(own) == "bob"
