"""Wagtail's admin."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.test import Client, TestCase
from wagtail.admin.menu import settings_menu
from wagtail.models import Locale

from django_multistore import devices
from tests.beside.browsers import PASSWORD, key_of, name_of


class WagtailTests(TestCase):
    def setUp(self) -> None:
        Locale.objects.get_or_create(language_code="en-us")
        self.user = User.objects.create_superuser("bob", password=PASSWORD, email="b@example.com")

    def log_in(self) -> Client:
        client = Client()
        sent = {"username": "bob", "password": PASSWORD, "next": "/whoami/"}
        assert client.post("/cms/login/", sent).status_code == 302
        return client

    def test_login_and_logout(self) -> None:
        client = self.log_in()
        assert name_of(client) == "bob"
        assert client.post("/cms/logout/").status_code == 302
        assert name_of(client) == ""
        assert devices.sessions_for_user(self.user) == []

    def test_the_account_page_changes_the_password(self) -> None:
        client, other = self.log_in(), self.log_in()
        old = key_of(client)
        page = client.get("/cms/account/")
        assert page.status_code == 200
        sent = {
            f"{panel.name}-{name}": form.initial.get(name, "") or ""
            for tab in page.context["panels_by_tab"].values()
            for panel in tab
            for form in [panel.get_form()]
            for name in form.fields
        }
        sent |= {
            "name_email-first_name": "Bob",
            "name_email-last_name": "B",
            "password-old_password": PASSWORD,
            "password-new_password1": "x8-sec-ret",
            "password-new_password2": "x8-sec-ret",
        }
        response = client.post("/cms/account/", sent)
        assert response.status_code == 302
        assert key_of(client) != old
        assert (name_of(client), name_of(other)) == ("bob", "")

    def test_the_menu_has_our_page(self) -> None:
        client = self.log_in()
        request = client.get("/cms/account/").wsgi_request
        items = settings_menu.menu_items_for_request(request)
        assert "/devices/" in [item.url for item in items]
        assert client.get("/devices/").status_code == 200
