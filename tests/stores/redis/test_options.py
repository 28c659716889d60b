"""RedisStore takes what its options say, and refuses what can't work by name."""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import Any, ClassVar

import pytest
import redis
from django.core import checks
from django.test import SimpleTestCase, override_settings

from django_multistore.exceptions import InvalidStore, StoreUnavailable
from django_multistore.stores.redis import RedisStore
from django_multistore.stores.redis.client import pools
from django_multistore.stores.redis.options import RedisOptions
from django_multistore.testing import Calls, make_record
from tests import servers
from tests.settings import RUN
from tests.support import redis_groups
from tests.support.redis_tls import Certificate

pytestmark = pytest.mark.elsewhere

REDIS_STORE = "django_multistore.stores.redis.RedisStore"
DJANGO_REDIS = "django_redis.cache.RedisCache"
SHARDS = "django_redis.client.sharded.ShardClient"
DJANGO_VALKEY = "django_valkey.cache.ValkeyCache"
DJANGOS = "django.core.cache.backends.redis.RedisCache"
LOCMEM = "django.core.cache.backends.locmem.LocMemCache"

URL = "redis://127.0.0.1:1/0"  # Nobody listens there.
PASSWORD = "hunter2"
SENTINELS = [("sentinel-1", 26379), ("sentinel-2", 26380)]
BY_SENTINEL = {
    "CLIENT_CLASS": "django_redis.client.SentinelClient",
    "CONNECTION_FACTORY": "django_redis.pool.SentinelConnectionFactory",
    "SENTINELS": SENTINELS,
}


def hides_the_key(key: str, key_prefix: str, version: int) -> str:
    return f"{key_prefix}:{version}:{key}:end"


def prefix_alone(key: str, key_prefix: str, version: int) -> str:
    return f"{key_prefix}/{key}"


def entry(**changed: Any) -> dict[str, Any]:
    return {"BACKEND": DJANGO_REDIS, "LOCATION": URL, "KEY_PREFIX": "mysite"} | changed


def store(sessions: dict[str, Any] | None = None, **options: Any) -> RedisStore:
    """Return the store, with a cache that is named "sessions"."""
    others = {"default": {"BACKEND": LOCMEM}}
    with override_settings(CACHES=others | {"sessions": sessions or entry()}):
        return RedisStore("web", **options)


def place(sessions: dict[str, Any] | None = None, **options: Any) -> RedisOptions:
    return store(sessions, **options)._options


def refusal(sessions: dict[str, Any] | None = None, **options: Any) -> str:
    with pytest.raises(InvalidStore) as caught:
        store(sessions, **options)
    return str(caught.value)


def assert_round_trips(made: RedisStore) -> None:
    """Assert that sessions come back as they were, in sync and in async code."""
    for is_async in (False, True):
        calls, record = (
            Calls(made, is_async=is_async),
            make_record(user_id=f"ö{RUN.name}{is_async}"),
        )
        assert calls.create(record)
        assert calls.read(record.key) == record
        (listed,) = calls.sessions_for_user(record.user_id)
        assert (listed.key, listed.payload) == (record.key, b"")
        assert calls.destroy_for_user(record.user_id) == 1


def shared() -> str:
    return servers.require("redis")


