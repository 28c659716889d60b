"""It is the change to inactive that ends a user's sessions, as far as it can be seen."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import login
from django.contrib.auth.backends import BaseBackend, ModelBackend
from django.contrib.auth.models import User
from django.core import serializers
from django.db import transaction
from django.db.models.signals import post_save, pre_save
from django.test import TestCase, override_settings
from django.utils import timezone

from django_multistore import devices
from django_multistore.auth.deactivation import note_deactivation
from django_multistore.http.request_subject import find_engine
from django_multistore.receivers import end_sessions_if_deactivated
from tests import servers
from tests.models import Customer, LeavingUser, NamedUser, ProxyUser
from tests.support.skips import not_here
from tests.support.stores import ON_A_CACHE, ON_REDIS
from tests.support.users import logged_in, request_with

DJANGOS = "django.contrib.auth.backends"
TAKES_ALL = f"{DJANGOS}.AllowAllUsersModelBackend"


class OldStaff(ModelBackend):
    """It takes some users who are inactive."""

    def user_can_authenticate(self, user: Any) -> bool:
        return super().user_can_authenticate(user) or user.is_staff


class Permissions(BaseBackend):
    """It logs nobody in."""


class DeactivationTests(TestCase):
    def setUp(self) -> None:
        self.user = User.objects.create_user("bob")
        devices.log_out_everywhere(self.user)  # An earlier test's user had this primary key.
        logged_in(self.user)

    def live(self) -> int:
        return devices.count_for_user(self.user)

    def assert_ended(self) -> None:
        assert self.live() == 0
        logged_in(self.user)

    def inactive_since_long(self) -> None:
        """And yet with a session, of which it doesn't matter where it is from."""
        User.objects.filter(pk=self.user.pk).update(is_active=False)
        self.user.refresh_from_db()

    def test_the_change_ends_them_and_no_save_after_it(self) -> None:
        self.user.is_active = False
        self.user.save()
        self.assert_ended()
        self.user.first_name = "Bob"
        self.user.save()
        self.user.save(update_fields=["is_active"])
        User.objects.get(pk=self.user.pk).save()
        assert self.live() == 1

    def test_each_change_does(self) -> None:
        for _ in range(2):
            self.user.is_active = False
            self.user.save()
            self.assert_ended()
            self.user.is_active = True
            self.user.save()
        assert self.live() == 1

    def test_one_who_is_inactive_since_long(self) -> None:
        self.inactive_since_long()
        self.user.save()
        self.user.save(force_update=True)
        assert self.live() == 1

    def test_an_instance_from_before_the_change(self) -> None:
        old = User.objects.get(pk=self.user.pk)
        self.inactive_since_long()
        old.is_active = False
        old.save()
        assert self.live() == 1

    def test_what_is_not_written_changes_nothing(self) -> None:
        self.user.is_active = False
        self.user.save(update_fields=["last_login"])
        self.user.save(update_fields=[])
        assert self.live() == 1
        self.user.save(update_fields=["last_login", "is_active"])
        self.assert_ended()

    def test_a_field_that_is_not_loaded_is_not_loaded_for_this(self) -> None:
        few = User.objects.only("username").get(pk=self.user.pk)
        with self.assertNumQueries(1):
            few.save()
        few = User.objects.defer("is_active").get(pk=self.user.pk)
        few.is_active = False
        few.save()
        self.assert_ended()

    def test_what_it_costs(self) -> None:
        with self.assertNumQueries(1):
            self.user.save()
        with self.assertNumQueries(1):
            User.objects.create(username="new")
        self.inactive_since_long()
        with self.assertNumQueries(2):
            self.user.save()
        with self.assertNumQueries(1):
            self.user.save(update_fields=["last_login"])
        with self.assertNumQueries(1):
            User.objects.create(username="newer", is_active=False)
        with (
            override_settings(AUTHENTICATION_BACKENDS=[TAKES_ALL]),
            self.assertNumQueries(1),
        ):
            self.user.save()

    def test_a_new_user_has_none_to_end(self) -> None:
        """Whosever the sessions are that have such a user id."""
        pk = self.user.pk
        User.objects.filter(pk=pk)._raw_delete("default")
        User.objects.create(pk=pk, username="new", is_active=False)
        assert self.live() == 1

    def test_a_row_that_is_written_over(self) -> None:
        User(pk=self.user.pk, username="bob", is_active=False).save()
        self.assert_ended()

    def test_a_fixture_changes_nothing(self) -> None:
        self.user.is_active = False
        (read,) = serializers.deserialize("json", serializers.serialize("json", [self.user]))
        read.save()
        assert not User.objects.get(pk=self.user.pk).is_active
        assert self.live() == 1

    def test_what_failed_is_not_done_by_the_next_save(self) -> None:
        User.objects.create(username="eve")
        self.user.is_active, self.user.username = False, "eve"
        try:
            with transaction.atomic():
                self.user.save()
        except Exception:  # noqa: BLE001 - each database has its own
            self.user.username = "bob"
        self.user.save(update_fields=["username"])
        assert self.live() == 1
        self.user.save()
        self.assert_ended()

    def test_a_proxy_and_a_child(self) -> None:
        for model in (ProxyUser, Customer):
            user = model.objects.create(username=model.__name__)
            logged_in(user)
            user.is_active = False
            user.save()
            assert devices.count_for_user(user) == 0
            logged_in(user)
            user.save()
            assert devices.count_for_user(user) == 1

    def test_a_child_of_a_user_who_was_there_before(self) -> None:
        child = Customer(user_ptr=self.user)
        child.__dict__.update(User.objects.values().get(pk=self.user.pk))
        child.is_active = False
        child.save()
        self.assert_ended()

    def test_a_site_that_lets_inactive_users_in(self) -> None:
        for backends in (
            [TAKES_ALL],
            [f"{DJANGOS}.AllowAllUsersRemoteUserBackend"],
            [f"{DJANGOS}.ModelBackend", TAKES_ALL],
        ):
            with override_settings(AUTHENTICATION_BACKENDS=backends):
                self.user.is_active = False
                self.user.save()
                assert self.live() == 1
                self.user.is_active = True
                self.user.save()

    def test_a_login_of_an_inactive_user_ends_no_other_session(self) -> None:
        self.inactive_since_long()
        self.user.last_login = None
        with override_settings(AUTHENTICATION_BACKENDS=[TAKES_ALL]):
            session = find_engine()()  # type: ignore[misc]
            login(request_with(session), self.user, backend=TAKES_ALL)
            session.save()
        self.user.refresh_from_db()
        assert self.user.last_login is not None
        assert self.live() == 2

    @override_settings(
        AUTHENTICATION_BACKENDS=[
            "tests.auth.test_deactivation.Permissions",
            "tests.auth.test_deactivation.OldStaff",
        ]
    )
    def test_a_backend_of_the_site_s_own_is_asked(self) -> None:
        self.user.is_active = False
        self.user.save()
        self.assert_ended()
        self.user.is_active = self.user.is_staff = True
        self.user.save()
        self.user.is_active = False
        self.user.save()
        assert self.live() == 1

    def test_users_who_are_active_always(self) -> None:
        user = NamedUser.objects.create(name="nell")
        note_deactivation(instance=user)
        end_sessions_if_deactivated(instance=user)
        assert vars(user).keys() == vars(NamedUser(name="nell")).keys()


