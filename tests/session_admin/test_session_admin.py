"""The sessions of a user in the admin: who may see and end them, and what is said and logged."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import uuid
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Permission, User
from django.contrib.auth.signals import user_logged_out
from django.contrib.contenttypes.models import ContentType
from django.core import checks
from django.db import connection, connections
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.test import Client, TestCase, TransactionTestCase, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import path
from django.utils import formats, timezone
from django.utils.html import strip_tags
from django.utils.translation import override

from django_multistore import devices
from django_multistore.engine import SessionStore
from django_multistore.models import StoredSession, UserSession
from django_multistore.records import Device, key_of
from django_multistore.session_admin import UserSessionsAdminMixin, add_sessions
from django_multistore.session_admin.live_sessions import LiveSessions
from django_multistore.stores import stores
from tests import servers
from tests.models import Customer, NamedUser, UUIDUser
from tests.settings import OWN_PREFIX
from tests.support.descriptions import FIREFOX

ADDRESS = "192.0.2.7"
SMALLEST = {"default": {"BACKEND": "tests.support.smallest_store.SmallestStore"}}
MEMORY = {"default": {"BACKEND": "django_multistore.stores.memory.MemoryStore"}}
ON_A_CACHE = {
    "default": {
        "BACKEND": "django_multistore.stores.cache.CacheStore",
        "OPTIONS": {"CACHE": "locmem", "KEY_PREFIX": "session_admin:"},
    }
}


class MyUserAdmin(UserSessionsAdminMixin, UserAdmin):
    pass


class OtherUserAdmin(UserSessionsAdminMixin, admin.ModelAdmin):
    search_fields = ("pk",)
    fields = ("last_login",)


class SupportAdmin(MyUserAdmin):
    """With a template of its own, and without the users who are staff."""

    change_form_template = "own_change_form.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).filter(is_staff=False)


class StrictAdmin(MyUserAdmin):
    """Nobody ends the sessions of a superuser."""

    def has_end_sessions_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = super().has_end_sessions_permission(request, obj)
        return allowed and not (obj and obj.is_superuser)


site = admin.AdminSite()
site.register(User, MyUserAdmin)
for other in (Customer, NamedUser, UUIDUser):
    site.register(other, OtherUserAdmin)
support = admin.AdminSite(name="support")
support.register(User, SupportAdmin)
strict = admin.AdminSite(name="strict")
strict.register(User, StrictAdmin)


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(request.user))


urlpatterns = [
    path("admin/", site.urls),
    path("support/", support.urls),
    path("strict/", strict.urls),
    path("page/", page),
]


def open_session(user_id: object, device: Device | None = None) -> SessionStore:
    session = SessionStore()
    session.device = device or Device(ip_address=ADDRESS, user_agent=FIREFOX)
    session["_auth_user_id"] = str(user_id)
    session["secret"] = "in the payload"
    session.save()
    return session


def id_of(session: SessionStore) -> int:
    assert session.record is not None
    return session.record.id


@override_settings(ROOT_URLCONF=__name__)
class SessionAdminTestCase(TestCase):
    def setUp(self) -> None:
        self.admin = User.objects.create_superuser("root", password="secret")
        self.user = User.objects.create_user("bob")
        self.stranger = User.objects.create_user("eve")
        self.client.force_login(self.admin)

    def url(self, user: Any = None, site_name: str = "admin") -> str:
        user = user or self.user
        model = user._meta.model_name
        return f"/{site_name}/{user._meta.app_label}/{model}/{user.pk}/sessions/"

    def open(self, number: int, user: Any = None) -> list[int]:
        pk = (user or self.user).pk
        return [id_of(open_session(pk)) for _ in range(number)]

    def ids(self, user: Any = None) -> set[int]:
        return {record.id for record in devices.sessions_for_user(user or self.user)}

    def staff(self, *codenames: str) -> Client:
        """Log in someone who has these permissions and no others."""
        user = User.objects.create_user(f"staff-{uuid.uuid4()}", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        assert user.user_permissions.count() == len(codenames)
        client = Client()
        client.force_login(user)
        return client

    def own_id(self, client: Client) -> int:
        record = stores["default"].read(key_of(client.cookies["sessionid"].value))
        assert record is not None
        return record.id

    def end(self, data: dict[str, Any], client: Client | None = None, user: Any = None) -> str:
        """Post, follow the redirect, and return the messages of the page that it leads to."""
        client = client or self.client
        url = self.url(user)
        response = client.post(url, data)
        self.assertRedirects(response, url, fetch_redirect_response=False)
        return said(client.get(url, follow=True))

    def log(self, user: Any = None) -> list[str]:
        user = user or self.user
        entries = LogEntry.objects.filter(
            content_type=ContentType.objects.get_for_model(user),
            object_id=str(user.pk),
            action_flag=CHANGE,
        )
        return [entry.get_change_message() for entry in entries]


def said(response: Any) -> str:
    messages = re.search(
        r'<ul class="messagelist">(.*?)</ul>', response.content.decode(), re.DOTALL
    )
    return strip_tags(messages[1]).strip() if messages else ""


SEE = ("view_user", "view_storedsession")


class PermissionTests(SessionAdminTestCase):
    def test_a_help_desk_sees_and_ends_sessions_without_changing_users(self) -> None:
        client = self.staff(*SEE, "delete_storedsession")
        first, second = self.open(2)
        self.assertContains(client.get(self.url()), "End all sessions")
        self.assertEqual(self.end({"end": first}, client), "1 session was ended.")
        self.assertEqual(self.ids(), {second})
        change = client.post(self.url().replace("sessions", "change"), {"username": "mallory"})
        self.assertEqual(change.status_code, 403)

    def test_who_may_change_users_sees_sessions_too(self) -> None:
        client = self.staff("change_user", "view_storedsession")
        self.assertEqual(client.get(self.url()).status_code, 200)

    def test_without_one_of_the_permissions_nothing_is_seen_nor_ended(self) -> None:
        everything = {*SEE, "delete_storedsession"}
        before = set(self.open(2))
        for missing in SEE:
            client = self.staff(*everything - {missing})
            self.assertEqual(client.get(self.url()).status_code, 403)
            self.assert_refused(client, before)

    def test_without_the_permission_to_end_they_are_seen_only(self) -> None:
        client = self.staff(*SEE, "change_user", "change_storedsession")
        before = set(self.open(2))
        response = client.get(self.url())
        self.assertContains(response, ADDRESS, count=2)
        self.assertNotContains(response, '<button type="submit" class="button"')
        self.assertNotContains(response, 'type="checkbox"')
        self.assert_refused(client, before)

    def assert_refused(self, client: Client, before: set[int]) -> None:
        for data in (
            {"end": min(before)},
            {"end_selected": "", "session": list(before)},
            {"end_all": "yes"},
            {"end_all": "yes", "confirmed": "yes"},
        ):
            self.assertEqual(client.post(self.url(), data).status_code, 403)
        self.assertEqual(self.ids(), before)
        self.assertEqual(self.log(), [])

    def test_who_is_not_staff_is_sent_to_the_login(self) -> None:
        before = set(self.open(1))
        client = Client()
        client.force_login(self.stranger)
        for response in (
            client.get(self.url()),
            client.post(self.url(), {"end_all": "yes", "confirmed": "yes"}),
        ):
            self.assertRedirects(response, f"/admin/login/?next={self.url()}")
        self.assertEqual(self.ids(), before)

    def test_nothing_is_ended_without_a_csrf_token(self) -> None:
        before = set(self.open(1))
        client = Client(enforce_csrf_checks=True)
        client.force_login(self.admin)
        response = client.post(self.url(), {"end_all": "yes", "confirmed": "yes"})
        self.assertEqual(response.status_code, 403)
        self.assertEqual(self.ids(), before)

    def test_a_get_ends_nothing(self) -> None:
        before = set(self.open(1))
        data = {"end_all": "yes", "confirmed": "yes", "end": min(before)}
        self.assertEqual(self.client.get(self.url(), data).status_code, 200)
        self.assertEqual(self.ids(), before)

    def test_an_unknown_user(self) -> None:
        for pk in ("0", "x", "99999999999999999999999", "1/2"):
            for response in (
                self.client.get(f"/admin/auth/user/{pk}/sessions/", follow=True),
                self.client.post(
                    f"/admin/auth/user/{pk}/sessions/",
                    {"end_all": "yes", "confirmed": "yes"},
                    follow=True,
                ),
            ):
                self.assertRedirects(response, "/admin/")
                self.assertIn("Perhaps it was deleted?", said(response))
        # Who may not see users does not learn whether there is one.
        self.assertEqual(self.staff().get("/admin/auth/user/0/sessions/").status_code, 403)

    def test_a_user_outside_of_the_admins_queryset(self) -> None:
        before = self.ids(self.admin)
        url = self.url(self.admin, "support")
        response = self.client.post(url, {"end_all": "yes", "confirmed": "yes"}, follow=True)
        self.assertRedirects(response, "/support/")
        self.assertEqual(self.ids(self.admin), before)

    def test_a_permission_that_is_overridden(self) -> None:
        url = self.url(self.admin, "strict")
        self.assertNotContains(self.client.get(url), "End all sessions")
        own = self.own_id(self.client)
        self.assertEqual(self.client.post(url, {"end": own}).status_code, 403)
        self.assertContains(self.client.get(self.url(site_name="strict")), "no live session")


class LinkTests(SessionAdminTestCase):
    def test_the_change_page_has_the_link(self) -> None:
        response = self.client.get(f"/admin/auth/user/{self.user.pk}/change/")
        link = f'<li><a href="{self.url()}" class="viewlink">Sessions</a></li>'
        self.assertContains(response, link, html=True)
        self.assertContains(response, "historylink")

    def test_the_page_for_a_new_user_does_not(self) -> None:
        self.assertNotContains(self.client.get("/admin/auth/user/add/"), "sessions/")

    def test_who_may_not_see_sessions_sees_no_link(self) -> None:
        client = self.staff("change_user")
        response = client.get(f"/admin/auth/user/{self.user.pk}/change/")
        self.assertEqual(response.status_code, 200)
        self.assertNotContains(response, "sessions/")

    def test_a_change_that_is_not_valid(self) -> None:
        response = self.client.post(f"/admin/auth/user/{self.user.pk}/change/", {"username": ""})
        self.assertContains(response, "This field is required")
        self.assertContains(response, self.url())

    def test_a_template_of_the_admins_own(self) -> None:
        own = (
            '{% extends "admin/change_form.html" %}{% block object-tools-items %}'
            "<li>Impersonate</li>{{ block.super }}{% endblock %}"
        )
        [templates] = settings.TEMPLATES
        with_own = templates | {
            "APP_DIRS": False,
            "OPTIONS": templates["OPTIONS"]
            | {
                "loaders": [
                    ("django.template.loaders.locmem.Loader", {"own_change_form.html": own}),
                    "django.template.loaders.app_directories.Loader",
                ]
            },
        }
        with override_settings(TEMPLATES=[with_own]):
            response = self.client.get(f"/support/auth/user/{self.user.pk}/change/")
        self.assertContains(response, "<li>Impersonate</li>")
        self.assertContains(response, f'href="{self.url(site_name="support")}"')


class PageTests(SessionAdminTestCase):
    def test_what_it_shows(self) -> None:
        [first] = self.open(1)
        now = timezone.now()
        StoredSession.objects.filter(id=first).update(
            authenticated_at=now - timedelta(days=3),
            last_seen_at=now - timedelta(days=2),
            expires_at=now + timedelta(days=5),
        )
        open_session(self.user.pk, Device(ip_address="2001:db8::1", user_agent="<b>bold</b>"))
        response = self.client.get(self.url())
        self.assertContains(response, ADDRESS, count=1)
        self.assertContains(response, "2001:db8::1", count=1)
        self.assertContains(response, "Firefox")
        self.assertNotContains(response, "<b>bold")
        content = response.content.decode()
        self.assertLess(content.index("2001:db8::1"), content.index(ADDRESS))
        for moment in (now - timedelta(days=3), now + timedelta(days=5)):
            self.assertContains(response, shown(moment, "SHORT_DATETIME_FORMAT"))
        self.assertContains(response, shown(now - timedelta(days=2), "DATETIME_FORMAT"))
        self.assertContains(response, "2 days ago")
        self.assertNotContains(response, "This session")

    def test_the_admins_own_session_is_marked(self) -> None:
        self.open(2, self.admin)
        response = self.client.get(self.url(self.admin))
        self.assertContains(response, "This session", count=1)
        row = re.search(
            r"<tr>(?:(?!<tr>).)*This session.*?</tr>", response.content.decode(), re.DOTALL
        )
        assert row is not None
        self.assertIn(f'value="{self.own_id(self.client)}"', row[0])

    def test_nothing_secret_is_in_any_response(self) -> None:
        session = open_session(self.user.pk)
        own = self.client.cookies["sessionid"].value
        record = stores["default"].read(session.key or "")
        assert record is not None
        pages = [
            self.client.get(url)
            for url in (
                self.url(),
                self.url(self.admin),
                f"/admin/auth/user/{self.user.pk}/change/",
                "/admin/auth/user/",
            )
        ]
        pages.append(self.client.post(self.url(), {"end_all": "yes"}))
        pages.append(self.client.post(self.url(), {"end": record.id}, follow=True))
        pages.append(self.client.get(f"/admin/auth/user/{self.user.pk}/history/"))
        self.assertContains(pages[-1], str(record.id))
        for response in pages:
            self.assertEqual(response.status_code, 200)
            for secret in (session.session_key, session.key, own, key_of(own), "in the payload"):
                self.assertNotContains(response, secret)

    def test_a_user_without_sessions(self) -> None:
        response = self.client.get(self.url())
        self.assertContains(response, "The user has no live session.")
        self.assertNotContains(response, "End all sessions")

    def test_ids_are_not_written_as_other_numbers_are(self) -> None:
        [id] = self.open(1)
        with override_settings(USE_THOUSAND_SEPARATOR=True), override("en"):
            response = self.client.get(self.url())
            self.assertContains(response, f'value="{id}"', count=2)
            self.end({"end": id})
        self.assertEqual(self.log(), [f"Ended 1 session: {id}."])

    def test_pages(self) -> None:
        ids = self.open(120)
        now = timezone.now()
        for age, id in enumerate(ids):
            StoredSession.objects.filter(id=id).update(last_seen_at=now - timedelta(minutes=age))
        for query, expected in (
            ("", ids[:50]),
            ("?p=1", ids[:50]),
            ("?p=2", ids[50:100]),
            ("?p=3", ids[100:]),
            ("?p=4", ids[100:]),
            ("?p=999999999", ids[100:]),
            ("?p=99999999999999999999", ids[:50]),
            ("?p=0", ids[:50]),
            ("?p=-1", ids[:50]),
            ("?p=x", ids[:50]),
            ("?p=%C2%B2", ids[:50]),
        ):
            with self.subTest(query):
                response = self.client.get(self.url() + query)
                names = re.findall(r'name="session" value="(\d+)"', response.content.decode())
                self.assertEqual([int(name) for name in names], expected)
                self.assertContains(response, "120 sessions")
        self.assertContains(response, 'href="?p=3"')

    def test_the_redirect_leads_back_to_the_page(self) -> None:
        ids = self.open(60)
        response = self.client.post(f"{self.url()}?p=2", {"end": ids[0]})
        self.assertRedirects(response, f"{self.url()}?p=2")

    def test_its_statements_do_not_grow(self) -> None:
        counts = []
        for more in (1, 49, 70):
            self.open(more)
            with CaptureQueriesContext(connection) as statements:
                self.client.get(self.url())
            counts.append(len(statements))
        # Session, the admin, the user, a page, its total.
        self.assertEqual(counts, [5, 5, 5])

    def test_it_is_accessible(self) -> None:
        self.open(2)
        _, _, content = self.client.get(self.url()).content.decode().partition('"content-main"')
        self.assertEqual(content.count('<th scope="row"'), 2)
        self.assertEqual(content.count('<th scope="col"'), 7)
        for kind in ('type="checkbox"', 'name="end"'):
            controls = [tag for tag in re.findall(r"<[^>]*>", content) if kind in tag]
            self.assertEqual(len(controls), 2)
            for control in controls:
                self.assertRegex(control, r'aria-label="[^"]+ Firefox')

    @override_settings(SESSION_STORES=SMALLEST)
    def test_a_store_that_cannot_find_them_is_said(self) -> None:
        self.client.force_login(self.admin)
        self.assertContains(self.client.get(self.url()), "can’t find those of one user")
        for data in ({"end": 1}, {"end_all": "yes"}, {"end_all": "yes", "confirmed": "yes"}):
            response = self.client.post(self.url(), data, follow=True)
            self.assertContains(response, "can’t find those of one user")
        self.assertEqual(self.log(), [])
        self.assertContains(self.client.get("/admin/auth/user/"), "bob")
        self.assertContains(self.client.get("/admin/auth/user/?q=192.0.2.7"), "0 users")


def shown(moment: datetime, format: str) -> str:
    return str(formats.date_format(timezone.localtime(moment), format))


class EndTests(SessionAdminTestCase):
    def test_one(self) -> None:
        first, second, third = self.open(3)
        self.assertEqual(self.end({"end": second}), "1 session was ended.")
        self.assertEqual(self.ids(), {first, third})
        self.assertEqual(self.log(), [f"Ended 1 session: {second}."])
        entry = LogEntry.objects.get()
        self.assertEqual((entry.user, entry.object_id), (self.admin, str(self.user.pk)))

    def test_a_button_counts_and_not_what_is_selected_beside_it(self) -> None:
        first, second, third = self.open(3)
        self.end({"end": second, "session": [first, third]})
        self.assertEqual(self.ids(), {first, third})

    def test_selected_ones(self) -> None:
        first, second, third = self.open(3)
        data = {"end_selected": "", "session": [third, first, third]}
        self.assertEqual(self.end(data), "2 sessions were ended.")
        self.assertEqual(self.ids(), {second})
        self.assertEqual(self.log(), [f"Ended 2 sessions: {third}, {first}."])

    def test_none_selected(self) -> None:
        before = set(self.open(2))
        for data in ({"end_selected": ""}, {}):
            self.assertIn("No session was selected", self.end(data))
        self.assertEqual(self.ids(), before)
        self.assertEqual(self.log(), [])

    def test_all_is_asked_first(self) -> None:
        before = set(self.open(3))
        response = self.client.post(self.url(), {"end_all": ""})
        self.assertContains(response, "end all 3 sessions of “bob”?")
        self.assertContains(response, f'href="{self.url()}"')
        self.assertNotContains(response, "logged out here")
        self.assertEqual(self.ids(), before)
        fields = re.findall(r'type="hidden" name="(\w+)" value="yes"', response.content.decode())
        data = dict.fromkeys(fields, "yes")
        self.assertEqual(self.end(data), "3 sessions were ended.")
        self.assertEqual(self.ids(), set())
        [logged] = self.log()
        self.assertEqual({int(id) for id in re.findall(r"\d{5,}", logged)}, before)

    def test_the_log_has_fifty_ids_at_the_most(self) -> None:
        ids = self.open(60)
        self.end({"end_all": "yes", "confirmed": "yes"})
        [logged] = self.log()
        self.assertRegex(logged, r"^Ended 60 sessions\. Among them: ")
        named = {int(id) for id in re.findall(r"\d{5,}", logged)}
        self.assertEqual(len(named), 50)
        self.assertLess(named, set(ids))
        selected = self.open(60)
        self.end({"session": selected})
        self.assertEqual(
            self.log()[0], f"Ended 60 sessions. Among them: {', '.join(map(str, selected[:50]))}."
        )

    def test_the_log_is_shown_in_the_users_history(self) -> None:
        [id] = self.open(1)
        self.end({"end": id})
        response = self.client.get(f"/admin/auth/user/{self.user.pk}/history/")
        self.assertContains(response, f"Ended 1 session: {id}.")

    def test_all_of_none(self) -> None:
        said = self.end({"end_all": "yes", "confirmed": "yes"})
        self.assertIn("No session was ended", said)
        self.assertEqual(self.log(), [])

    def test_what_is_no_session_of_the_user(self) -> None:
        before = set(self.open(1))
        strangers = set(self.open(2, self.stranger))
        own = self.own_id(self.client)
        for wrong in (
            *strangers,
            own,
            "x",
            "",
            "-1",
            "1.5",
            "0",
            "²",
            "٣",
            "1 OR 1=1",
            2**63,
            2**64,
            10**30,
            "9" * 5000,
        ):
            for field in ("end", "session"):
                with self.subTest(wrong, field=field):
                    self.assertIn("No session was ended", self.end({field: wrong}))
        self.assertEqual(self.ids(), before)
        self.assertEqual(self.ids(self.stranger), strangers)
        self.assertEqual(self.ids(self.admin), {own})
        self.assertEqual(LogEntry.objects.count(), 0)

    def test_one_that_has_ended_already(self) -> None:
        first, second = self.open(2)
        devices.end_session(self.user, first)
        self.assertIn("No session was ended", self.end({"end": first}))
        self.assertEqual(self.end({"session": [first, second]}), "1 session was ended.")
        self.assertEqual(self.log(), [f"Ended 1 session: {second}."])

    def test_the_cookie_is_dead(self) -> None:
        device = Client()
        device.force_login(self.user)
        self.assertEqual(device.get("/page/").content, b"bob")
        self.end({"end": self.own_id(device)})
        self.assertEqual(device.get("/page/").content, b"AnonymousUser")

    def test_ones_own(self) -> None:
        own = self.own_id(self.client)
        [other] = self.open(1, self.admin)
        self.assert_logs_out({"end": own}, "1 session was ended.")
        self.assertEqual(self.ids(self.admin), {other})
        self.assertEqual(self.log(self.admin), [f"Ended 1 session: {own}."])

    def test_ones_own_that_moves_to_a_new_key_meanwhile(self) -> None:
        own, session_key = self.own_id(self.client), self.client.cookies["sessionid"].value

        def rotate(**kwargs: Any) -> None:
            SessionStore(session_key).cycle_key()

        user_logged_out.connect(rotate)
        self.addCleanup(user_logged_out.disconnect, rotate)
        response = self.client.post(self.url(self.admin), {"end": own})
        self.assertEqual(response.status_code, 302)
        self.assertEqual(self.ids(self.admin), set())
        self.assertEqual(self.log(self.admin), [f"Ended 1 session: {own}."])

    def test_ones_own_among_others(self) -> None:
        own = self.own_id(self.client)
        [other] = self.open(1, self.admin)
        self.assert_logs_out({"session": [own, other]}, "2 sessions were ended.")
        self.assertEqual(self.ids(self.admin), set())

    def test_all_of_ones_own(self) -> None:
        self.open(2, self.admin)
        response = self.client.post(self.url(self.admin), {"end_all": "yes"})
        self.assertContains(response, "you will be logged out here too")
        self.assert_logs_out({"end_all": "yes", "confirmed": "yes"}, "3 sessions were ended.")
        self.assertEqual(self.ids(self.admin), set())
        self.assertRegex(self.log(self.admin)[0], r"^Ended 3 sessions: \d+, \d+, \d+\.$")

    def assert_logs_out(self, data: dict[str, Any], expected: str) -> None:
        url = self.url(self.admin)
        response = self.client.post(url, data)
        self.assertEqual(response.cookies["sessionid"]["max-age"], 0)
        response = self.client.get(response.url, follow=True)
        self.assertRedirects(response, f"/admin/login/?next={url}")
        self.assertEqual(said(response), expected)
        self.assertEqual(LogEntry.objects.get().user, self.admin)

    @override_settings(MESSAGE_STORAGE="django.contrib.messages.storage.session.SessionStorage")
    def test_ones_own_with_the_messages_in_the_session(self) -> None:
        data = {"end_all": "yes", "confirmed": "yes"}
        response = self.client.post(self.url(self.admin), data, follow=True)
        self.assertEqual(said(response), "1 session was ended.")
        self.assertEqual(self.ids(self.admin), set())


class OtherKeysTests(SessionAdminTestCase):
    """Users whose primary key is no integer of their own."""

    def users(self) -> list[Any]:
        return [
            UUIDUser.objects.create(),
            NamedUser.objects.create(name="a/b_c é"),
            Customer.objects.create(username="customer"),
        ]

    def test_page_log_and_list(self) -> None:
        for user in self.users():
            with self.subTest(type(user).__name__):
                # Nobody's but like the user's. A number with a blank is the user's own.
                open_session(f"{user.pk}\t." if isinstance(user, Customer) else f"{user.pk} ")
                open_session(str(user.pk).upper() + "X")
                first, second = self.open(2, user)
                listing = f"/admin/{user._meta.app_label}/{user._meta.model_name}/"
                response = self.client.get(listing)
                self.assertContains(response, ">2</a>", count=1)
                [url] = re.findall(r'href="([^"]+/sessions/)"', response.content.decode())
                self.assertContains(self.client.get(url), ADDRESS, count=2)
                response = self.client.post(url, {"end": first}, follow=True)
                self.assertEqual(said(response), "1 session was ended.")
                self.assertEqual(self.ids(user), {second})
                self.assertEqual(self.log(user), [f"Ended 1 session: {first}."])
                change = self.client.get(url.replace("/sessions/", "/change/"))
                self.assertContains(change, f'href="{url}"')
                for choice, number in (("live", 1), ("several", 0), ("none", 0)):
                    response = self.client.get(listing, {"live_sessions": choice})
                    self.assertEqual(response.context["cl"].result_count, number, choice)

    def test_names_that_look_alike(self) -> None:
        bob = NamedUser.objects.create(name="bob")
        for user_id in ("Bob", "bob ", "BOB"):
            open_session(user_id)
        sessions = LiveSessions.find_beside(NamedUser.objects.all())
        assert sessions is not None
        numbered = NamedUser.objects.annotate(number=sessions.build_number())
        self.assertEqual(numbered.get().number, 0)
        self.open(1, bob)
        self.assertEqual(numbered.get().number, 1)


class ListTests(SessionAdminTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.idle = User.objects.create_user("idle")
        self.open(2)
        [hours_ago] = self.open(1, self.stranger)
        StoredSession.objects.filter(id=hours_ago).update(
            last_seen_at=timezone.now() - timedelta(hours=30), ip_address="2001:db8::5"
        )
        expired = open_session(self.idle.pk, Device(ip_address="198.51.100.1"))
        StoredSession.objects.filter(id=id_of(expired)).update(expires_at=timezone.now())

    def names(self, client: Client | None = None, **query: str) -> list[str]:
        response = (client or self.client).get("/admin/auth/user/", query)
        self.assertEqual(response.status_code, 200)
        return [user.username for user in response.context["cl"].result_list]

    def test_the_filter(self) -> None:
        for choice, names in (
            ("live", ["bob", "eve", "root"]),
            ("hour", ["bob", "root"]),
            ("day", ["bob", "root"]),
            ("week", ["bob", "eve", "root"]),
            ("several", ["bob"]),
            ("none", ["idle"]),
            ("nonsense", ["bob", "eve", "idle", "root"]),
        ):
            with self.subTest(choice):
                self.assertEqual(self.names(live_sessions=choice), names)
        response = self.client.get("/admin/auth/user/")
        self.assertContains(response, 'href="?live_sessions=several"')
        self.assertContains(response, "By sessions")

    def test_its_facets(self) -> None:
        response = self.client.get("/admin/auth/user/?_facets=True")
        for title in ("With live sessions (3)", "Two or more (1)", "Without live sessions (1)"):
            self.assertContains(response, title)

    def test_the_column(self) -> None:
        response = self.client.get("/admin/auth/user/")
        column = re.findall(
            r'<td class="field-live_sessions">(.*?)</td>', response.content.decode()
        )
        # bob, eve, idle, root
        self.assertEqual([strip_tags(cell) for cell in column], ["2", "1", "0", "1"])
        self.assertEqual(column[0], f'<a href="{self.url()}">2</a>')
        self.assertEqual(column[2], "0")
        self.assertContains(response, "Live sessions")

    def test_the_search(self) -> None:
        User.objects.create_user("192.0.2.7")
        for term, names in (
            (ADDRESS, ["192.0.2.7", "bob"]),
            (f" {ADDRESS} ", ["192.0.2.7", "bob"]),
            ("::ffff:192.0.2.7", ["bob"]),
            ("2001:DB8:0::5", ["eve"]),
            ("192.0.2", ["192.0.2.7"]),
            ("192.0.2.7 bob", []),
            ("192.0.2.70", []),
            ("198.51.100.1", []),
            ("fe80::1%eth0", []),
            ("bob", ["bob"]),
        ):
            with self.subTest(term):
                self.assertEqual(self.names(q=term), names)
        self.assertEqual(self.names(q=ADDRESS, live_sessions="none"), ["192.0.2.7"])

    def test_who_may_not_see_sessions_has_none_of_it(self) -> None:
        client = self.staff("view_user", "delete_storedsession")
        response = client.get("/admin/auth/user/")
        self.assertNotContains(response, "Live sessions")
        self.assertNotContains(response, "live_sessions")
        self.assertEqual(self.names(client, q=ADDRESS), [])
        refused = client.get("/admin/auth/user/", {"live_sessions": "several"})
        self.assertRedirects(refused, "/admin/auth/user/?e=1")

    def test_a_number_is_no_link_where_the_page_is_not_allowed(self) -> None:
        class Selective(MyUserAdmin):
            def has_view_sessions_permission(self, request: HttpRequest, obj: Any = None) -> bool:
                return obj is None or obj == bob

        bob = self.user
        response = self.response_of(Selective(User, site))
        column = re.findall(r'<td class="field-live_sessions">(.*?)</td>', response)
        self.assertEqual(column, [f'<a href="{self.url()}">2</a>', "1", "0", "1"])

    def response_of(self, model_admin: MyUserAdmin) -> str:
        registered = site.get_model_admin(User)
        site._registry[User] = model_admin
        try:
            request = self.client.get("/admin/auth/user/").wsgi_request
            return model_admin.changelist_view(request).render().content.decode()
        finally:
            site._registry[User] = registered

    def test_its_statements_do_not_grow(self) -> None:
        client = self.staff("view_user", "view_storedsession")

        def statements(**query: str) -> int:
            with CaptureQueriesContext(connection) as captured:
                self.names(client, **query)
            return len(captured)

        def all_statements() -> list[int]:
            return [statements(), statements(is_staff__exact="1"), statements(q=ADDRESS)]

        before, filtered = all_statements(), statements(live_sessions="live")
        for number in range(120):
            open_session(User.objects.create_user(f"user{number}").pk)
        self.assertEqual(all_statements(), before)
        self.assertEqual(statements(live_sessions="live"), filtered)
        # None of them is there for the sessions.
        permission = Permission.objects.get(codename="view_storedsession")
        permission.user_set.clear()
        self.assertEqual(all_statements(), before)

    def test_a_long_list(self) -> None:
        for number in range(120):
            open_session(User.objects.create_user(f"user{number:03}").pk)
        response = self.client.get("/admin/auth/user/?p=2")
        column = re.findall(
            r'<td class="field-live_sessions">(.*?)</td>', response.content.decode()
        )
        self.assertEqual({strip_tags(cell) for cell in column}, {"1"})
        self.assertEqual(len(column), 24)

    @override_settings(SESSION_STORES=MEMORY)
    def test_a_store_without_an_index(self) -> None:
        self.assert_plain_list()

    @override_settings(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies")
    def test_another_engine(self) -> None:
        self.assertIsNone(LiveSessions.find_beside(User.objects.all()))

    @pytest.mark.skipif(len(connections.databases) < 2, reason="there is no other database")
    def test_users_in_another_database(self) -> None:
        [another, *_] = [alias for alias in connections if alias != "default"]
        self.assertIsNone(LiveSessions.find_beside(User.objects.using(another)))
        self.assertIsNotNone(LiveSessions.find_beside(User.objects.using("default")))

    def assert_plain_list(self) -> None:
        self.client.force_login(self.admin)
        response = self.client.get("/admin/auth/user/")
        self.assertContains(response, "bob")
        self.assertNotContains(response, "Live sessions")
        self.assertEqual(self.names(q=ADDRESS), [])
        self.assertContains(self.client.get(self.url(self.admin)), "This session")


ANALYZE = {
    "sqlite": "ANALYZE",
    "postgresql": "ANALYZE django_multistore_storedsession",
    "mysql": "ANALYZE TABLE django_multistore_storedsession",
}


class PlanTests(TransactionTestCase):
    """MariaDB's ANALYZE TABLE is a commit."""

    def test_the_index_on_user_id_is_used(self) -> None:
        # Without statistics of many rows a database reads small tables as a whole.
        now = timezone.now()
        many = [
            StoredSession(
                id=number + 1,
                key=f"{number:040}",
                payload=b"",
                version=0,
                user_id=str(number),
                created_at=now,
                last_seen_at=now,
                expires_at=now + timedelta(days=1),
            )
            for number in range(3000)
        ]
        StoredSession.objects.bulk_create(many)
        with connection.cursor() as cursor:
            cursor.execute(ANALYZE[connection.vendor])
        models = (User, NamedUser, UUIDUser)
        for model, namespace in product(models, (None, lambda: None, lambda: "tenant")):
            users = model.objects.all()
            with (
                self.subTest(model.__name__),
                override_settings(SESSION_USER_NAMESPACE=namespace),
            ):
                sessions = LiveSessions.find_beside(users)
                assert sessions is not None
                with_sessions = users.filter(sessions.build_exists())
                numbered = with_sessions.annotate(number=sessions.build_number())
                list(numbered)
                self.assertIn("multistore_session_user", numbered.explain())