class RefusedTests(SimpleTestCase):
    def assert_refused(self, option: str, remedy: str, **options: Any) -> str:
        message = refusal(**options)
        assert f"SESSION_STORES['web']['OPTIONS']['{option}'] is " in message
        assert remedy in message
        return message

    def test_an_option_that_is_unknown(self) -> None:
        message = refusal(URI=URL)
        assert "SESSION_STORES['web']['OPTIONS'] has 'URI'" in message
        assert "'URL'" in message

    def test_what_are_no_seconds(self) -> None:
        for option in ("CONNECT_TIMEOUT", "TIMEOUT", "WAIT_TIMEOUT"):
            for wrong in (0, -1, "1", None, True, math.nan, math.inf):
                with self.subTest(option, wrong=wrong):
                    options: dict[str, Any] = {"URL": URL, option: wrong}
                    message = self.assert_refused(option, "of seconds above 0", **options)
                    assert f"is {wrong!r}." in message
            half: dict[str, Any] = {"URL": URL, option: 0.5}
            assert store(**half).options[option] == 0.5

    def test_what_is_no_number_of_replicas(self) -> None:
        for wrong in (-1, 0.5, "1", None, True):
            with self.subTest(wrong=wrong):
                self.assert_refused("WAIT", "a number of replicas, 0 for none", URL=URL, WAIT=wrong)

    def test_a_wait_that_is_longer_than_the_command(self) -> None:
        remedy = "It must be less than TIMEOUT."
        self.assert_refused("WAIT_TIMEOUT", remedy, URL=URL, WAIT=1, WAIT_TIMEOUT=2)

    def test_cluster_is_yes_or_no(self) -> None:
        for wrong in ("yes", None, 1):
            with self.subTest(wrong=wrong):
                self.assert_refused("CLUSTER", "True or False", URL=URL, CLUSTER=wrong)

    def test_what_a_cluster_has_not(self) -> None:
        self.assert_refused("WAIT", "leave it out", URL=URL, CLUSTER=True, WAIT=1)
        self.assert_refused("CLUSTER", "It needs the option URL", CACHE="sessions", CLUSTER=True)
        self.assert_refused(
            "CLUSTER", "has no sentinels", SENTINELS=SENTINELS, SERVICE="mymaster", CLUSTER=True
        )

    def test_a_cache_and_another_place(self) -> None:
        for elsewhere in ({"URL": URL}, {"SENTINELS": SENTINELS, "SERVICE": "mymaster"}):
            options: dict[str, Any] = {"CACHE": "sessions", **elsewhere}
            self.assert_refused("CACHE", "leave out URL and SENTINELS", **options)

    def test_sentinels_and_service_need_each_other(self) -> None:
        self.assert_refused("SERVICE", "need each other", SENTINELS=SENTINELS)
        self.assert_refused("SERVICE", "need each other", URL=URL, SERVICE="mymaster")

    def test_what_are_no_sentinels(self) -> None:
        for wrong in (["sentinel-1"], "sentinel-1:26379", [("sentinel-1", "port")], 26379):
            with self.subTest(wrong=wrong):
                options: dict[str, Any] = {"SENTINELS": wrong, "SERVICE": "mymaster"}
                self.assert_refused("SENTINELS", "[('sentinel-1', 26379)]", **options)

    def test_what_is_no_url(self) -> None:
        for wrong in (f"http://:{PASSWORD}@h/", "127.0.0.1:6379", b"redis://h/0", 6379):
            with self.subTest(wrong=wrong):
                message = self.assert_refused("URL", "It must be ", URL=wrong)
                assert PASSWORD not in message

    def test_what_are_no_arguments(self) -> None:
        for option in ("CONNECTION", "SENTINEL_CONNECTION"):
            with self.subTest(option):
                options: dict[str, Any] = {"URL": URL, option: ["db"]}
                self.assert_refused(option, "a dictionary of redis-py's arguments", **options)

    def test_a_prefix_is_text(self) -> None:
        for where in ({"URL": URL}, {"CACHE": "sessions"}):
            options: dict[str, Any] = {"KEY_PREFIX": b"mysite:", **where}
            self.assert_refused("KEY_PREFIX", "It must be text.", **options)


