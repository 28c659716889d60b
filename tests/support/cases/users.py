"""Whichever way a user comes into a session, the record says whose it is."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import (
    alogin,
    aupdate_session_auth_hash,
    get_user,
    login,
    update_session_auth_hash,
)
from django.contrib.auth.models import User
from django.test import Client, TestCase, override_settings

from django_multistore.engine import SessionStore
from django_multistore.records import SessionRecord
from django_multistore.stores import stores
from tests.models import NamedUser, UUIDUser
from tests.support.users import BACKEND, request_with


class UserIdTests(TestCase):
    def setUp(self) -> None:
        self.user = User.objects.create_user("bob", password="secret")
        self.other = User.objects.create_user("eve", password="secret")
        self.session = SessionStore()

    def record(self) -> SessionRecord:
        record = stores["default"].read(self.session.key)
        assert record is not None
        return record

    def assert_is_of(self, user_id: object) -> None:
        text = None if user_id is None else str(user_id)
        self.assertEqual(self.record().user_id, text)
        if text is not None:
            listed = [record.id for record in stores["default"].sessions_for_user(text)]
            self.assertEqual(listed, [self.record().id])

    def test_login(self) -> None:
        login(request_with(self.session), self.user)
        self.session.save()
        self.assert_is_of(self.user.pk)

    async def test_alogin(self) -> None:
        await alogin(request_with(self.session), self.user)
        await self.session.asave()
        self.assertEqual(
            (await stores["default"].aread(self.session.key)).user_id, str(self.user.pk)
        )

    def test_a_login_over_an_anonymous_session(self) -> None:
        self.session["cart"] = 1
        self.session.save()
        login(request_with(self.session), self.user)
        self.session.save()
        self.assert_is_of(self.user.pk)
        self.assertEqual(self.session["cart"], 1)

    def test_a_switch_of_user(self) -> None:
        login(request_with(self.session), self.user)
        self.session.save()
        login(request_with(self.session), self.other)
        self.session.save()
        self.assert_is_of(self.other.pk)
        self.assertEqual(stores["default"].sessions_for_user(self.user.pk), [])

    def test_cycle_key(self) -> None:
        login(request_with(self.session), self.user)
        self.session.cycle_key()
        self.assert_is_of(self.user.pk)

    async def test_acycle_key(self) -> None:
        await self.session.aset("_auth_user_id", "7")
        await self.session.asave()
        await self.session.acycle_key()
        self.assertEqual((await stores["default"].aread(self.session.key)).user_id, "7")

    def test_update_session_auth_hash(self) -> None:
        login(request_with(self.session), self.user)
        self.session.save()
        self.user.set_password("another")
        update_session_auth_hash(request_with(self.session, self.user), self.user)
        self.session.save()
        self.assert_is_of(self.user.pk)

    async def test_aupdate_session_auth_hash(self) -> None:
        await alogin(request_with(self.session), self.user)
        await self.session.asave()
        self.user.set_password("another")
        await aupdate_session_auth_hash(request_with(self.session, self.user), self.user)
        await self.session.asave()
        self.assertEqual(
            (await stores["default"].aread(self.session.key)).user_id, str(self.user.pk)
        )

    def test_a_hash_under_a_fallback_secret(self) -> None:
        login(request_with(self.session), self.user)
        self.session.save()
        old_key = self.session.session_key
        with override_settings(
            SECRET_KEY="a new secret for this site, and a long one",
            SECRET_KEY_FALLBACKS=["not a secret: for tests only"],
        ):
            self.session = SessionStore(old_key)
            self.assertEqual(get_user(request_with(self.session)), self.user)
            self.session.save()
            self.assertNotEqual(self.session.session_key, old_key)
            self.assert_is_of(self.user.pk)

    async def test_async_changes_of_the_data(self) -> None:
        async def user_id() -> str | None:
            await self.session.asave()
            record = await stores["default"].aread(self.session.key)
            return record.user_id

        await self.session.aset("_auth_user_id", "1")
        self.assertEqual(await user_id(), "1")
        await self.session.aupdate({"_auth_user_id": "2"})
        self.assertEqual(await user_id(), "2")
        await self.session.apop("_auth_user_id")
        self.assertIsNone(await user_id())
        await self.session.asetdefault("_auth_user_id", "3")
        self.assertEqual(await user_id(), "3")

    def test_sync_changes_of_the_data(self) -> None:
        for change, expected in (
            (lambda s: s.__setitem__("_auth_user_id", "1"), "1"),
            (lambda s: s.update({"_auth_user_id": "2"}), "2"),
            (lambda s: s.pop("_auth_user_id"), None),
            (lambda s: s.setdefault("_auth_user_id", "3"), "3"),
            (lambda s: s.__delitem__("_auth_user_id"), None),
            (lambda s: s.__setitem__("_auth_user_id", 4), "4"),
            (lambda s: s.clear(), None),
        ):
            change(self.session)
            self.session.save()
            self.assert_is_of(expected)

    def test_primary_keys_of_other_types(self) -> None:
        for user in (UUIDUser.objects.create(), NamedUser.objects.create(name="bob")):
            self.session = SessionStore()
            login(request_with(self.session), user, backend=BACKEND)
            self.session.save()
            self.assert_is_of(user.pk)

    def test_users_whose_ids_look_alike(self) -> None:
        for name in ("bob", "Bob", "bob "):
            self.session = SessionStore()
            self.session["_auth_user_id"] = name
            self.session.save()
            self.assert_is_of(name)
        self.assertEqual(stores["default"].destroy_for_user("bob"), 1)
        self.assertEqual(len(stores["default"].sessions_for_user("Bob")), 1)
        self.assertEqual(len(stores["default"].sessions_for_user("bob ")), 1)

    def test_a_user_id_without_a_row(self) -> None:
        self.session["_auth_user_id"] = "123456789"
        self.session.save()
        self.assert_is_of("123456789")

    def test_a_user_id_that_is_too_long_is_a_clear_error(self) -> None:
        self.session["_auth_user_id"] = "x" * 256
        with self.assertRaisesMessage(ValueError, "'default' takes user ids of up to 255"):
            self.session.save()

    def test_flush_leaves_nobody(self) -> None:
        login(request_with(self.session), self.user)
        self.session.save()
        self.session.flush()
        self.assertEqual(stores["default"].sessions_for_user(self.user.pk), [])

    def test_a_site_can_say_itself_whose_session_it_is(self) -> None:
        class MemberSession(SessionStore):
            @staticmethod
            def get_user_id(data: dict[str, Any]) -> str | None:
                return data.get("member")

        self.session["member"] = "7"
        self.session.save()
        self.assert_is_of(None)
        self.session = MemberSession(self.session.session_key)
        self.session.save()
        self.assert_is_of("7")


class ClientTests(TestCase):
    def test_force_login_is_indexed_and_logout_ends(self) -> None:
        user = User.objects.create_user("bob")
        client = Client()
        client.force_login(user)
        self.assertEqual(len(stores["default"].sessions_for_user(user.pk)), 1)
        client.logout()
        self.assertEqual(stores["default"].sessions_for_user(user.pk), [])

    async def test_aforce_login(self) -> None:
        user = await User.objects.acreate(username="bob")
        await self.async_client.aforce_login(user)
        self.assertEqual(len(await stores["default"].asessions_for_user(user.pk)), 1)
        await self.async_client.alogout()
        self.assertEqual(await stores["default"].asessions_for_user(user.pk), [])