@override_settings(SESSION_STORES=ON_A_CACHE)
class OnACacheTests(SessionAdminTestCase):
    """Whose index is another table."""

    def test_list_and_page(self) -> None:
        ids = self.open(3)
        names = self.client.get("/admin/auth/user/", {"live_sessions": "several"})
        self.assertEqual([user.username for user in names.context["cl"].result_list], ["bob"])
        self.assertContains(names, ">3</a>")
        found = self.client.get("/admin/auth/user/", {"q": ADDRESS})
        self.assertEqual([user.username for user in found.context["cl"].result_list], ["bob"])
        self.assertEqual(self.end({"session": ids[:2]}), "2 sessions were ended.")
        self.assertEqual(UserSession.objects.filter(user_id=self.user.pk).count(), 1)
        data = {"end_all": "yes", "confirmed": "yes"}
        self.assertEqual(self.end(data), "1 session was ended.")


SERVER = servers.address("redis")


@override_settings(
    SESSION_STORES={
        "default": {
            "BACKEND": "django_multistore.stores.redis.RedisStore",
            "OPTIONS": {"URL": f"redis://{SERVER}/6", "KEY_PREFIX": f"{OWN_PREFIX}:admin:"},
        }
    }
)
class OnRedisTests(SessionAdminTestCase):
    @pytest.fixture(autouse=True)
    def _on_an_empty_server(self) -> None:
        with redis.Redis.from_url(f"redis://{servers.require('redis')}/6") as client:
            for name in client.scan_iter(match=f"{OWN_PREFIX}:admin:*"):
                client.unlink(name)

    def test_page_and_ends(self) -> None:
        ids = self.open(60)
        response = self.client.get(self.url())
        self.assertContains(response, 'name="session"', count=50)
        self.assertContains(response, "60 sessions")
        self.assertContains(self.client.get(f"{self.url()}?p=2"), 'name="session"', count=10)
        self.assertEqual(self.end({"end": ids[0]}), "1 session was ended.")
        self.assertEqual(self.end({"session": ids[:3]}), "2 sessions were ended.")
        self.assertEqual(self.ids(), set(ids[3:]))
        data = {"end_all": "yes", "confirmed": "yes"}
        self.assertEqual(self.end(data), "57 sessions were ended.")
        self.assertEqual(self.ids(), set())
        self.assertEqual(len(self.log()), 3)

    def test_ones_own(self) -> None:
        self.open(1, self.admin)
        response = self.client.post(
            self.url(self.admin), {"end_all": "yes", "confirmed": "yes"}, follow=True
        )
        self.assertRedirects(response, f"/admin/login/?next={self.url(self.admin)}")
        self.assertEqual(said(response), "2 sessions were ended.")
        self.assertEqual(self.ids(self.admin), set())

    def test_the_list_is_plain(self) -> None:
        response = self.client.get("/admin/auth/user/")
        self.assertContains(response, "bob")
        self.assertNotContains(response, "Live sessions")