class RefusedCacheTests(SimpleTestCase):
    def test_a_cache_that_is_not_there(self) -> None:
        message = refusal(CACHE="session")
        assert "SESSION_STORES['web']: CACHE is 'session', which isn't in CACHES" in message
        assert "Name one of 'default', 'sessions', or set the option URL." in message
        with override_settings(SESSION_CACHE_ALIAS="elsewhere"):
            assert "SESSION_CACHE_ALIAS is 'elsewhere'" in refusal()

    def test_a_cache_that_is_not_django_redis(self) -> None:
        shards = {"CLIENT_CLASS": "django_redis.client.ShardClient"}
        for sessions, kind in (
            (entry(BACKEND=DJANGOS), DJANGOS),
            (entry(BACKEND=LOCMEM), LOCMEM),
            (entry(OPTIONS=shards, LOCATION=[URL, "redis://127.0.0.1:1/1"]), SHARDS),
        ):
            with self.subTest(kind):
                message = refusal(sessions, CACHE="sessions")
                assert "SESSION_STORES['web']: CACHE is 'sessions'" in message
                assert f"CACHES['sessions'] isn't django-redis with one server (it is {kind})" in (
                    message
                )
                assert f"Set its BACKEND to '{DJANGO_REDIS}', or set the option URL" in message

    def test_the_default_cache_is_djangos(self) -> None:
        assert "SESSION_CACHE_ALIAS is 'default'" in refusal()

    def test_names_that_do_not_end_with_the_key(self) -> None:
        sessions = entry(KEY_FUNCTION=f"{__name__}.hides_the_key")
        message = refusal(sessions, CACHE="sessions")
        assert "SESSION_STORES['web']: CACHES['sessions']['KEY_FUNCTION']" in message
        assert "Use the option URL instead of CACHE." in message


class TakenOverTests(SimpleTestCase):
    """What the store takes from a cache's entry."""

    def test_the_alias_has_a_default(self) -> None:
        with override_settings(SESSION_CACHE_ALIAS="sessions"):
            assert place() == place(CACHE="sessions")

    def test_the_prefix(self) -> None:
        for changed, options, prefix in (
            ({}, {}, b"mysite:1:ms:"),
            ({"VERSION": 2}, {}, b"mysite:2:ms:"),
            ({"KEY_PREFIX": ""}, {}, b":1:ms:"),
            ({}, {"KEY_PREFIX": "ö:"}, "mysite:1:ö:".encode()),
            ({"KEY_FUNCTION": f"{__name__}.prefix_alone"}, {}, b"mysite/ms:"),
        ):
            with self.subTest(prefix):
                assert place(entry(**changed), CACHE="sessions", **options).prefix == prefix

    def test_the_prefix_of_a_url(self) -> None:
        assert place(URL=URL).prefix == b"ms:"
        assert place(URL=URL, KEY_PREFIX="").prefix == b""

    def test_timeouts(self) -> None:
        for options, connect_timeout, timeout in (
            ({}, 1, 2),
            ({"SOCKET_CONNECT_TIMEOUT": 3, "SOCKET_TIMEOUT": 4}, 3, 4),
            ({"CONNECTION_POOL_KWARGS": {"socket_timeout": 5}}, 1, 5),
            ({"CONNECTION_POOL_KWARGS": {"socket_timeout": None}}, 1, 2),
        ):
            with self.subTest(options):
                found = place(entry(OPTIONS=options), CACHE="sessions")
                assert (found.connect_timeout, found.timeout) == (connect_timeout, timeout)
                assert "socket_timeout" not in found.arguments

    def test_connection_wins(self) -> None:
        sessions = entry(OPTIONS={"SOCKET_TIMEOUT": 4, "CONNECTION_POOL_KWARGS": {"db": 1}})
        connection = {"socket_timeout": 6, "db": 2}
        found = place(sessions, CACHE="sessions", CONNECTION=connection)
        assert found.timeout == 6
        assert found.arguments["db"] == 2
        assert connection == {"socket_timeout": 6, "db": 2}

    def test_arguments(self) -> None:
        options = {
            "USERNAME": "web",
            "PASSWORD": PASSWORD,
            "PARSER_CLASS": "redis.connection.DefaultParser",
            "CONNECTION_POOL_KWARGS": {"max_connections": 7},
        }
        found = place(entry(OPTIONS=options), CACHE="sessions")
        where = {"host": "127.0.0.1", "port": 1}
        assert found.arguments == where | {"username": "web", "password": PASSWORD}
        assert found.max_connections == 7

    def test_the_first_of_several_servers(self) -> None:
        first, second = "redis://primary:1/3", "redis://replica:2/3"
        for location in ([first, second], (first, second), f"{first},{second}", f" {first}"):
            with self.subTest(location):
                found = place(entry(LOCATION=location), CACHE="sessions")
                assert found.address == "Redis at primary:1, database 3"

    def test_sentinels(self) -> None:
        sessions = entry(
            LOCATION="redis://mymaster/2",
            OPTIONS=BY_SENTINEL | {"SENTINEL_KWARGS": {"username": "s"}},
        )
        found = place(sessions, CACHE="sessions")
        assert found.sentinels == SENTINELS
        assert found.service == "mymaster"
        assert found.sentinel_arguments == {"username": "s"}
        assert found.address == (
            "the Redis that sentinel-1:26379, sentinel-2:26380 call 'mymaster', database 2"
        )


