"""What ends with a user, and begins with a login, on each store."""

from __future__ import annotations

from unittest.mock import patch

from django.contrib.auth import alogin, login
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models.signals import post_delete
from django.test import TestCase, override_settings

from django_multistore import devices
from django_multistore.engine import SessionStore
from django_multistore.exceptions import StoreUnavailable
from django_multistore.models import StoredSession
from django_multistore.stores import stores
from tests.models import Customer, NamedUser, ProxyUser
from tests.support.users import logged_in, request_with


class UserReceiverTests(TestCase):
    def setUp(self) -> None:
        self.user = User.objects.create_user("bob")
        self.stranger = User.objects.create_user("eve")
        for user in (self.user, self.user, self.stranger):
            logged_in(user)

    def live(self, user: User) -> int:
        return len(stores["default"].sessions_for_user(user.pk))

    def test_deleting_a_user_ends_the_sessions(self) -> None:
        pk = self.user.pk
        self.user.delete()
        self.assertEqual(stores["default"].sessions_for_user(pk), [])
        self.assertEqual(self.live(self.stranger), 1)

    def test_deleting_a_queryset_does_too(self) -> None:
        User.objects.filter(pk=self.user.pk).delete()
        self.assertEqual(self.live(self.user), 0)

    def test_deactivating_a_user_ends_the_sessions(self) -> None:
        self.user.is_active = False
        self.user.save(update_fields=["is_active"])
        self.assertEqual(self.live(self.user), 0)
        self.assertEqual(self.live(self.stranger), 1)

    def test_saving_an_active_user_ends_none(self) -> None:
        self.user.first_name = "Bob"
        self.user.save()
        self.assertEqual(self.live(self.user), 2)

    def test_users_of_a_proxy_or_a_child_are_users(self) -> None:
        proxy = ProxyUser.objects.get(pk=self.user.pk)
        proxy.is_active = False
        proxy.save()
        self.assertEqual(self.live(self.user), 0)
        customer = Customer.objects.create(username="carl")
        logged_in(customer)
        customer.delete()
        self.assertEqual(self.live(customer), 0)

    def test_rolled_back_with_the_delete(self) -> None:
        try:
            with transaction.atomic():
                self.user.delete()
                raise InterruptedError
        except InterruptedError:
            pass
        self.assertEqual(self.live(User.objects.get(username="bob")), 2)

    def test_an_outage_is_logged_and_stops_nothing(self) -> None:
        store = stores["default"]
        for change in (self.user.delete, self.deactivate):
            with (
                patch.object(store, "destroy_for_user", side_effect=StoreUnavailable("down")),
                self.assertLogs("django_multistore", "ERROR") as logged,
            ):
                change()
            self.assertIn("could not be ended", logged.output[0])
        self.assertFalse(User.objects.filter(username="bob").exists())
        self.assertFalse(User.objects.get(username="eve").is_active)

    def deactivate(self) -> None:
        self.stranger.is_active = False
        self.stranger.save()

    def test_a_failing_statement_leaves_the_callers_transaction_usable(self) -> None:
        """On PostgreSQL it would be aborted without the savepoint."""
        with transaction.atomic():
            with (
                patch.object(StoredSession._meta, "db_table", "missing"),
                patch.object(stores["default"]._table, "_statements", {}),
                self.assertLogs("django_multistore", "ERROR"),
            ):
                self.user.delete()
            self.assertFalse(User.objects.filter(username="bob").exists())

    @override_settings(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies")
    def test_with_another_engine_it_keeps_out(self) -> None:
        pk = self.user.pk
        with self.assertNoLogs("django_multistore"):
            self.user.delete()
        self.assertEqual(len(stores["default"].sessions_for_user(pk)), 2)

    def test_other_models_can_still_be_deleted_fast(self) -> None:
        self.assertFalse(post_delete.has_listeners(NamedUser))

    @override_settings(AUTH_USER_MODEL="tests.NamedUser")
    def test_only_models_of_users_are_followed(self) -> None:
        user = NamedUser.objects.create(name="nell")
        logged_in(user)
        user.delete()
        self.assertEqual(len(devices.sessions_for_user(NamedUser(name="nell"))), 1)


class LoginReceiverTests(TestCase):
    def test_a_login_of_the_same_user_restarts_its_time(self) -> None:
        user = User.objects.create_user("bob")
        session = logged_in(user)
        before = stores["default"].read(session.key).authenticated_at
        login(request_with(session, user), user)
        session.save()
        self.assertGreater(stores["default"].read(session.key).authenticated_at, before)

    async def test_an_async_login_does_too(self) -> None:
        user = await User.objects.acreate(username="bob")
        session = SessionStore()
        await alogin(request_with(session), user)
        await session.asave()
        before = (await stores["default"].aread(session.key)).authenticated_at
        session = SessionStore(session.session_key)
        await alogin(request_with(session, user), user)
        await session.asave()
        self.assertGreater((await stores["default"].aread(session.key)).authenticated_at, before)
