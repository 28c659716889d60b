"""Where a request comes from, and what of it comes to be stored."""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import alogin, login
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, RequestFactory, TestCase, override_settings
from django.urls import path
from django.utils import timezone

from django_multistore.addresses import (
    PATIENCE,
    TrustedProxies,
    normalize_address,
    read_device,
    remote_address,
)
from django_multistore.models import StoredSession
from django_multistore.records import USER_AGENT_MAX_LENGTH, Device, SessionRecord, key_of
from django_multistore.stores import stores
from tests.support.users import BACKEND

PROXY = "10.0.0.1"
CLIENT = "198.51.100.7"
UTF_8_ON_THE_WIRE = "Füchslein/1.0".encode().decode("latin-1")  # As WSGI passes it on.


def request_from(forwarded: str | None = None, **meta: str) -> HttpRequest:
    if forwarded is not None:
        meta["HTTP_X_FORWARDED_FOR"] = forwarded
    return RequestFactory().get("/", **{"REMOTE_ADDR": PROXY} | meta)


def without_an_address() -> HttpRequest:
    """Return a request that came through a socket of this machine."""
    request = request_from()
    del request.META["REMOTE_ADDR"]
    return request


def from_the_edge(request: HttpRequest) -> str | None:
    return request.META.get("HTTP_X_EDGE")


class TestRemoteAddress:
    def test_it_is_who_is_connected_whatever_the_headers_say(self) -> None:
        assert remote_address(request_from(CLIENT, HTTP_X_REAL_IP=CLIENT)) == PROXY

    def test_there_may_be_none(self) -> None:
        assert remote_address(without_an_address()) is None
        assert remote_address(request_from(REMOTE_ADDR="")) == ""


FORWARDED = {
    "by one": (1, CLIENT, CLIENT),
    "by two": (2, f"{CLIENT}, 10.0.0.2", CLIENT),
    "by three": (3, f"{CLIENT}, 10.0.0.3, 10.0.0.2", CLIENT),
    "by one, and made up before": (1, f"192.0.2.66, {CLIENT}", CLIENT),
    "by two, and made up before": (2, f"192.0.2.66, 192.0.2.67, {CLIENT}, 10.0.0.2", CLIENT),
    "by one, and nonsense before": (1, f"<script>,,{CLIENT}", CLIENT),
    "by two of three": (3, f"{CLIENT}, 10.0.0.2", PROXY),
    "by one of two": (2, CLIENT, PROXY),
    "without spaces": (2, f"192.0.2.66,{CLIENT},10.0.0.2", CLIENT),
    "with spaces": (1, f"192.0.2.66 ,  {CLIENT}\t", CLIENT),
    "with a port": (1, f"{CLIENT}:4711", CLIENT),
    "of IPv6": (2, "2001:db8::1, 10.0.0.2", "2001:db8::1"),
    "of IPv6 with brackets": (1, "[2001:db8::1]", "2001:db8::1"),
    "of IPv6 with brackets and a port": (1, "[2001:db8::1]:4711", "2001:db8::1"),
    "by one who hides it": (1, "unknown", None),
}