class DecidedTests(SimpleTestCase):
    """What the store decides, whoever says otherwise."""

    decided: ClassVar[dict[str, Any]] = {
        "decode_responses": True,
        "encoding": "utf-16",
        "load_balancing_strategy": "random",
        "maint_notifications_config": object(),
        "protocol": 3,
        "read_from_replicas": True,
        "reinitialize_steps": 1,
    }

    def test_it_is_left_out(self) -> None:
        where = place(URL=URL)
        for options in (
            {"URL": URL, "CONNECTION": self.decided},
            {"URL": f"{URL}?protocol=3&decode_responses=True&encoding=utf-16"},
        ):
            assert place(**options) == where
        sessions = entry(OPTIONS={"CONNECTION_POOL_KWARGS": self.decided})
        assert place(sessions, CACHE="sessions") == place(CACHE="sessions")

    def test_a_cluster_is_asked_by_resp2_and_for_masters(self) -> None:
        made = store(URL=URL, CLUSTER=True, CONNECTION=self.decided)
        assert not self.decided.keys() & made._options.arguments.keys()
        assert pools._arguments(made._options)["protocol"] == 2


class ValkeyTests(SimpleTestCase):
    """django-valkey's entries, and Valkey's names for the schemes."""

    def cache(self, **changed: Any) -> dict[str, Any]:
        return entry(BACKEND=DJANGO_VALKEY, LOCATION="valkey://127.0.0.1:1/0") | changed

    def test_schemes(self) -> None:
        for valkeys, redis_s in (
            ("valkey://web:a%2Fb@h:7/3", "redis://web:a%2Fb@h:7/3"),
            ("valkeys://h", "rediss://h"),
            ("valkey://h?db=2&health_check_interval=3", "redis://h?db=2&health_check_interval=3"),
        ):
            assert place(URL=valkeys) == place(URL=redis_s)
            assert place(entry(LOCATION=valkeys), CACHE="sessions") == place(
                entry(LOCATION=redis_s), CACHE="sessions"
            )
        assert place(URL="valkeys://h").is_tls
        by_sentinel = {"SENTINELS": SENTINELS, "SERVICE": "mymaster"}
        assert place(URL="valkey://mymaster/1", **by_sentinel) == place(
            URL="redis://mymaster/1", **by_sentinel
        )
        assert place(URL="valkey://h", CLUSTER=True) == place(URL="redis://h", CLUSTER=True)

    def test_what_is_no_url_of_valkey(self) -> None:
        for wrong in (f"valkey:/{PASSWORD}", f"valkeyss://:{PASSWORD}@h", "valkey://h:port"):
            message = refusal(URL=wrong)
            assert "SESSION_STORES['web']['OPTIONS']['URL'] is not right" in message
            assert "valkeys://" in message
            assert PASSWORD not in message

    def test_an_entry(self) -> None:
        options = {
            "PASSWORD": PASSWORD,
            "SOCKET_TIMEOUT": 4,
            "PARSER_CLASS": "valkey.connection.DefaultParser",
            "CONNECTION_POOL_CLASS": "valkey.BlockingConnectionPool",
            "CONNECTION_POOL_KWARGS": {"max_connections": 7, "protocol": 3},
        }
        assert place(self.cache(OPTIONS=options), CACHE="sessions") == place(
            entry(
                OPTIONS={
                    "PASSWORD": PASSWORD,
                    "SOCKET_TIMEOUT": 4,
                    "CONNECTION_POOL_KWARGS": {"max_connections": 7},
                }
            ),
            CACHE="sessions",
        )

    def test_sentinels_of_an_entry(self) -> None:
        options = {
            "CLIENT_CLASS": "django_valkey.client.SentinelClient",
            "CONNECTION_FACTORY": "django_valkey.pool.SentinelConnectionFactory",
            "SENTINELS": SENTINELS,
        }
        sessions = self.cache(LOCATION="valkey://mymaster/2", OPTIONS=options)
        found = place(sessions, CACHE="sessions")
        assert (found.sentinels, found.service) == (SENTINELS, "mymaster")

    def test_what_is_refused(self) -> None:
        shards = {"CLIENT_CLASS": "django_valkey.client.ShardClient"}
        location = ["valkey://127.0.0.1:1/0", "valkey://127.0.0.1:1/1"]
        message = refusal(self.cache(OPTIONS=shards, LOCATION=location), CACHE="sessions")
        assert "django_valkey.client.sharded.ShardClient" in message
        assert "or set the option URL instead" in message
        cluster = self.cache(BACKEND="django_valkey.cluster_cache.cache.ClusterValkeyCache")
        message = refusal(cluster, CACHE="sessions")
        assert "SESSION_STORES['web']: CACHE is 'sessions', and CACHES['sessions'] is a" in message
        assert "Set the option URL, to one of its nodes, and CLUSTER to True" in message
        nothing = {"CLIENT_CLASS": "django_valkey.client.NoSuchClient"}
        message = refusal(self.cache(OPTIONS=nothing), CACHE="sessions")
        assert "CACHES['sessions'] can't be built" in message

    def test_an_entry_in_use(self) -> None:
        for scheme in ("redis", "valkey"):
            location = f"{scheme}://{shared()}/2"
            assert_round_trips(store(self.cache(LOCATION=location), CACHE="sessions"))
            prefix = f"{RUN.name}:{self._testMethodName}:"
            assert_round_trips(RedisStore("web", URL=location, KEY_PREFIX=prefix))