class SettingTests(TestCase):
    def messages(self, **changed: Any) -> list[checks.CheckMessage]:
        with override_settings(**changed):
            return checks.run_checks(tags=["sessions"])

    def test_the_users_admin_gets_the_mixin_once(self) -> None:
        own = admin.AdminSite()
        add_sessions(own, User)
        self.assertFalse(own.is_registered(User))
        own.register(User, UserAdmin)
        add_sessions(own, User)
        mixed = own.get_model_admin(User)
        self.assertIsInstance(mixed, UserSessionsAdminMixin)
        self.assertIsInstance(mixed, UserAdmin)
        add_sessions(own, User)
        self.assertIs(own.get_model_admin(User), mixed)

    def test_the_check(self) -> None:
        # Read at start, so that here it has had no effect.
        [message] = self.messages(SESSION_ADMIN=True)
        self.assertEqual(message.id, "django_multistore.W019")
        self.assertIn("UserSessionsAdminMixin", message.hint)
        self.assertEqual(self.messages(SESSION_ADMIN=False), [])
        without = [app for app in settings.INSTALLED_APPS if app != "django.contrib.admin"]
        [message] = self.messages(SESSION_ADMIN=True, INSTALLED_APPS=without)
        self.assertEqual(message.id, "django_multistore.W019")
        registered = type(admin.site.get_model_admin(User))
        add_sessions(admin.site, User)
        try:
            self.assertEqual(self.messages(SESSION_ADMIN=True), [])
            admin.site.unregister(User)
            [message] = self.messages(SESSION_ADMIN=True)
        finally:
            if admin.site.is_registered(User):
                admin.site.unregister(User)
            admin.site.register(User, registered)


