"""Where MemcachedStore finds its servers, and what it refuses."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from pymemcache import HashClient
from pymemcache.client.rendezvous import RendezvousHash
from pymemcache.exceptions import MemcacheUnexpectedCloseError

from django_multistore.exceptions import InvalidStore, StoreUnavailable
from django_multistore.stores import stores
from django_multistore.stores.memcached import MemcachedStore
from django_multistore.stores.memcached.connections import Connection
from django_multistore.testing import make_record
from tests import servers
from tests.settings import OWN_PREFIX
from tests.support.meeting import memcached_store_on, wait_until
from tests.support.proxies import Line

pytestmark = pytest.mark.elsewhere

PYMEMCACHE = "django.core.cache.backends.memcached.PyMemcacheCache"
SERVER = ("192.0.2.1", 11211)


def read(**options: Any) -> Any:
    return MemcachedStore("web", **options)._options


def of_cache(settings: Any, **entry: Any) -> None:
    settings.CACHES = {"sessions": {"BACKEND": PYMEMCACHE, "LOCATION": "192.0.2.1:11211"} | entry}


class TestServers:
    @pytest.mark.parametrize(
        ("given", "read_as"),
        [
            ("192.0.2.1:11211", [SERVER]),
            ("192.0.2.1", [SERVER]),
            (["192.0.2.1:11211", "192.0.2.2:1"], [SERVER, ("192.0.2.2", 1)]),
            (("memcached.example",), [("memcached.example", 11211)]),
            ("[::1]:11212", [("::1", 11212)]),
            ("unix:/run/memcached.sock", ["/run/memcached.sock"]),
            ("/run/memcached.sock", ["/run/memcached.sock"]),
            ([("192.0.2.1", 11211)], [SERVER]),
        ],
    )
    def test_one_or_a_list(self, given: Any, read_as: Any) -> None:
        assert [*read(SERVERS=given).servers] == read_as

    @pytest.mark.parametrize(
        "wrong",
        [
            "",
            [],
            {},
            7,
            [None],
            "192.0.2.1:port",
            "192.0.2.1:0",
            "192.0.2.1:70000",
            "192.0.2.1:11211,192.0.2.2:11211",
            "192.0.2.1:11211;192.0.2.2:11211",
            ["192.0.2.1", "192.0.2.1:11211"],
            [("192.0.2.1", 11211, "x")],
        ],
    )
    def test_what_is_none_is_refused(self, wrong: Any) -> None:
        with pytest.raises(InvalidStore, match=r"SESSION_STORES\['web'\].*'SERVERS'.*11211"):
            read(SERVERS=wrong)

    def test_a_socket(self, tmp_path: Any) -> None:
        servers.require("memcached")
        path = tmp_path / "memcached.sock"
        store = MemcachedStore("web", SERVERS=f"unix:{path}")
        assert str(path) in str(store.place)
        with pytest.raises(StoreUnavailable, match="FileNotFoundError"):
            store.read("0" * 40)
        with subprocess.Popen(["memcached", "-u", "root", "-s", path]) as server:
            wait_until(path.exists)
            record = make_record()
            assert store.create(record)
            assert store.read(record.key) == record
            server.kill()


class TestOfACache:
    def test_its_servers_and_options_are_taken(self, settings: Any) -> None:
        class OtherHash(RendezvousHash):
            pass

        options = {"timeout": 3, "connect_timeout": 4, "hasher": OtherHash, "retry_attempts": 5}
        location = "192.0.2.1:11211;192.0.2.2:11211"
        of_cache(settings, LOCATION=location, OPTIONS=options, KEY_PREFIX="mysite", VERSION=2)
        store = MemcachedStore("web", CACHE="sessions")
        found = store._options
        assert found.servers == (SERVER, ("192.0.2.2", 11211))
        assert (found.timeout, found.connect_timeout) == (3, 4)
        assert isinstance(store._client._hasher, OtherHash)
        assert found.prefix == "mysite:2:ms:"
        assert store.configured_by == "CACHES['sessions']"

    def test_the_store_s_own_come_first(self, settings: Any) -> None:
        of_cache(settings, OPTIONS={"timeout": 3, "connect_timeout": 4})
        found = read(CACHE="sessions", TIMEOUT=0.5)
        assert (found.timeout, found.connect_timeout) == (0.5, 4)

    def test_by_default_it_is_that_of_the_sessions(self, settings: Any) -> None:
        of_cache(settings)
        settings.SESSION_CACHE_ALIAS = "sessions"
        assert read().servers == (SERVER,)

    def test_what_hides_outages_there_makes_no_difference(self, settings: Any) -> None:
        options = {"ignore_exc": True, "default_noreply": True, "dead_timeout": 60}
        of_cache(settings, LOCATION="127.0.0.1:1", OPTIONS=options)
        with pytest.raises(StoreUnavailable):
            MemcachedStore("web", CACHE="sessions").read("0" * 40)

    def test_a_name_may_go_by_the_tenant(self, settings: Any) -> None:
        of_cache(settings, KEY_FUNCTION=by_tenant)
        store = MemcachedStore("web", CACHE="sessions")
        tenant[0] = "blue"
        namespace = store._options.namespace()
        assert store._cells.name("0") == "blue:ms:0"
        tenant[0] = "red"
        assert store._cells.name("0") == "red:ms:0"
        assert store._options.namespace() != namespace

    @pytest.mark.parametrize(
        ("entry", "said"),
        [
            ({"KEY_FUNCTION": f"{__name__}.backwards"}, "KEY_FUNCTION"),
            ({"KEY_PREFIX": "x" * 210}, "KEY_PREFIX"),
            ({"KEY_PREFIX": "\N{SNOWMAN}" * 80}, "KEY_PREFIX"),
            ({"KEY_PREFIX": "with blank"}, "KEY_PREFIX"),
            ({"LOCATION": "192.0.2.1:1;192.0.2.1:1"}, "LOCATION"),
            ({"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}, "PyMemcacheCache"),
            ({"BACKEND": "nowhere.Cache"}, "can't be built"),
        ],
    )
    def test_what_can_t_work_is_refused(self, settings: Any, entry: Any, said: str) -> None:
        of_cache(settings, **entry)
        with pytest.raises(InvalidStore, match=r"SESSION_STORES\['web'\]") as refused:
            read(CACHE="sessions")
        assert said in str(refused.value)

    def test_one_that_isn_t_there(self, settings: Any) -> None:
        of_cache(settings)
        with pytest.raises(InvalidStore, match=r"'session', which isn't in CACHES.*'sessions'"):
            read(CACHE="session")


tenant = ["blue"]


def by_tenant(key: str, key_prefix: str, version: int) -> str:
    return f"{tenant[0]}:{key}"


def backwards(key: str, key_prefix: str, version: int) -> str:
    return f"{key}:{key_prefix}"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"CACHE": "default"}, "CACHE"),
        ({"KEY_PREFIX": "with blank"}, "KEY_PREFIX"),
        ({"KEY_PREFIX": None}, "KEY_PREFIX"),
        ({"TIMEOUT": 0}, "TIMEOUT"),
        ({"TIMEOUT": True}, "TIMEOUT"),
        ({"CONNECT_TIMEOUT": "1"}, "CONNECT_TIMEOUT"),
        ({"MAX_AGE": 0}, "MAX_AGE"),
        ({"MAX_AGE": 1.5}, "MAX_AGE"),
        ({"SERVER": "x"}, "Did you mean 'SERVERS'"),
    ],
)
def test_options_that_can_t_be(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidStore, match=r"SESSION_STORES\['web'\]") as refused:
        read(SERVERS="192.0.2.1", **options)
    assert said in str(refused.value)


def test_an_alias_that_the_index_has_no_room_for() -> None:
    with pytest.raises(InvalidStore, match=r"MemcachedStore.*up to 83 characters"):
        MemcachedStore("x" * 84, SERVERS="192.0.2.1")


def test_defaults() -> None:
    found = read(SERVERS="192.0.2.1")
    assert (found.connect_timeout, found.timeout, found.prefix) == (1, 2, "ms:")
    assert found.max_age.days == 30


def test_it_connects_when_it_is_asked(settings: Any) -> None:
    settings.SESSION_STORES = memcached_store_on("default", "127.0.0.1:1")
    stores.build_all()


class Hanging(Line):
    """It takes what is sent, and says nothing."""

    def relay(self, client: Any, server: Any) -> None:
        while client.recv(65536):
            pass


def test_a_server_that_hangs_is_waited_for_as_long_as_timeout_says() -> None:
    with Hanging(servers.require("memcached")) as line:
        store = MemcachedStore("web", SERVERS=line.address, TIMEOUT=0.1)
        with pytest.raises(StoreUnavailable, match="TimeoutError"):
            store.read("0" * 40)


class Closing(Line):
    """It closes each connection once it is used."""

    def relay(self, client: Any, server: Any) -> None:
        client.recv(65536)


def test_a_server_that_closes_each_connection_is_an_outage() -> None:
    with Closing(servers.require("memcached")) as line:
        store = MemcachedStore("web", SERVERS=line.address, KEY_PREFIX=f"{OWN_PREFIX}:")
        for _ in range(2):
            with pytest.raises(StoreUnavailable) as outage:
                store.create(make_record())
            assert isinstance(
                outage.value.__cause__, MemcacheUnexpectedCloseError | ConnectionError
            )


def test_pymemcache_is_as_it_is_built_on() -> None:
    """Connection overrides what is not public: without it nothing is known to be unsent."""
    connection = Connection(("127.0.0.1", 1))
    with pytest.raises(ConnectionRefusedError):
        connection.get("x")
    assert connection.is_connecting
    assert HashClient([SERVER])._make_client_key(SERVER) == "192.0.2.1:11211"