class TestTrustedProxies:
    @pytest.mark.parametrize("case", FORWARDED)
    def test_the_address_is_the_one_that_the_outermost_has_seen(self, case: str) -> None:
        count, forwarded, expected = FORWARDED[case]
        assert normalize_address(TrustedProxies(count)(request_from(forwarded))) == expected

    def test_without_the_header_it_is_who_is_connected_to_the_only_one(self) -> None:
        assert TrustedProxies(1)(request_from()) == PROXY
        assert TrustedProxies(1)(without_an_address()) is None

    def test_without_the_header_it_is_who_is_connected(self) -> None:
        assert TrustedProxies(2)(request_from()) == PROXY
        assert TrustedProxies(2)(without_an_address()) is None

    @pytest.mark.parametrize("count", [0, -1])
    def test_there_is_one_at_least(self, count: int) -> None:
        with pytest.raises(ValueError, match=rf"TrustedProxies\({count}\): .* from 1"):
            TrustedProxies(count)

    def test_where_no_request_has_it_the_log_says_so_once(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        resolver = TrustedProxies(2)
        for forwarded in [None, CLIENT] * PATIENCE:
            assert resolver(request_from(forwarded)) == PROXY
        (record,) = caplog.records
        assert record.name == "django_multistore"
        assert "TrustedProxies(2): none of the first 100 requests" in record.getMessage()
        assert CLIENT not in record.getMessage()

    def test_where_some_come_past_the_proxies_nothing_is_logged(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        resolver = TrustedProxies(1)
        for _ in range(PATIENCE - 1):
            resolver(request_from())
        resolver(request_from(CLIENT))
        for _ in range(2 * PATIENCE):
            resolver(request_from())
        assert caplog.records == []


NORMAL = {
    "192.0.2.1": "192.0.2.1",
    "192.0.2.1:8000": "192.0.2.1",
    "[192.0.2.1]:8000": "192.0.2.1",
    "2001:db8::1": "2001:db8::1",
    "2001:DB8:0:0::0001": "2001:db8::1",
    "[2001:db8::1]": "2001:db8::1",
    "[2001:db8::1]:8000": "2001:db8::1",
    "::1": "::1",
    "fe80::1%eth0": "fe80::1",
    "[fe80::1%eth0]:8000": "fe80::1",
    "::ffff:192.0.2.1": "192.0.2.1",
    "::FFFF:c000:0201": "192.0.2.1",
    "[::ffff:192.0.2.1]:8000": "192.0.2.1",
    "::ffff:192.0.2.1%eth0": "192.0.2.1",
}

NO_ADDRESSES = [
    # Nobody's: what a socket listens on.
    "0.0.0.0",  # noqa: S104
    "0.0.0.0:8000",
    "::",
    "[::]",
    "[::]:8000",
    "::%eth0",
    "0:0:0:0:0:0:0:0",
    "::ffff:0.0.0.0",
    "[::ffff:0:0]:8000",
    "",
    " ",
    ":",
    "%",
    "[",
    "[]",
    "[]:80",
    "unix:",
    "unix:/run/site.sock",
    "unknown",
    "localhost",
    "_hidden",
    "256.0.0.1",
    "192.0.2",
    "192.0.2.1.5",
    "192.0.2.1/24",
    "192.0.2.01",
    "3221225985",
    "2001:db8::1::2",
    "12345::",
    "192.0.2.1\0",
    "192.0.2.1\n",
    "\uff11.0.0.1",
    "é",
    "'; DROP TABLE users; --",
    "1" * 100_000,
    "1.2.3.4:" * 10_000,
    "[" * 100_000,
]


class TestNormalAddress:
    @pytest.mark.parametrize("text", NORMAL)
    def test_an_address_in_the_form_that_databases_take(self, text: str) -> None:
        assert normalize_address(text) == NORMAL[text]

    @pytest.mark.parametrize("text", NO_ADDRESSES, ids=lambda text: repr(text)[:20])
    def test_what_is_no_address_is_none(self, text: str) -> None:
        assert normalize_address(text) is None


USER_AGENTS = {
    "a usual one": ("Mozilla/5.0 (X11; Linux)", "Mozilla/5.0 (X11; Linux)"),
    "an empty one": ("", ""),
    "one that just fits": ("x" * USER_AGENT_MAX_LENGTH, "x" * USER_AGENT_MAX_LENGTH),
    "a long one": ("x" * 100_000, "x" * USER_AGENT_MAX_LENGTH),
    "with NUL": ("Fire\0fox\0", "Firefox"),
    "with NUL and long": ("\0" * 10 + "x" * 600, "x" * USER_AGENT_MAX_LENGTH),
    "not of ASCII": (UTF_8_ON_THE_WIRE, UTF_8_ON_THE_WIRE),
    "long and not of ASCII": ("\xff" * 600, "\xff" * USER_AGENT_MAX_LENGTH),
}


class TestDeviceOf:
    @pytest.mark.parametrize("case", USER_AGENTS)
    def test_user_agents(self, case: str) -> None:
        sent, stored = USER_AGENTS[case]
        device = read_device(request_from(HTTP_USER_AGENT=sent))
        assert device == Device(ip_address=PROXY, user_agent=stored)

    def test_a_request_without_either(self) -> None:
        assert read_device(without_an_address()) == Device(ip_address=None, user_agent="")
        assert read_device(request_from(REMOTE_ADDR="unix:")) == Device()

    def test_a_setting_takes_effect_and_goes_again(self) -> None:
        request = request_from(CLIENT, HTTP_USER_AGENT="Firefox", HTTP_X_EDGE="192.0.2.9:80")
        usual = Device(ip_address=PROXY, user_agent="Firefox")
        for changed, expected in (
            ({"SESSION_DEVICE_IP": False}, Device(user_agent="Firefox")),
            ({"SESSION_DEVICE_USER_AGENT": False}, Device(ip_address=PROXY)),
            ({"SESSION_DEVICE_IP": False, "SESSION_DEVICE_USER_AGENT": False}, Device()),
            (
                {"SESSION_IP_RESOLVER": "tests.test_addresses.from_the_edge"},
                Device(ip_address="192.0.2.9", user_agent="Firefox"),
            ),
            (
                {"SESSION_IP_RESOLVER": from_the_edge},
                Device(ip_address="192.0.2.9", user_agent="Firefox"),
            ),
            (
                {"SESSION_IP_RESOLVER": TrustedProxies(1)},
                Device(ip_address=CLIENT, user_agent="Firefox"),
            ),
            (
                {"SESSION_IP_RESOLVER": lambda request: None},
                Device(ip_address=None, user_agent="Firefox"),
            ),
            (
                {"SESSION_IP_RESOLVER": lambda request: ipaddress.ip_address("2001:db8::7")},
                Device(ip_address="2001:db8::7", user_agent="Firefox"),
            ),
            (
                {"SESSION_IP_RESOLVER": lambda request: "2001:db8::7%" + "x" * 10_000},
                Device(ip_address="2001:db8::7", user_agent="Firefox"),
            ),
        ):
            assert read_device(request) == usual
            with override_settings(**changed):
                assert read_device(request) == expected
        assert read_device(request) == usual

    def test_where_no_address_is_stored_none_is_asked_for(self) -> None:
        def fail(request: HttpRequest) -> str:
            raise AssertionError

        with override_settings(SESSION_DEVICE_IP=False, SESSION_IP_RESOLVER=fail):
            assert read_device(request_from()).ip_address is None


def write(request: HttpRequest) -> HttpResponse:
    request.session["writes"] = request.session.get("writes", 0) + 1
    return HttpResponse()


async def awrite(request: HttpRequest) -> HttpResponse:
    await request.session.aset("writes", await request.session.aget("writes", 0) + 1)
    return HttpResponse()


def read(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.session.get("writes"))


async def aread(request: HttpRequest) -> HttpResponse:
    return HttpResponse(await request.session.aget("writes"))


def log_in(request: HttpRequest) -> HttpResponse:
    login(request, User.objects.get(username="bob"), backend=BACKEND)
    return HttpResponse()


async def alog_in(request: HttpRequest) -> HttpResponse:
    await alogin(request, await User.objects.aget(username="bob"), backend=BACKEND)
    return HttpResponse()


def ignore(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


async def aignore(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


urlpatterns = [
    path(f"{view.__name__}/", view)
    for view in (write, awrite, read, aread, log_in, alog_in, ignore, aignore)
]


@override_settings(ROOT_URLCONF="tests.test_addresses")
class StoredDeviceTests(TestCase):
    """What the middleware makes of it."""

    def setUp(self) -> None:
        self.user_id = str(User.objects.create_user("bob").pk)
        self.browser = self.new_browser()

    def new_browser(self) -> Any:
        return Client()

    def ask(self, page: str, address: str = CLIENT, user_agent: str = "Firefox") -> None:
        headers = {"user-agent": user_agent}
        response = self.browser.get(f"/{page}/", REMOTE_ADDR=address, headers=headers)
        self.assertEqual(response.status_code, 200)

    def record(self) -> SessionRecord:
        record = stores["default"].read(key_of(self.browser.cookies["sessionid"].value))
        assert record is not None
        return record

    def seen(self, **ago: float) -> None:
        moment = timezone.now() - timedelta(**ago)
        self.assertEqual(StoredSession.objects.update(last_seen_at=moment), 1)

    def test_it_is_stored_with_a_new_session(self) -> None:
        self.ask("write")
        self.assertEqual(self.record().device, Device(ip_address=CLIENT, user_agent="Firefox"))

    def test_each_kind_of_text_can_be_stored(self) -> None:
        for sent, stored in USER_AGENTS.values():
            self.browser = self.new_browser()
            self.ask("write", user_agent=sent)
            self.assertEqual(self.record().device.user_agent, stored)

    def test_each_kind_of_address_can_be_stored(self) -> None:
        for sent in [*NORMAL, NO_ADDRESSES[0], "", "unix:", "1" * 1000]:
            self.browser = self.new_browser()
            self.ask("write", address=sent)
            self.assertEqual(self.record().device.ip_address, NORMAL.get(sent))

    def test_what_is_not_to_be_stored_is_not(self) -> None:
        with override_settings(SESSION_DEVICE_IP=False, SESSION_DEVICE_USER_AGENT=False):
            self.ask("write")
            self.assertEqual(self.record().device, Device())
            self.ask("log_in")
        self.assertEqual(self.record().device, Device())

    def test_what_is_not_to_be_stored_any_more_goes_with_the_next_touch(self) -> None:
        self.ask("write")
        self.seen(minutes=6)
        with override_settings(SESSION_DEVICE_IP=False, SESSION_DEVICE_USER_AGENT=False):
            self.ask("read")
        self.assertEqual(self.record().device, Device())

    def test_a_login_gives_it_a_user(self) -> None:
        self.ask("write", "192.0.2.1", "Opera")
        visitors = self.record()
        self.assertIsNone(visitors.user_id)
        self.ask("log_in")
        record = self.record()
        self.assertEqual((record.id, record.user_id), (visitors.id, self.user_id))
        self.assertEqual(record.device, Device(ip_address=CLIENT, user_agent="Firefox"))
        self.assertNotEqual(record.key, visitors.key)

    def test_a_first_page_that_is_a_login(self) -> None:
        self.ask("log_in")
        record = self.record()
        self.assertEqual(record.user_id, self.user_id)
        self.assertEqual(record.device, Device(ip_address=CLIENT, user_agent="Firefox"))

    def test_a_change_of_the_session_brings_where_it_comes_from_now(self) -> None:
        self.ask("write", "192.0.2.1", "Opera")
        self.ask("write")
        self.assertEqual(self.record().device, Device(ip_address=CLIENT, user_agent="Firefox"))

    def test_a_visit_moves_last_seen_once_in_a_while(self) -> None:
        self.ask("write", "192.0.2.1", "Opera")
        first = self.record()
        self.seen(minutes=4)
        self.ask("read")
        self.assertEqual(self.record().device, Device(ip_address="192.0.2.1", user_agent="Opera"))
        self.assertLess(self.record().last_seen_at, first.last_seen_at)
        self.seen(minutes=6)
        self.ask("read")
        record = self.record()
        self.assertEqual(record.device, Device(ip_address=CLIENT, user_agent="Firefox"))
        self.assertGreater(record.last_seen_at, first.last_seen_at)
        self.assertEqual(
            (record.version, record.payload, record.expires_at),
            (first.version, first.payload, first.expires_at),
        )

    def test_a_page_that_does_without_the_session_moves_nothing(self) -> None:
        self.ask("write")
        self.seen(minutes=6)
        before = self.record()
        self.ask("ignore", "192.0.2.1", "Opera")
        self.assertEqual(self.record(), before)


class AsyncBrowser(AsyncClient):
    """A client with an address of its own, which Django's can't be given."""

    address: str | None = CLIENT
    more_headers: tuple[tuple[bytes, bytes], ...] = ()

    def _base_scope(self, **request: Any) -> dict[str, Any]:
        scope: dict[str, Any] = super()._base_scope(**request)
        client = None if self.address is None else [self.address, 4711]
        return scope | {"client": client, "headers": [*scope["headers"], *self.more_headers]}


class AsyncStoredDeviceTests(StoredDeviceTests):
    browser: AsyncBrowser

    def new_browser(self) -> Any:
        return AsyncBrowser()

    def ask(
        self, page: str, address: str | None = CLIENT, user_agent: str | None = "Firefox"
    ) -> None:
        self.browser.address = address
        headers = {} if user_agent is None else {"user-agent": user_agent}
        response = async_to_sync(self.browser.get)(f"/a{page}/", headers=headers)
        self.assertEqual(response.status_code, 200)

    def test_without_an_address_or_a_user_agent(self) -> None:
        """As from a server that listens on a socket of this machine."""
        self.ask("write", None, None)
        self.assertEqual(self.record().device, Device())

    def test_several_headers_of_one_name_are_one_list(self) -> None:
        """Here one's own proxy has added a header of its own to what the client made up."""
        self.browser.more_headers = (
            (b"x-forwarded-for", b"192.0.2.66, 192.0.2.67"),
            (b"x-forwarded-for", CLIENT.encode()),
        )
        for count, expected in ((1, CLIENT), (2, "192.0.2.67"), (3, "192.0.2.66"), (4, PROXY)):
            with override_settings(SESSION_IP_RESOLVER=TrustedProxies(count)):
                self.ask("write", PROXY)
            self.assertEqual(self.record().device.ip_address, expected)