class PropertyTests(TestCase):
    """Where is_active is no field, what it is made of is looked at."""

    def setUp(self) -> None:
        for signal, function in (
            (pre_save, note_deactivation),
            (post_save, end_sessions_if_deactivated),
        ):
            signal.connect(function, sender=LeavingUser)
            self.addCleanup(signal.disconnect, function, sender=LeavingUser)
        self.user = LeavingUser.objects.create(name="lea")
        devices.log_out_everywhere(self.user)
        logged_in(self.user)

    def test_the_change_ends_them_and_no_save_after_it(self) -> None:
        self.user.left_at = timezone.now()
        self.user.save(update_fields=["last_login"])
        assert devices.count_for_user(self.user) == 1
        self.user.save(update_fields=["left_at"])
        assert devices.count_for_user(self.user) == 0
        logged_in(self.user)
        self.user.save()
        assert devices.count_for_user(self.user) == 1

    def test_a_whole_save(self) -> None:
        self.user.left_at = timezone.now()
        with self.assertNumQueries(5):  # A look, the save, and the sessions within a savepoint.
            self.user.save()
        assert devices.count_for_user(self.user) == 0


@ON_A_CACHE
@not_here("it counts the statements of a database", "test_what_it_costs")
class DeactivationOnACacheTests(DeactivationTests):
    pass


@ON_REDIS
class DeactivationOnRedisTests(DeactivationTests):
    def setUp(self) -> None:
        servers.require("redis")
        super().setUp()
