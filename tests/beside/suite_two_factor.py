"""django-two-factor-auth, django-otp and django-axes."""

from __future__ import annotations

from axes.models import AccessAttempt, AccessLog
from django.contrib.auth.models import User
from django.test import Client, TestCase, override_settings
from django_otp.oath import totp
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from django_multistore import devices
from tests.beside.browsers import PASSWORD, key_of, name_of

STEP = "login_view-current_step"


class TwoFactorTests(TestCase):
    def setUp(self) -> None:
        self.user = User.objects.create_user("bob", password=PASSWORD)
        self.totp = TOTPDevice.objects.create(user=self.user, name="default")

    def show_password(self, client: Client) -> None:
        sent = {"auth-username": "bob", "auth-password": PASSWORD, STEP: "auth"}
        response = client.post("/account/login/", sent)
        assert response.status_code == 200, response.content

    def log_in(self) -> Client:
        client = Client()
        self.show_password(client)
        self.show_code(client)
        return client

    def show_code(self, client: Client) -> None:
        TOTPDevice.objects.update(last_t=-1)  # The same code is taken once more.
        sent = {"token-otp_token": f"{totp(self.totp.bin_key):06}", STEP: "token"}
        response = client.post("/account/login/", sent)
        assert response.status_code == 302, response.content

    @override_settings(SESSION_MAX_PER_USER=1)
    def test_a_password_alone_takes_no_place(self) -> None:
        first = self.log_in()
        second = Client()
        self.show_password(second)
        assert (name_of(first), name_of(second)) == ("bob", "")
        before = key_of(second)
        self.show_code(second)
        assert (name_of(first), name_of(second)) == ("", "bob")
        assert key_of(second) != before
        assert len(devices.sessions_for_user(self.user)) == 1

    def test_who_is_verified_stays_so(self) -> None:
        client, other = self.log_in(), self.log_in()
        device = client.session["otp_device_id"]
        assert client.get("/whoami/").wsgi_request.user.is_verified()
        client.post("/end-others/")
        assert client.session["otp_device_id"] == device
        assert client.get("/whoami/").wsgi_request.user.is_verified()
        assert name_of(other) == ""

    def test_other_devices_by_a_code(self) -> None:
        static = StaticDevice.objects.create(user=self.user, name="backup")
        static.token_set.create(token="abcdefgh")
        client, other = self.log_in(), self.log_in()
        assert client.post("/end-others-by-code/", {"code": "wrong"}).status_code == 200
        assert name_of(other) == "bob"
        StaticDevice.objects.update(throttling_failure_count=0)
        TOTPDevice.objects.update(throttling_failure_count=0)
        assert client.post("/end-others-by-code/", {"code": "abcdefgh"}).status_code == 302
        assert (name_of(client), name_of(other)) == ("bob", "")


class AxesTests(TestCase):
    def setUp(self) -> None:
        self.user = User.objects.create_user("bob", password=PASSWORD)

    def test_wrong_passwords_on_our_pages_count(self) -> None:
        client = Client()
        client.force_login(self.user, backend="django.contrib.auth.backends.ModelBackend")
        assert client.post("/devices/end-others/", {"password": "wrong"}).status_code == 200
        assert AccessAttempt.objects.get().username == "bob"
        assert AccessAttempt.objects.get().failures_since_start == 1

    def test_its_log_has_no_session_key(self) -> None:
        client = Client()
        sent = {"auth-username": "bob", "auth-password": PASSWORD, STEP: "auth"}
        assert client.post("/account/login/", sent).status_code == 302
        assert name_of(client) == "bob"
        (row,) = AccessLog.objects.values()
        assert key_of(client) not in str(row)

    @override_settings(SESSION_MAX_PER_USER=1, SESSION_MAX_PER_USER_POLICY="refuse")
    def test_a_login_that_is_refused_is_none(self) -> None:
        """Its receiver saves the session: by then it must be known that there is no place."""
        first, second = Client(), Client()
        first.force_login(self.user, backend="django.contrib.auth.backends.ModelBackend")
        sent = {"auth-username": "bob", "auth-password": PASSWORD, STEP: "auth"}
        assert second.post("/account/login/", sent).status_code == 403
        assert (name_of(first), name_of(second)) == ("bob", "")
        assert len(devices.sessions_for_user(self.user)) == 1