class PasswordTests(SimpleTestCase):
    """No message has one."""

    url = f"redis://web:{PASSWORD}@127.0.0.1:1/0"

    def test_what_says_where_a_store_is(self) -> None:
        arguments = {"password": PASSWORD}
        for sessions, options in (
            (None, {"URL": self.url}),
            (None, {"URL": self.url, "CLUSTER": True}),
            (None, {"URL": f"unix://web:{PASSWORD}@/run/redis.sock"}),
            (None, {"URL": URL, "CONNECTION": arguments}),
            (
                None,
                {
                    "SENTINELS": SENTINELS,
                    "SERVICE": "mymaster",
                    "URL": self.url,
                    "SENTINEL_CONNECTION": arguments,
                },
            ),
            (entry(LOCATION=self.url), {"CACHE": "sessions"}),
            (entry(OPTIONS={"PASSWORD": PASSWORD}), {"CACHE": "sessions"}),
        ):
            with self.subTest(options):
                made = store(sessions, **options)
                for text in (repr(made._options), made._options.address, made.place, repr(made)):
                    assert PASSWORD not in text
                    assert "web:" not in text

    def test_what_is_refused(self) -> None:
        for wrong in (
            {"CACHE": "sessions"},
            {"SERVICE": "mymaster"},
            {"KEY_PREFIX": 1},
            {"CLUSTER": True, "WAIT": 1},
        ):
            options: dict[str, Any] = {"URL": self.url, **wrong}
            assert PASSWORD not in refusal(**options)

    def test_arguments_that_are_refused(self) -> None:
        for option in ("CONNECTION", "SENTINEL_CONNECTION"):
            options: dict[str, Any] = {"URL": URL, option: [("password", PASSWORD)]}
            assert PASSWORD not in refusal(**options)

    def test_one_that_is_wrong(self) -> None:
        made = RedisStore("web", URL=f"redis://web:{PASSWORD}@{shared()}/2")
        with pytest.raises(StoreUnavailable) as caught:
            made.read(make_record().key)
        assert "AuthenticationError" in str(caught.value)
        assert PASSWORD not in str(caught.value)