SITE = """
    import django
    from django.conf import settings
    settings.configure(
        SECRET_KEY="not a secret", USE_TZ=True,
        DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}},
        INSTALLED_APPS=[{apps}], SESSION_ENGINE="django_multistore.engine",
        MIDDLEWARE=["django_multistore.middleware.SessionMiddleware"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        **{settings},
    )
    django.setup()
    from django.apps import apps
    from django.core.checks import run_checks
    has_it = None
    if apps.is_installed("django.contrib.admin"):
        from django.contrib import admin
        from django.contrib.auth import get_user_model
        from django_multistore.session_admin import UserSessionsAdminMixin
        model_admin = admin.site.get_model_admin(get_user_model())
        has_it = isinstance(model_admin, UserSessionsAdminMixin)
    ids = [m.id for m in run_checks() if m.id.startswith("django_multistore")]
    print(has_it, *ids)
"""
ADMIN, AUTH = "django.contrib.admin", "django.contrib.auth"
OURS = "django_multistore"


@pytest.mark.parametrize(
    ("installed", "session_admin", "expected"),
    [
        ([OURS, ADMIN, AUTH], True, "True"),
        ([ADMIN, AUTH, OURS], True, "True"),
        ([ADMIN, AUTH, OURS], False, "False"),
        ([AUTH, OURS], True, "None django_multistore.W019"),
        ([AUTH, OURS], False, "None"),
        # One that registers another admin for its users, and one after which that is so.
        ([OURS, ADMIN, AUTH, "accounts"], True, "False django_multistore.W019"),
        ([ADMIN, AUTH, "accounts", OURS], True, "True"),
    ],
)
def test_a_site(tmp_path: Path, installed: list[str], session_admin: bool, expected: str) -> None:
    accounts = tmp_path / "accounts"
    accounts.mkdir()
    (accounts / "__init__.py").touch()
    (accounts / "admin.py").write_text(
        "from django.contrib import admin\n"
        "from django.contrib.auth.admin import UserAdmin\n"
        "from django.contrib.auth.models import User\n"
        "admin.site.unregister(User)\n"
        "admin.site.register(User, UserAdmin)\n"
    )
    apps = [*installed, "django.contrib.contenttypes", "django.contrib.messages"]
    code = textwrap.dedent(SITE).format(
        apps=", ".join(map(repr, apps)), settings={"SESSION_ADMIN": session_admin}
    )
    environment = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
    search_path = os.pathsep.join([str(tmp_path), *sys.path])
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=environment | {"PYTHONPATH": search_path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (run.stdout.strip(), run.stderr) == (expected, "")
