"""The pages of a user's devices, as far as they look into the table or at the template tag."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.template import Context, Template
from django.test import Client, override_settings
from django.utils import timezone

from django_multistore.engine import SessionStore
from django_multistore.exceptions import StoreUnavailable
from django_multistore.models import StoredSession
from django_multistore.records import Device, key_of, new_id
from django_multistore.session.keys import new_session_key
from django_multistore.stores import stores
from django_multistore.testing import make_record
from tests.support.cases.device_pages import JSON, PASSWORD, PagesTestCase


class PagingTests(PagesTestCase):
    def add(self, count: int) -> None:
        now = timezone.now()
        rows = []
        for number in range(count):
            record = make_record(
                user_id=str(self.user.pk),
                authenticated_at=now,
                last_seen_at=now - timedelta(minutes=number + 1),
            )
            device = Device(user_agent=f"agent {number}")
            rows.append(
                StoredSession(
                    id=new_id(),
                    key=key_of(new_session_key()),
                    payload=b"",
                    version=1,
                    user_id=record.user_id,
                    created_at=record.created_at,
                    authenticated_at=record.authenticated_at,
                    last_seen_at=record.last_seen_at,
                    expires_at=record.expires_at,
                    user_agent=device.user_agent,
                )
            )
        StoredSession.objects.bulk_create(rows, batch_size=500)

    def test_one_device_or_ten_thousand_cost_the_same(self) -> None:
        self.phone.logout()
        # The session, the user, the page and its count.
        for more, pages in ((0, 1), (49, 1), (9950, 200)):
            self.add(more)
            for headers in ({}, JSON):
                with self.assertNumQueries(4):
                    page = self.here.get("/devices/", headers=headers)
            self.assertEqual(page.json()["pages"], pages)
        self.assertEqual(page.json()["count"], 10_000)

    def test_each_device_is_on_one_page(self) -> None:
        self.add(118)
        seen: list[str] = []
        for number, length in ((1, 50), (2, 50), (3, 20)):
            page = self.here.get(f"/devices/?page={number}", headers=JSON).json()
            self.assertEqual((page["page"], page["pages"], page["count"]), (number, 3, 120))
            self.assertEqual(len(page["devices"]), length)
            seen += [device["id"] for device in page["devices"]]
        self.assertEqual(len(set(seen)), 120)

    def test_this_device_is_first_however_long_ago_it_was_seen(self) -> None:
        self.add(118)
        long_ago = timezone.now() - timedelta(days=1)
        StoredSession.objects.filter(id=self.id_of(self.here)).update(last_seen_at=long_ago)
        with override_settings(SESSION_TOUCH_INTERVAL=10**9):
            first = self.here.get("/devices/", headers=JSON).json()["devices"]
            last = self.here.get("/devices/?page=3", headers=JSON).json()["devices"]
        self.assertEqual(first[0]["id"], str(self.id_of(self.here)))
        self.assertEqual([device["is_current"] for device in last], [False] * 19)

    def test_a_page_that_has_gone_is_the_last_one(self) -> None:
        self.add(58)
        for number in ("2", "3", "999999999"):
            page = self.here.get(f"/devices/?page={number}")
            self.assertContains(page, "Page 2 of 2")
            self.assertEqual(len(page.context["devices"]), 10)

    def test_a_number_that_is_none_is_the_first(self) -> None:
        self.add(58)
        for number in ("", "0", "-1", "x", "1.5", "9" * 40, "٣"):
            self.assertContains(self.here.get("/devices/", {"page": number}), "Page 1 of 2")


class EndDeviceTests(PagesTestCase):
    def test_it_ends_that_device(self) -> None:
        response = self.here.post(self.end(self.phone))
        self.assertRedirects(response, "/devices/", fetch_redirect_response=False)
        self.assertEqual(self.said(response), ["The device was logged out."])
        self.assertEqual(self.users(), ["bob", "AnonymousUser", "eve"])

    def test_a_page_that_was_open_during_a_rotation_tells_the_truth(self) -> None:
        end = self.end(self.phone)
        session = SessionStore(self.session_key(self.phone))
        session.cycle_key()
        self.phone.cookies["sessionid"] = session.session_key
        self.assertEqual(self.said(self.here.post(end)), ["The device was logged out."])
        self.assertEqual(self.users(), ["bob", "AnonymousUser", "eve"])

    def test_a_device_that_was_logged_out_before(self) -> None:
        end = self.end(self.phone)
        self.said(self.here.post(end))
        self.assertEqual(self.said(self.here.post(end)), ["The device was logged out before."])

    def test_no_id_ends_another_user_s(self) -> None:
        for id in (self.id_of(self.hers), 0, 1, 2**63 - 1, 2**63, 10**30):
            response = self.here.post(f"/devices/{id}/end/")
            self.assertEqual(self.said(response), ["The device was logged out before."])
            response = self.here.post(f"/devices/{id}/end/", headers=JSON)
            self.assertEqual(response.status_code, 404)
            self.assertEqual(response.json()["error"]["code"], "not_found")
        self.assert_nothing_ended()

    def test_this_device_is_a_logout(self) -> None:
        response = self.here.post(self.end(self.here))
        self.assertRedirects(response, "/login/", fetch_redirect_response=False)
        self.assertEqual(self.here.cookies["sessionid"].value, "")
        self.assertEqual(self.users(), ["AnonymousUser", "bob", "eve"])

    def test_only_post_with_a_token(self) -> None:
        for verb in ("put", "delete"):
            self.assertEqual(getattr(self.here, verb)(self.end(self.phone)).status_code, 405)
        strict = self.device(self.user, enforce_csrf_checks=True)
        self.assertEqual(strict.post(self.end(self.phone)).status_code, 403)
        self.assertEqual(Client().post(self.end(self.phone)).status_code, 302)
        self.assert_nothing_ended()

    def test_after_an_older_login_it_asks_for_the_password_once(self) -> None:
        tablet = self.device(self.user)
        self.logged_in_an_hour_ago()
        asked = self.here.post(self.end(self.phone))
        self.assertContains(asked, 'type="password"')
        self.assertNotContains(asked, "errorlist")
        for wrong in ("", "wrong", "hers"):
            asked = self.here.post(self.end(self.phone), {"password": wrong})
            self.assertContains(asked, "errorlist")
        self.assert_nothing_ended()
        response = self.here.post(self.end(self.phone), {"password": PASSWORD})
        self.assertEqual(self.said(response), ["The device was logged out."])
        response = self.here.post(self.end(tablet))
        self.assertEqual(self.said(response), ["The device was logged out."])

    def test_a_user_without_a_password_logs_in_first(self) -> None:
        self.without_password()
        self.logged_in_an_hour_ago()
        end = self.end(self.phone)
        for response in (self.here.post(end), self.here.get(end)):
            self.assertRedirects(response, f"/login/?next={end}", fetch_redirect_response=False)
        self.assert_nothing_ended()


class DevicesCountTests(PagesTestCase):
    def rendered(self, **context: Any) -> str:
        return Template("{% load multistore %}{% devices_count %}").render(Context(context))

    def test_the_tag(self) -> None:
        with self.assertNumQueries(1):
            self.assertEqual(self.rendered(user=self.user), "2")

    def test_a_visitor_has_none(self) -> None:
        with self.assertNumQueries(0):
            self.assertEqual(self.rendered(user=AnonymousUser()), "0")
            self.assertEqual(self.rendered(), "0")

    def test_an_outage_is_no_error(self) -> None:
        def fail(*args: object, **kwargs: object) -> Any:
            raise StoreUnavailable("out")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stores["default"], "page_for_user", fail)
            self.assertEqual(self.rendered(user=self.user), "")