class WhereTests(SimpleTestCase):
    def messages(self, *options: dict[str, Any]) -> list[str]:
        configured = {
            alias: {"BACKEND": REDIS_STORE, "OPTIONS": each}
            for alias, each in zip(("default", "archive"), options, strict=True)
        }
        caches = {"default": entry(), "sessions": entry()}
        with override_settings(SESSION_STORES=configured, CACHES=caches):
            return [
                str(message.msg)
                for message in checks.run_checks(tags=["sessions"])
                if message.id == "django_multistore.E004"
            ]

    def test_two_stores_in_one_place(self) -> None:
        cluster = {"URL": URL, "CLUSTER": True}
        sentinels = {"SENTINELS": SENTINELS, "SERVICE": "mymaster"}
        cache = {"CACHE": "sessions"}
        for one, other in (
            ({"URL": URL}, {"URL": f"{URL}?health_check_interval=30"}),
            ({"URL": URL}, {"URL": URL.replace("//", f"//:{PASSWORD}@")}),
            (cluster, cluster),
            (sentinels, sentinels),
            (cache, cache),
            (cache, {}),
            ({"CACHE": "sessions"}, {"URL": URL, "KEY_PREFIX": "mysite:1:ms:"}),
        ):
            with self.subTest(one=one, other=other):
                (message,) = self.messages(one, other)
                assert "'default' and 'archive' would share the prefix" in message
                assert PASSWORD not in message

    def test_two_stores_that_are_apart(self) -> None:
        for other in (
            {"URL": URL, "KEY_PREFIX": "archive:"},
            {"URL": URL.replace("/0", "/1")},
            {"URL": URL.replace(":1/", ":2/")},
            {"CACHE": "sessions"},
        ):
            with self.subTest(other=other):
                assert self.messages({"URL": URL}, other) == []

    def test_two_stores_in_two_databases(self) -> None:
        sentinels = {"SENTINELS": SENTINELS, "SERVICE": "mymaster"}
        for one, other in (
            ({"URL": "unix:///run/redis.sock?db=1"}, {"URL": "unix:///run/redis.sock?db=2"}),
            ({"URL": "redis://h?db=1"}, {"URL": "redis://h?db=2"}),
            (
                {"URL": "redis://mymaster/1", **sentinels},
                {"URL": "redis://mymaster/2", **sentinels},
            ),
        ):
            assert self.messages(one, other) == []

    def test_one_database_in_two_spellings(self) -> None:
        assert self.messages({"URL": "redis://h"}, {"URL": "redis://h:6379/0"})

    def test_names(self) -> None:
        for url, name in (
            ("redis://h", "Redis at h:6379"),
            ("rediss://web@h:7/3", "Redis at h:7, database 3"),
            ("unix://web@/run/redis.sock?db=1", "Redis at /run/redis.sock, database 1"),
        ):
            assert place(URL=url).address == name
        assert place(URL="redis://h", CLUSTER=True).address == "the Redis Cluster at h:6379"


