"""mozilla-django-oidc, djangosaml2 and social-auth-app-django, up to the provider's door."""

from __future__ import annotations

from typing import Any
from unittest import mock
from urllib.parse import parse_qs, urlsplit

from django.contrib.auth.models import User
from django.test import Client, TestCase, modify_settings, override_settings
from social_core.pipeline.partial import partial

from django_multistore import devices
from django_multistore.models import StoredSession
from tests.beside.browsers import key_of, name_of

PHONE = {"User-Agent": "Phone/1.0"}


def parameters(response: Any) -> dict[str, str]:
    return {
        name: values[0] for name, values in parse_qs(urlsplit(response["Location"]).query).items()
    }


class OidcTests(TestCase):
    def setUp(self) -> None:
        self.client = Client(REMOTE_ADDR="198.51.100.7", headers=PHONE)
        claims = {"sub": "1", "email": "bob@example.com"}
        for name, value in (
            ("get_token", {"id_token": "token", "access_token": "access"}),
            ("verify_token", claims),
            ("get_userinfo", claims),
        ):
            path = f"mozilla_django_oidc.auth.OIDCAuthenticationBackend.{name}"
            self.enterContext(mock.patch(path, return_value=value))

    def log_in(self) -> None:
        self.come_back(self.client.get("/oidc/authenticate/?next=/whoami/"))

    def come_back(self, sent_away: Any) -> None:
        state = parameters(sent_away)["state"]
        response = self.client.get("/oidc/callback/", {"state": state, "code": "1"})
        assert (response.status_code, response["Location"]) == (302, "/whoami/")

    def test_a_login_has_a_device_and_a_new_key(self) -> None:
        self.client.get("/oidc/authenticate/?next=/whoami/")
        before = key_of(self.client)
        self.log_in()
        assert key_of(self.client) != before
        (record,) = devices.sessions_for_user(User.objects.get())
        assert (record.device.ip_address, record.device.user_agent) == ("198.51.100.7", "Phone/1.0")
        assert StoredSession.objects.count() == 1

    @modify_settings(MIDDLEWARE={"append": "mozilla_django_oidc.middleware.SessionRefresh"})
    def test_a_refresh_is_no_login(self) -> None:
        self.log_in()
        (before,) = devices.sessions_for_user(User.objects.get())
        assert self.client.get("/whoami/").status_code == 200
        session = self.client.session
        session["oidc_id_token_expiration"] = 0
        session.save()
        sent_away = self.client.get("/whoami/")
        assert sent_away["Location"].startswith("https://id.example.com/authorize?")
        old = key_of(self.client)
        self.come_back(sent_away)
        assert key_of(self.client) == old
        assert self.client.get("/whoami/").status_code == 200
        (after,) = devices.sessions_for_user(User.objects.get())
        assert (after.id, after.authenticated_at) == (before.id, before.authenticated_at)

    @override_settings(SESSION_MAX_PER_USER=1)
    def test_a_limit_holds(self) -> None:
        other = self.client
        self.log_in()
        self.client = Client()
        self.log_in()
        assert name_of(other) == ""
        assert name_of(self.client) != ""


class SamlTests(TestCase):
    def test_its_session_is_one_of_its_own(self) -> None:
        user = User.objects.create_user("bob")
        client = Client()
        client.force_login(user)
        response = client.get("/saml/?note=issued")
        cookie = response.cookies["saml_session"]
        assert cookie["samesite"] == "None"
        assert len(devices.sessions_for_user(user)) == 1
        assert StoredSession.objects.count() == 2
        client.post("/end-others/")
        assert client.get("/saml/").json() == {"note": "issued"}
        devices.log_out_everywhere(user)
        assert client.get("/saml/").json() == {"note": "issued"}
        assert name_of(client) == ""
        # Nobody is logged in by it.
        thief = Client()
        thief.cookies["sessionid"] = cookie.value
        assert name_of(thief) == ""


@partial
def ask(strategy: Any, *args: Any, **kwargs: Any) -> Any:
    """Wait for an answer, as a step that asks for a colour does."""
    if strategy.request_data().get("colour"):
        return {}
    return strategy.redirect(f"/whoami/?partial_token={kwargs['current_partial'].token}")


@override_settings(
    SOCIAL_AUTH_USERNAME_FORM_URL="/whoami/",
    SOCIAL_AUTH_PIPELINE=[
        "social_core.pipeline.social_auth.social_details",
        "social_core.pipeline.social_auth.social_uid",
        "social_core.pipeline.social_auth.social_user",
        f"{__name__}.ask",
        "social_core.pipeline.user.get_username",
        "social_core.pipeline.user.create_user",
        "social_core.pipeline.social_auth.associate_user",
    ],
)
@modify_settings(AUTHENTICATION_BACKENDS={"append": "social_core.backends.username.UsernameAuth"})
class SocialTests(TestCase):
    def test_a_pipeline_goes_on_after_a_new_key(self) -> None:
        client = Client()
        response = client.post("/social/complete/username/", {"username": "bob"})
        assert response.status_code == 302, response.content
        before = key_of(client)
        session = client.session
        session.cycle_key()
        client.cookies["sessionid"] = session.session_key
        token = parameters(response)["partial_token"]
        sent = {"partial_token": token, "colour": "red"}
        response = client.post("/social/complete/username/", sent)
        assert response.status_code == 302, response.content
        assert name_of(client) == "bob"
        assert key_of(client) not in (before, session.session_key)
        assert len(devices.sessions_for_user(User.objects.get())) == 1
