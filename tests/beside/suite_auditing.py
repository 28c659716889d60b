"""django-easy-audit, django-preventconcurrentlogins and django-tracking2."""

from __future__ import annotations

import subprocess
import sys

from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.test import AsyncClient, Client, TestCase, modify_settings, override_settings
from easyaudit.models import CRUDEvent, LoginEvent, RequestEvent
from preventconcurrentlogins.models import Visitor as LoggedInVisitor
from tracking.models import Visitor

from django_multistore import devices
from tests.beside.browsers import key_of, name_of


def log_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


class EasyAuditTests(TestCase):
    def setUp(self) -> None:
        self.user = User.objects.create_user("bob")

    def test_it_knows_the_user_of_a_request(self) -> None:
        client = log_in(self.user)
        client.get("/whoami/")
        event = RequestEvent.objects.latest("pk")
        assert (event.url, event.user_id) == ("/whoami/", self.user.pk)
        asynchronous = AsyncClient()
        asynchronous.cookies["sessionid"] = key_of(client)
        async_to_sync(asynchronous.get)("/whoami/?async")
        event = RequestEvent.objects.latest("pk")
        assert (event.query_string, event.user_id) == ("async", self.user.pk)
        devices.log_out_everywhere(self.user)
        client.get("/whoami/?ended")
        assert RequestEvent.objects.latest("pk").user_id is None

    def test_sessions_are_not_in_its_log(self) -> None:
        client = log_in(self.user)
        client.post("/end-others/")
        client.logout()
        assert LoginEvent.objects.filter(username="bob").count() == 2
        for model in (CRUDEvent, RequestEvent, LoginEvent):
            assert "storedsession" not in str(list(model.objects.values())).lower()
        assert not CRUDEvent.objects.filter(content_type__app_label="django_multistore").exists()


@modify_settings(
    MIDDLEWARE={"append": "preventconcurrentlogins.middleware.PreventConcurrentLoginsMiddleware"}
)
class PreventConcurrentLoginsTests(TestCase):
    def setUp(self) -> None:
        self.user = User.objects.create_user("bob")

    def test_the_second_login_ends_the_first(self) -> None:
        first = log_in(self.user)
        assert name_of(first) == "bob"
        second = log_in(self.user)
        assert (name_of(second), name_of(first)) == ("bob", "")

    def test_a_new_key_ends_nothing(self) -> None:
        client = log_in(self.user)
        client.get("/whoami/")
        client.post("/end-others/")
        assert name_of(client) == "bob"
        assert LoggedInVisitor.objects.get().session_key == key_of(client)
        assert name_of(client) == "bob"

    def test_two_browsers_log_out_one_another(self) -> None:
        """The session that is used next counts, and not the one that has logged in last."""
        first = log_in(self.user)
        assert name_of(first) == "bob"
        second = log_in(self.user)
        assert name_of(first) == "bob"
        assert name_of(second) == "bob"
        assert name_of(first) == ""

    @modify_settings(
        MIDDLEWARE={
            "remove": "preventconcurrentlogins.middleware.PreventConcurrentLoginsMiddleware"
        }
    )
    @override_settings(SESSION_MAX_PER_USER=1)
    def test_the_setting_in_its_place(self) -> None:
        first, second = log_in(self.user), log_in(self.user)
        assert (name_of(first), name_of(second)) == ("", "bob")


@modify_settings(MIDDLEWARE={"append": "tracking.middleware.VisitorTrackingMiddleware"})
class TrackingTests(TestCase):
    def test_a_new_key_is_a_new_visitor(self) -> None:
        user = User.objects.create_user("bob")
        client = log_in(user)
        client.get("/whoami/")
        assert [each.session_key for each in Visitor.objects.all()] == [key_of(client)]
        client.post("/end-others/")
        client.get("/whoami/")
        assert Visitor.objects.filter(user=user).count() == 2
        assert key_of(client) in Visitor.objects.values_list("session_key", flat=True)

    def test_it_makes_each_visitor_a_session(self) -> None:
        client = Client()
        client.get("/whoami/")
        assert Visitor.objects.get().session_key == key_of(client)


def test_djangos_app_has_to_stay() -> None:
    code = """
import django, sys
from django.conf import settings
from tests.beside import settings as site

apps = ["django.contrib.auth", "django.contrib.contenttypes", "django_multistore", sys.argv[1]]
kept = ("DATABASES", "SECRET_KEY", "SESSION_ENGINE", "SESSION_STORES", "DEFAULT_AUTO_FIELD")
settings.configure(INSTALLED_APPS=apps, **{name: getattr(site, name) for name in kept})
django.setup()
from importlib import import_module
import_module(sys.argv[2])
"""
    for app, module in (
        ("easyaudit", "easyaudit.settings"),
        ("preventconcurrentlogins", "preventconcurrentlogins.middleware"),
    ):
        command = [sys.executable, "-c", code, app, module]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.returncode == 1
        assert "Model class django.contrib.sessions.models.Session doesn't declare" in ended.stderr