class BadUrlTests(SimpleTestCase):
    """What redis-py would refuse when it is first used."""

    def test_one_that_cannot_be_read(self) -> None:
        # The second is a password with a slash that isn't escaped.
        for url in ("redis://h/0?db=x", f"redis://:{PASSWORD}/@h/0", "redis://h:port/0"):
            message = refusal(URL=url)
            assert "SESSION_STORES['web']['OPTIONS']['URL']" in message
            assert PASSWORD not in message

    def test_an_argument_that_redis_py_does_not_know(self) -> None:
        for options in ({"URL": f"{URL}?timeuot=3"}, {"URL": URL, "CONNECTION": {"timeuot": 3}}):
            assert "'timeuot'" in refusal(**options)

    def test_an_argument_that_clusters_do_not_know(self) -> None:
        for options in ({"URL": f"{URL}?timeuot=3"}, {"URL": URL, "CONNECTION": {"timeuot": 3}}):
            message = refusal(CLUSTER=True, **options)
            assert "SESSION_STORES['web']['OPTIONS']" in message
            assert "'timeuot'" in message
        connection = {
            "address_remap": None,
            "client_name": "web",
            "health_check_interval": 3,
            "password": PASSWORD,
            "socket_keepalive": True,
            "ssl_ca_path": "/etc/ssl",
            "username": "web",
        }
        assert place(URL=URL, CLUSTER=True, CONNECTION=connection)

    def test_a_limit_that_limits_nothing(self) -> None:
        for name in ("socket_timeout", "socket_connect_timeout", "max_connections"):
            for wrong in (-1, math.nan, math.inf, "2", True, [1]):
                with self.subTest(name, wrong=wrong):
                    for options in (
                        {"URL": URL, "CONNECTION": {name: wrong}},
                        {"CACHE": "sessions", "CONNECTION": {name: wrong}},
                    ):
                        message = refusal(**options)
                        assert f"{name!r}, which is {wrong!r}. It must be a number" in message
            for fine in (None, 0, 3):
                assert place(URL=URL, CONNECTION={name: fine})
        assert "max_connections" in refusal(URL=URL, CONNECTION={"max_connections": 0.5})
        assert "socket_timeout" in refusal(URL=f"{URL}?socket_timeout=-1")

    def test_what_a_cluster_cannot_be(self) -> None:
        for url in ("unix:///run/redis.sock", "redis://h/3"):
            assert "SESSION_STORES['web']['OPTIONS']['URL']" in refusal(URL=url, CLUSTER=True)

    def test_sentinels_of_a_cache(self) -> None:
        assert "'SERVICE'" in refusal(CACHE="sessions", SERVICE="mymaster")


