"""The recipes of docs/takeovers.md, with django-hijack and django-loginas themselves."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client, SimpleTestCase, TestCase, modify_settings, override_settings
from django.urls import include, path

from django_multistore import devices
from django_multistore.engine import SessionStore
from django_multistore.stores import stores
from django_multistore.system_checks.site import check_takeovers
from django_multistore.takeovers import takes_over
from tests import servers
from tests.support.stores import MEMORY, ON_A_CACHE
from tests.support.views import log_in, page

servers.require_module("hijack")
servers.require_module("loginas")

from hijack import views as hijack  # noqa: E402
from loginas import views as loginas  # noqa: E402

PLAIN = "tests.support.takeover_urls"
ONE: dict[str, Any] = {"SESSION_MAX_PER_USER": 1}
REFUSING = {**ONE, "SESSION_MAX_PER_USER_POLICY": "refuse"}

hijack_urls = [
    path("acquire/", takes_over(hijack.AcquireUserView.as_view()), name="acquire"),
    path("release/", takes_over(hijack.ReleaseUserView.as_view()), name="release"),
]
loginas_urls = [
    path("login/user/<str:user_id>/", takes_over(loginas.user_login), name="loginas-user-login"),
    path("logout/", takes_over(loginas.user_logout), name="loginas-logout"),
]
urlpatterns = [
    path("log_in/", log_in),
    path("page/", page),
    path("hijack/", include((hijack_urls, "hijack"))),
    path("loginas/", include(loginas_urls)),
]


class Staff:
    """A browser of somebody who may act as others."""

    def __init__(self, package: str) -> None:
        self._package = package
        self._client = Client()

    def log_in(self, name: str) -> None:
        assert self._client.get(f"/log_in/?user={name}").status_code == 200

    def act_as(self, user: User) -> int:
        if self._package == "hijack":
            response = self._client.post("/hijack/acquire/", {"user_pk": user.pk})
        else:
            response = self._client.post(f"/loginas/login/user/{user.pk}/")
        return response.status_code

    def release(self) -> int:
        if self._package == "hijack":
            return self._client.post("/hijack/release/").status_code
        return self._client.get("/loginas/logout/").status_code

    @property
    def whose(self) -> tuple[str | None, str | None]:
        cookie = self._client.cookies.get("sessionid")
        session = SessionStore(cookie.value if cookie else None)
        session.load()
        if session.record is None:
            return None, None
        names = {str(user.pk): user.get_username() for user in User.objects.all()}
        return names.get(session.record.user_id or ""), names.get(session.record.actor_id or "")


@modify_settings(
    INSTALLED_APPS={"append": ["hijack", "loginas"]},
    MIDDLEWARE={"append": "hijack.middleware.HijackUserMiddleware"},
)
@override_settings(ROOT_URLCONF=__name__, LOGIN_REDIRECT_URL="/page/", LOGOUT_REDIRECT_URL="/page/")
class HijackTests(TestCase):
    package = "hijack"

    def setUp(self) -> None:
        self.bob, self.ann = (User.objects.create_user(name) for name in ("bob", "ann"))
        self.eve = User.objects.create_superuser("eve")
        for user in (self.bob, self.ann, self.eve):
            stores["default"].destroy_for_user(user.pk)
        self.own, self.staff = Staff(self.package), Staff(self.package)

    def test_the_users_own_session_stays_and_the_staffs_comes_back(self) -> None:
        for limits in (ONE, REFUSING):
            with self.subTest(limits), override_settings(**limits):
                self.own.log_in("bob")
                self.staff.log_in("eve")
                assert self.staff.act_as(self.bob) == 302
                assert self.staff.whose == ("bob", "eve")
                assert self.own.whose == ("bob", None)
                actors = [each.actor_id for each in devices.sessions_for_user(self.bob)]
                assert sorted(actors, key=str) == [str(self.eve.pk), None]
                assert self.staff.release() == 302
                assert self.staff.whose == ("eve", None)
                assert self.own.whose == ("bob", None)
                assert [each.actor_id for each in devices.sessions_for_user(self.bob)] == [None]
                assert [each.actor_id for each in devices.sessions_for_user(self.eve)] == [None]
                for user in (self.bob, self.eve):
                    devices.log_out_everywhere(user)

    @override_settings(**REFUSING)
    def test_the_user_logs_in_while_staff_acts(self) -> None:
        self.staff.log_in("eve")
        self.staff.act_as(self.bob)
        self.own.log_in("bob")
        assert (self.own.whose, self.staff.whose) == (("bob", None), ("bob", "eve"))

    @override_settings(**ONE)
    def test_one_after_the_other(self) -> None:
        own = {name: Staff(self.package) for name in ("bob", "ann")}
        for name, browser in own.items():
            browser.log_in(name)
        self.staff.log_in("eve")
        for user in (self.bob, self.ann):
            assert self.staff.act_as(user) == 302
            assert self.staff.whose == (user.get_username(), "eve")
            self.staff.release()
            assert self.staff.whose == ("eve", None)
        assert [browser.whose[0] for browser in own.values()] == ["bob", "ann"]

    @override_settings(**ONE)
    def test_one_from_within_another(self) -> None:
        User.objects.filter(pk=self.bob.pk).update(is_staff=True, is_superuser=True)
        self.own.log_in("bob")
        self.staff.log_in("eve")
        self.staff.act_as(self.bob)
        assert self.staff.act_as(self.ann) == 302
        assert self.staff.whose == ("ann", "eve")
        self.staff.release()
        # django-loginas forgets who it was at first. The session doesn't.
        assert self.staff.whose == ("bob", "eve")
        assert self.own.whose == ("bob", None)

    @override_settings(**ONE)
    def test_whoever_may_not_marks_nothing(self) -> None:
        self.own.log_in("bob")
        browser = Staff(self.package)
        browser.log_in("ann")
        assert browser.act_as(self.bob) in (302, 403)
        assert browser.whose == ("ann", None)
        assert self.own.whose == ("bob", None)
        visitor = Staff(self.package)
        assert visitor.act_as(self.bob) in (302, 403)
        assert visitor.whose[0] is None

    @override_settings(**ONE, ROOT_URLCONF=PLAIN)
    def test_unless_the_views_are_wrapped_the_user_is_logged_out(self) -> None:
        """What it is for; and that these packages log in as they did when this was written."""
        self.own.log_in("bob")
        self.staff.log_in("eve")
        self.staff.act_as(self.bob)
        assert (self.own.whose, self.staff.whose) == ((None, None), ("bob", None))


class LoginasTests(HijackTests):
    package = "loginas"


@ON_A_CACHE
class HijackOnACacheTests(HijackTests):
    pass


@override_settings(SESSION_STORES=MEMORY)
class LoginasInMemoryTests(LoginasTests):
    pass


class HijackOnRedisTests(HijackTests):
    @classmethod
    def setUpClass(cls) -> None:
        options = {
            "URL": f"redis://{servers.require('redis')}/5",
            "KEY_PREFIX": f"{settings.OWN_PREFIX}:by-packages:",
        }
        backend = "django_multistore.stores.redis.RedisStore"
        on_redis = {"default": {"BACKEND": backend, "OPTIONS": options}}
        cls.enterClassContext(override_settings(SESSION_STORES=on_redis))
        super().setUpClass()


class LoginasOnRedisTests(HijackOnRedisTests):
    package = "loginas"


class CheckTests(SimpleTestCase):
    @override_settings(**ONE, ROOT_URLCONF=__name__)
    def test_wrapped_views_are_right(self) -> None:
        assert check_takeovers() == []

    @override_settings(ROOT_URLCONF=PLAIN)
    def test_without_a_limit_any_are(self) -> None:
        assert check_takeovers() == []

    @override_settings(**ONE, ROOT_URLCONF=PLAIN)
    def test_views_of_the_packages_are_named(self) -> None:
        (message,) = check_takeovers()
        assert message.id == "django_multistore.W027"
        for name in (
            "hijack.views.AcquireUserView",
            "hijack.views.ReleaseUserView",
            "loginas.views.user_login",
            "loginas.views.user_logout",
        ):
            assert name in message.msg
        with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.db"):
            assert check_takeovers() == []

    @override_settings(**ONE)
    def test_a_site_without_urls_has_none(self) -> None:
        with override_settings():
            del settings.ROOT_URLCONF
            assert check_takeovers() == []