class OnAServerTests(SimpleTestCase):
    """Each kind of place, used."""

    def prefix(self) -> str:
        return f"{RUN.name}:{self._testMethodName}:"

    def cache(self, **changed: Any) -> dict[str, Any]:
        return entry(LOCATION=f"redis://{shared()}/2", KEY_PREFIX=self.prefix()) | changed

    def test_a_cache(self) -> None:
        assert_round_trips(store(self.cache(), CACHE="sessions"))

    def test_the_first_of_several_servers(self) -> None:
        location = [f"redis://{shared()}/2", URL]
        assert_round_trips(store(self.cache(LOCATION=location), CACHE="sessions"))

    def test_a_cache_that_decodes(self) -> None:
        options = {"CONNECTION_POOL_KWARGS": {"decode_responses": True}}
        assert_round_trips(store(self.cache(OPTIONS=options), CACHE="sessions"))

    def test_a_connection_that_decodes(self) -> None:
        connection = {"decode_responses": True, "protocol": 3}
        url, prefix = f"redis://{shared()}/2", self.prefix()
        assert_round_trips(RedisStore("web", URL=url, KEY_PREFIX=prefix, CONNECTION=connection))

    def test_a_url_that_decodes(self) -> None:
        url = f"redis://{shared()}/2?decode_responses=True"
        assert_round_trips(RedisStore("web", URL=url, KEY_PREFIX=self.prefix()))

    def test_a_cache_with_a_blocking_pool(self) -> None:
        options = {
            "CONNECTION_POOL_CLASS": "redis.BlockingConnectionPool",
            "CONNECTION_POOL_KWARGS": {"max_connections": 5, "timeout": 1},
        }
        assert_round_trips(store(self.cache(OPTIONS=options), CACHE="sessions"))

    def test_the_names_in_redis(self) -> None:
        address = shared()
        made = store(self.cache(VERSION=3), CACHE="sessions")
        record = make_record(user_id=f"ö{RUN.name}")
        made.create(record)
        prefix = f"{self.prefix()}:3:ms:".encode()
        session = prefix + b"s:" + bytes.fromhex(record.key)
        index = prefix + f"u:ö{RUN.name}".encode()
        with redis.Redis.from_url(f"redis://{address}/2") as client:
            assert client.type(session) == b"string"
            assert client.zrange(index, 0, -1) == [bytes.fromhex(record.key)]
            assert 3590 < client.ttl(session) <= 3600
            assert 3590 < client.ttl(index) <= 3601
            made.destroy(record.key)
            assert client.exists(session, index) == 0

    def test_a_password(self) -> None:
        with servers.private("redis") as server:
            with redis.Redis(port=server.port) as client:
                client.config_set("requirepass", PASSWORD)
            location = f"redis://{server.address}/0"
            sessions = entry(LOCATION=location, OPTIONS={"PASSWORD": PASSWORD})
            assert_round_trips(store(sessions, CACHE="sessions"))
            for url in (location, location.replace("//", "//:wrong@")):
                with pytest.raises(StoreUnavailable):
                    RedisStore("web", URL=url).read(make_record().key)
            url = location.replace("//", f"//:{PASSWORD}@")
            assert_round_trips(RedisStore("web", URL=url))

    def test_a_unix_socket(self) -> None:
        with servers.private("redis", arguments=["--unixsocket", "socket"]) as server:
            url = f"unix://{server.data}/socket?db=1"
            assert_round_trips(RedisStore("web", URL=url))
            assert_round_trips(store(entry(LOCATION=url), CACHE="sessions"))


class TLSTests(SimpleTestCase):
    def test_tls(self) -> None:
        with ExitStack() as stack:
            certificate = Certificate(stack)
            url = f"rediss://127.0.0.1:{certificate.port}/0"
            trust = {"ssl_ca_certs": str(certificate.path)}
            assert_round_trips(RedisStore("web", URL=url, CONNECTION=trust))
            assert_round_trips(RedisStore("web", URL=f"{url}?ssl_ca_certs={certificate.path}"))
            sessions = entry(LOCATION=url, OPTIONS={"CONNECTION_POOL_KWARGS": trust})
            assert_round_trips(store(sessions, CACHE="sessions"))
            with pytest.raises(StoreUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
                RedisStore("web", URL=url).read(make_record().key)


@pytest.mark.fault
class SentinelTests(SimpleTestCase):
    def test_a_cache_behind_sentinels(self) -> None:
        with redis_groups.private_group(redis_groups.SentinelGroup) as group:
            options = BY_SENTINEL | {"SENTINELS": group.sentinels}
            location = f"redis://{redis_groups.SERVICE}/1"
            for each in (location, [f"{location}?is_master=1", f"{location}?is_master=0"]):
                sessions = entry(LOCATION=each, OPTIONS=options)
                assert_round_trips(store(sessions, CACHE="sessions"))

    def test_tls_behind_sentinels(self) -> None:
        made = RedisStore(
            "web", URL="rediss://mymaster/0", SENTINELS=[("127.0.0.1", 1)], SERVICE="mymaster"
        )
        with pytest.raises(StoreUnavailable):
            made.read(make_record().key)
